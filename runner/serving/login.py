"""The door of a server with accounts: who somebody is, and what they get to see."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import threading
import time

from runner.errors import UsageError
from runner.serving.account_calls import account_call
from runner.serving.guarded import GuardedStore
from runner.serving.messages import Refusal
from runner.serving.passwords import token_digest, verified
from runner.serving.rules import Places
from runner.serving.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from runner.ports import TrackingStore
    from runner.serving.accounts import Accounts, Book
    from runner.serving.messages import Request, Response
    from runner.serving.rules import Kind

REMEMBERED: Final = 1000
"""So many credentials that were right need no second check by scrypt."""
MINUTE: Final = 60.0
FAILURES: Final = 10
"""Wrong passwords a minute for one user from one address; ten times as many for all users."""
WATCHED: Final = 10_000


class Member:
    """A user, seen by the rules."""

    def __init__(self, name: str, accounts: Accounts) -> None:
        self.name = name
        self._accounts = accounts

    def may(self, level: int, kind: Kind, name: str) -> bool:
        """Whether the user may do what needs this level."""
        return self._accounts.book.level(self.name, kind, name) >= level

    def made(self, kind: Kind, name: str) -> None:
        """Let the user manage what the user has made."""
        self._accounts.grant(self.name, kind, name, level="MANAGE")

    def renamed(self, kind: Kind, name: str, new: str | None) -> None:
        """Keep permissions under the new name."""
        self._accounts.rename(kind, name, new)


class MemberVisit:
    """A request of a user."""

    def __init__(self, name: str, accounts: Accounts, service: Service) -> None:
        self.name = name
        self.service = service
        self._accounts = accounts

    def own_call(self, request: Request) -> Response | None:
        """Answer calls about accounts."""
        return account_call(request, self._accounts, self.name)


class AccountDoor:
    """Lets users in by password (HTTP's basic scheme) or by token (bearer)."""

    def __init__(self, store: TrackingStore, accounts: Accounts) -> None:
        if not accounts.book.users:
            raise UsageError(
                "there are no users",
                where=accounts.path,
                hint=f"'runproj server users add NAME --admin --users {accounts.path}'",
            )
        self.public = Service(store)
        self._store = store
        self._accounts = accounts
        self._places = Places(store)
        self._visits: dict[str, MemberVisit] = {}
        self._secret = os.urandom(32)
        self._right: dict[bytes, tuple[str, str]] = {}
        self._failures = Failures()
        self._lock = threading.Lock()

    def enter(self, request: Request) -> MemberVisit:
        """Let somebody in."""
        try:
            book = self._accounts.book
        except UsageError as error:
            raise Refusal(
                f"nobody can log in now: {error.message}", "TEMPORARILY_UNAVAILABLE"
            ) from error
        name = self._name(request, book)
        request.user = name
        visit = self._visits.get(name)
        return visit or self._first_visit(name)

    def _first_visit(self, name: str) -> MemberVisit:
        guarded = GuardedStore(self._store, Member(name, self._accounts), self._places)
        # One lock for all: what two users extend at once is read and written in turn.
        service = Service(guarded, beside=self.public)
        with self._lock:
            return self._visits.setdefault(name, MemberVisit(name, self._accounts, service))

    def _name(self, request: Request, book: Book) -> str:
        header = request.headers.get("authorization", "")
        if not header:
            raise Refusal(
                "log in: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
                "or MLFLOW_TRACKING_TOKEN",
                "UNAUTHENTICATED",
            )
        key = hashlib.blake2b(header.encode("latin-1", "replace"), key=self._secret).digest()
        remembered = self._right.get(key)
        if remembered is not None and self._still(book, *remembered):
            return remembered[0]
        name, proof = self._checked(header, request.peer, book)
        with self._lock:
            if len(self._right) >= REMEMBERED:
                self._right.clear()
            self._right[key] = name, proof
        return name

    def _still(self, book: Book, name: str, proof: str) -> bool:
        """Whether credentials that were right are so still."""
        user = book.users.get(name)
        if user is None:
            return False
        return proof == user.password or any(
            t.digest == proof and _is_valid(t.expires) for t in user.tokens
        )

    def _checked(self, header: str, peer: str, book: Book) -> tuple[str, str]:
        """Return who these credentials belong to, and what is kept of them."""
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer":
            return self._by_token(given.strip(), peer, book)
        if scheme.lower() == "basic":
            name, colon, password = _decoded(given.strip()).partition(":")
            if colon:
                return self._by_password(name, password, peer, book)
        raise Refusal("these credentials make no sense", "UNAUTHENTICATED")

    def _by_token(self, token: str, peer: str, book: Book) -> tuple[str, str]:
        self._failures.check(peer, "")
        digest = token_digest(token)
        for user in book.users.values():
            for kept in user.tokens:
                if kept.digest == digest and _is_valid(kept.expires):
                    return user.name, digest
        self._failures.note(peer, "")
        raise Refusal("this token is not valid (any more)", "UNAUTHENTICATED")

    def _by_password(self, name: str, password: str, peer: str, book: Book) -> tuple[str, str]:
        self._failures.check(peer, name)
        user = book.users.get(name)
        kept = user.password if user else None
        if verified(password, kept) and kept is not None:
            return name, kept
        self._failures.note(peer, name)
        raise Refusal("user or password is wrong", "UNAUTHENTICATED")


class Failures:
    """Wrong credentials of the last minute, by address and user."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str | None], list[float]] = {}
        self._lock = threading.Lock()

    def check(self, peer: str, name: str) -> None:
        """Refuse who has failed too often."""
        limits = {(peer, name): FAILURES, (peer, None): 10 * FAILURES}
        since = time.monotonic() - MINUTE
        with self._lock:
            for key, limit in limits.items():
                if sum(moment > since for moment in self._times.get(key, ())) >= limit:
                    raise Refusal(
                        "too many wrong credentials: wait a minute", "REQUEST_LIMIT_EXCEEDED"
                    )

    def note(self, peer: str, name: str) -> None:
        """Note a failure."""
        since = time.monotonic() - MINUTE
        keys: tuple[tuple[str, str | None], ...] = ((peer, name), (peer, None))
        with self._lock:
            if len(self._times) > WATCHED:
                self._times = {k: t for k, t in self._times.items() if t[-1] > since}
            for key in keys:
                recent = [moment for moment in self._times.get(key, ()) if moment > since]
                self._times[key] = [*recent, time.monotonic()]


def _is_valid(expires: int | None) -> bool:
    return expires is None or time.time() * 1000 < expires


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise Refusal("these credentials make no sense", "UNAUTHENTICATED") from None
