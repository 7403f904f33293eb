"""``runproj server users``: who may use a server, and what they may do."""

from __future__ import annotations

import sys

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.errors import UsageError
from runner.model.value import changed
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.serving.accounts import Accounts, User

ACTIONS = {"add": 1, "passwd": 1, "remove": 1, "list": 0, "token": 1, "grant": 2, "admin": 1}
ACTIONS |= {"default": 1}
"""How many words each action needs."""
LEVELS = ("READ", "EDIT", "MANAGE", "NO_PERMISSIONS")
DEFAULT = "DEFAULT"


def call(options: Namespace, console: Console) -> int:
    """Do what was asked."""
    action, *words = options.words[1:] or ["list"]
    if action not in ACTIONS:
        raise UsageError(
            f"'runproj server users' does not know {action!r}", hint=f"one of {', '.join(ACTIONS)}"
        )
    if len(words) != ACTIONS[action]:
        raise UsageError(
            f"'runproj server users {action}' takes {ACTIONS[action]} words, not {len(words)}",
            hint="'runproj server --help' shows the actions",
        )
    if not options.users:
        raise UsageError(
            "which accounts? give --users FILE", hint="the file that the server is started with"
        )
    accounts = Application(settings(), TerminalReporter(console)).accounts(options.users)
    if action == "list":
        return _list(options, console, accounts)
    actions = {"token": _token, "grant": _grant, "admin": _admin, "default": _default}
    actions.get(action, _simple)(options, console, accounts)
    return 0


def _simple(options: Namespace, console: Console, accounts: Accounts) -> None:
    _, action, name = options.words
    if action == "add":
        accounts.add(name, _password(), admin=options.admin)
        console.tell(f"added {name}")
    elif action == "passwd":
        accounts.set_password(name, _password())
        console.tell(f"{name} has a new password")
    else:
        accounts.remove(name)
        console.tell(f"removed {name}")


def _password() -> str:
    """Ask for a password on a terminal, else read a line; never from the command line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    password = getpass("password: ")
    if getpass("once more: ") != password:
        raise UsageError("these are two different passwords")
    return password


def _token(options: Namespace, console: Console, accounts: Accounts) -> None:
    name = options.words[2]
    if options.revoke is not None:
        accounts.revoke_token(name, options.revoke or options.label)
        console.tell(f"{name} has no token {options.revoke or options.label!r} any more")
        return
    if options.days is not None and options.days < 1:
        raise UsageError("--days must be 1 or more")
    console.say(accounts.add_token(name, options.label, days=options.days))
    console.tell("this is shown once; use it as MLFLOW_TRACKING_TOKEN")


def _grant(options: Namespace, console: Console, accounts: Accounts) -> None:
    name, level = options.words[2], options.words[3].upper()
    if (options.experiment is None) == (options.model is None):
        raise UsageError("give --experiment ID or --model NAME, one of them")
    if level not in {*LEVELS, DEFAULT}:
        raise UsageError(
            f"there is no permission {options.words[3]!r}",
            hint=f"one of {', '.join((*LEVELS, DEFAULT))}",
        )
    wanted = None if level == DEFAULT else level
    if options.experiment is not None:
        accounts.grant(name, "experiment", options.experiment, level=wanted)
    else:
        accounts.grant(name, "registered model", options.model, level=wanted)
    console.tell(f"{name}: {level} for {options.experiment or options.model}")


def _admin(options: Namespace, console: Console, accounts: Accounts) -> None:
    name, is_admin = options.words[2], options.revoke is None
    accounts.update(name, lambda user: changed(user, admin=is_admin))
    console.tell(f"{name} is {'an' if is_admin else 'no'} administrator")


def _default(options: Namespace, console: Console, accounts: Accounts) -> None:
    level = options.words[2].upper()
    if level not in LEVELS:
        raise UsageError(
            f"there is no permission {options.words[2]!r}", hint=f"one of {', '.join(LEVELS)}"
        )
    accounts.change(lambda book: changed(book, default=level))
    console.tell(f"what was not granted: {level}")


def _list(options: Namespace, console: Console, accounts: Accounts) -> int:
    book = accounts.book
    if options.json:
        users: list[JSON] = [_document(user) for user in book.users.values()]
        console.emit({"default_permission": book.default, "users": users})
        return 0
    rows = [
        (
            user.name,
            "yes" if user.admin else "",
            ", ".join(token.label for token in user.tokens),
            ", ".join(f"{i}: {level}" for i, level in user.experiments.items()),
            ", ".join(f"{n}: {level}" for n, level in user.models.items()),
        )
        for user in book.users.values()
    ]
    console.table(("USER", "ADMIN", "TOKENS", "EXPERIMENTS", "MODELS"), rows)
    console.tell(f"where nothing was granted: {book.default}")
    return 0


def _document(user: User) -> JSON:
    return {
        "name": user.name,
        "admin": user.admin,
        "tokens": [
            {"label": t.label, "created": t.created, "expires": t.expires} for t in user.tokens
        ],
        "experiments": dict(user.experiments),
        "models": dict(user.models),
    }
