"""Projects that cannot be had, through the command line."""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.malformed.conftest import Refusal

PROJECT = 'entry_points:\n  main:\n    command: "true"\n'


class Case(NamedTuple):
    """Arguments after ``run``, what the error has to name, its kind."""

    arguments: tuple[str, ...]
    names: tuple[str, ...]
    kind: str = "source"


LOCATIONS = (
    Case(("absent",), ("absent",)),
    Case(("",), (), "usage"),
    Case(("./absent/deeper",), ("absent/deeper",)),
    Case(("note.txt",), ("note.txt",)),
    Case(("project#absent",), ("absent",)),
    Case(("project#../other",), ("..",), "usage"),
    Case(("project#/etc",), ("/etc",), "usage"),
    Case(("project#sub/../../x",), ("..",), "usage"),
    Case(("project", "-v", "main"), ("project",)),
    Case(("ext::sh -c true",), ("ext::",)),
    Case(("fd::7",), ("fd::",)),
    Case(("git+ext::sh",), ("ext::",)),
    Case(("foo://example.org/x",), ("foo://",)),
    Case(("s3://bucket/project",), ("s3://",)),
    Case(("file:///absent/repo.git",), ("/absent/repo.git",)),
    Case(("file:///absent/repo.zip",), ("/absent/repo.zip",)),
    Case(("git://127.0.0.1:1/repo.git",), ("127.0.0.1",)),
    Case(("http://127.0.0.1:1/repo.git",), ("127.0.0.1",)),
    Case(("http://127.0.0.1:1/repo.zip",), ("127.0.0.1",)),
    Case(("http://127.0.0.1:1/repo.tar.gz",), ("127.0.0.1",)),
    Case(("ssh://127.0.0.1:1/repo.git",), ("127.0.0.1",)),
    Case(("ssh://-oProxyCommand=touch%20x/repo.git",), ("-oProxyCommand",)),
    Case(("-oProxyCommand=touch x:repo.git",), ("-oProxyCommand",)),
    Case(("git://127.0.0.1:1/re\npo.git",), ()),
    Case(("project\0x",), ()),
    Case(("absent.zip",), ("absent.zip",)),
    Case(("absent.tar.gz",), ("absent.tar.gz",)),
)


@pytest.mark.parametrize("case", LOCATIONS, ids=lambda case: " ".join(case.arguments))
def test_a_location_that_is_none_is_refused(case: Case, refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT, "note.txt": "x", "other/MLproject": PROJECT})
    refused("run", *case.arguments, kind=case.kind).names(*case.names)


def test_credentials_are_not_in_the_error(refused: Refusal) -> None:
    complaint = refused("run", "http://bob:s3cret@127.0.0.1:1/repo.git", kind="source")
    complaint.names("127.0.0.1")
    assert "s3cret" not in complaint.text


REVISIONS = (
    "absent",
    "0123456789012345678901234567890123456789",
    "deadbee",
    "-x",
    "--upload-pack=touch x",
    "a..b",
    "main:MLproject",
    "with space",
    "new\nline",
    "HEAD~99",
)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_revision_that_is_none_is_refused(revision: str, refused: Refusal) -> None:
    refused.write({"repo/MLproject": PROJECT})
    repository = str(refused.folder / "repo")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        subprocess.run(("git", "-C", repository, *command), check=True)
    refused("run", f"file://{repository}", f"--version={revision}", kind="source")


def test_a_repository_without_a_commit_is_refused(refused: Refusal) -> None:
    refused.write({"repo/MLproject": PROJECT})
    subprocess.run(("git", "init", "-q", "--bare", str(refused.folder / "bare.git")), check=True)
    refused("run", f"file://{refused.folder}/bare.git", kind="source").names("bare.git")


# Archives


def zipped(*members: tuple[str, bytes, int]) -> bytes:
    """Return a zip of members with name, content and Unix mode."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content, mode in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return stream.getvalue()


def tarred(*members: tarfile.TarInfo, compression: str = "gz") -> bytes:
    """Return a tar of members without content, and an MLproject."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        project = tarfile.TarInfo("MLproject")
        project.size = len(PROJECT)
        archive.addfile(project, io.BytesIO(PROJECT.encode()))
        for member in members:
            archive.addfile(member)
    return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """Return a tar member without content."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


FILE = stat.S_IFREG | 0o644
GOOD = ("MLproject", PROJECT.encode(), FILE)


def encrypted() -> bytes:
    """Return a zip whose member says that it is encrypted."""
    content = bytearray(zipped(GOOD))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def bomb() -> bytes:
    """Return a zip that claims a lot more than it holds, as bombs do."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MLproject", PROJECT)
        archive.writestr("zeros", b"\0" * (64 << 20))
    content = bytearray(stream.getvalue())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    return bytes(content)


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "truncated.zip": lambda: zipped(GOOD)[:60],
    "text.zip": lambda: b"no zip at all",
    "empty.zip": lambda: b"",
    "slip.zip": lambda: zipped(GOOD, ("../evil.txt", b"x", FILE)),
    "deep-slip.zip": lambda: zipped(GOOD, ("a/../../evil.txt", b"x", FILE)),
    "absolute.zip": lambda: zipped(GOOD, ("/tmp/evil.txt", b"x", FILE)),
    "link-out.zip": lambda: zipped(GOOD, ("link", b"../../etc", stat.S_IFLNK | 0o777)),
    "link-absolute.zip": lambda: zipped(GOOD, ("link", b"/etc", stat.S_IFLNK | 0o777)),
    "encrypted.zip": encrypted,
    "bomb.zip": bomb,
    "text.tar.gz": lambda: b"no tar at all",
    "text.tar": lambda: b"no tar at all",
    "text.tar.xz": lambda: b"no tar at all",
    "truncated.tar.gz": lambda: tarred()[:40],
    "truncated.tgz": lambda: tarred()[:-20],
    "slip.tar": lambda: tarred(member("../evil.txt"), compression=""),
    "slip.tar.gz": lambda: tarred(member("../evil.txt")),
    "absolute.tar.gz": lambda: tarred(member("/tmp/evil.txt")),
    "link-out.tar.gz": lambda: tarred(member("link", tarfile.SYMTYPE, "../../etc")),
    "link-absolute.tar.bz2": lambda: tarred(
        member("link", tarfile.SYMTYPE, "/etc"), compression="bz2"
    ),
    "hard-link-out.tar.gz": lambda: tarred(member("link", tarfile.LNKTYPE, "../../etc/passwd")),
    "device.tar.gz": lambda: tarred(member("null", tarfile.CHRTYPE)),
    "pipe.tar.xz": lambda: tarred(member("pipe", tarfile.FIFOTYPE), compression="xz"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_wrong_archive_is_refused(name: str, refused: Refusal, tmp_path: Path) -> None:
    refused.write({name: ARCHIVES[name]()})
    refused("run", name, kind="source").names(name)
    assert not list(tmp_path.rglob("evil.txt"))


def test_an_archive_has_no_revisions(refused: Refusal) -> None:
    refused.write({"good.zip": zipped(GOOD)})
    refused("run", "good.zip", "-v", "main", kind="source").names("good.zip")


def test_an_archive_without_the_subdirectory_is_refused(refused: Refusal) -> None:
    refused.write({"good.zip": zipped(GOOD)})
    refused("run", "good.zip#absent", kind="source").names("absent")


def test_an_archive_of_nothing_is_refused(refused: Refusal) -> None:
    refused.write({"nothing.zip": zipped()})
    refused("run", "nothing.zip", kind="parameter").names("main")


def test_an_archive_without_a_project_is_refused(refused: Refusal) -> None:
    refused.write({"other.zip": zipped(("notes/a.txt", b"x", FILE), ("b.txt", b"x", FILE))})
    refused("run", "other.zip", kind="parameter").names("main")
