"""The folder of one run in MLflow's file layout.

``meta.yaml`` is written to be read by every MLflow from 1.30 on: it has both ``run_id`` (new
clients) and ``run_uuid`` (2.9 and older cannot read a run without it), and the folders
``metrics``, ``params``, ``tags`` and ``artifacts`` exist even when empty, because MLflow 3.17
refuses a run without them. Each value is a file of its own, replaced as a whole.
"""

from __future__ import annotations

import math
import os

from runner.errors import StoreError
from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId
from runner.stores import metafile, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runner.codec import JSON
    from runner.model.run import RunStatus

FOLDERS = ("metrics", "params", "tags", "artifacts")
STATUS_NUMBERS: dict[RunStatus, int] = {
    "RUNNING": 1,
    "SCHEDULED": 2,
    "FINISHED": 3,
    "FAILED": 4,
    "KILLED": 5,
}
_STATUSES: dict[object, RunStatus] = {number: word for word, number in STATUS_NUMBERS.items()}
_ALWAYS: dict[str, JSON] = {
    "deleted_time": None,
    "entry_point_name": "",
    "source_name": "",
    "source_type": 4,
    "source_version": "",
    "tags": [],
}


def meta_of(run: TrackedRun) -> dict[str, JSON]:
    """Return what the ``meta.yaml`` of a new run says."""
    return {
        **_ALWAYS,
        "artifact_uri": run.artifact_uri,
        "end_time": run.ended,
        "experiment_id": run.experiment_id,
        "lifecycle_stage": run.lifecycle,
        "run_id": run.run_id,
        "run_name": run.name,
        "run_uuid": run.run_id,
        "start_time": run.started,
        "status": STATUS_NUMBERS[run.status],
        "user_id": run.user,
    }


def completed_meta(meta: Mapping[str, JSON], run_id: str) -> dict[str, JSON]:
    """Return a run's meta with what other versions of MLflow left out put back."""
    return {**_ALWAYS, **meta, "run_id": run_id, "run_uuid": run_id}


def make(folder: str, run: TrackedRun) -> None:
    """Write a new run into a folder that nobody else sees yet."""
    for name in FOLDERS:
        os.makedirs(os.path.join(folder, name))
    for kind, values in (("params", run.params), ("tags", run.tags)):
        for key, value in values.items():
            with _key_path(folder, kind, key) as path:
                _write_new(path, rules.storable(value).encode())
    add_metrics(folder, run.metrics.values())
    metafile.write(folder, meta_of(run))


def run(folder: str, run_id: str) -> TrackedRun:
    """Return the run of a folder.

    Raises:
        StoreError: ``RESOURCE_DOES_NOT_EXIST``, or its meta makes no sense.
    """
    try:
        meta = metafile.read(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise rules.no_run(run_id) from None
    status = _STATUSES.get(meta.get("status"))
    if status is None:
        raise StoreError(
            f"the run {run_id!r} has no known status", where=os.path.join(folder, metafile.NAME)
        )
    tags = texts(folder, "tags")
    return TrackedRun(
        run_id=RunId(run_id),
        experiment_id=str(meta.get("experiment_id", "")),
        name=str(meta.get("run_name") or tags.get(rules.RUN_NAME_TAG, "")),
        status=status,
        started=number(meta.get("start_time")),
        ended=number(meta.get("end_time")),
        artifact_uri=str(meta.get("artifact_uri") or ""),
        user=str(meta.get("user_id") or ""),
        lifecycle=str(meta.get("lifecycle_stage") or "active"),
        params=texts(folder, "params"),
        tags=tags,
        metrics={key: max(found, key=_age) for key, found in _all_metrics(folder) if found},
    )


def number(value: JSON) -> int | None:
    """Return a time in milliseconds, None where there is none."""
    return value if isinstance(value, int) else None


def texts(folder: str, kind: str) -> dict[str, str]:
    """Return the values of ``params`` or ``tags`` by key, sorted by key."""
    found = {}
    for key, path in _keys(os.path.join(folder, kind)):
        try:
            found[key] = metafile.read_bytes(path).decode("utf-8", "replace")
        except FileNotFoundError:  # deleted since we saw its name
            continue
    return found


def check_params(folder: str, run_id: str, params: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that are not there yet; refuse to change one that is."""
    fresh = {}
    for key, value in params.items():
        with _key_path(folder, "params", key) as path:
            try:
                old = metafile.read_bytes(path).decode("utf-8", "replace")
            except FileNotFoundError:
                fresh[key] = value
            else:
                rules.check_again(run_id, key, old, rules.storable(value))
    return fresh


def check_places(folder: str, kind: str, keys: Iterable[str]) -> None:
    """Refuse a key that would be a file where there is a folder, or the other way round."""
    for key in keys:
        with _key_path(folder, kind, key) as path:
            if os.path.isdir(path):
                raise IsADirectoryError
            above = os.path.dirname(path)
            while not os.path.isdir(above):
                if os.path.lexists(above):
                    raise NotADirectoryError
                above = os.path.dirname(above)


def put_texts(folder: str, kind: str, values: Mapping[str, str]) -> None:
    """Write params or tags, each whole or not at all."""
    for key, value in values.items():
        with _key_path(folder, kind, key) as path:
            partial = os.path.join(folder, f".runproj-{os.urandom(6).hex()}")
            try:
                _write_new(partial, rules.storable(value).encode())
                _rename(partial, path)
            except BaseException:
                if os.path.exists(partial):
                    os.unlink(partial)
                raise


def delete_tag(folder: str, run_id: str, key: str) -> None:
    """Take a tag away, and the folders that only it was in."""
    with _key_path(folder, "tags", key) as path:
        try:
            os.unlink(path)
        except FileNotFoundError:
            raise rules.no_tag(run_id, key) from None
        above = os.path.dirname(path)
        while above != os.path.join(folder, "tags"):
            try:
                os.rmdir(above)
            except OSError:  # other tags are in it
                return
            above = os.path.dirname(above)


def add_metrics(folder: str, metrics: Iterable[Metric]) -> None:
    """Append metrics to their histories, those of one key in one system call."""
    lines: dict[str, list[str]] = {}
    for m in metrics:
        lines.setdefault(m.key, []).append(f"{m.timestamp} {float(m.value)!r} {m.step}\n")
    for key, logged in lines.items():
        with _key_path(folder, "metrics", key) as path:
            descriptor = _opened(path, os.O_APPEND | os.O_NOFOLLOW)
            try:
                _write_all(descriptor, "".join(logged).encode())
            finally:
                os.close(descriptor)


def history(folder: str, key: str) -> tuple[Metric, ...]:
    """Return every logged value of a metric, in the order of time and step."""
    try:
        rules.check_key("metric", key)
        found = _metrics(key, os.path.join(folder, "metrics", *key.split("/")))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ()
    return tuple(sorted(found, key=lambda m: (m.timestamp, m.step, m.value)))


def _all_metrics(folder: str) -> Iterator[tuple[str, list[Metric]]]:
    for key, path in _keys(os.path.join(folder, "metrics")):
        yield key, _metrics(key, path)


def _metrics(key: str, path: str) -> list[Metric]:
    """Read lines of time, value and, since MLflow 1.0, step; unfinished lines are skipped."""
    found = []
    for line in metafile.read_bytes(path).split(b"\n"):
        parts = line.split()
        try:
            step = int(parts[2]) if len(parts) == len(("time", "value", "step")) else 0
            logged = Metric(key=key, timestamp=int(parts[0]), value=float(parts[1]), step=step)
        except (ValueError, IndexError):
            continue
        found.append(logged)
    return found


def _age(metric: Metric) -> tuple[int, int, float]:
    """Order metrics as MLflow does: by step, then time, then value (NaN below all numbers)."""
    value = -math.inf if math.isnan(metric.value) else metric.value
    return metric.step, metric.timestamp, value


def _keys(folder: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return the keys below a folder and their files, in the order of the keys."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _keys(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield f"{prefix}{entry.name}", entry.path


class _key_path:  # noqa: N801 - reads as a noun: with _key_path(...) as path:
    """The file of a key; a key that is both a file and a folder is refused inside ``with``."""

    __slots__ = ("_key", "_path")

    def __init__(self, folder: str, kind: str, key: str) -> None:
        self._key = key
        self._path = os.path.join(folder, kind, *key.split("/"))

    def __enter__(self) -> str:
        return self._path

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
            raise rules.refused(
                f"{self._key!r} cannot be kept beside a name that it begins with or that begins "
                "with it: in a file store one of them would be a folder",
                hint="use another name, or a SQLite store",
            ) from error


def _write_new(path: str, content: bytes) -> None:
    descriptor = _opened(path, os.O_EXCL)
    try:
        _write_all(descriptor, content)
    finally:
        os.close(descriptor)


def _opened(path: str, flags: int) -> int:
    """Open a file for writing, and make the folder that it is in when it is missing."""
    flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o666)


def _rename(partial: str, path: str) -> None:
    try:
        os.replace(partial, path)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.replace(partial, path)


def _write_all(descriptor: int, content: bytes) -> None:
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, content[written:])
