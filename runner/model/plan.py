"""Everything that is decided before anything is executed."""

from __future__ import annotations

from runner.model.value import EMPTY, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from typing import Literal

    from runner.model.lock import RecordedLock
    from runner.model.project import ProjectReference, WorkingTree
    from runner.model.spec import CodePlacement, EntryPoint, Problem, ProjectSpec, Risk
    from runner.model.value import Digest, RunId


class RunRequest(Value):
    """All that the caller asks for.

    ``parameters`` are values as given; a tuple is a parameter given several times. ``caller`` is
    the directory that relative paths of the caller are relative to. ``environment_manager`` is
    ``None`` when Runproj may choose. ``timeout`` limits the command, not the preparation.
    ``recorded_lock`` is the lock of an earlier run, to be used instead of any other.
    ``system_metrics`` says whether the machine is sampled; ``None`` leaves it to the settings.
    ``host_access`` lets a container reach beyond itself (``Container.powers``).
    """

    reference: ProjectReference
    caller: str
    entry_point: str = "main"
    parameters: Mapping[str, str | tuple[str, ...]] = EMPTY
    environment_manager: str | None = None
    as_of: str | None = None
    locked: bool = False
    refresh: bool = False
    strict: bool = False
    backend: str = "local"
    backend_options: Mapping[str, object] = EMPTY
    docker_arguments: Mapping[str, str | None] = EMPTY
    build_image: bool = False
    storage: str | None = None
    experiment_name: str | None = None
    experiment_id: str | None = None
    run_id: RunId | None = None
    run_name: str | None = None
    tags: Mapping[str, str] = EMPTY
    parent: RunId | None = None
    timeout: timedelta | None = None
    clean_variables: bool = True
    host_access: bool = False
    system_metrics: bool | None = None
    recorded_lock: RecordedLock | None = None


class Input(Value):
    """A file or tree that a ``path`` parameter named, as it was when the run began.

    ``given`` is what the user wrote, ``path`` the absolute local path, ``digest`` the sha256 of
    the file or ``swh:1:dir:`` of the tree, ``size`` bytes in all.
    """

    parameter: str
    given: str
    path: str
    digest: Digest
    size: int


class Invocation(Value):
    """An entry point with every parameter bound.

    ``values`` are what the command gets (paths made absolute), ``given`` what is recorded; both
    hold every declared parameter that has a value, in order. ``extra`` are undeclared parameters,
    appended as flags. ``secrets`` are names whose values never leave this process except into the
    command's environment.
    """

    entry_point: EntryPoint
    values: Mapping[str, str | tuple[str, ...]]
    given: Mapping[str, str]
    extra: Mapping[str, str] = EMPTY
    inputs: tuple[Input, ...] = ()
    secrets: frozenset[str] = frozenset()
    warnings: tuple[Problem, ...] = ()


class Command(Value):
    """One command for a shell, run in the project directory.

    ``argv`` holds no secret: the script reads secrets from ``variables``, which are never shown.
    """

    argv: tuple[str, ...]
    variables: Mapping[str, str] = EMPTY

    @property
    def script(self) -> str:
        """The text that the shell reads."""
        return self.argv[-1]


class Mount(Value):
    """Something of the host inside a container, at the absolute path ``target``.

    ``kind`` is ``bind`` (``source`` is an absolute path of the host), ``volume`` (the engine's
    volume of that name, a new one without a name) or ``tmpfs``. ``options`` are those of
    ``docker run -v`` beyond ``ro`` and ``rw``.
    """

    kind: Literal["bind", "volume", "tmpfs"]
    source: str = ""
    target: str
    read_only: bool = False
    options: tuple[str, ...] = ()


class Container(Value):
    """How the container of a run is made, all but its image.

    ``variables`` are set as they are, ``copied`` names those of the caller to hand in: their values
    are nowhere but in the caller's environment. ``settings`` are what ``docker run`` was asked for
    beyond that, by option. ``user`` is as in ``docker run``, or ``caller`` (whoever runs Runproj,
    so that files in volumes are his) or ``image`` (whom the image names). ``powers`` are sentences,
    each about one thing that lets the command reach beyond its container.
    """

    code: CodePlacement = "copy"
    mounts: tuple[Mount, ...] = ()
    variables: Mapping[str, str] = EMPTY
    copied: tuple[str, ...] = ()
    network: str | None = None
    user: str = "caller"
    platform: str | None = None
    directory: str | None = None
    settings: Mapping[str, object] = EMPTY
    powers: tuple[str, ...] = ()


class Draft(Value):
    """A request that is known to be sound: what will run is clear, its environment not yet.

    ``container`` is there when the environment is an image.
    ``as_of`` hides packages uploaded later; ``is_dated_by_commit`` says that nobody asked for that
    date: it is when the commit was made.
    """

    request: RunRequest
    tree: WorkingTree
    spec: ProjectSpec
    invocation: Invocation
    command: Command
    builder: str
    as_of: datetime | None = None
    container: Container | None = None
    is_dated_by_commit: bool = False
    warnings: tuple[Problem, ...] = ()
    risks: tuple[Risk, ...] = ()
