"""Users of a server: how they log in, and what they may see and do."""

import inspect
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driving import API, PROXY, Client
from teaming import Member, basic, serving

from runner import ports
from runner.errors import UsageError
from runner.model.value import changed
from runner.ports import TrackingStore
from runner.serving import login, passwords, rules
from runner.serving.accounts import Accounts
from runner.serving.team_server import TeamServer

PASSWORDS = {"ann": "ann's long password", "bob": "bob's long password", "eve": "eve: the colon"}


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Accounts are made once: hashing a password is slow by design."""
    path = tmp_path_factory.mktemp("accounts") / "users.json"
    accounts = Accounts(str(path))
    for name, password in PASSWORDS.items():
        accounts.add(name, password, admin=name == "ann")
    return path.read_text()


@pytest.fixture
def accounts(tmp_path: Path, kept: str) -> Accounts:
    path = tmp_path / "users.json"
    path.touch(0o600)
    path.write_text(kept)
    return Accounts(str(path))


@pytest.fixture
def server(store: TrackingStore, accounts: Accounts) -> Iterator[TeamServer]:
    with serving(store, users=accounts.path) as made:
        yield made


@pytest.fixture
def member(server: TeamServer, accounts: Accounts) -> Iterator[Callable[[str], Member]]:
    made: list[Member] = []

    def member(name: str) -> Member:
        token = accounts.add_token(name, f"token {len(made)}")
        made.append(Member(server.uri, {"Authorization": f"Bearer {token}"}))
        return made[-1]

    yield member
    for one in made:
        one.connection.close()


@pytest.mark.parametrize(
    ("port", "table"),
    [
        (ports.TrackingStore, rules.TRACKING),
        (ports.ModelStore, rules.MODELS),
        (ports.LineageStore, rules.LINEAGE),
        (ports.RegistryStore, rules.REGISTRY),
    ],
)
def test_every_operation_of_a_store_has_a_rule(port: type, table: dict[str, object]) -> None:
    methods = {
        name for name, _ in inspect.getmembers(port, inspect.isfunction) if not name.startswith("_")
    }
    assert methods - {"close"} - set(table) == set()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic"}, 401),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": "Basic bm9jb2xvbg=="}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer rpj_wrong"}, 401),
        ({"Authorization": "Digest x"}, 401),
        (basic("ann", "wrong"), 401),
        (basic("nobody", "ann's long password"), 401),
        (basic("ann", PASSWORDS["ann"]), 200),
        (basic("eve", PASSWORDS["eve"]), 200),
    ],
)
def test_who_is_let_in(server: TeamServer, headers: dict[str, str], status: int) -> None:
    client = Client(server.uri)
    path = API + "experiments/get?experiment_id=0"
    client.connection.request("GET", path, headers=headers)
    response = client.connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == status
    if status == 401:
        assert answer["error_code"] == "UNAUTHENTICATED"
        assert str(response.getheader("WWW-Authenticate")).startswith("Basic")
    assert client.raw("GET", "/health") == (200, b"OK")
    assert client.raw("GET", "/version")[0] == 200
    client.connection.close()


def test_strangers_learn_nothing(server: TeamServer) -> None:
    client = Client(server.uri)
    for path in ("/metrics", API + "nothing", API + "users/get?username=ann", PROXY, "/x"):
        assert client.raw("GET", path)[0] == 401
    client.connection.close()


def test_wrong_passwords_are_slowed_down(
    server: TeamServer, monkeypatch: pytest.MonkeyPatch, member: Callable[[str], Member]
) -> None:
    monkeypatch.setattr(login, "FAILURES", 2)
    guess = Member(server.uri, basic("bob", "wrong"))
    found = [guess.call("GET", "experiments/get", experiment_id="0")[0] for _ in range(3)]
    assert found == [401, 401, 429]
    assert member("bob").call("GET", "experiments/get", experiment_id="0")[0] == 200
    assert member("ann").call("GET", "experiments/get", experiment_id="0")[0] == 200
    guess.connection.close()


def test_a_right_password_is_hashed_once(
    server: TeamServer, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def counted(password: str, stored: str | None) -> bool:
        checked.append(password)
        return passwords.verified(password, stored)

    monkeypatch.setattr(login, "verified", counted)
    client = Member(server.uri, basic("ann", PASSWORDS["ann"]))
    for _ in range(5):
        client.get("experiments/get", experiment_id="0")
    assert len(checked) == 1
    accounts.set_password("ann", "another password")
    assert client.refused("GET", "experiments/get", experiment_id="0")[0] == 401
    assert len(checked) == 2
    client.connection.close()


def test_what_is_taken_away_is_gone_at_once(
    server: TeamServer, accounts: Accounts, member: Callable[[str], Member]
) -> None:
    bob = member("bob")
    bob.get("experiments/get", experiment_id="0")
    accounts.revoke_token("bob", "token 0")
    assert bob.refused("GET", "experiments/get", experiment_id="0") == (401, "UNAUTHENTICATED")
    token = accounts.add_token("bob", "for a day", days=1)
    again = Member(server.uri, {"Authorization": f"Bearer {token}"})
    again.get("experiments/get", experiment_id="0")
    accounts.update(
        "bob", lambda u: changed(u, tokens=tuple(changed(t, expires=1) for t in u.tokens))
    )
    assert again.refused("GET", "experiments/get", experiment_id="0") == (401, "UNAUTHENTICATED")
    accounts.remove("bob")
    assert again.refused("GET", "experiments/get", experiment_id="0") == (401, "UNAUTHENTICATED")
    again.connection.close()


def test_levels_of_experiments(accounts: Accounts, member: Callable[[str], Member]) -> None:
    ann, bob = member("ann"), member("bob")
    experiment = ann.post("experiments/create", name="mine")["experiment_id"]
    run = ann.post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    address = f"{PROXY}/{experiment}/{run}/artifacts/a.txt"
    assert ann.raw("PUT", address, b"text")[0] == 200
    model = ann.post("logged-models", experiment_id=experiment, name="m")["model"]["info"]
    asked: dict[str, Callable[[], int]] = {
        "see": lambda: bob.call("GET", "experiments/get", experiment_id=experiment)[0],
        "find": lambda: bob.call("GET", "experiments/get-by-name", experiment_name="mine")[0],
        "get": lambda: bob.call("GET", "runs/get", run_id=run)[0],
        "history": lambda: bob.call("GET", "metrics/get-history", run_id=run, metric_key="m")[0],
        "list": lambda: bob.call("GET", "artifacts/list", run_id=run)[0],
        "download": lambda: bob.raw("GET", address)[0],
        "model": lambda: bob.call("GET", f"logged-models/{model['model_id']}")[0],
        "log": lambda: bob.call(
            "POST", "runs/log-metric", run_id=run, key="m", value=1, timestamp=1
        )[0],
        "tag": lambda: bob.call("POST", "runs/set-tag", run_id=run, key="k", value="v")[0],
        "end": lambda: bob.call("POST", "runs/update", run_id=run, status="FINISHED")[0],
        "make": lambda: bob.call("POST", "runs/create", experiment_id=experiment)[0],
        "upload": lambda: bob.raw("PUT", f"{address}.bob", b"text")[0],
        "erase": lambda: bob.raw("DELETE", f"{address}.bob")[0],
        "delete": lambda: bob.call("POST", "runs/delete", run_id=run)[0],
        "restore": lambda: bob.call("POST", "runs/restore", run_id=run)[0],
    }
    reads = {"see", "find", "get", "history", "list", "download", "model"}
    writes = {"log", "tag", "end", "make", "upload"}
    allowed = {
        "NO_PERMISSIONS": set[str](),
        "READ": reads,
        "EDIT": reads | writes,
        "MANAGE": set(asked),
    }
    for level, names in allowed.items():
        accounts.grant("bob", "experiment", experiment, level=level)
        found = {name: call() for name, call in asked.items()}
        assert found == {name: 200 if name in names else 403 for name in asked}, level


def test_searches_show_what_may_be_read(
    accounts: Accounts, member: Callable[[str], Member]
) -> None:
    ann, bob = member("ann"), member("bob")
    ids = {n: ann.post("experiments/create", name=n)["experiment_id"] for n in ("a", "b", "c")}
    for name, number in ids.items():
        ann.post("runs/create", experiment_id=number, run_name=f"run of {name}")
        ann.post("registered-models/create", name=f"model {name}")
    accounts.grant("bob", "experiment", ids["b"], level="NO_PERMISSIONS")
    accounts.grant("bob", "registered model", "model b", level="NO_PERMISSIONS")
    page = bob.get("experiments/search", max_results=2)
    names = [e["name"] for e in page["experiments"]]
    rest = bob.get("experiments/search", max_results=2, page_token=page["next_page_token"])
    assert names + [e["name"] for e in rest["experiments"]] == ["c", "a", "Default"]
    runs = bob.post("runs/search", experiment_ids=[*ids.values()])["runs"]
    assert {r["info"]["run_name"] for r in runs} == {"run of a", "run of c"}
    models = bob.get("registered-models/search")["registered_models"]
    assert [m["name"] for m in models] == ["model a", "model c"]


def test_who_makes_a_thing_manages_it(accounts: Accounts, member: Callable[[str], Member]) -> None:
    bob, eve = member("bob"), member("eve")
    experiment = bob.post("experiments/create", name="bob's")["experiment_id"]
    bob.post("registered-models/create", name="bob's")
    user = accounts.book.users["bob"]
    assert dict(user.experiments) == {experiment: "MANAGE"}
    assert dict(user.models) == {"bob's": "MANAGE"}
    run = bob.post("runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    bob.post("runs/delete", run_id=run)
    version = {"name": "bob's", "source": "s3://bucket/model"}
    assert eve.refused("POST", "model-versions/create", **version) == (403, "PERMISSION_DENIED")
    bob.post("model-versions/create", **version)
    stage = {"name": "bob's", "version": "1", "stage": "Production"}
    assert eve.refused("POST", "model-versions/transition-stage", **stage)[0] == 403
    assert eve.get("model-versions/get", name="bob's", version="1")["model_version"]
    accounts.change(lambda book: changed(book, default="NO_PERMISSIONS"))
    assert eve.refused("GET", "model-versions/get", name="bob's", version="1")[0] == 403
    assert eve.get("model-versions/search") == {"model_versions": []}
    assert (
        "experiments" not in eve.get("experiments/search")
        or not (eve.get("experiments/search")["experiments"])
    )


def test_the_server_reads_no_folder_for_a_version(member: Callable[[str], Member]) -> None:
    ann = member("ann")
    ann.post("registered-models/create", name="m")
    given = {"name": "m", "source": "file:///etc"}
    assert ann.refused("POST", "model-versions/create", **given)[0] == 400


def test_accounts_over_the_api_of_mlflow(
    server: TeamServer, accounts: Accounts, member: Callable[[str], Member]
) -> None:
    ann, bob = member("ann"), member("bob")
    given = {"username": "zoe", "password": "zoe's long password"}
    assert bob.refused("POST", "users/create", **given) == (403, "PERMISSION_DENIED")
    assert ann.post("users/create", **given)["user"]["is_admin"] is False
    assert ann.refused("POST", "users/create", **given) == (400, "RESOURCE_ALREADY_EXISTS")
    zoe = Member(server.uri, basic("zoe", "zoe's long password"))
    experiment = zoe.post("experiments/create", name="zoe's")["experiment_id"]
    grant = {"experiment_id": experiment, "username": "bob", "permission": "EDIT"}
    assert bob.refused("POST", "experiments/permissions/create", **grant)[0] == 403
    made = zoe.post("experiments/permissions/create", **grant)["experiment_permission"]
    assert (made["experiment_id"], made["permission"]) == (experiment, "EDIT")
    assert zoe.call("PATCH", "experiments/permissions/update", **grant)[0] == 200
    bob.post("runs/create", experiment_id=experiment)
    asked = {"experiment_id": experiment, "username": "bob"}
    assert bob.get("experiments/permissions/get", **asked)["experiment_permission"] == made
    assert zoe.call("DELETE", "experiments/permissions/delete", **asked)[0] == 200
    assert bob.refused("POST", "runs/create", experiment_id=experiment)[0] == 403
    assert ann.refused("GET", "users/get", username="none") == (404, "RESOURCE_DOES_NOT_EXIST")
    assert bob.refused("GET", "users/get", username="zoe")[0] == 403
    shown = ann.get("users/get", username="zoe")["user"]["experiment_permissions"]
    assert [(p["experiment_id"], p["permission"]) for p in shown] == [(experiment, "MANAGE")]
    short = {"username": "zoe", "password": "short"}
    assert zoe.refused("PATCH", "users/update-password", **short)[0] == 400
    assert ann.call("PATCH", "users/update-admin", username="zoe", is_admin=True)[0] == 200
    assert accounts.book.users["zoe"].admin
    assert ann.call("DELETE", "users/delete", username="zoe")[0] == 200
    assert zoe.refused("GET", "experiments/search")[0] == 401
    zoe.connection.close()


def test_the_file_is_for_its_owner_and_holds_no_secret(accounts: Accounts) -> None:
    token = accounts.add_token("ann", "laptop")
    accounts.grant("bob", "experiment", "7", level="EDIT")
    text = Path(accounts.path).read_text()
    assert os.stat(accounts.path).st_mode & 0o777 == 0o600
    assert token not in text
    assert token.removeprefix("rpj_") not in text
    assert not any(password in text for password in PASSWORDS.values())
    assert Accounts(accounts.path).book == accounts.book
    assert sorted(os.listdir(os.path.dirname(accounts.path))) == ["users.json", "users.json.lock"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2, "users": {}}', '{"version": 1, "users": {"a": 1}}']
)
def test_what_is_no_accounts_file_lets_nobody_in(
    accounts: Accounts, member: Callable[[str], Member], text: str
) -> None:
    ann = member("ann")
    ann.get("experiments/get", experiment_id="0")
    Path(accounts.path).write_text(text)
    with pytest.raises(UsageError, match="cannot be understood"):
        _ = Accounts(accounts.path).book
    assert ann.refused("GET", "experiments/get", experiment_id="0") == (
        503,
        "TEMPORARILY_UNAVAILABLE",
    )


def test_others_must_not_read_the_accounts(accounts: Accounts) -> None:
    os.chmod(accounts.path, 0o640)
    with pytest.raises(UsageError, match="can read the accounts"):
        _ = Accounts(accounts.path).book
