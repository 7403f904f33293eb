"""The accounts of a server: a JSON file for its owner only, replaced whole, re-read on change."""

from __future__ import annotations

import fcntl
import json
import os
import time

from runner.errors import UsageError
from runner.model.value import EMPTY, Value, changed
from runner.serving.passwords import SHORTEST, hashed, new_token, token_digest
from runner.serving.rules import LEVELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from runner.codec import JSON
    from runner.serving.rules import Kind

VERSION: Final = 1
LONGEST_NAME: Final = 255
DAY_MS: Final = 86_400_000


class Token(Value):
    """An access token, as it is kept. Times are milliseconds since 1970."""

    label: str
    digest: str
    created: int
    expires: int | None = None


class User(Value):
    """Somebody with an account; ``experiments`` and ``models`` hold granted levels."""

    name: str
    password: str | None = None
    admin: bool = False
    tokens: tuple[Token, ...] = ()
    experiments: Mapping[str, str] = EMPTY
    models: Mapping[str, str] = EMPTY

    def granted(self, kind: Kind) -> Mapping[str, str]:
        """Return the levels of one kind of things, by their ids or names."""
        return self.experiments if kind == "experiment" else self.models


class Book(Value):
    """All accounts, and the level of what was not granted to anybody."""

    users: Mapping[str, User] = EMPTY
    default: str = "READ"

    def level(self, name: str, kind: Kind, thing: str) -> int:
        """Return what a user may do with a thing."""
        user = self.users.get(name)
        if user is None:
            return LEVELS["NO_PERMISSIONS"]
        if user.admin:
            return LEVELS["MANAGE"]
        return LEVELS[user.granted(kind).get(thing, self.default)]


class Accounts:
    """The accounts in a file. All methods may be called by several threads and processes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._book = Book()

    @property
    def book(self) -> Book:
        """The accounts as they are now.

        Raises:
            UsageError: The file is not there, cannot be understood, or others may read it.
        """
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise UsageError(
                f"the accounts cannot be read: {error.strerror}",
                where=self.path,
                hint=f"'runproj server users add NAME --admin --users {self.path}' makes the file",
            ) from error
        stamp = found.st_ino, found.st_mtime_ns, found.st_size
        if stamp != self._stamp:
            if found.st_mode & 0o077:
                raise UsageError(
                    "other users of this machine can read the accounts",
                    where=self.path,
                    hint=f"chmod 600 {self.path}",
                )
            self._book = self._read()
            self._stamp = stamp
        return self._book

    def _read(self) -> Book:
        try:
            with open(self.path, encoding="utf-8") as file:
                return _book(json.load(file))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                "the accounts cannot be understood",
                where=self.path,
                hint="restore the file from a copy; it is written by 'runproj server users' only",
            ) from error

    def change(self, change: Callable[[Book], Book]) -> Book:
        """Replace the accounts by what a function makes of them; readers see old or new."""
        folder = os.path.dirname(self.path) or "."
        try:
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(
                f"the accounts cannot be written: {error.strerror}", where=folder
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.book if os.path.exists(self.path) else Book()
            after = change(before)
            if after != before:
                _replace(self.path, json.dumps(_document(after), indent=1).encode())
            return after
        finally:
            os.close(lock)

    def add(self, name: str, password: str, *, admin: bool = False) -> None:
        """Add a user.

        Raises:
            UsageError: The name is taken or no name, or the password is too short.
        """
        check_name(name)
        kept = hashed(checked_password(password))

        def added(book: Book) -> Book:
            if name in book.users:
                raise UsageError(f"there is a user {name!r} already")
            return _with(book, User(name=name, password=kept, admin=admin))

        self.change(added)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        kept = hashed(checked_password(password))
        self.update(name, lambda user: changed(user, password=kept))

    def remove(self, name: str) -> None:
        """Take a user away."""

        def without(book: Book) -> Book:
            known(book, name)
            return changed(book, users={n: u for n, u in book.users.items() if n != name})

        self.change(without)

    def update(self, name: str, change: Callable[[User], User]) -> None:
        """Change one user."""
        self.change(lambda book: _with(book, change(known(book, name))))

    def add_token(self, name: str, label: str, *, days: int | None = None) -> str:
        """Make a token; it is shown once and kept as a digest."""
        token, now = new_token(), time.time_ns() // 1_000_000
        expires = None if days is None else now + days * DAY_MS
        kept = Token(label=label, digest=token_digest(token), created=now, expires=expires)

        def with_token(user: User) -> User:
            if any(t.label == label for t in user.tokens):
                raise UsageError(
                    f"{name} has a token {label!r} already", hint="name another with --label"
                )
            return changed(user, tokens=(*user.tokens, kept))

        self.update(name, with_token)
        return token

    def revoke_token(self, name: str, label: str) -> None:
        """Take a token away."""

        def without(user: User) -> User:
            left = tuple(t for t in user.tokens if t.label != label)
            if left == user.tokens:
                raise UsageError(f"{name} has no token {label!r}")
            return changed(user, tokens=left)

        self.update(name, without)

    def grant(self, name: str, kind: Kind, thing: str, *, level: str | None) -> None:
        """Say what a user may do with a thing; None takes the grant away."""

        def granted(user: User) -> User:
            levels = {n: found for n, found in user.granted(kind).items() if n != thing}
            if level is not None:
                levels[thing] = level
            return changed(user, **{"experiments" if kind == "experiment" else "models": levels})

        self.update(name, granted)

    def rename(self, kind: Kind, thing: str, new: str | None) -> None:
        """Move all grants for a thing to its new name; None: the thing is gone."""
        field = "experiments" if kind == "experiment" else "models"

        def renamed(book: Book) -> Book:
            users = {}
            for name, user in book.users.items():
                levels = dict(user.granted(kind))
                level = levels.pop(thing, None)
                if level is not None and new is not None:
                    levels[new] = level
                users[name] = user if level is None else changed(user, **{field: levels})
            return changed(book, users=users)

        self.change(renamed)


def known(book: Book, name: str) -> User:
    """Return a user.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in book.users:
        raise UsageError(f"there is no user {name!r}", hint="'runproj server users list'")
    return book.users[name]


def check_name(name: str) -> None:
    """Refuse what cannot be a user's name (a colon would end it in HTTP's basic scheme)."""
    if not name or len(name) > LONGEST_NAME or ":" in name or not name.isprintable():
        raise UsageError(f"{name[:40]!r} cannot be the name of a user", hint="letters and digits")


def checked_password(password: str) -> str:
    """Return a password that is long enough."""
    if len(password) < SHORTEST:
        raise UsageError(f"a password needs {SHORTEST} characters at least")
    return password


def checked_level(level: str) -> str:
    """Return a level in MLflow's spelling."""
    if level.upper() not in LEVELS:
        raise UsageError(f"there is no permission {level!r}", hint=f"one of {', '.join(LEVELS)}")
    return level.upper()


def _with(book: Book, user: User) -> Book:
    return changed(book, users={**book.users, user.name: user})


def _replace(path: str, content: bytes) -> None:
    """Write a file for its owner only, whole or not at all, and durably."""
    partial = f"{path}.{os.urandom(6).hex()}"
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if os.path.exists(partial):
            os.unlink(partial)
        raise UsageError(f"the accounts cannot be written: {error.strerror}", where=path) from error


def _document(book: Book) -> JSON:
    return {
        "version": VERSION,
        "default_permission": book.default,
        "users": {
            user.name: {
                "password": user.password,
                "admin": user.admin,
                "tokens": [
                    {
                        "label": t.label,
                        "digest": t.digest,
                        "created": t.created,
                        "expires": t.expires,
                    }
                    for t in user.tokens
                ],
                "experiments": dict(user.experiments),
                "models": dict(user.models),
            }
            for user in book.users.values()
        },
    }


def _book(document: Any) -> Book:  # noqa: ANN401 - JSON that is checked here
    if document["version"] != VERSION or document["default_permission"] not in LEVELS:
        raise ValueError
    users = {name: _user(name, kept) for name, kept in document["users"].items()}
    return Book(users=users, default=document["default_permission"])


def _user(name: str, kept: Any) -> User:  # noqa: ANN401 - JSON that is checked here
    levels = [*kept["experiments"].values(), *kept["models"].values()]
    if not (isinstance(kept["admin"], bool) and all(level in LEVELS for level in levels)):
        raise ValueError
    return User(
        name=name,
        password=kept["password"],
        admin=kept["admin"],
        tokens=tuple(
            Token(
                label=str(t["label"]),
                digest=str(t["digest"]),
                created=int(t["created"]),
                expires=t["expires"],
            )
            for t in kept["tokens"]
        ),
        experiments=dict(kept["experiments"]),
        models=dict(kept["models"]),
    )
