"""MLflow's own calls about users and permissions (its ``basic-auth`` app), over our accounts."""

from __future__ import annotations

from runner.errors import UsageError
from runner.model.value import changed
from runner.serving.accounts import checked_level, known
from runner.serving.arguments import arguments
from runner.serving.messages import Refusal, json_response, missing
from runner.serving.routes import PREFIXES
from runner.serving.rules import MANAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from runner.codec import JSON
    from runner.serving.accounts import Accounts, User
    from runner.serving.arguments import Arguments
    from runner.serving.messages import Request, Response
    from runner.serving.rules import Kind

FIELDS: Final[dict[Kind, str]] = {"experiment": "experiment_id", "registered model": "name"}


class Desk:
    """Serves one user who asks about accounts."""

    def __init__(self, accounts: Accounts, asking: str) -> None:
        self._accounts = accounts
        self._asking = asking

    def create(self, given: Arguments) -> JSON:
        """``POST users/create``: for administrators."""
        self._check_admin()
        name = given.text("username")
        if name in self._accounts.book.users:
            raise Refusal(f"User '{name}' already exists.", "RESOURCE_ALREADY_EXISTS")
        self._accounts.add(name, given.text("password"))
        return {"user": self._shown(name)}

    def get(self, given: Arguments) -> JSON:
        """``GET users/get``: oneself, and everybody for administrators."""
        name = given.text("username")
        if name != self._asking:
            self._check_admin()
        return {"user": self._shown(name)}

    def update_password(self, given: Arguments) -> JSON:
        """``PATCH users/update-password``: one's own, and everybody's for administrators."""
        name = given.text("username")
        if name != self._asking:
            self._check_admin()
        self._user(name)
        self._accounts.set_password(name, given.text("password"))
        return {}

    def update_admin(self, given: Arguments) -> JSON:
        """``PATCH users/update-admin``: for administrators."""
        self._check_admin()
        is_admin = given.flag("is_admin")
        name = self._user(given.text("username")).name
        self._accounts.update(name, lambda user: changed(user, admin=is_admin))
        return {}

    def delete(self, given: Arguments) -> JSON:
        """``DELETE users/delete``: for administrators."""
        self._check_admin()
        self._accounts.remove(self._user(given.text("username")).name)
        return {}

    def permission(self, method: str, kind: Kind, given: Arguments) -> JSON:
        """``experiments/permissions/*``, ``registered-models/permissions/*``: for managers."""
        field = FIELDS[kind]
        thing, name = given.text(field), given.text("username")
        level = self._accounts.book.level(self._asking, kind, thing)
        if level < MANAGE and not (method == "get" and name == self._asking):
            raise Refusal(
                f"Permission denied: you may not manage the {kind} {thing!r}.", "PERMISSION_DENIED"
            )
        has = self._user(name).granted(kind).get(thing)
        if method == "create" and has is not None:
            raise Refusal(
                f"{name} has a permission for the {kind} {thing!r} already.",
                "RESOURCE_ALREADY_EXISTS",
            )
        if method != "create" and has is None:
            raise missing(f"{name} has no permission of its own for the {kind} {thing!r}.")
        if method != "get":
            new = None if method == "delete" else checked_level(given.text("permission"))
            self._accounts.grant(name, kind, thing, level=new)
            has = new
        if method in {"update", "delete"}:
            return {}
        return {
            f"{kind.replace(' ', '_')}_permission": _permission(self._id(name), kind, thing, has)
        }

    def _check_admin(self) -> None:
        if not self._user(self._asking).admin:
            raise Refusal("Permission denied: this is for administrators.", "PERMISSION_DENIED")

    def _user(self, name: str) -> User:
        try:
            return known(self._accounts.book, name)
        except UsageError:
            raise missing(f"User with username={name} not found.") from None

    def _id(self, name: str) -> int:
        return 1 + [*self._accounts.book.users].index(name)

    def _shown(self, name: str) -> JSON:
        user, number = self._user(name), self._id(name)
        return {
            "id": number,
            "username": name,
            "is_admin": user.admin,
            "experiment_permissions": [
                _permission(number, "experiment", i, p) for i, p in user.experiments.items()
            ],
            "registered_model_permissions": [
                _permission(number, "registered model", n, p) for n, p in user.models.items()
            ],
        }


def _permission(user_id: int, kind: Kind, thing: str, level: str | None) -> JSON:
    return {FIELDS[kind]: thing, "user_id": user_id, "permission": level}


def account_call(request: Request, accounts: Accounts, asking: str) -> Response | None:
    """Answer a call about accounts; None when it is about something else.

    Raises:
        Refusal: The user may not, or the call makes no sense.
    """
    name = next((request.path[len(p) :] for p in PREFIXES if request.path.startswith(p)), "")
    desk = Desk(accounts, asking)
    handler = _handler(desk, request.method, name)
    if handler is None:
        return None
    try:
        return json_response(handler(arguments(request, {})))
    except UsageError as error:
        raise Refusal(error.message) from error


def _handler(desk: Desk, method: str, name: str) -> Callable[[Arguments], JSON] | None:
    calls: dict[tuple[str, str], Callable[[Arguments], JSON]] = {
        ("POST", "users/create"): desk.create,
        ("GET", "users/get"): desk.get,
        ("PATCH", "users/update-password"): desk.update_password,
        ("PATCH", "users/update-admin"): desk.update_admin,
        ("DELETE", "users/delete"): desk.delete,
    }
    first, _, rest = name.partition("/permissions/")
    kinds: dict[str, Kind] = {"experiments": "experiment", "registered-models": "registered model"}
    verbs = {"create": "POST", "get": "GET", "update": "PATCH", "delete": "DELETE"}
    if first in kinds and verbs.get(rest) == method:
        return lambda given: desk.permission(rest, kinds[first], given)
    return calls.get((method, name))
