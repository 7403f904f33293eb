"""A run: the job, how it ended, and the record of it all."""

from __future__ import annotations

from runner.model.value import EMPTY, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from typing import Literal, TypeAlias

    from runner.model.lock import Environment
    from runner.model.plan import Command, Container
    from runner.model.value import Digest, RunId

    RunStatus: TypeAlias = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
    """MLflow's words for where a run is."""
    Phase: TypeAlias = Literal["prepare", "lock", "build", "submit", "command", "record"]

ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})


class StoreAccess(Value):
    """How a running command reaches the tracking store, and where its output files belong."""

    variables: Mapping[str, str] = EMPTY


class Job(Value):
    """One command, ready to run in an environment that exists.

    ``folder`` is where the job's own files live (``job.json``, ``outcome.json``); ``stdout`` and
    ``stderr`` are the log files to write. ``orphan`` says what the supervisor does when the process
    that follows the job dies: ``end`` the command or let it ``continue``. ``leases`` are open file
    descriptors whose locks must hold as long as the command runs (the working tree's, for one).
    ``container`` says how to make one, where ``environment`` is an image; ``files`` are then those
    of ``directory`` that belong to the project (``None``: all of them). ``sampling`` is the number
    of seconds between two looks at the machine, 0 for none.
    """

    run_id: RunId
    folder: str
    directory: str
    command: Command
    environment: Environment
    access: StoreAccess
    stdout: str
    stderr: str
    timeout: timedelta | None = None
    orphan: Literal["end", "continue"] = "end"
    leases: tuple[int, ...] = ()
    sampling: float = 0.0
    container: Container | None = None
    files: tuple[str, ...] | None = None


class Usage(Value):
    """What the command used: CPU seconds (user and system) and peak memory in bytes."""

    user: float
    system: float
    peak_memory: int


class Outcome(Value):
    """How a run ended.

    ``phase`` is how far it came. ``exit_code`` is the command's own; ``signal`` the one that ended
    it. ``reason`` is a word of ours: ``exit``, ``signal``, ``timeout``, ``cancelled``,
    ``orphaned``, ``lost`` (nobody saw the end), ``error``. ``detail`` is one sentence for people.
    """

    status: RunStatus
    phase: Phase
    reason: str
    started: datetime
    finished: datetime
    exit_code: int | None = None
    signal: int | None = None
    usage: Usage | None = None
    detail: str = ""


class Artifact(Value):
    """A file that a run left behind; ``path`` is relative to the run's artifact root."""

    path: str
    size: int
    digest: Digest | None = None
