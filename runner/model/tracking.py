"""The things a tracking store keeps, under MLflow's names. Times are milliseconds since 1970."""

from __future__ import annotations

from runner.model.value import EMPTY, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.run import RunStatus
    from runner.model.value import RunId
    from runner.query.filters import Comparison
    from runner.query.search import Ordering


class Experiment(Value):
    """A named group of runs. ``lifecycle`` is ``active`` or ``deleted``."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle: str = "active"
    created: int | None = None
    updated: int | None = None
    tags: Mapping[str, str] = EMPTY


class Metric(Value):
    """One measured number. ``timestamp`` is in milliseconds."""

    key: str
    value: float
    timestamp: int
    step: int = 0


class TrackedRun(Value):
    """A run as the store sees it; ``metrics`` holds the latest of each key."""

    run_id: RunId
    experiment_id: str
    name: str
    status: RunStatus
    started: int | None
    ended: int | None
    artifact_uri: str
    user: str = ""
    lifecycle: str = "active"
    params: Mapping[str, str] = EMPTY
    tags: Mapping[str, str] = EMPTY
    metrics: Mapping[str, Metric] = EMPTY


class RunPage(Value):
    """Some runs, and the token that asks for the next ones."""

    runs: tuple[TrackedRun, ...]
    next_page: str | None = None


class RunSearch(Value):
    """What to look for among the runs of some experiments; without ``order`` the newest first."""

    experiment_ids: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    order: tuple[Ordering, ...] = ()
    lifecycle: str = "active"
    start: int = 0
    limit: int


class Spooled(Value):
    """A run, or the rest of one, that waits on this machine for its tracking server.

    ``on_server`` says that the server made the run, under this id; ``path`` is its folder.
    """

    run_id: RunId
    tracking_uri: str
    on_server: bool
    created: int
    path: str


class Dataset(Value):
    """Data that a run read. ``source``, ``schema`` and ``profile`` are JSON texts."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class DatasetInput(Value):
    """A dataset as one run used it; the tag ``mlflow.data.context`` says for what."""

    dataset: Dataset
    tags: Mapping[str, str] = EMPTY


class ModelOutput(Value):
    """A logged model that a run made, at a step."""

    model_id: str
    step: int = 0


class Lineage(Value):
    """What a run read and what it made. ``models`` are the ids of logged models it loaded."""

    datasets: tuple[DatasetInput, ...] = ()
    models: tuple[str, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()


class ModelMetric(Value):
    """A metric of a logged model, with the run and the dataset that it was measured on."""

    model_id: str
    run_id: RunId
    metric: Metric
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LoggedModel(Value):
    """A model that MLflow 3 keeps beside the runs of an experiment.

    ``status`` is ``PENDING``, ``READY`` or ``UPLOAD_FAILED``; the store fills in an empty
    ``artifact_uri``.
    """

    model_id: str
    experiment_id: str
    name: str
    artifact_uri: str = ""
    status: str = "PENDING"
    status_message: str | None = None
    model_type: str = ""
    source_run_id: str = ""
    created: int
    updated: int
    params: Mapping[str, str] = EMPTY
    tags: Mapping[str, str] = EMPTY
    metrics: tuple[ModelMetric, ...] = ()


class RegisteredModel(Value):
    """A name under which versions of models are registered; ``aliases`` name versions."""

    name: str
    created: int
    updated: int
    description: str = ""
    tags: Mapping[str, str] = EMPTY
    aliases: Mapping[str, int] = EMPTY


class ModelVersion(Value):
    """One version of a registered model.

    ``source`` is what was registered, ``location`` where its files are; ``stage`` is ``None``,
    ``Staging``, ``Production`` or ``Archived``, in MLflow's spelling.
    """

    name: str
    version: int
    created: int
    updated: int
    source: str
    location: str
    run_id: str = ""
    run_link: str = ""
    description: str = ""
    stage: str = "None"
    status: str = "READY"
    user: str = ""
    tags: Mapping[str, str] = EMPTY
