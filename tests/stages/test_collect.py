"""Collecting: what ``path`` parameters name is found, fetched, digested, and made absolute."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, cast

import pytest

from runner.errors import ParameterError, RunprojError, StoreError
from runner.model.event import Step, StepDone
from runner.model.plan import Invocation, RunRequest
from runner.model.project import ProjectReference, Provenance, WorkingTree
from runner.model.run import Artifact
from runner.model.spec import EntryPoint, Parameter, Place
from runner.model.tracking import TrackedRun
from runner.model.value import Digest, EntryPointName, RunId
from runner.stages.collect import collect
from runner.system.files import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.model.event import Event
    from runner.ports import Services

PLACE = Place(file="MLproject", line=7, column=7)


class MemoryArtifacts:
    """The files of a run, in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.opened: list[str] = []

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        below = f"{path}/" if path else ""
        return tuple(
            Artifact(path=name, size=len(content))
            for name, content in self.files.items()
            if name.startswith(below)
        )

    def open(self, path: str) -> BinaryIO:
        self.opened.append(path)
        return io.BytesIO(self.files[path])


class World:
    """A project, a caller's directory and the services that collecting uses."""

    def __init__(self, base: Path) -> None:
        self.project = base / "project"
        self.caller = base / "caller"
        self.home = str(base / "home")
        self.environ = {"HOME": str(base / "user")}
        for folder in (self.project, self.caller, base / "user"):
            folder.mkdir()
        self.events: list[Event] = []
        self.reporter = self
        self.store = self
        self.uri = "sqlite:///mlflow.db"
        self.status: Any = "FINISHED"
        self.files = MemoryArtifacts({})

    def report(self, event: Event) -> None:
        self.events.append(event)

    def run(self, run_id: str) -> TrackedRun:
        if run_id != "abc123":
            raise StoreError("no such run", status="RESOURCE_DOES_NOT_EXIST")
        return TrackedRun(
            run_id=RunId(run_id),
            experiment_id="0",
            name="r",
            status=self.status,
            started=0,
            ended=1,
            artifact_uri="",
        )

    def artifacts(self, _run: TrackedRun) -> MemoryArtifacts:
        return self.files

    def collect(
        self,
        value: str | tuple[str, ...],
        *,
        default: bool = False,
        secret: bool = False,
        storage: str | None = None,
        kind: Any = "path",
    ) -> Invocation:
        declared = Parameter(
            name="data", type=kind, is_list=isinstance(value, tuple), secret=secret, place=PLACE
        )
        request = RunRequest(
            reference=ProjectReference(location="."),
            caller=str(self.caller),
            parameters={} if default else {"data": value},
            storage=storage,
        )
        tree = WorkingTree(
            root=str(self.project),
            project=str(self.project),
            provenance=Provenance(
                reference=ProjectReference(location="."), tree=Digest("swh:1:dir:0")
            ),
        )
        invocation = Invocation(
            entry_point=EntryPoint(
                name=EntryPointName("main"), template="t", parameters=(declared,)
            ),
            values={"data": value},
            given={"data": str(value)},
        )
        return collect(invocation, request, tree, cast("Services", self))

    def refused(self, value: str, **more: Any) -> RunprojError:
        with pytest.raises(ParameterError) as caught:
            self.collect(value, **more)
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


# -- local files -------------------------------------------------------------------------------


def test_nothing_is_done_without_paths(world: World) -> None:
    found = world.collect("s3://bucket/data", kind="uri")
    assert found.values["data"] == "s3://bucket/data"
    assert not found.inputs


def test_a_given_path_starts_at_the_caller(world: World) -> None:
    (world.caller / "a.csv").write_bytes(b"1,2")
    (world.project / "a.csv").write_bytes(b"other")
    found = world.collect("a.csv")
    assert found.values["data"] == str(world.caller / "a.csv")
    assert found.given["data"] == "a.csv"
    (entry,) = found.inputs
    assert (entry.parameter, entry.given, entry.path) == (
        "data",
        "a.csv",
        str(world.caller / "a.csv"),
    )
    assert (entry.digest, entry.size) == (sha256(b"1,2"), 3)


def test_a_default_starts_at_the_project(world: World) -> None:
    (world.caller / "a.csv").write_bytes(b"other")
    (world.project / "a.csv").write_bytes(b"1,2")
    found = world.collect("a.csv", default=True)
    assert found.values["data"] == str(world.project / "a.csv")
    assert not found.warnings


def test_a_default_that_only_the_caller_has_is_used_with_a_warning(world: World) -> None:
    (world.caller / "a.csv").write_bytes(b"1")
    found = world.collect("a.csv", default=True)
    assert found.values["data"] == str(world.caller / "a.csv")
    (warning,) = found.warnings
    assert warning.rule == "default-outside-project"
    assert "'a.csv' in the current directory" in str(warning)


def test_an_empty_default_is_no_input(world: World) -> None:
    assert world.collect("", default=True).values["data"] == ""
    assert not world.collect("", default=True).inputs
    assert "no such file or directory: ''" in world.refused("").message


@pytest.mark.parametrize("default", [True, False])
def test_a_missing_file_is_told(world: World, default: bool) -> None:  # noqa: FBT001 - a table
    error = world.refused("none.csv", default=default)
    base = world.project if default else world.caller
    assert error.message == (
        f"parameter 'data': no such file or directory: 'none.csv' (looked for '{base}/none.csv')"
    )
    assert error.where == "MLproject:7:7"
    assert str(base) in (error.hint or "")


def test_odd_names(world: World) -> None:
    for name in ("a b", "it's", "a:b", "#x", "%41", "é", os.fsdecode(b"\xff"), "http", "~x"):
        (world.caller / name).write_bytes(b"x")
        assert world.collect(name).values["data"] == str(world.caller / name)


def test_the_home_directory(world: World) -> None:
    file = os.path.join(world.environ["HOME"], "a.csv")
    with open(file, "wb") as target:
        target.write(b"x")
    assert world.collect("~/a.csv").values["data"] == file


def test_a_path_is_absolute_and_tidy_and_keeps_its_links(world: World) -> None:
    (world.caller / "real").mkdir()
    (world.caller / "real" / "a").write_bytes(b"x")
    (world.caller / "link").symlink_to("real")
    found = world.collect("./link/../link/a")
    assert found.values["data"] == str(world.caller / "link" / "a")


def test_what_cannot_be_recorded_is_refused(world: World) -> None:
    os.mkfifo(world.caller / "pipe")
    error = world.refused("pipe")
    assert "neither a file nor a directory" in error.message
    (world.caller / "broken").symlink_to("nowhere")
    assert "a link to nothing" in world.refused("broken").message
    (world.caller / "file").touch()
    assert "no such file or directory" in world.refused("file/below").message
    assert world.collect(os.devnull).inputs[0].digest == sha256(b"")


def test_each_element_of_a_list_is_an_input(world: World) -> None:
    for name in ("a", "b"):
        (world.caller / name).write_bytes(name.encode())
    found = world.collect(("a", "b"))
    assert found.values["data"] == (str(world.caller / "a"), str(world.caller / "b"))
    assert [entry.digest for entry in found.inputs] == [sha256(b"a"), sha256(b"b")]


def test_a_secret_path_is_not_recorded(world: World) -> None:
    (world.caller / "hush").write_bytes(b"x")
    (entry,) = world.collect("hush", secret=True).inputs
    assert (entry.given, entry.path) == ("***", "***")
    assert "nohush" not in world.refused("nohush", secret=True).message
    error = world.refused("http://127.0.0.1:9/hush", secret=True)
    assert "hush" not in repr((error.message, error.where, error.hint))


def test_a_folder_is_named_by_its_tree(world: World) -> None:
    pytest.importorskip("runner.system.trees")
    folder = world.caller / "data"
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"1,2\n")
    (entry,) = world.collect("data/").inputs
    # git hash-object -t tree, of a folder with this one file
    assert entry.digest == "swh:1:dir:" + _tree_of("a.csv", b"1,2\n")
    assert entry.size == 4
    assert world.collect("data").values["data"] == str(folder)
    (folder / "mlruns").mkdir()
    (folder / "mlruns" / "x").write_bytes(b"counts too")
    assert world.collect("data").inputs[0].digest != entry.digest


def _tree_of(name: str, content: bytes) -> str:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).digest()
    body = b"100644 " + name.encode() + b"\0" + blob
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


# -- digests that are remembered ---------------------------------------------------------------


def _old(path: Path) -> None:
    """Wait until a file counts as settled; its inode's time cannot be set back."""
    moment = os.stat(path).st_ctime
    os.utime(path, (moment - 60, moment - 60))


def test_a_large_file_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.system import digests

    file = world.caller / "large"
    file.write_bytes(b"x" * (digests.SMALL + 1))
    _old(file)
    monkeypatch.setattr(digests, "SETTLED", -1.0)
    reads: list[str] = []

    def counted(path: str) -> Digest:
        reads.append(path)
        return file_digest(path)

    monkeypatch.setattr(digests, "file_digest", counted)
    first = world.collect("large").inputs[0]
    assert world.collect("large").inputs[0] == first
    assert reads == [str(file)]
    file.write_bytes(b"y" * (digests.SMALL + 1))
    second = world.collect("large").inputs[0]
    assert second.digest == sha256(file.read_bytes()) != first.digest


def test_a_fresh_file_is_not_trusted_to_stay(world: World) -> None:
    from runner.system import digests

    file = world.caller / "large"
    file.write_bytes(b"x" * (digests.SMALL + 1))
    world.collect("large")
    assert not os.path.exists(os.path.join(world.home, "digests"))


def test_a_damaged_memory_is_ignored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.system import digests

    monkeypatch.setattr(digests, "SETTLED", -1.0)
    file = world.caller / "large"
    file.write_bytes(b"x" * (digests.SMALL + 1))
    expected = world.collect("large").inputs[0]
    (memory,) = os.listdir(os.path.join(world.home, "digests"))
    with open(os.path.join(world.home, "digests", memory), "wb") as target:
        target.write(b"\xff nonsense")
    assert world.collect("large").inputs[0] == expected


# -- URLs --------------------------------------------------------------------------------------


def test_file_urls(world: World) -> None:
    file = world.caller / "a b%.csv"
    file.write_bytes(b"x")
    path = str(file).replace("%", "%25").replace(" ", "%20")
    for url in (f"file://{path}", f"file://localhost{path}", f"file:{path}", f"FILE://{path}"):
        found = world.collect(url)
        assert found.values["data"] == str(file)
        assert found.inputs[0].given == url
    assert "on another machine (elsewhere)" in world.refused(f"file://elsewhere{path}").message
    assert "names no absolute path" in world.refused("file:a.csv").message


@pytest.mark.parametrize(
    "url",
    ["s3://b/k", "gs://b/k", "models:/m/1", "dbfs:/x", "hdfs://n/x", "ftp://h/x", "s3:b", "x://y"],
)
def test_other_schemes_are_refused_with_advice(world: World, url: str) -> None:
    error = world.refused(url)
    assert "does not download from" in error.message
    assert "type: uri" in (error.hint or "")


class Handler(BaseHTTPRequestHandler):
    """A web server with a file that has validators, one that has none, and several traps."""

    protocol_version = "HTTP/1.1"
    content: ClassVar[bytes] = b"a,b\n1,2\n"
    asked: ClassVar[list[tuple[str, str | None, str | None]]] = []

    def do_GET(self) -> None:
        cls = type(self)
        cls.asked.append(
            (self.path, self.headers.get("If-None-Match"), self.headers.get("Authorization"))
        )
        path = self.path.partition("?")[0]
        tag = f'"{hashlib.sha256(cls.content).hexdigest()[:8]}"'
        if path.startswith("/moved"):
            self._send(302, b"", Location=f"/data.csv{path.removeprefix('/moved')}")
        elif path == "/loop":
            self._send(302, b"", Location="/loop?again")
        elif path == "/ftp":
            self._send(302, b"", Location="ftp://h/x")
        elif path == "/out":
            self._send(302, b"", Location=f"http://localhost:{self.server.server_port}/data.csv")  # type: ignore[attr-defined]
        elif path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"x")
            self.close_connection = True
        elif path == "/private" and not self.headers.get("Authorization"):
            self._send(401, b"no")
        elif path == "/plain":
            self._send(200, cls.content)
        elif path in {"/data.csv", "/private", "/a%20b.csv", "/"}:
            unchanged = self.headers.get("If-None-Match") == tag
            self._send(304 if unchanged else 200, b"" if unchanged else cls.content, ETag=tag)
        else:
            self._send(404, b"nothing")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(Handler, "content", b"a,b\n1,2\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_web_file_is_fetched_once(world: World, server: str) -> None:
    found = world.collect(f"{server}/data.csv")
    path = str(found.values["data"])
    assert path.startswith(world.home)
    assert os.path.basename(path) == "data.csv"
    assert found.inputs[0].digest == sha256(Handler.content)
    assert [type(event) for event in world.events] == [Step, StepDone]
    assert cast("Step", world.events[0]).subject == f"{server}/data.csv (8 B)"
    again = world.collect(f"{server}/data.csv")
    assert again == found
    assert len(world.events) == 2
    assert Handler.asked[1][1] is not None


def test_a_changed_web_file_gets_a_new_place(
    world: World, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.collect(f"{server}/data.csv")
    monkeypatch.setattr(Handler, "content", b"new")
    after = world.collect(f"{server}/data.csv")
    assert after.values != before.values
    assert after.inputs[0].digest == sha256(b"new")
    with open(str(before.values["data"]), "rb") as file:
        assert file.read() == b"a,b\n1,2\n"


def test_a_web_file_without_validators_is_fetched_again(world: World, server: str) -> None:
    first = world.collect(f"{server}/plain?x=1")
    assert world.collect(f"{server}/plain?x=1") == first
    assert len(world.events) == 4


def test_a_damaged_copy_is_fetched_again(world: World, server: str) -> None:
    path = str(world.collect(f"{server}/data.csv").values["data"])
    with open(path, "ab") as file:
        file.write(b"more")
    assert world.collect(f"{server}/data.csv").inputs[0].digest == sha256(Handler.content)


def test_names_of_web_files(world: World, server: str) -> None:
    assert str(world.collect(f"{server}/a%20b.csv").values["data"]).endswith("/a b.csv")
    assert str(world.collect(f"{server}/a b.csv").values["data"]).endswith("/a b.csv")
    assert str(world.collect(server).values["data"]).endswith("/download")
    assert str(world.collect(f"{server}/moved").values["data"]).endswith("/moved")


def test_downloads_go_where_they_are_asked_to_go(world: World, server: str) -> None:
    found = world.collect(f"{server}/data.csv", storage="inputs")
    assert str(found.values["data"]).startswith(str(world.caller / "inputs"))


def test_credentials_are_sent_and_never_shown(world: World, server: str) -> None:
    url = server.replace("://", "://user:p%40ss@") + "/private"
    found = world.collect(url)
    assert Handler.asked[-1][2] == "Basic " + base64.b64encode(b"user:p@ss").decode()
    shown = repr((found, world.events))
    for folder, _, files in os.walk(world.home):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                shown += folder + name + repr(file.read())
    assert "p%40ss" not in shown.replace(url, "") or found.inputs[0].given != url
    assert "p@ss" not in shown
    assert found.inputs[0].given == f"{server}/private"
    missing = world.refused(server.replace("://", "://user:hush@") + "/none")
    assert "hush" not in repr((missing.message, missing.where, missing.hint))


def test_credentials_stay_with_their_server(world: World, server: str) -> None:
    world.collect(server.replace("://", "://user:hush@") + "/moved")
    assert [asked[2] is not None for asked in Handler.asked] == [True, True]
    Handler.asked.clear()
    world.collect(server.replace("://", "://user:hush@") + "/out")
    assert [asked[2] is not None for asked in Handler.asked] == [True, False]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/none", "the server answered 404 (Not Found)"),
        ("/private", "the server answered 401 (Unauthorized)"),
        ("/loop", "the server answered 302"),
        ("/ftp", "redirected to ftp://h/x, which is no web URL"),
        ("/short", "the connection broke after 1 of 100 bytes"),
    ],
)
def test_a_failed_download_is_told(world: World, server: str, path: str, sentence: str) -> None:
    error = world.refused(server + path)
    assert sentence in error.message
    left = [f for _, _, files in os.walk(world.home) for f in files]
    assert not [f for f in left if f.endswith(".partial")]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:9/x", "cannot be fetched"),
        ("http://", "names no host"),
        ("http://[::1/x", "Invalid IPv6"),
        ("http://127.0.0.1:99999/x", "cannot be fetched"),
    ],
)
def test_an_impossible_url_is_told(world: World, url: str, sentence: str) -> None:
    assert sentence in world.refused(url).message


def test_many_at_once_fetch_one_file(world: World, server: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: world.collect(f"{server}/data.csv"), range(8)))
    assert len({str(one.values["data"]) for one in found}) == 1
    assert sum(1 for event in world.events if isinstance(event, Step)) == 1


# -- artifacts of runs -------------------------------------------------------------------------


def test_a_file_of_a_run(world: World) -> None:
    world.files = MemoryArtifacts({"model/a.bin": b"A", "model/b.bin": b"BB", "model.txt": b"T"})
    found = world.collect("runs:/abc123/model/a.bin")
    assert str(found.values["data"]).endswith("/a.bin")
    assert found.inputs[0].digest == sha256(b"A")
    assert found.inputs[0].given == "runs:/abc123/model/a.bin"
    world.collect("runs:/abc123/model/a.bin")
    assert world.files.opened == ["model/a.bin"]
    assert world.collect("runs:/abc123/model.txt").inputs[0].digest == sha256(b"T")


def test_a_run_under_way_is_read_again(world: World) -> None:
    world.status = "RUNNING"
    world.files = MemoryArtifacts({"a": b"1"})
    first = world.collect("runs:/abc123/a")
    world.files.files["a"] = b"2"
    second = world.collect("runs:/abc123/a")
    assert [one.inputs[0].digest for one in (first, second)] == [sha256(b"1"), sha256(b"2")]
    with open(str(first.values["data"]), "rb") as file:
        assert file.read() == b"1"


def test_a_folder_of_a_run(world: World) -> None:
    pytest.importorskip("runner.system.trees")
    world.files = MemoryArtifacts({"m/a": b"A", "m/sub/b": b"B", "n": b"N"})
    for url, name in (("runs:/abc123/m", "m"), ("runs:/abc123/", "artifacts")):
        folder = str(world.collect(url).values["data"])
        assert os.path.basename(folder) == name
        below = os.path.join(folder, "" if name == "m" else "m", "sub", "b")
        with open(below, "rb") as file:
            assert file.read() == b"B"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("runs:/fff/a", "names a run that is not in sqlite:///mlflow.db"),
        ("runs:/abc123/none", "names an artifact that the run does not have"),
        ("runs:/abc123/../../x", "leaves the run's artifacts"),
        ("runs:/abc123", "is not runs:/RUN_ID/path/of/artifact"),
        ("runs:", "is not runs:/RUN_ID/path/of/artifact"),
        ("runs:/a-b/c", "is not runs:/RUN_ID/path/of/artifact"),
    ],
)
def test_a_wrong_run_is_told(world: World, url: str, sentence: str) -> None:
    world.files = MemoryArtifacts({"a": b"1"})
    assert sentence in world.refused(url).message


def test_a_store_cannot_write_outside(world: World) -> None:
    world.files = MemoryArtifacts({"m/../../../evil": b"x"})
    assert "leaves its folder" in world.refused("runs:/abc123/m").message
