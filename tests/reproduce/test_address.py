"""The URL of a run's page."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest
from mlflow_server import mlflow_server

from runner.app import Application
from runner.cli.output import SilentReporter
from runner.cli.references import referenced_run
from runner.errors import StoreError, UsageError
from runner.model.value import RunId
from runner.pipeline.address import run_address
from runner.settings import settings
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from git_repositories import Repo
    from machines import Machine

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (f"http://host:5000/#/experiments/1/runs/{ID}", "http://host:5000"),
        (f"http://host:5000/#/experiments/1/runs/{ID}/model-metrics?x=1", "http://host:5000"),
        (f"https://u:pw@host/mlflow/#/experiments/1/runs/{ID}", "https://u:pw@host/mlflow"),
        (f"https://host/?o=12#/experiments/1/runs/{ID}/artifacts/a/runs/b", "https://host"),
        (f"https://host/ml/experiments/12/runs/{ID}?o=1", "https://host"),
        (f"http://host/experiments/0/runs/{ID}/", "http://host"),
        (f"http://host/runs/{ID}", "http://host"),
        (f"http://host/api/2.0/mlflow/runs/get?run_id={ID}", "http://host"),
        (f"http://host/p/ajax-api/2.0/mlflow/runs/get?run_uuid={ID}", "http://host/p"),
    ],
)
def test_a_page_tells_server_and_run(url: str, server: str) -> None:
    found = run_address(url)
    assert found is not None
    assert (found.server, found.run_id) == (server, ID)


@pytest.mark.parametrize(
    "url",
    ["http://host", "http://host/#/experiments/1", "https:///runs/", "http:///runs/abc",
     "https://u:secret@host/#/models/m", "http://host/api/2.0/mlflow/runs/search"],
)  # fmt: skip
def test_a_page_of_no_run_is_refused_without_telling_secrets(url: str) -> None:
    with pytest.raises(UsageError, match="names no run") as caught:
        run_address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", [ID, "runs:/" + ID, "file:///x/runs/1", "run.zip", ""])
def test_all_else_is_no_url(text: str) -> None:
    assert run_address(text) is None


class Eavesdropper(BaseHTTPRequestHandler):
    """Remembers with which authorization it was asked for what."""

    heard: ClassVar[list[tuple[str, str | None]]] = []

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.heard.append((self.path, self.headers.get("Authorization")))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Eavesdropper) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("configured", "asked", "told"),
    [("/ours", "/ours", "Bearer t"), ("/ours", "/theirs", None), (None, "/theirs", "Bearer t")],
)
def test_another_server_is_not_shown_our_credentials(
    server: str, tmp_path: Path, configured: str | None, asked: str, told: str | None
) -> None:
    uri = f"{server}{configured}" if configured else f"sqlite:///{tmp_path}/x.db"
    given = {"MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_TRACKING_URI": uri}
    services = Application(settings(given), SilentReporter())
    Eavesdropper.heard.clear()
    try:
        with pytest.raises(StoreError):
            referenced_run(f"{server}{asked}/#/experiments/0/runs/{ID}", services)
    finally:
        services.close()
    (path, authorization) = Eavesdropper.heard[0]
    assert (path.partition("/api")[0], authorization) == (asked, told)


class Custodian(BaseHTTPRequestHandler):
    """Hands on what is asked of a server, and refuses to write anything."""

    behind: ClassVar[str]
    refused: ClassVar[list[str]] = []

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._hand_on(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/search"):
            self._hand_on(body)
            return
        self.refused.append(self.path)
        self._answer(403, b'{"error_code": "PERMISSION_DENIED", "message": "read only"}')

    def _hand_on(self, body: bytes | None) -> None:
        kind = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self.behind + self.path, body, kind)  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(asked) as answer:  # noqa: S310 - likewise
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                self._answer(error.code, error.read())

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def custodian() -> Iterator[str]:
    Custodian.refused.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Custodian) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_run_on_another_server_is_reproduced(
    machine: Callable[[str], Machine], project: Repo, mlflow_python: Callable[[str], str],
    tmp_path: Path, custodian: str,
) -> None:  # fmt: skip
    script = (project.path / "train.py").read_text()
    outside = "import os\nmetric('outside', float(os.environ.get('OUTSIDE', '1.5')))\n"
    project.commit({"train.py": script + outside})
    with mlflow_server(mlflow_python("3.17.2"), tmp_path / "server") as uri:
        there = machine("there")
        there.environ["MLFLOW_TRACKING_URI"] = uri
        run_id = there.run(project.path, "--experiment-name", "ours")
        here = machine("here")
        store = here.store
        store.create_experiment("another")  # so that numbers of experiments mean others
        store.close()
        page = f"{uri}/#/experiments/1/runs/{run_id}/artifacts"
        found = here.verdict(page)
        assert found["status"] == "IDENTICAL"
        assert (found["reference"], found["reference_store"]) == (run_id, uri)
        again = here.tracked(found["reproduction"])
        assert again.tags["runproj.reproduces"] == run_id
        assert again.tags["runproj.reproduces_uri"] == uri
        assert again.tags["runproj.verdict"] == "IDENTICAL"
        assert here.store.experiment(again.experiment_id).name == "ours"
        asked = open_store(uri, directory=str(tmp_path), environ={})
        try:
            assert asked.run(RunId(run_id)).tags["runproj.reproduced"] == "IDENTICAL"
        finally:
            asked.close()
        changed = here.call("diff", page, found["reproduction"], "--no-code")
        assert changed.returncode == 0, changed.stdout + changed.stderr
        gone = here.call("reproduce", page.replace(run_id, "f" * 32))
        assert (gone.returncode, "not found" in gone.stderr) == (3, True), gone.stderr
        Custodian.behind = uri
        refusing = page.replace(uri, custodian)
        for variables, status, code in (({}, "IDENTICAL", 0), ({"OUTSIDE": "2.5"}, "DIVERGED", 1)):
            Custodian.refused.clear()
            done = here.call("reproduce", refusing, "--json", **variables)
            assert done.returncode == code, done.stdout + done.stderr
            assert "the reference could not be tagged with the verdict" in done.stderr
            assert "Traceback" not in done.stderr
            assert [path.rpartition("/")[2] for path in Custodian.refused] == ["log-batch"]
            found = json.loads(done.stdout)
            assert found["status"] == status
            assert here.tracked(found["reproduction"]).tags["runproj.verdict"] == status
    gone = here.call("reproduce", page, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert gone.returncode == 3
    assert "cannot be reached" in gone.stderr
