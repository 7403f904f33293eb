"""What a container gets before it starts: the project, a home, and what is confidential.

All of it is put into the container's own layer as archives, through the engine: that works for
engines on other machines too, nothing of it is seen by ``docker inspect``, and it goes away with
the container.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO, Any

CODE = "/mlflow/projects/code"
HOME = "/mlflow/home"
PRIVATE = "/mlflow/private"
"""Where the shell finds values that are nobody's business; it deletes them before all else."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST_ARGUMENT = 131072
PROLOGUE = f'. {PRIVATE}/variables; rm -rf {PRIVATE} 2>/dev/null; exec "$0" -c "$1"'
PROLOGUE_OF_FILE = f'. {PRIVATE}/variables; exec "$0" {PRIVATE}/script'


class Words(list[str]):
    """The words of a container's command; ``is_wrapped`` when a prologue reads the values."""

    is_wrapped = False


def shell_words(
    order: Mapping[str, Any], variables: dict[str, str], confidential: dict[str, str]
) -> tuple[Words, dict[str, str]]:
    """Return the words of the command and the variables of the container.

    With a shell in the image, confidential values are not among the variables: they are in a file
    that the shell reads and deletes. Without one, or when nothing can be put into the container,
    there is no other way than the variables.
    """
    if not order["shell"]:
        return Words(order["argv"]), {**variables, **confidential}
    script, shell = order["script"], order["shell"]
    if order["settings"].get("ReadonlyRootfs"):
        return Words([shell, "-c", script]), {**variables, **confidential}
    plain = {name: value for name, value in confidential.items() if not NAME.fullmatch(name)}
    for name in plain:
        del confidential[name]
    if is_long(script):
        words = Words([shell, "-c", PROLOGUE_OF_FILE, shell])
    elif confidential:
        words = Words([shell, "-c", PROLOGUE, shell, script])
    else:
        return Words([shell, "-c", script]), {**variables, **plain}
    words.is_wrapped = True
    return words, {**variables, **plain}


def is_long(script: str) -> bool:
    """Whether a script is too long for an argument."""
    return len(script.encode("utf-8", "surrogateescape")) >= LONGEST_ARGUMENT


class Packing:
    """The archives for one container.

    ``user`` is whom the container is told to run the command as (None: the image's own); what we
    put into it belongs to him. Where his number is not known, everybody may write.
    """

    def __init__(
        self, order: Mapping[str, Any], image: Mapping[str, Any], user: str | None
    ) -> None:
        self._order, self.user = order, user
        self._now = int(time.time())
        effective = user or str(image.get("Config", {}).get("User") or "0")
        uid, _, gid = effective.partition(":")
        self._known = uid.isdigit() or uid == "root"
        self._uid = int(uid) if uid.isdigit() else 0
        self._gid = int(gid) if gid.isdigit() else self._uid if user else 0
        is_closed = order["settings"].get("ReadonlyRootfs")
        self.home = HOME if user and self._uid and not is_closed else None

    def variables(self, given: dict[str, str]) -> dict[str, str]:
        """Return the variables with a home for a user whom the image does not know."""
        return {"HOME": HOME, **given} if self.home else given

    def archives(self, confidential: Mapping[str, str]) -> Iterator[tuple[IO[bytes], int]]:
        """Make what is to be put into the container; files with their sizes."""
        order = self._order
        script = order["script"] if self._is_long() else None
        if not (confidential or script or self.home or order["code"] == "copy"):
            return
        path = os.path.join(order["folder"], "into-container.tar")
        file = open(path, "w+b")  # noqa: SIM115 - whoever gets it closes it
        os.unlink(path)
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            self._folder(archive, "/mlflow", mode=0o755, own=False)
            if self.home:
                self._folder(archive, HOME, mode=0o700)
            if confidential or script:
                self._folder(archive, PRIVATE, mode=0o700)
                text = "".join(f"export {k}={quoted(v)}\n" for k, v in confidential.items())
                self._text(archive, f"{PRIVATE}/variables", text)
            if script:
                self._text(archive, f"{PRIVATE}/script", script)
            if order["code"] == "copy":
                self._folder(archive, "/mlflow/projects", mode=0o755, own=False)
                self._folder(archive, CODE, mode=0o755)
                self._project(archive)
        size = file.tell()
        file.seek(0)
        yield file, size

    def _is_long(self) -> bool:
        script = self._order["script"]
        return bool(self._order["shell"]) and is_long(script)

    def _project(self, archive: tarfile.TarFile) -> None:
        made: set[str] = set()
        project = self._order["project"]
        for path in self._order["files"]:
            parts = path.split("/")[:-1]
            for end in range(1, len(parts) + 1):
                folder = "/".join(parts[:end])
                if folder not in made:
                    made.add(folder)
                    self._folder(archive, f"{CODE}/{folder}", mode=0o755)
            self._file(archive, os.path.join(project, path), f"{CODE}/{path}")

    def _owned(self, item: tarfile.TarInfo) -> tarfile.TarInfo:
        item.uid, item.gid, item.uname, item.gname = self._uid, self._gid, "", ""
        if not self._known:
            item.mode |= 0o666 if not item.isdir() else 0o777
        return item

    def _folder(self, archive: tarfile.TarFile, path: str, *, mode: int, own: bool = True) -> None:
        item = tarfile.TarInfo(path.lstrip("/"))
        item.type, item.mode, item.mtime = tarfile.DIRTYPE, mode, self._now
        archive.addfile(self._owned(item) if own else item)

    def _text(self, archive: tarfile.TarFile, path: str, text: str) -> None:
        content = text.encode("utf-8", "surrogateescape")
        item = tarfile.TarInfo(path.lstrip("/"))
        item.size, item.mode, item.mtime = len(content), 0o600, self._now
        archive.addfile(self._owned(item), io.BytesIO(content))

    def _file(self, archive: tarfile.TarFile, path: str, target: str) -> None:
        item = archive.gettarinfo(path, arcname=target.lstrip("/"))
        if item.islnk():  # two names for one file: the project has two files
            item.type, item.linkname = tarfile.REGTYPE, ""
            item.size = os.stat(path).st_size
        self._owned(item)
        if item.isreg():
            with open(path, "rb") as content:
                archive.addfile(item, content)
        elif item.issym():
            archive.addfile(item)


def quoted(text: str) -> str:
    """Quote a text for every shell that POSIX knows (2.2.2, single quotes)."""
    return "'" + text.replace("'", "'\\''") + "'"
