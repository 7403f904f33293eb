"""The artifact proxy: files travel unharmed, and nobody leaves the folder."""

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from driving import PROXY, Client, new_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore
from runner.serving.files import local_path, segments
from runner.serving.messages import Refusal


@pytest.fixture
def base(run: TrackedRun) -> str:
    return f"{PROXY}/0/{run.run_id}/artifacts"


@pytest.mark.parametrize(
    "name",
    ["a.txt", "deep/er/a.txt", "a b/ü ✓.txt", "100%.txt", "a+b&c=d.txt", "x.partial", "#?.bin"],
)
def test_files_travel_there_and_back(
    client: Client, store: TrackingStore, run: TrackedRun, base: str, name: str
) -> None:
    content = os.urandom(300_000)
    address = f"{base}/{quote(name)}"
    assert client.raw("PUT", address, content) == (200, b"{}")
    assert client.raw("GET", address) == (200, content)
    with store.artifacts(run).open(name) as file:
        assert file.read() == content
    assert client.raw("DELETE", address) == (200, b"{}")
    status, body = client.raw("GET", address)
    assert (status, json.loads(body)["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_file_is_replaced(client: Client, base: str) -> None:
    for content in (b"first and longer", b"second"):
        client.raw("PUT", f"{base}/a.txt", content)
        assert client.raw("GET", f"{base}/a.txt") == (200, content)


def test_empty_files(client: Client, base: str) -> None:
    assert client.raw("PUT", f"{base}/empty", b"") == (200, b"{}")
    assert client.raw("GET", f"{base}/empty") == (200, b"")


def test_folders_are_listed(client: Client, run: TrackedRun, base: str) -> None:
    for name in ("b.txt", "sub/c.txt", "sub/deep/d.txt"):
        client.raw("PUT", f"{base}/{name}", b"xyz")
    found = client.get("artifacts/list", run_id=run.run_id)
    assert found["root_uri"] == f"mlflow-artifacts:/0/{run.run_id}/artifacts"
    assert found["files"] == [
        {"path": "b.txt", "is_dir": False, "file_size": 3},
        {"path": "sub", "is_dir": True},
    ]
    again = client.get("artifacts/list", run_id=run.run_id, page_token="x")
    assert again == found, "all at once, as by MLflow's server"
    found = client.get("artifacts/list", run_id=run.run_id, path="sub")
    assert [item["path"] for item in found["files"]] == ["sub/c.txt", "sub/deep"]
    for wanted in (f"0/{run.run_id}/artifacts/sub", f"/0/{run.run_id}/artifacts/sub/"):
        _, body = client.raw("GET", f"{PROXY}?path={quote(wanted)}")
        assert [item["path"] for item in json.loads(body)["files"]] == ["c.txt", "deep"]
    assert client.get("artifacts/list", run_id=run.run_id, path="none")["files"] == []
    assert client.get("artifacts/list", run_id=run.run_id, path="b.txt")["files"] == []


def test_what_is_downloaded_does_not_act_in_a_browser(client: Client, base: str) -> None:
    client.raw("PUT", f"{base}/page.html", b"<script>")
    client.connection.request("GET", client.base + f"{base}/page.html")
    response = client.connection.getresponse()
    response.read()
    assert str(response.getheader("Content-Disposition")).startswith("attachment")


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "..%2fsecret",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "a/../../secret",
        "a/..%2f..%2fsecret",
        "%2fetc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "..\\secret",
        "..%5csecret",
        "%00",
        "a%00b",
        ".",
        "..",
        "a/./b",
        "%ff%fe",
        "%c0%ae%c0%ae/secret",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_path_leads_out(
    client: Client,
    tmp_path: Path,
    store: TrackingStore,
    run: TrackedRun,
    base: str,
    path: str,
    method: str,
) -> None:
    secret = Path(str(store.artifacts(run).folder())).parent / "secret"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("treasure")
    before = sorted(p for p in tmp_path.rglob("*") if "mlflow.db" not in p.name)
    status, body = client.raw(method, f"{base}/{path}", b"evil" if method == "PUT" else None)
    assert status in {400, 404}
    assert b"treasure" not in body
    assert json.loads(body)["error_code"] in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}
    assert sorted(p for p in tmp_path.rglob("*") if "mlflow.db" not in p.name) == before
    assert secret.read_text() == "treasure"


def test_symbolic_links_lead_nowhere(
    client: Client, tmp_path: Path, store: TrackingStore, run: TrackedRun, base: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("treasure")
    folder = Path(str(store.artifacts(run).folder()))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "door").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")
    for name in ("door/secret", "file"):
        assert b"treasure" not in client.raw("GET", f"{base}/{name}")[1]
    client.raw("PUT", f"{base}/door/new", b"evil")
    client.raw("PUT", f"{base}/file", b"evil")
    client.raw("DELETE", f"{base}/door/secret")
    client.raw("DELETE", f"{base}/door")
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "treasure"


@pytest.mark.parametrize(
    "address",
    [
        "mlflow.db",
        "0",
        "0/meta.yaml",
        "0/{run}",
        "0/{run}/other/a",
        "0/00000000000000000000000000000000/artifacts/a",
        "0/models/m-0/artifacts/a",
        "a/b/c/d/e",
    ],
)
def test_only_artifacts_have_addresses(client: Client, run: TrackedRun, address: str) -> None:
    path = f"{PROXY}/{address.replace('{run}', run.run_id)}"
    for method in ("GET", "PUT", "DELETE"):
        status, body = client.raw(method, path, b"x" if method == "PUT" else None)
        assert (status, json.loads(body)["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_artifacts_that_the_user_keeps_elsewhere_stay_there(client: Client, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for location in (str(elsewhere), "s3://bucket/path"):
        experiment = client.post(
            "experiments/create", name=location.replace("/", "-"), artifact_location=location
        )["experiment_id"]
        info = client.post("runs/create", experiment_id=experiment)["run"]["info"]
        assert info["artifact_uri"] == f"{location}/{info['run_id']}/artifacts"
        path = f"{PROXY}/{experiment}/{info['run_id']}/artifacts/a"
        assert client.raw("PUT", path, b"x")[0] == 404
    assert not list(elsewhere.rglob("a"))


def test_a_location_of_ours_comes_back_as_the_real_one(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    location = f"mlflow-artifacts:/0/{run.run_id}/artifacts/sub"
    made = client.post("experiments/create", name="inside", artifact_location=location)
    found = store.experiment(made["experiment_id"])
    assert found.artifact_location == f"{store.artifacts(run).folder()}/sub"
    wrong = f"mlflow-artifacts:/0/{run.run_id}/artifacts/../../x"
    refused = client.refused("POST", "experiments/create", name="out", artifact_location=wrong)
    assert refused == (400, "INVALID_PARAMETER_VALUE")


@given(st.text(max_size=40))
def test_segments_never_climb(text: str) -> None:
    try:
        parts = segments(quote(text))
    except Refusal:
        return
    assert "/".join(parts) == text.strip("/")
    assert not {"", ".", ".."} & set(parts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(max_size=30).filter(lambda text: "\r" not in text))
def test_any_name_is_stored_or_refused(
    client: Client, store: TrackingStore, run: TrackedRun, text: str
) -> None:
    status, _ = client.raw("PUT", f"{PROXY}/0/{run.run_id}/artifacts/{quote(text)}", b"x")
    assert status in {200, 400, 404}
    if status == 200:
        with store.artifacts(run).open(text.strip("/")) as file:
            assert file.read() == b"x"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/a/b", "/a/b"),
        ("file:///a/b%20c", "/a/b c"),
        ("file://localhost/a", "/a"),
        ("file://elsewhere/a", None),
        ("s3://bucket/a", None),
        ("relative", None),
    ],
)
def test_locations(location: str, path: str | None) -> None:
    assert local_path(location) == path


def test_runs_of_others_are_reached_by_id_only(client: Client, store: TrackingStore) -> None:
    other = new_run(store)
    address = f"{PROXY}/0/{other.run_id}/artifacts/a"
    assert client.raw("PUT", address, b"x")[0] == 200
    with store.artifacts(other).open("a") as file:
        assert file.read() == b"x"
