"""Real servers on the loopback: ``git daemon``, and ``git http-backend`` behind a password."""

from __future__ import annotations

import base64
import fcntl
import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from git_repositories import Repo, Watcher, make_repo

from runner.errors import SourceError
from runner.model.project import ProjectReference, WorkingTree
from runner.sources.git import GitSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fetch = Callable[..., WorkingTree]

pytestmark = pytest.mark.slow

SECRET = "t0psecret"


@pytest.fixture
def fetch(
    home: str, environ: dict[str, str], watcher: Watcher, released: list[WorkingTree]
) -> Fetch:
    def call(location: str, revision: str | None = None) -> WorkingTree:
        source = GitSource(home=home, environ=environ, reporter=watcher)
        released.append(source.fetch(ProjectReference(location=location, revision=revision)))
        return released[-1]

    return call


@pytest.fixture
def bare(tmp_path: Path) -> tuple[Repo, Repo]:
    """A repository of three commits, and what a server offers of it."""
    repo = make_repo(tmp_path / "work", {"MLproject": "name: p\n", "train.py": "print(1)\n"})
    for number in (2, 3):
        repo.commit({"train.py": f"print({number})\n"})
    (tmp_path / "served").mkdir()
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "served" / "p.git"))
    served = Repo(tmp_path / "served" / "p.git")
    served.git("config", "http.receivepack", "false")
    return repo, served


@pytest.fixture
def daemon(bare: tuple[Repo, Repo]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *("git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"),
            *(f"--port={port}", f"--base-path={bare[1].path.parent}"),
        ],
        stderr=subprocess.DEVNULL,
    )
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield f"git://127.0.0.1:{port}/p.git"
    process.terminate()
    process.wait()


def test_the_git_protocol(daemon: str, bare: tuple[Repo, Repo], fetch: Fetch) -> None:
    repo, _ = bare
    first = repo.git("rev-list", "--max-parents=0", "HEAD")
    tree = fetch(daemon)
    assert tree.provenance.branch == "main"
    assert tree.provenance.repository == daemon
    assert Repo(Path(tree.root)).git("log", "--format=%H").split() == [tree.provenance.commit]
    assert Repo(Path(tree.root)).git("remote", "get-url", "origin") == daemon
    assert fetch(daemon, first).provenance.commit == first
    assert fetch(daemon, first[:7]).provenance.commit == first
    assert fetch(daemon, "main").provenance.tree == repo.tree


def test_a_server_that_gives_no_bare_commits(
    daemon: str, bare: tuple[Repo, Repo], fetch: Fetch, environ: dict[str, str]
) -> None:
    repo, _ = bare
    Path(environ["HOME"], ".gitconfig").write_text("[protocol]\n\tversion = 0\n")
    second = repo.git("rev-parse", "HEAD~1")
    assert fetch(daemon, second).provenance.commit == second
    assert fetch(daemon, "main").provenance.tree == repo.tree


class Backend(BaseHTTPRequestHandler):
    """``git http-backend`` (smart HTTP) that asks for a password."""

    root = ""
    authorization: list[str | None] = []  # noqa: RUF012 - one server, one list

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _serve(self, body: bytes) -> None:
        given = self.headers.get("Authorization")
        self.authorization.append(given)
        expected = base64.b64encode(f"bob:{SECRET}".encode()).decode()
        if given != f"Basic {expected}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self.root,
            "PATH_INFO": path,
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        answer = subprocess.run(
            ["git", "http-backend"], input=body, env=variables, capture_output=True, check=False
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        time.sleep(0.1)
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Stay quiet."""


@pytest.fixture
def forge(bare: tuple[Repo, Repo]) -> Iterator[str]:
    Backend.root = str(bare[1].path.parent)
    Backend.authorization.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def command_lines() -> str:
    """Every process's argument list, as any user of the machine may read it."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(place.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return "\n".join(line for line in found if line.startswith(("git", "/", "sh")))


def test_credentials_work_and_are_seen_by_nobody(
    forge: str,
    bare: tuple[Repo, Repo],
    fetch: Fetch,
    watcher: Watcher,
    home: str,
    environ: dict[str, str],
) -> None:
    Path(environ["HOME"], ".gitconfig").write_text("[credential]\n\thelper = store\n")
    seen: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.append(command_lines())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        tree = fetch(f"http://bob:{SECRET}@{forge}/p.git", "main")
        fcntl.flock(tree.lease or -1, fcntl.LOCK_UN)
        fetch(f"http://bob:{SECRET}@{forge}/p.git", "main")
    finally:
        over.set()
        watching.join()
    assert tree.provenance.tree == bare[0].tree
    assert tree.provenance.repository == f"http://{forge}/p.git"
    assert any(forge in lines for lines in seen)
    assert SECRET not in "".join(seen)
    assert SECRET not in f"{tree.provenance!r}{watcher.events!r}"
    for place in (*Path(home).rglob("*"), *Path(environ["HOME"]).rglob("*")):
        if place.is_file():
            assert SECRET.encode() not in place.read_bytes(), place
    assert {None, "Basic " + base64.b64encode(f"bob:{SECRET}".encode()).decode()} >= set(
        Backend.authorization
    )


def test_wrong_credentials_are_not_shown(forge: str, fetch: Fetch) -> None:
    for user in (f"bob:wrong-{SECRET}", f"wrong-{SECRET}"):
        with pytest.raises(SourceError) as caught:
            fetch(f"http://{user}@{forge}/p.git", "main")
        error = caught.value
        assert SECRET not in f"{error.message}{error.where}{error.hint}"
        assert "credential" in (error.hint or "")
    with pytest.raises(SourceError, match="could not read Username"):
        fetch(f"http://{forge}/p.git", "main")


def test_a_server_that_is_not_there(fetch: Fetch) -> None:
    with pytest.raises(SourceError, match=r"git cannot read git://127\.0\.0\.1:1/p\.git") as caught:
        fetch("git://127.0.0.1:1/p.git", "main")
    assert "full commit id" in (caught.value.hint or "")


SSH = """#!/bin/sh
echo "$@" >> {log}
while [ "$#" -gt 1 ]; do shift; done
exec sh -c "$1"
"""


@pytest.mark.parametrize("chosen", ["path", "config", "variable"])
def test_ssh(
    chosen: str, bare: tuple[Repo, Repo], fetch: Fetch, environ: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    program = tmp_path / "bin" / ("ssh" if chosen == "path" else "my-ssh")
    program.parent.mkdir()
    program.write_text(SSH.format(log=log))
    program.chmod(0o755)
    if chosen == "path":
        environ["PATH"] = f"{program.parent}:{environ['PATH']}"
    elif chosen == "config":
        Path(environ["HOME"], ".gitconfig").write_text(f"[core]\n\tsshCommand = {program} -x\n")
    else:
        environ["GIT_SSH_COMMAND"] = f"{program} -y"
    path = bare[1].path
    for location in (f"ssh://git:{SECRET}@example.org{path}", f"git@example.org:{path}"):
        tree = fetch(location, "main")
        assert tree.provenance.tree == bare[0].tree
        assert SECRET not in repr(tree.provenance)
        assert tree.provenance.repository in {
            f"ssh://git@example.org{path}",
            f"git@example.org:{path}",
        }
    said = log.read_text()
    assert SECRET not in said
    marks = {"path": "-oBatchMode=yes", "config": "-x", "variable": "-y"}
    assert all(mark in said for name, mark in marks.items() if name == chosen)
    assert chosen == "path" or "BatchMode" not in said


def test_a_host_that_ssh_cannot_reach(
    fetch: Fetch, environ: dict[str, str], tmp_path: Path
) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n")
    program.chmod(0o755)
    environ["GIT_SSH_COMMAND"] = str(program)
    with pytest.raises(SourceError, match=r"git cannot read git@example\.org:p") as caught:
        fetch("git@example.org:p", "main")
    assert "ssh key" in (caught.value.hint or "")
