"""What a project says about itself, and what is wrong with that."""

from __future__ import annotations

from runner.model.value import EMPTY, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, TypeAlias

    from runner.model.value import EntryPointName

    ParameterType = Literal["string", "int", "float", "bool", "path", "uri"]
    Pull: TypeAlias = Literal["missing", "always", "never"]
    CodePlacement: TypeAlias = Literal["copy", "mount", "image"]


class Place(Value):
    """A place in a file, counted from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Value):
    """One finding: what was found, where, and what to do about it.

    ``rule`` is a stable, kebab-case identifier, such as ``unknown-key``. ``entry_point`` is set
    when the finding concerns that entry point only: the others run all the same. A ``note`` is told
    to those who ask what a project says, not at every run, and is nothing to be strict about.
    """

    severity: Literal["error", "warning", "note"]
    rule: str
    message: str
    place: Place | None = None
    hint: str | None = None
    entry_point: str | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.severity}: {self.message}{hint}"


SEVERITIES = ("high", "medium", "low")


class Risk(Value):
    """One thing that may keep a run from being reproduced.

    ``high``: it cannot be run again as it was; ``medium``: it depends on things that change;
    ``low``: it may give other numbers, or only from here. ``rule`` is a stable identifier.
    """

    severity: Literal["high", "medium", "low"]
    rule: str
    message: str
    where: str
    fix: str


class Parameter(Value):
    """One parameter of an entry point.

    ``default`` is the text that would be given with ``-P``; for lists (``is_list``) a tuple of
    such texts. ``None`` and not ``optional`` means that a value is required. ``switch`` is the flag
    that stands for a true boolean. ``minimum`` and ``maximum`` are inclusive.
    """

    name: str
    type: ParameterType = "string"
    default: str | tuple[str, ...] | None = None
    optional: bool = False
    is_list: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    switch: str | None = None
    secret: bool = False
    description: str | None = None
    place: Place | None = None

    @property
    def is_required(self) -> bool:
        """Whether the caller must give a value."""
        return self.default is None and not self.optional and self.switch is None


class EntryPoint(Value):
    """A command template (``str.format`` syntax) and the parameters it takes."""

    name: EntryPointName
    template: str | None
    parameters: tuple[Parameter, ...] = ()
    description: str | None = None
    place: Place | None = None

    def parameter(self, name: str) -> Parameter | None:
        """Return the declared parameter of that name."""
        return next((p for p in self.parameters if p.name == name), None)


class PythonSpec(Value):
    """A Python environment asked for by ``python_env.yaml``, requirements or ``pyproject.toml``.

    ``python`` is a version as the user wrote it (``3.11``, ``3.8.18``) or a PEP 440 specifier
    (``>=3.8,<3.11``); ``None`` leaves the choice to Runproj. ``requirements`` are lines in
    requirements.txt format, relative to ``directory``, itself relative to the project.
    ``origin`` names the file that asked (relative to the project; ``""`` when there is none).
    ``project_file`` is the ``pyproject.toml`` to install from, where that is the source.
    """

    origin: str = ""
    kind: Literal["python_env", "conda", "requirements", "pyproject", "none"] = "none"
    directory: str = ""
    python: str | None = None
    build_requirements: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    place: Place | None = None


class CondaSpec(Value):
    """A conda environment that holds more than Python and pip packages."""

    origin: str
    name: str | None = None
    channels: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str]
    place: Place | None = None


class DockerSpec(Value):
    """A container image, and how a run's container is made from it.

    ``image`` is a reference to pull; with ``dockerfile`` or ``context`` (paths relative to the
    project, never outside of it) the image is built, with ``args`` up to the stage ``target``, and
    ``image`` is only what the build may start from. ``variables`` maps a name to its value, or to
    ``None`` for "copy it from the caller". ``volumes`` are texts ``host:container[:mode]``.
    ``code`` says how the project gets to ``/mlflow/projects/code``: a writable ``copy``, a
    read-only ``mount``, or not at all because it is in the ``image``. ``pull`` says when a registry
    is asked. ``gpus``, ``network``, ``user`` and ``platform`` are as in ``docker run``.
    """

    image: str | None = None
    volumes: tuple[str, ...] = ()
    variables: Mapping[str, str | None] = EMPTY
    dockerfile: str | None = None
    context: str | None = None
    args: Mapping[str, str] = EMPTY
    target: str | None = None
    gpus: str | None = None
    network: str | None = None
    user: str | None = None
    platform: str | None = None
    pull: Pull = "missing"
    code: CodePlacement = "copy"
    place: Place | None = None

    @property
    def is_built(self) -> bool:
        """Whether the project brings a Dockerfile of its own."""
        return self.dockerfile is not None or self.context is not None


if TYPE_CHECKING:
    EnvironmentSpec: TypeAlias = PythonSpec | CondaSpec | DockerSpec


class ProjectSpec(Value):
    """A whole MLproject file, validated. ``file`` is its name, ``None`` when there is none.

    ``reproduce`` holds tolerances as the user wrote them, for ``metrics`` and ``artifacts``.
    """

    name: str | None
    file: str | None
    environment: EnvironmentSpec
    entry_points: Mapping[EntryPointName, EntryPoint]
    description: str | None = None
    reproduce: Mapping[str, Mapping[str, str]] = EMPTY
