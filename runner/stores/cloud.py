"""Files in buckets and other places that fsspec reaches, streamed in both directions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import fsspec  # type: ignore[import-untyped]
from fsspec.spec import AbstractBufferedFile  # type: ignore[import-untyped]

from runner.errors import StoreError
from runner.model.run import Artifact
from runner.stores.artifacts import plain_path
from runner.stores.rules import missing, refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, BinaryIO

BLOCK = 8 << 20
"""Bytes of one part; S3 takes 5 MiB at least, and 10,000 parts at most: files up to 78 GiB."""
READ_AHEAD = 4 << 20
CHUNK = 1 << 20


class Cloud:
    """A place for files, by its URL; credentials come from the variables that its library reads.

    Raises:
        ImportError: The library for this kind of place is not installed.
        ValueError: There is no such kind of place.
    """

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        options: dict[str, Any] = {"use_listings_cache": False}
        endpoint = environ.get("MLFLOW_S3_ENDPOINT_URL")
        if endpoint and url.startswith(("s3:", "s3a:")):
            options["endpoint_url"] = endpoint
        self.root = url.rstrip("/")
        self._system, _ = fsspec.core.url_to_fs(self.root, **options)

    def files(self, url: str) -> CloudArtifacts:
        """Return the files below a URL."""
        return CloudArtifacts(self._system, url)


class CloudArtifacts:
    """Implements ``runner.ports.Artifacts``."""

    def __init__(self, system: Any, url: str) -> None:  # noqa: ANN401 - fsspec has no types
        self._system = system
        self._url = url
        self._root = str(system._strip_protocol(url)).rstrip("/")  # noqa: SLF001 - fsspec's way

    def folder(self) -> None:
        """Return None: there is no local folder."""

    def put(self, path: str, content: BinaryIO | bytes) -> None:
        """Write one file, whole or not at all: what is not closed does not appear."""
        plain = plain_path(path)
        if not plain:
            raise refused("an artifact needs a name")
        with self._in_words("written", path):
            file = self._system.open(self._place(plain), "wb", block_size=BLOCK)
        try:
            for chunk in _chunks(content):
                with self._in_words("written", path):
                    file.write(chunk)
            with self._in_words("written", path):
                file.close()
        except BaseException:
            self._abandon(file, plain)
            raise

    def open(self, path: str) -> BinaryIO:
        """Open one file for reading."""
        place = self._place(plain_path(path))
        with self._in_words("read", path):
            if not self._system.isfile(place):
                raise FileNotFoundError
            file: BinaryIO = self._system.open(place, "rb", block_size=READ_AHEAD)
        return file

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        """List the files below a folder, all levels, in the order of their names."""
        start = self._place(plain_path(path))
        with self._in_words("listed", path):
            found = self._system.find(start, detail=True)
        return tuple(
            Artifact(path=_below(self._root, name), size=int(found[name].get("size") or 0))
            for name in sorted(found)
            if found[name].get("type") == "file"
        )

    def delete(self, path: str) -> None:
        """Delete one file, or a folder with all that is in it; no error when it is not there."""
        place = self._place(plain_path(path))
        with self._in_words("deleted", path):
            if self._system.exists(place):
                self._system.rm(place, recursive=True)

    def _place(self, plain: str) -> str:
        return f"{self._root}/{plain}" if plain else self._root

    def _abandon(self, file: Any, plain: str) -> None:  # noqa: ANN401 - fsspec has no types
        with contextlib.suppress(Exception):  # what went wrong first is reported
            if isinstance(file, AbstractBufferedFile):
                file.discard()
                file.closed = True  # else the garbage collector would finish the upload
            else:
                self._system.rm_file(self._place(plain))

    @contextlib.contextmanager
    def _in_words(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise missing(f"there is no artifact {path!r}") from None
        except Exception as error:
            raise StoreError(
                f"the artifact {path!r} could not be {verb}: {type(error).__name__} from "
                f"{self._url.partition('://')[0]}",
                status="TEMPORARILY_UNAVAILABLE",
            ) from error


def _below(root: str, name: str) -> str:
    return name.lstrip("/").removeprefix(root.lstrip("/")).lstrip("/")


def _chunks(content: BinaryIO | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    while chunk := content.read(CHUNK):
        yield chunk
