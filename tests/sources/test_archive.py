"""Archives: what they become, what is refused, what a web server may do."""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import stat
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from git_repositories import Repo, Watcher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import SourceError
from runner.model.event import Progress, Step
from runner.model.project import ProjectReference, WorkingTree
from runner.sources import unpack
from runner.sources.archive import ArchiveSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fetch = Callable[..., WorkingTree]


@pytest.fixture
def fetch(
    home: str, environ: dict[str, str], watcher: Watcher, released: list[WorkingTree]
) -> Fetch:
    def call(location: object, revision: str | None = None, subdirectory: str = "") -> WorkingTree:
        source = ArchiveSource(home=home, environ=environ, reporter=watcher)
        reference = ProjectReference(
            location=str(location), revision=revision, subdirectory=subdirectory
        )
        assert source.accepts(reference)
        released.append(source.fetch(reference))
        return released[-1]

    return call


def give_back(tree: WorkingTree) -> None:
    assert tree.lease is not None
    fcntl.flock(tree.lease, fcntl.LOCK_UN)


@pytest.fixture
def project(repo: Repo) -> Repo:
    repo.write({"bin/run.sh": "#!/bin/sh\n", "empty.txt": "", "sub/MLproject": "name: s\n"})
    (repo.path / "bin" / "run.sh").chmod(0o755)
    (repo.path / "link").symlink_to("bin/run.sh")
    repo.commit()
    return repo


def packed(repo: Repo, place: Path, prefix: str = "") -> Path:
    """What a forge offers for download."""
    if place.suffix in {".xz", ".bz2"}:
        repo.git("archive", f"--prefix={prefix}", "-o", f"{place}.tar", "HEAD")
        kind = place.suffix.removeprefix(".")
        with tarfile.open(f"{place}.tar") as old, tarfile.open(str(place), f"w:{kind}") as new:  # type: ignore[call-overload]
            for member in old:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    else:
        repo.git("archive", f"--prefix={prefix}", "-o", str(place), "HEAD")
    return place


@pytest.mark.parametrize("prefix", ["", "p-main/"])
@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "tar.xz", "tar.bz2"])
def test_every_kind_gives_the_commits_tree(
    ending: str, prefix: str, project: Repo, fetch: Fetch, tmp_path: Path
) -> None:
    archive = packed(project, tmp_path / f"p.{ending}", prefix)
    tree = fetch(archive)
    assert tree.provenance.tree == project.tree
    assert tree.project == tree.root
    assert tree.provenance.reference.location == str(archive)
    assert os.access(f"{tree.root}/bin/run.sh", os.X_OK)
    assert not os.access(f"{tree.root}/train.py", os.X_OK)
    assert os.readlink(f"{tree.root}/link") == "bin/run.sh"


@pytest.mark.parametrize("form", ["file://{}", "file:{}"])
def test_file_urls(form: str, project: Repo, fetch: Fetch, tmp_path: Path) -> None:
    archive = packed(project, tmp_path / "p.zip")
    assert fetch(form.format(archive)).provenance.tree == project.tree


def test_subdirectories(project: Repo, fetch: Fetch, tmp_path: Path) -> None:
    archive = packed(project, tmp_path / "p.zip", "p-main/")
    assert fetch(archive, subdirectory="sub").project.endswith("/p-main/sub")
    assert fetch(archive, subdirectory="p-main/sub").project.endswith("/p-main/sub")
    with pytest.raises(SourceError, match="Could not find subdirectory 'fake'"):
        fetch(archive, subdirectory="fake")


def test_what_archivers_add_is_no_second_folder(fetch: Fetch, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        archive.writestr("p/MLproject", "name: p\n")
        archive.writestr("__MACOSX/p/._MLproject", "x")
    assert fetch(tmp_path / "mac.zip").root.endswith("/p")


def test_a_used_tree_is_made_anew(project: Repo, fetch: Fetch, tmp_path: Path) -> None:
    archive = packed(project, tmp_path / "p.zip", "p-main/")
    first = fetch(archive)
    give_back(first)
    inode = os.stat(f"{first.root}/train.py").st_ino
    untouched = fetch(archive)
    assert os.stat(f"{untouched.root}/train.py").st_ino == inode
    root = Path(untouched.root)
    spoils: tuple[Callable[[], object], ...] = (
        lambda: (root / "train.py").write_text("print(9)\n"),
        lambda: (root / "new" / "folder").mkdir(parents=True),
        lambda: (root / "empty.txt").unlink(),
        lambda: (root / "train.py").chmod(0o755),
    )
    for spoil in spoils:
        spoil()
        give_back(untouched)
        untouched = fetch(archive)
        assert untouched.root == first.root
        assert untouched.provenance == first.provenance
        assert sorted(os.listdir(root)) == sorted(os.listdir(project.path))[1:]
        assert (root / "train.py").read_text() == "print(1)\n"
        assert not os.access(root / "train.py", os.X_OK)


def test_two_runs_never_share_a_tree(project: Repo, fetch: Fetch, tmp_path: Path) -> None:
    archive = packed(project, tmp_path / "p.zip")
    assert fetch(archive).root != fetch(archive).root


def test_versions_and_missing_files(fetch: Fetch, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="only supported for Git project URIs"):
        fetch(tmp_path / "p.zip", "v1")
    with pytest.raises(SourceError, match="there is no archive"):
        fetch(tmp_path / "p.zip")


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("p.zip", True),
        ("P.ZIP", True),
        ("https://h/p.tar.gz?token=1", True),
        ("https://h/p.zip", True),
        ("https://h/p.git", False),
        ("https://h/p?file=x.zip", False),
        ("ssh://git@h/p.zip", False),
        ("git@h:p.zip", False),
        ("git://h/p.tar", False),
        ("dir", False),
    ],
)
def test_what_counts_as_an_archive(
    text: str,
    *,
    accepted: bool,
    home: str,
    environ: dict[str, str],
) -> None:
    source = ArchiveSource(home=home, environ=environ, reporter=Watcher())
    assert source.accepts(ProjectReference(location=text)) is accepted


def zipped(*members: tuple[str, str], modes: dict[str, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def tarred(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


LINK = stat.S_IFLNK | 0o777
GOOD = zipped(("MLproject", "name: p\n"), ("train.py", "print(1)\n" * 50))
ENCRYPTED = bytearray(GOOD)
for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
    ENCRYPTED[ENCRYPTED.index(sign) + offset] |= 1
MIB = 1 << 20

BAD = {
    "slip": (zipped(("../../evil", "x")), "leads out of the project"),
    "slip inside": (zipped(("a/../../evil", "x")), "leads out of the project"),
    "absolute": (zipped(("/tmp/evil", "x")), "leads out of the project"),
    "drive": (zipped(("C:/evil", "x")), "leads out of the project"),
    "link out": (zipped(("out", "/etc/passwd"), modes={"out": LINK}), "leads out of the project"),
    "link up": (zipped(("d/out", "../../x"), modes={"d/out": LINK}), "leads out of the project"),
    "through a link": (
        zipped(("d", "/tmp"), ("d/evil", "x"), modes={"d": LINK}),
        "below 'd', which is no folder",
    ),
    "below a file": (zipped(("d", "x"), ("d/e", "x")), "below 'd', which is no folder"),
    "twice": (tarred(member("a"), member("./a")), "holds 'a' twice"),
    "file and folder": (tarred(member("a"), member("a/", tarfile.DIRTYPE)), "holds 'a' twice"),
    "device": (tarred(member("null", tarfile.CHRTYPE)), "neither file, folder nor link"),
    "pipe": (tarred(member("pipe", tarfile.FIFOTYPE)), "neither file, folder nor link"),
    "zip device": (
        zipped(("dev", ""), modes={"dev": stat.S_IFCHR | 0o600}),
        "neither file, folder nor link",
    ),
    "tar slip": (tarred(member("../evil", size=1)), "leads out of the project"),
    "tar link out": (tarred(member("l", tarfile.SYMTYPE, "/etc")), "leads out of the project"),
    "hard link out": (tarred(member("h", tarfile.LNKTYPE, "/etc/passwd")), "hard link"),
    "encrypted": (bytes(ENCRYPTED), "encrypted"),
    "cut zip": (GOOD[:-30], "damaged or no archive"),
    "cut tar": (tarred(member("a", size=4000))[:1500], "damaged"),
    "cut gz": (gzip.compress(tarred(member("a", size=4000)))[:60], "damaged"),
    "text": (b"hello", "damaged or no archive"),
    "empty": (b"", "damaged or no archive"),
    "bomb": (
        gzip.compress(tarred(*(member(f"b{n}", size=100 * MIB) for n in range(3)))),
        "looks like a bomb",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_archives_are_refused_in_one_sentence(
    name: str, fetch: Fetch, tmp_path: Path, home: str
) -> None:
    content, words = BAD[name]
    archive = tmp_path / "bad.zip"
    archive.write_bytes(content)
    with pytest.raises(SourceError, match=words) as caught:
        fetch(archive)
    assert "\n" not in caught.value.message
    assert not caught.value.message.endswith(":")
    assert str(archive) in caught.value.message + str(caught.value.where)
    left = [p for p in Path(home, "trees").rglob("*") if p.is_dir() and p.name.isdecimal()]
    assert left == []
    assert not (tmp_path / "evil").exists()


def test_a_tar_that_ends_in_a_zip_is_a_tar(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(GOOD)
    with tarfile.open(tmp_path / "p.tar", "w") as archive:
        archive.add(tmp_path / "data.zip", "data.zip")
    assert os.listdir(fetch(tmp_path / "p.tar").root) == ["data.zip"]


def test_hard_links_become_files(fetch: Fetch, tmp_path: Path) -> None:
    archive = tmp_path / "p.tar"
    archive.write_bytes(tarred(member("a", size=3), member("b", tarfile.LNKTYPE, "a")))
    assert Path(fetch(archive).root, "b").read_bytes() == b"xxx"


def test_limits(fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MOST_ENTRIES", 3)
    (tmp_path / "p.tar").write_bytes(tarred(*(member(str(n)) for n in range(4))))
    with pytest.raises(SourceError, match="holds too much"):
        fetch(tmp_path / "p.tar")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), kind=st.sampled_from(["zip", "tar", "gz"]))
def test_damaged_bytes_never_make_more_than_a_sentence(
    data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(GOOD if kind == "zip" else tarred(member("a", size=9), member("b/c")))
    if kind == "gz":
        content = bytearray(gzip.compress(bytes(content), mtime=0))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    place = tmp_path_factory.mktemp("fuzz")
    (place / "x").write_bytes(content)
    (place / "out").mkdir()
    try:
        unpack.unpack(str(place / "x"), str(place / "out"), name="x")
    except SourceError as error:
        assert str(error).startswith("x ")  # noqa: PT017 - either end is right
    assert sorted(os.listdir(place)) == ["out", "x"]


class Forge(BaseHTTPRequestHandler):
    """A web server with one archive, and some bad manners."""

    content = b""
    seen: list[tuple[str, dict[str, str]]] = []  # noqa: RUF012 - one server, one list

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        if path == "/moved.zip":
            self._answer(302, Location="/p.zip")
        elif path == "/away.zip":
            port = cast("ThreadingHTTPServer", self.server).server_port
            self._answer(302, Location=f"http://localhost:{port}/p.zip")
        elif path == "/elsewhere.zip":
            self._answer(302, Location="file:///etc/passwd")
        elif path == "/ftp.zip":
            self._answer(302, Location="ftp://127.0.0.1/p.zip")
        elif path == "/missing.zip":
            self._answer(404)
        elif self.headers.get("If-None-Match") == '"v1"':
            self._answer(304)
        elif path == "/cut.zip":
            self._answer(200, self.content[:100], length=len(self.content))
        else:
            self._answer(200, self.content, ETag='"v1"')

    def _answer(self, code: int, body: bytes = b"", length: int | None = None, **more: str) -> None:
        self.send_response(code)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Stay quiet."""


@pytest.fixture
def forge(project: Repo, tmp_path: Path) -> Iterator[str]:
    Forge.content = packed(project, tmp_path / "p.zip", "p-main/").read_bytes()
    Forge.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forge)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_downloads_are_kept_and_asked_for_again(
    forge: str, project: Repo, fetch: Fetch, watcher: Watcher
) -> None:
    first = fetch(f"http://{forge}/p.zip")
    assert first.provenance.tree == project.tree
    assert watcher.named(Progress)
    assert watcher.named(Step)
    give_back(first)
    assert fetch(f"http://{forge}/p.zip").root == first.root
    assert [headers.get("If-None-Match") for _, headers in Forge.seen] == [None, '"v1"']
    assert fetch(f"http://{forge}/moved.zip").provenance.tree == project.tree


def test_credentials_reach_the_server_and_nobody_else(
    forge: str, project: Repo, fetch: Fetch, watcher: Watcher, home: str
) -> None:
    tree = fetch(f"http://bob:s3cr%65t@{forge}/p.zip?sig=t0k3n&x=1")
    assert tree.provenance.tree == project.tree
    assert Forge.seen[0][1]["Authorization"] == "Basic Ym9iOnMzY3JldA=="
    assert Forge.seen[0][0] == "/p.zip?sig=t0k3n&x=1"
    told = f"{tree.provenance!r}{watcher.events!r}"
    assert tree.provenance.reference.location == f"http://{forge}/p.zip?sig=***&x=1"
    stored = "".join(p.read_text("latin-1") for p in Path(home).rglob("*.json"))
    for secret in ("s3cr", "t0k3n", "Ym9i"):
        assert secret not in told + stored
    Forge.seen.clear()
    fetch(f"http://bob:s3cret@{forge}/away.zip")
    assert [("Authorization" in headers) for _, headers in Forge.seen] == [True, False]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing.zip", "the server answered 404"),
        ("cut.zip", "broke after 100 of"),
        ("elsewhere.zip", "redirected to file:///etc/passwd|file:///etc/passwd' is not allowed"),
        ("ftp.zip", "redirected to ftp:.*, which is no web URL"),
    ],
)
def test_bad_answers(path: str, words: str, forge: str, fetch: Fetch, home: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        fetch(f"http://bob:s3cret@{forge}/{path}")
    assert "s3cret" not in f"{caught.value.message}{caught.value.where}"
    left = [p.name for p in Path(home, "downloads").rglob("*") if p.is_file()]
    assert left == ["lock"]


def test_a_server_that_is_not_there(fetch: Fetch) -> None:
    with pytest.raises(SourceError, match=r"cannot be downloaded: .*Connection refused"):
        fetch("http://127.0.0.1:1/p.zip")


def test_what_is_too_large_is_not_downloaded(
    forge: str, fetch: Fetch, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.sources.archive.LARGEST", 100)
    with pytest.raises(SourceError, match="it is larger than"):
        fetch(f"http://{forge}/p.zip")
    assert [p.name for p in Path(home, "downloads").rglob("*") if p.is_file()] == ["lock"]
