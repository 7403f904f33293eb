"""MLflow's rules for what may be stored, the same for every store.

The limits are those of MLflow 2.22 and later (``mlflow/utils/validation.py``); older clients read
longer values than they write. Every refusal carries MLflow's error code as its ``status``.
"""

from __future__ import annotations

import os
import posixpath

from runner.errors import StoreError
from runner.model.value import RunId, changed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from runner.model.run import RunStatus
    from runner.model.tracking import Experiment, Metric, TrackedRun

KEY_LIMIT: Final = 250
"""The longest key of a parameter, metric or tag, in characters."""
PARAM_VALUE_LIMIT: Final = 6000
"""The longest parameter value; longer ones are the caller's to shorten."""
TAG_VALUE_LIMIT: Final = 8000
EXPERIMENT_NAME_LIMIT: Final = 500
EXPERIMENT_TAG_VALUE_LIMIT: Final = 20_000
"""As in MLflow 3.17; before, it was 5,000."""
RUN_NAME_LIMIT: Final = 250
PARAMS_A_BATCH: Final = 100
"""How many parameters one ``log-batch`` request may carry; tags and metrics likewise."""
TAGS_A_BATCH: Final = 100
METRICS_A_BATCH: Final = 1000

RUN_NAME_TAG: Final = "mlflow.runName"
DEFAULT_EXPERIMENT: Final = "0"
DEFAULT_EXPERIMENT_NAME: Final = "Default"

INVALID: Final = "INVALID_PARAMETER_VALUE"
MISSING: Final = "RESOURCE_DOES_NOT_EXIST"
TAKEN: Final = "RESOURCE_ALREADY_EXISTS"

STATUSES: Final = frozenset({"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"})
LIFECYCLES: Final = frozenset({"active", "deleted", "all"})
_INTEGER_LIMIT: Final = 2**63

ADJECTIVES = (
    "agile amber bold brave brisk calm candid clever copper cosmic crisp curious daring deft eager "
    "early fair fleet fond frank gentle gifted glad golden grand hardy humble jolly keen kind "
    "lively lucid lunar mellow merry mild modest nimble noble patient placid polite proud quick "
    "quiet rapid silver sincere sleek smart solar steady sunny swift tidy upbeat vivid warm witty"
)
"""With ``NOUNS``: the names of runs that nobody named."""
NOUNS = (
    "badger beaver bison cedar comet condor coral crane cricket dolphin eagle egret falcon fern "
    "finch fjord gazelle gecko glacier harbor heron ibex island jackal juniper kestrel lagoon "
    "lantern lark lemur lynx maple marlin meadow mesa moose nebula ocelot orchid osprey otter owl "
    "panda pebble pine puffin quail raven reef robin salmon sparrow spruce summit swan tern tiger "
    "tulip walrus willow wren"
)


def refused(message: str, *, hint: str | None = None) -> StoreError:
    """Say that a value cannot be stored."""
    return StoreError(message, status=INVALID, hint=hint)


def missing(message: str, *, hint: str | None = None) -> StoreError:
    """Say that there is no such thing."""
    return StoreError(message, status=MISSING, hint=hint)


def taken(message: str, *, hint: str | None = None) -> StoreError:
    """Say that there is such a thing already."""
    return StoreError(message, status=TAKEN, hint=hint)


def no_run(run_id: str) -> StoreError:
    """Say that there is no run of that id."""
    return missing(f"there is no run {run_id!r}", hint="'runproj runs list' shows the runs")


def no_tag(run_id: str, key: str) -> StoreError:
    """Say that a run has no tag of that name."""
    return missing(f"the run {run_id!r} has no tag {key!r}")


def no_experiment(experiment_id: str) -> StoreError:
    """Say that there is no experiment of that id."""
    return missing(
        f"there is no experiment with the id {experiment_id!r}",
        hint="name one instead; an experiment that is named is made when there is none",
    )


def no_experiment_tag(experiment_id: str, key: str) -> StoreError:
    """Say that an experiment has no tag of that name."""
    return missing(f"the experiment {experiment_id!r} has no tag {key!r}")


def no_registered_model(name: str) -> StoreError:
    """Say that no model is registered under that name, in MLflow's words."""
    return missing(f"Registered Model with name={shortened(name)} not found")


def registered_already(name: str) -> StoreError:
    """Say that a model is registered under that name, in MLflow's words."""
    return taken(f"Registered Model (name={shortened(name)}) already exists.")


def no_version(name: str, version: int) -> StoreError:
    """Say that a registered model has no such version, in MLflow's words."""
    return missing(f"Model Version (name={shortened(name)}, version={version}) not found")


def not_active(kind: str, name: str) -> StoreError:
    """Say that a deleted run or experiment cannot be written to."""
    return refused(f"the {kind} {name!r} is deleted", hint="restore it to write to it again")


def check_changeable(experiment: Experiment) -> None:
    """Refuse to change an experiment that is deleted."""
    if experiment.lifecycle != "active":
        raise StoreError(
            f"the experiment {experiment.name!r} is deleted",
            status="INVALID_STATE",
            hint="restore it to change it again",
        )


_patterns: dict[str, object] = {}


def _matches(pattern: str, text: str) -> bool:
    import re

    compiled = _patterns.get(pattern)
    if not isinstance(compiled, re.Pattern):
        compiled = _patterns[pattern] = re.compile(pattern)
    return bool(compiled.fullmatch(text))


def check_key(kind: str, key: str) -> None:
    """Refuse a key that MLflow refuses: it names a file in the file store."""
    if not key or len(key) > KEY_LIMIT:
        length = f"{len(key)} characters long, the limit is {KEY_LIMIT}" if key else "empty"
        raise refused(f"the {kind} name {shortened(key)!r} is {length}")
    if key.replace("_", "x").isalnum():  # the usual case, without regular expressions
        return
    if not _matches(r"[/\w.\- :]+", key):
        raise refused(
            f"the {kind} name {key!r} holds characters that cannot be stored",
            hint="use letters, digits, '_', '-', '.', ' ', ':' and '/'",
        )
    plain = posixpath.normpath(key)
    if plain != key or plain == "." or plain.startswith(("/", "..")):
        raise refused(f"the {kind} name {key!r} is not a plain relative path", hint=_plain(plain))


def _plain(path: str) -> str | None:
    suggestion = path.strip("/")
    return None if suggestion.startswith(".") or not suggestion else f"use {suggestion!r}"


def check_params(params: Mapping[str, str]) -> None:
    """Refuse parameters that MLflow refuses."""
    for key, value in params.items():
        check_key("parameter", key)
        _check_length(f"the value of parameter {key!r}", value, PARAM_VALUE_LIMIT)


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags of runs that MLflow refuses."""
    for key, value in tags.items():
        check_key("tag", key)
        _check_length(f"the value of tag {key!r}", value, TAG_VALUE_LIMIT)


def check_metrics(metrics: Iterable[Metric]) -> None:
    """Refuse metrics that MLflow refuses; NaN and the infinities are welcome."""
    for metric in metrics:
        check_key("metric", metric.key)
        if (
            0 <= metric.timestamp < _INTEGER_LIMIT
            and -_INTEGER_LIMIT <= metric.step < _INTEGER_LIMIT
        ):
            continue
        for what, number in (("timestamp", metric.timestamp), ("step", metric.step)):
            if not -_INTEGER_LIMIT <= number < _INTEGER_LIMIT:
                raise refused(
                    f"the {what} {number!r} of metric {metric.key!r} is no 64 bit integer"
                )
        raise refused(f"the timestamp {metric.timestamp} of metric {metric.key!r} is negative")


def check_experiment(name: str, tags: Mapping[str, str]) -> None:
    """Refuse an experiment that MLflow refuses."""
    if not name.strip():
        raise refused("an experiment needs a name")
    _check_length("the experiment's name", name, EXPERIMENT_NAME_LIMIT)
    check_experiment_tags(tags)


def check_experiment_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags of experiments that MLflow refuses."""
    for key, value in tags.items():
        check_key("tag", key)
        _check_length(f"the value of tag {key!r}", value, EXPERIMENT_TAG_VALUE_LIMIT)


def check_run(run_id: str, name: str, status: RunStatus | None) -> None:
    """Refuse a run that MLflow refuses."""
    check_run_id(run_id)
    _check_length("the run's name", name, RUN_NAME_LIMIT)
    if status is not None and status not in STATUSES:
        raise refused(f"{status!r} is no status of a run", hint=", ".join(sorted(STATUSES)))


def check_run_id(run_id: str) -> None:
    """Refuse an id that could name something else than a run's folder."""
    if not run_id.isalnum() and not _matches(r"[a-zA-Z0-9][\w\-]{0,255}", run_id):
        raise refused(f"{run_id!r} is no run id")


def is_plain_name(text: str) -> bool:
    """Whether a text names something in a folder and nothing above or below it."""
    return bool(text) and "/" not in text and "\0" not in text and text[0] != "."


def check_registered_name(name: str) -> None:
    """Refuse a name that no model can be registered under; it becomes a part of URIs."""
    if not name.strip() or len(name) > KEY_LIMIT or name[0] == "." or set(name) & set("/:\0"):
        raise refused(f"{shortened(name)!r} is no name for a registered model")


def check_registry_tags(tags: Mapping[str, str | None]) -> None:
    """Refuse tags of registered models and versions; None stands for a tag to take away."""
    for key, value in tags.items():
        check_key("tag", key)
        if value is not None:
            _check_length(f"the value of tag {key!r}", value, TAG_VALUE_LIMIT)


def check_alias(alias: str) -> None:
    """Refuse an alias that MLflow refuses: a version number and ``latest`` have their meaning."""
    if not _matches(r"[\w\-]{1,255}", alias) or _matches(r"[vV]\d+|latest", alias):
        raise refused(f"{shortened(alias)!r} is no alias for a model version")


def check_lifecycle(lifecycle: str) -> None:
    """Refuse a lifecycle that is none of ``active``, ``deleted`` and ``all``."""
    if lifecycle not in LIFECYCLES:
        raise refused(f"{lifecycle!r} is none of {', '.join(sorted(LIFECYCLES))}")


def _check_length(what: str, text: str, limit: int) -> None:
    if not isinstance(text, str):
        raise refused(f"{what} is no text but {type(text).__name__}")
    if len(text) > limit:
        raise refused(f"{what} is {len(text)} characters long, the limit is {limit}")


def check_again(run_id: str, key: str, old: str, new: str) -> None:
    """Refuse another value for a parameter that has one; the same number otherwise written is fine.

    A runner records ``0.50`` as it was given, and the program then logs the float ``0.5``.
    """
    if old != new and not same_number(old, new):
        raise refused(
            f"the parameter {key!r} of run {run_id!r} is {shortened(old)!r} already and cannot "
            f"become {shortened(new)!r}",
            hint="log it under another name, or in a nested run",
        )


def same_number(one: str, other: str) -> bool:
    """Whether two texts are the same number: ``0.50`` and ``0.5``, ``1e-3`` and ``0.001``."""
    if "_" in one or "_" in other:  # Python's own notation, nobody else's
        return False
    try:
        return int(one) == int(other)
    except ValueError:
        pass
    try:
        a, b = float(one), float(other)
    except ValueError:
        return False
    return a == b or (a != a and b != b)  # noqa: PLR0124 - both are NaN


def storable(text: str) -> str:
    """Return the text with what UTF-8 cannot say (lone surrogates) written as escapes."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shortened(text: str, limit: int = 80) -> str:
    """Return a text fit for a sentence."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def run_name() -> str:
    """Make up a name such as ``brave-otter-417``; the same one comes back about never."""
    adjectives, nouns = ADJECTIVES.split(), NOUNS.split()
    chance = int.from_bytes(os.urandom(8), "big")
    chance, number = divmod(chance, 900)
    chance, adjective = divmod(chance, len(adjectives))
    return f"{adjectives[adjective]}-{nouns[chance % len(nouns)]}-{number + 100}"


def new_id() -> str:
    """Make up a run id: 128 random bits in hex, as MLflow writes its UUIDs."""
    return os.urandom(16).hex()


def completed(run: TrackedRun) -> TrackedRun:
    """Return a run fit to be stored: id and name made up where empty, all of it checked.

    The name and the tag ``mlflow.runName`` say the same afterwards; a given name wins.

    Raises:
        StoreError: ``INVALID_PARAMETER_VALUE``: MLflow's rules are broken.
    """
    name = run.name or run.tags.get(RUN_NAME_TAG, "") or run_name()
    run_id = run.run_id or RunId(new_id())
    check_run(run_id, name, run.status)
    tags = {**run.tags, RUN_NAME_TAG: name}
    check_tags(tags)
    check_params(run.params)
    check_metrics(run.metrics.values())
    return changed(run, run_id=run_id, name=storable(name), tags=tags)
