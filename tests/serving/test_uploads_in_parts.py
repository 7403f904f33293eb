"""Files that come in parts: whole or not there, hidden until then, and only for who may write."""

import http.client
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from driving import PROXY, Client
from teaming import Member, serving

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore
from runner.serving.accounts import Accounts
from runner.serving.endpoint import LoopbackEndpoint
from runner.stores.parts import FORGOTTEN_SECONDS, STAGING

MPU = "/api/2.0/mlflow-artifacts/mpu"
PIECES = [os.urandom(70_000), os.urandom(70_000), b"the end"]


class Uploader:
    """Does what MLflow's client does: it knows the addresses of parts from the answer only."""

    def __init__(self, client: Client, run: TrackedRun) -> None:
        self.client = client
        self.address = f"{run.experiment_id}/{run.run_id}/artifacts"

    def ask(self, call: str, below: str = "/data", **given: Any) -> tuple[int, dict[str, Any]]:
        body = json.dumps({"path": "/home/me/big file.bin", **given})
        status, answer = self.client.raw("POST", f"{MPU}/{call}/{self.address}{below}", body)
        return status, json.loads(answer)

    def begin(self, count: int = 3) -> dict[str, Any]:
        status, answer = self.ask("create", num_parts=count)
        assert status == 200, answer
        assert [c["part_number"] for c in answer["credentials"]] == list(range(1, count + 1))
        return answer

    def parts(self, begun: dict[str, Any]) -> list[dict[str, Any]]:
        made = []
        for invitation, piece in reversed(list(zip(begun["credentials"], PIECES, strict=True))):
            status, tag = put(invitation, piece)
            assert status == 200
            made.append({"part_number": invitation["part_number"], "etag": tag, "url": "x"})
        return made[::-1]


def put(invitation: dict[str, Any], piece: bytes, **headers: str) -> tuple[int, str | None]:
    parts = urlsplit(invitation["url"])
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        target = f"{parts.path}?{parts.query}"
        connection.request("PUT", target, piece, {**invitation["headers"], **headers})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["ETag"]
    finally:
        connection.close()


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Accounts are made once: hashing a password is slow by design."""
    path = tmp_path_factory.mktemp("accounts") / "users.json"
    accounts = Accounts(str(path))
    for name in ("ann", "bob"):
        accounts.add(name, "a long password")
    return path.read_text()


@pytest.fixture
def uploader(client: Client, run: TrackedRun) -> Uploader:
    return Uploader(client, run)


def staged(tmp_path: Path) -> list[Path]:
    return list(tmp_path.rglob(STAGING))


def test_a_file_is_made_of_its_parts_in_any_order(uploader: Uploader, tmp_path: Path) -> None:
    begun = uploader.begin()
    parts = uploader.parts(begun)
    listing = f"{PROXY}?path={uploader.address}"
    assert json.loads(uploader.client.raw("GET", listing)[1]) == {"files": []}
    given = {"upload_id": begun["upload_id"], "parts": parts}
    assert uploader.ask("complete", **given) == (200, {})
    path = f"{PROXY}/{uploader.address}/data/big%20file.bin"
    assert uploader.client.raw("GET", path) == (200, b"".join(PIECES))
    assert not staged(tmp_path)
    assert uploader.ask("complete", **given) == (200, {}), "asked again: the answer was lost"
    assert uploader.ask("abort", upload_id=begun["upload_id"]) == (200, {})
    assert uploader.client.raw("GET", path)[0] == 200
    assert put(begun["credentials"][0], b"late")[0] == 404


def test_a_part_that_is_sent_again_replaces_the_first(uploader: Uploader) -> None:
    begun = uploader.begin()
    put(begun["credentials"][0], b"cut off")
    parts = uploader.parts(begun)
    assert uploader.ask("complete", upload_id=begun["upload_id"], parts=parts)[0] == 200
    path = f"{PROXY}/{uploader.address}/data/big%20file.bin"
    assert uploader.client.raw("GET", path) == (200, b"".join(PIECES))


def test_what_is_not_complete_is_refused_and_can_be_completed(
    uploader: Uploader, tmp_path: Path
) -> None:
    begun = uploader.begin()
    parts = uploader.parts(begun)
    other = {**parts[0], "etag": '"../../../x"'}
    for wrong in ([], parts[:2], [other, *parts[1:]], [*parts, {**parts[0], "part_number": 4}]):
        status, answer = uploader.ask("complete", upload_id=begun["upload_id"], parts=wrong)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), wrong
    status, _ = uploader.ask("complete", "/other", upload_id=begun["upload_id"], parts=parts)
    assert status == 400, "the upload is for another path"
    assert uploader.ask("complete", upload_id=begun["upload_id"], parts=parts) == (200, {})
    assert not staged(tmp_path)


def test_an_aborted_upload_leaves_nothing(uploader: Uploader, tmp_path: Path) -> None:
    begun, other = uploader.begin(), uploader.begin(1)
    uploader.parts(begun)
    assert len(list(staged(tmp_path)[0].iterdir())) == 2
    assert uploader.ask("abort", upload_id=begun["upload_id"]) == (200, {})
    assert uploader.ask("abort", upload_id=begun["upload_id"]) == (200, {})
    assert uploader.ask("complete", upload_id=begun["upload_id"], parts=[])[0] == 404
    assert uploader.ask("abort", upload_id=other["upload_id"]) == (200, {})
    assert not staged(tmp_path)


def test_what_nobody_ended_goes_with_the_endpoint_or_after_a_day(
    uploader: Uploader, endpoint: LoopbackEndpoint, tmp_path: Path
) -> None:
    forgotten = uploader.begin()["upload_id"]
    (folder,) = staged(tmp_path)
    old = time.time() - FORGOTTEN_SECONDS - 60
    os.utime(folder / forgotten, (old, old))
    kept = uploader.begin()["upload_id"]
    assert [path.name for path in folder.iterdir()] == [kept]
    endpoint.close(within=timedelta(seconds=5))
    assert not staged(tmp_path)


def test_uploads_stay_in_their_folder(uploader: Uploader, tmp_path: Path) -> None:
    for given, below in (
        ({"path": ".."}, "/data"),
        ({"path": "a/"}, "/data"),
        ({"path": "x"}, "/../../../x"),
        ({"path": "x"}, "/%2e%2e/x"),
        ({"path": "x", "num_parts": 0}, ""),
        ({"path": "x", "num_parts": 10_001}, ""),
        ({"path": "x", "num_parts": "many"}, ""),
    ):
        status, answer = uploader.ask("create", below, **given)
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), given
    (invitation,) = uploader.begin(1)["credentials"]
    url = invitation["url"]
    for wrong in (
        url.replace("part_number=1", "part_number=2"),
        url.replace("part_number=1", "part_number=../1"),
        url.replace("upload_id=", "upload_id=../../"),
        url.replace("upload_id=", "upload="),
    ):
        assert put({**invitation, "url": wrong}, b"x")[0] in {400, 404}, wrong
    assert sorted(p.name for p in staged(tmp_path)[0].rglob("*") if p.is_file()) == ["upload.json"]


def test_addresses_without_a_run_are_declined_so_that_clients_send_one(client: Client) -> None:
    """So do clients up to 2.9."""
    for below in ("", "/", "/in/here", "/in/here/too/far"):
        status, answer = client.raw("POST", f"{MPU}/create{below}", b'{"path": "a"}')
        told = json.loads(answer)
        assert (status, told["error_code"]) == (501, "NOT_IMPLEMENTED")
        assert told["message"].startswith("Multipart upload is not supported for the current")
    status, answer = client.raw("POST", f"{MPU}/create/0/none/artifacts", b'{"path": "a"}')
    assert (status, json.loads(answer)["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_proxy_that_speaks_tls_is_named_in_the_addresses(uploader: Uploader) -> None:
    path = f"{MPU}/create/{uploader.address}"
    headers = {"X-Forwarded-Proto": "https"}
    _, answer = uploader.client.raw("POST", path, json.dumps({"path": "x"}), headers)
    assert json.loads(answer)["credentials"][0]["url"].startswith("https://127.0.0.1:")


def test_a_team_s_server_asks_who_sends_a_part_and_limits_the_whole(
    store: TrackingStore, run: TrackedRun, tmp_path: Path, kept: str
) -> None:
    path = tmp_path / "users.json"
    path.touch(0o600)
    path.write_text(kept)
    accounts = Accounts(str(path))
    accounts.grant("ann", "experiment", run.experiment_id, level="EDIT")
    with serving(store, users=accounts.path, max_upload=100_000) as server:

        def member(name: str) -> Uploader:
            token = accounts.add_token(name, "test")
            return Uploader(Member(server.uri, {"Authorization": f"Bearer {token}"}), run)

        ann, bob = member("ann"), member("bob")
        begun = ann.begin()
        assert bob.ask("create", num_parts=1)[1]["error_code"] == "PERMISSION_DENIED"
        first = begun["credentials"][0]
        assert put({**first, "headers": {}}, b"x")[0] == 401
        assert put({**first, "headers": bob.client.headers}, b"x")[0] == 403  # type: ignore[attr-defined]
        assert put(first, b"x" * 100_001)[0] == 413
        parts = ann.parts(begun)
        given = {"upload_id": begun["upload_id"], "parts": parts}
        assert bob.ask("abort", upload_id=begun["upload_id"])[0] == 403
        assert ann.ask("complete", **given)[0] == 400, "together they are too long"
        for one in (ann, bob):
            one.client.connection.close()
    assert not staged(tmp_path)
