"""The files of a run that a tracking server keeps."""

from __future__ import annotations

import io
import posixpath

from runner.errors import StoreError
from runner.model.run import Artifact
from runner.redaction import without_credentials
from runner.stores.artifacts import CHUNK, plain_path
from runner.stores.rules import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from runner.model.tracking import TrackedRun
    from runner.stores.transport import Server

PROXY = "mlflow-artifacts/artifacts"


class ProxiedArtifacts:
    """Artifacts that the server takes and hands out itself; ``root`` is the run's folder there."""

    def __init__(self, server: Server, root: str) -> None:
        self._server = server
        self._root = root

    def folder(self) -> None:
        """Return None: the files are on the server."""

    def put(self, path: str, content: BinaryIO | bytes) -> None:
        """Upload one file."""
        place = self._place(path)
        if isinstance(content, bytes):
            self._server.put_file(place, io.BytesIO(content), len(content))
        elif content.seekable():
            start = content.tell()
            size = content.seek(0, io.SEEK_END) - start
            content.seek(start)
            self._server.put_file(place, content, size)
        else:
            self._put_stream(place, content)

    def _put_stream(self, place: str, content: BinaryIO) -> None:
        """Upload what can be read only once, by way of a temporary file."""
        from tempfile import TemporaryFile

        with TemporaryFile() as copy:
            while chunk := content.read(CHUNK):
                copy.write(chunk)
            size = copy.tell()
            copy.seek(0)
            self._server.put_file(place, copy, size)

    def open(self, path: str) -> BinaryIO:
        """Begin to download one file."""
        return self._server.open_file(f"/api/2.0/{self._place(path)}")

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        """List the files below a folder, all levels."""
        found = sorted(self._walked(plain_path(path)), key=lambda artifact: artifact.path)
        return tuple(found)

    def delete(self, path: str) -> None:
        """Delete one file or folder."""
        try:
            self._server.delete(self._place(path))
        except StoreError as error:
            if error.status != "RESOURCE_DOES_NOT_EXIST":
                raise

    def _walked(self, start: str) -> Iterator[Artifact]:
        pending = [start]
        while pending:
            below = pending.pop()
            answer: Any = self._server.get(PROXY, path=posixpath.join(self._root, below))
            for entry in answer.get("files") or ():
                path = posixpath.join(below, posixpath.basename(str(entry["path"]).rstrip("/")))
                if entry.get("is_dir"):
                    pending.append(path)
                else:
                    yield Artifact(path=path, size=int(entry.get("file_size") or 0))

    def _place(self, path: str) -> str:
        plain = plain_path(path)
        if not plain:
            raise refused("an artifact needs a name")
        return f"{PROXY}/{posixpath.join(self._root, plain)}"


class ListedArtifacts:
    """Artifacts that only the server can reach (S3 and so on): it reads them out, no more."""

    def __init__(self, server: Server, run: TrackedRun) -> None:
        self._server = server
        self._run = run

    def folder(self) -> None:
        """Return None: the files are elsewhere."""

    def put(self, path: str, content: BinaryIO | bytes) -> None:  # noqa: ARG002 - the port's names
        """Refuse."""
        raise self._refusal(path, "uploaded to")

    def delete(self, path: str) -> None:
        """Refuse."""
        raise self._refusal(path, "deleted from")

    def open(self, path: str) -> BinaryIO:
        """Begin to download one file, through the address that MLflow's own pages use."""
        run_id = self._run.run_id
        return self._server.open_file("/get-artifact", path=plain_path(path), run_uuid=run_id)

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        """List the files below a folder, all levels."""
        found: list[Artifact] = []
        pending = [plain_path(path)]
        while pending:
            answer: Any = self._server.get(
                "mlflow/artifacts/list", run_id=self._run.run_id, path=pending.pop() or None
            )
            for entry in answer.get("files") or ():
                if entry.get("is_dir"):
                    pending.append(entry["path"])
                else:
                    found.append(Artifact(path=entry["path"], size=int(entry["file_size"])))
        return tuple(sorted(found, key=lambda artifact: artifact.path))

    def _refusal(self, path: str, verb: str) -> StoreError:
        return StoreError(
            f"the artifact {path!r} cannot be {verb} {without_credentials(self._run.artifact_uri)}",
            status="NOT_IMPLEMENTED",
            where=self._server.url,
            hint="use an experiment whose artifacts go through the server (mlflow-artifacts:), or "
            "start the server with --serve-artifacts",
        )
