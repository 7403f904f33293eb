"""The ``runproj`` command: find the subcommand, parse, call, report what went wrong.

Each subcommand is a module in ``runner.cli.commands`` with

``arguments(parser)``
    which declares its options, and
``call(options, console)``
    which does the work and returns the exit code,

and, where it answers ``--help`` itself, ``OWN_HELP = True``; it is imported only when it is called.

A group of subcommands is a package there with ``ACTIONS``, one-line helps by name, and a module of
the same form for each; ``DEFAULT`` is the action that is meant when none is named.
"""

from __future__ import annotations

import gc
import os
import sys

from runner.cli.output import Console
from runner.errors import RunprojError, UsageError
from runner.settings import ENVIRON
from runner.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

COMMANDS = {
    "run": "run a project and record the run",
    "validate": "check project files, all problems at once",
    "describe": "show entry points, parameters and environment",
    "lock": "resolve an environment and write its lock",
    "env": "list, show, verify or prune built environments",
    "runs": "list, show, compare, follow, export and edit runs",
    "experiments": "list, create, rename, tag, delete and restore experiments",
    "reproduce": "run a recorded run again, and compare",
    "diff": "show in what two runs differ",
    "check": "tell what stands in the way of reproducing runs",
    "export": "pack a run into a bundle, to be run again elsewhere",
    "verify": "check the files of a bundle",
    "server": "serve a tracking store to a team; manage its users",
    "store": "copy tracking stores, compare what they hold",
    "sync": "deliver what a tracking server could not take",
    "doctor": "repair the records of killed runs; tidy up",
    "completion": "print a shell completion script",
}
"""Each subcommand with its one-line help, in the order of the help page."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    console = Console(ENVIRON)
    try:
        code = _called(given, console)
        sys.stdout.flush()
    except RunprojError as error:
        console.complain(error)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except SystemExit as stop:  # a signal asked us to stop
        code = stop.code if isinstance(stop.code, int) else 1
    except BrokenPipeError:  # the reader of our output is gone: ``runproj runs list | head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:
        if ENVIRON.get("RUNPROJ_TRACEBACK"):
            raise
        console.complain(unexpected(error))
        code = RunprojError.exit_code
    return code


def unexpected(error: Exception) -> RunprojError:
    """Put an error that nobody foresaw into words."""
    if isinstance(error, OSError) and error.strerror:
        named = f": {error.filename!r}" if error.filename else ""
        return RunprojError(f"{error.strerror}{named}")
    return RunprojError(
        f"{type(error).__name__}: {error}",
        hint="this is a defect of runproj; RUNPROJ_TRACEBACK=1 shows where it comes from",
    )


def entry() -> None:
    """Run as a program.

    The interpreter's tear-down is skipped (3.5 ms), and so are garbage collections that a start
    of a few thousand lasting objects would cause for nothing (2 ms).
    """
    gc.set_threshold(50_000)
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _called(given: list[str], console: Console) -> int:
    name = given[0] if given else "--help"
    if name in {"-V", "--version"}:
        console.say(f"runproj {__version__}")
        return 0
    if name in {"-h", "--help", "help"}:
        return _called([given[1], "--help"], console) if given[1:] else _help(console)
    if name not in COMMANDS:
        return _unknown(name, console)
    module = __import__(f"runner.cli.commands.{name}", fromlist=["call"])
    if hasattr(module, "__path__"):
        return _called_in_group(name, module.ACTIONS, module.DEFAULT, given[1:], console)
    return _obeyed(module, full_parser(name, COMMANDS[name], module), given[1:], console)


def _called_in_group(
    group: str, actions: Mapping[str, str], default: str, given: list[str], console: Console
) -> int:
    """Call one action of a group of subcommands."""
    if given[:1] in (["-h"], ["--help"], ["help"]):
        return _group_help(group, actions, default, console)
    named = bool(given) and not given[0].startswith("-")
    name = given[0] if named else default
    if name not in actions:
        return _unknown(name, console, actions, group)
    module = action_module(group, name)
    parser = full_parser(f"{group} {name}", actions[name], module)
    return _obeyed(module, parser, given[1:] if named else given, console)


def action_module(group: str, name: str) -> Any:  # noqa: ANN401 - modules have no types
    """Import the module of one action of a group."""
    return __import__(f"runner.cli.commands.{group}.{name}", fromlist=["call"])


def full_parser(name: str, about: str, module: Any) -> ArgumentParser:  # noqa: ANN401
    """Return the parser of a subcommand's module."""
    parser = command_parser(name, about, helpful=not getattr(module, "OWN_HELP", False))
    module.arguments(parser)
    return parser


def _obeyed(
    module: Any,  # noqa: ANN401
    parser: ArgumentParser,
    given: list[str],
    console: Console,
) -> int:
    try:
        options = parser.parse_intermixed_args(given)
    except SystemExit as stop:  # argparse has printed the help
        return int(stop.code or 0)
    console.quiet = bool(getattr(options, "quiet", False))
    return int(module.call(options, console))


def command_parser(name: str, about: str = "", *, helpful: bool = True) -> ArgumentParser:
    """Return an empty parser for one subcommand, with ``--help`` unless it has its own."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    def formatter(prog: str) -> RawDescriptionHelpFormatter:
        return RawDescriptionHelpFormatter(prog, width=help_width())

    class Parser(ArgumentParser):
        """Raises what argparse would print, so that every error looks alike."""

        def error(self, message: str) -> NoReturn:
            hint = f"'{self.prog} --help' shows the options"
            missing = message.partition("arguments are required: ")[2].partition(", ")[0]
            if missing:
                message = f"'{self.prog}' needs {missing.upper()}"
            for action in self._actions:
                if missing and missing in {action.dest, action.metavar} and action.choices:
                    hint = f"one of: {', '.join(action.choices)}"
            raise UsageError(message, hint=hint)

    about = about or COMMANDS[name]
    return Parser(
        prog=f"runproj {name}",
        description=about[0].upper() + about[1:] + ".",
        formatter_class=formatter,
        allow_abbrev=False,
        add_help=helpful,
    )


def help_width() -> int:
    """Return the width of help texts: that of the terminal, at most 100 columns.

    argparse would import ``shutil`` to find out, with five compression modules, at every start.
    """
    try:
        columns = int(ENVIRON.get("COLUMNS", "0")) or os.get_terminal_size().columns
    except (ValueError, OSError):
        columns = 80
    return max(40, min(columns, 100) - 2)


def _help(console: Console) -> int:
    width = max(map(len, COMMANDS))
    console.say("usage: runproj COMMAND [OPTIONS]\n")
    console.say("Run MLproject projects reproducibly.\n\ncommands:")
    for name, text in COMMANDS.items():
        console.say(f"  {name.ljust(width)}  {text}")
    console.say("\n'runproj COMMAND --help' tells more; 'runproj --version' the version.")
    return 0


def _group_help(group: str, actions: Mapping[str, str], default: str, console: Console) -> int:
    width = max(map(len, actions))
    console.say(f"usage: runproj {group} ACTION [OPTIONS]\n")
    console.say(f"{COMMANDS[group][0].upper()}{COMMANDS[group][1:]}.\n\nactions:")
    for name, text in actions.items():
        console.say(f"  {name.ljust(width)}  {text}" + "  (the default)" * (name == default))
    console.say(f"\n'runproj {group} ACTION --help' tells more.")
    return 0


def _unknown(
    name: str, console: Console, known: Mapping[str, str] = COMMANDS, group: str = ""
) -> int:
    from difflib import get_close_matches

    start = f"runproj {group} ".rstrip()
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{start} {near[0]}'?" if near else f"'{start} --help' lists them"
    what = f"'{start}' has no action {name!r}" if group else f"there is no command {name!r}"
    console.complain(UsageError(what, hint=hint))
    return 2
