"""One SQLite file with MLflow's tables: opened at the first use, made at the first write."""

from __future__ import annotations

import os
import sqlite3
import time
from _thread import RLock

from runner.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

CHECKPOINT_PAGES = 8000
"""After so many pages (32 MB) the write-ahead log goes into the database: metrics of many keys
touch the same pages again and again, which are then written once."""
CACHE_KIB = 16_000
SPARE = 2
"""So many connections are kept for those who read aside."""
BUSY_SECONDS = 20.0
"""How long to wait for another process that is writing."""

WRITTEN = {
    "experiments": "experiment_id name artifact_location lifecycle_stage creation_time"
    " last_update_time",
    "experiment_tags": "key value experiment_id",
    "runs": "run_uuid name source_type source_name entry_point_name user_id status start_time"
    " end_time source_version lifecycle_stage artifact_uri experiment_id deleted_time",
    "params": "key value run_uuid",
    "tags": "key value run_uuid",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp step is_nan run_uuid",
}
"""The columns that we write, by table: all there since MLflow 1.30, under the same names."""

_COLUMNS = (
    "SELECT m.name, p.name, p.[notnull] AND p.dflt_value IS NULL AND NOT p.pk"
    " FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name IN"
    " ('alembic_version', 'experiments', 'experiment_tags', 'runs', 'params', 'tags', 'metrics',"
    " 'latest_metrics')"
)
_LOCAL_FILESYSTEMS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "bcachefs"}
)


class Database:
    """A connection that threads share in turn.

    One connection behind one lock: Python's SQLite gives up the interpreter lock while it waits,
    transactions are short, and the file has one writer at a time anyway.
    """

    def __init__(self, path: str, artifact_root: str, *, durable: bool = False) -> None:
        self.path = path
        self._artifact_root = artifact_root
        self._durable = durable
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._empty: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._wal = False
        self._spare: list[sqlite3.Connection] = []
        self._lent: dict[sqlite3.Connection, tuple[int, int] | None] = {}

    def reading(self) -> Transaction:
        """Begin a transaction that sees one state of the data, an empty store if there is none."""
        return Transaction(self, writes=False)

    def writing(self, *, durable: bool = False) -> Transaction:
        """Begin a transaction that writes; a ``durable`` one survives a power cut at once."""
        return Transaction(self, writes=True, durable=durable or self._durable)

    def acquire(self, *, writes: bool, durable: bool) -> sqlite3.Connection:
        """Take the lock and begin; ``release`` must follow unless this raises."""
        self._lock.acquire()
        try:
            connection = self._connected(writes=writes)
            if self._wal and durable:
                connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        except BaseException as error:
            self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise self.complaint(error) from error
            raise
        return connection

    def release(self, connection: sqlite3.Connection, *, commit: bool, durable: bool) -> None:
        """End the transaction and give the lock back."""
        try:
            if commit:
                connection.execute("COMMIT")
        finally:
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if self._wal and durable:
                    connection.execute("PRAGMA synchronous = NORMAL")
            finally:
                self._lock.release()

    def aside(self) -> Aside:
        """Begin to read on a connection of one's own: a long search holds up nobody."""
        return Aside(self)

    def lend(self) -> tuple[sqlite3.Connection, bool]:
        """Begin to read; whether the connection is one's own. ``take_back`` must follow.

        Without a write-ahead log readers and writers exclude each other: then all share one.
        """
        self._lock.acquire()
        try:
            shared = self._connected(writes=False)
            own = self._wal and shared is not self._empty
            connection = shared
            if own:
                connection = self._spare.pop() if self._spare else self._opened()
            connection.execute("BEGIN")
        except BaseException as error:
            self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise self.complaint(error) from error
            raise
        if own:
            self._lent[connection] = self._identity
            self._lock.release()
        return connection, own

    def take_back(self, connection: sqlite3.Connection, *, own: bool) -> None:
        """Keep a connection for the next who asks, or give the lock back with the shared one."""
        connection.execute("ROLLBACK")
        if not own:
            self._lock.release()
            return
        with self._lock:
            is_current = self._lent.pop(connection) == self._identity is not None
            if is_current and len(self._spare) < SPARE:
                self._spare.append(connection)
            else:
                connection.close()

    @property
    def is_made(self) -> bool:
        """Whether the file is open: then it has its tables."""
        return self._connection is not None

    def has_table(self, name: str) -> bool:
        """Whether there is a table of that name; what an old MLflow made lacks some."""
        with self.reading() as connection:
            query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
            return connection.execute(query, (name,)).fetchone() is not None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            for connection in (self._connection, self._empty, *self._spare):
                if connection is not None:
                    connection.close()
            self._spare.clear()
            self._connection = self._empty = self._identity = None

    def _connected(self, *, writes: bool) -> sqlite3.Connection:
        identity = _identity(self.path)
        if self._connection is not None and identity == self._identity:
            return self._connection
        if self._connection is not None:  # the file was deleted or replaced behind our back
            self.close()
        if identity is None and not writes:
            return self._nothing()
        connection = self._opened()
        try:
            if not self._is_ready(connection):
                if not writes:
                    connection.close()
                    return self._nothing()
                self._make(connection)
            self._wal = connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            if self._wal:
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
                connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, _identity(self.path)
        return connection

    def _opened(self) -> sqlite3.Connection:
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the folder of the tracking store cannot be made: {error.strerror}", where=folder
            ) from error
        return sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    def _nothing(self) -> sqlite3.Connection:
        """Return an empty store in memory, for readers of a file that nobody has made yet."""
        if self._empty is None:
            self._empty = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._fill(self._empty)
        return self._empty

    def _is_ready(self, connection: sqlite3.Connection) -> bool:
        """Whether the tables are there and ours to write; False for an empty file."""
        found: dict[str, dict[str, bool]] = {}
        for table, column, is_required in connection.execute(_COLUMNS):
            found.setdefault(table, {})[column] = bool(is_required)
        if not found:
            others = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if others:
                raise self._unfit("it holds other tables than MLflow's", None)
            return False
        if found.keys() != {"alembic_version", *WRITTEN}:
            raise self._unfit(
                "it lacks tables of MLflow's",
                "if MLflow is making it right now, try again; else 'mlflow db upgrade' it",
            )
        for table, columns in WRITTEN.items():
            self._check_columns(connection, table, columns.split(), found[table])
        return True

    def _check_columns(
        self, connection: sqlite3.Connection, table: str, ours: list[str], found: dict[str, bool]
    ) -> None:
        if lacking := [column for column in ours if column not in found]:
            raise self._unfit(
                f"its table {table} has no column {lacking[0]}",
                f"it was made by an MLflow before 1.30: run 'mlflow db upgrade sqlite:///{self.path}'",
            )
        if unknown := [c for c, is_required in found.items() if is_required and c not in ours]:
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            raise self._unfit(
                f"its table {table} wants a value for {unknown[0]} that this version of runproj"
                f" does not know (revision {revision[0] if revision else 'unknown'})",
                "update runproj, or start 'mlflow server' on it and give its http: address as "
                "tracking URI",
            )

    def _unfit(self, why: str, hint: str | None) -> StoreError:
        return StoreError(
            f"the database cannot be used as tracking store: {why}",
            where=self.path,
            hint=hint or "name another file: --tracking-uri sqlite:///other.db",
        )

    def _make(self, connection: sqlite3.Connection) -> None:
        """Make the tables, unless another process was faster."""
        if _is_local(self.path):
            self._use_wal(connection)
        connection.execute("BEGIN EXCLUSIVE")
        try:
            if not self._is_ready(connection):
                self._fill(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _fill(self, connection: sqlite3.Connection) -> None:
        from runner.stores import mlflow_schema

        mlflow_schema.create(connection, self._artifact_root, int(time.time() * 1000))

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Switch the new file to a write-ahead log: five times faster for small writes.

        SQLite does not wait for others here, so we do. On network file systems a write-ahead log
        would lose data (sqlite.org/wal.html), there the rollback journal stays.
        """
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.005)
            else:
                return

    def complaint(self, error: sqlite3.Error) -> StoreError:
        """Say what SQLite's error means."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        sentence, status, hint = _MEANINGS.get(code, (f"SQLite says: {error}", _BROKEN, None))
        return StoreError(
            f"the tracking store cannot be used: {sentence}",
            status=status,
            where=self.path,
            hint=hint,
        )


class Transaction:
    """What ``with`` holds: the connection, inside a transaction that is committed or undone."""

    __slots__ = ("_connection", "_database", "_durable", "_writes")

    def __init__(self, database: Database, *, writes: bool, durable: bool = False) -> None:
        self._database = database
        self._writes = writes
        self._durable = durable

    def __enter__(self) -> sqlite3.Connection:
        self._connection = self._database.acquire(writes=self._writes, durable=self._durable)
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._database.release(self._connection, commit=error is None, durable=self._durable)
        except sqlite3.Error as failure:
            raise self._database.complaint(failure) from failure
        if isinstance(error, sqlite3.Error):
            raise self._database.complaint(error) from error


class Aside:
    """What ``with`` holds: a connection of one's own, which sees one state of the data."""

    __slots__ = ("_connection", "_database", "_own")

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        self._connection, self._own = self._database.lend()
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.take_back(self._connection, own=self._own)
        if isinstance(error, sqlite3.Error):
            raise self._database.complaint(error) from error


_BROKEN = "INTERNAL_ERROR"
_LATER = "TEMPORARILY_UNAVAILABLE"
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_IN_USE = (
    f"another process has been writing to it for {BUSY_SECONDS:.0f} s",
    _LATER,
    "end the other process, or try again",
)
_UNREADABLE = (
    "the file is damaged or is no SQLite database",
    _BROKEN,
    "restore it from a copy, or name another file: --tracking-uri sqlite:///other.db",
)
_MEANINGS: dict[int, tuple[str, str, str | None]] = {
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_FULL: ("the disk is full", _LATER, "free some space and try again"),
    sqlite3.SQLITE_IOERR: ("the disk cannot be read or written", _LATER, "is the disk full?"),
    sqlite3.SQLITE_READONLY: (
        "the file or its folder is read-only",
        "PERMISSION_DENIED",
        "make both writable, or choose another store with --tracking-uri",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened or made",
        "PERMISSION_DENIED",
        "check that the path names a file in a writable folder",
    ),
    sqlite3.SQLITE_CORRUPT: _UNREADABLE,
    sqlite3.SQLITE_NOTADB: _UNREADABLE,
}


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_local(path: str) -> bool:
    """Whether the file is known to be on a file system of this machine (Linux only)."""
    wanted = os.path.realpath(os.path.dirname(path))
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                _device, point, type_ = line.split(" ")[:3]
                where = point.replace("\\040", " ")
                inside = wanted == where or wanted.startswith(where.rstrip("/") + "/")
                if inside and len(where) >= len(best):
                    best, kind = where, type_
    except OSError:
        return False
    return kind in _LOCAL_FILESYSTEMS
