"""What the user configured, and where each value came from: the only reader of variables."""

from __future__ import annotations

import os

from runner.errors import UsageError
from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRON: Mapping[str, str] = os.environ


SAMPLING = 10.0
"""Seconds between two samples of the machine, as in MLflow."""
SHORTEST_SAMPLING, LONGEST_SAMPLING = 0.1, 86400.0
AUTO, DIRECT, ENDPOINT = TRACKING = ("auto", "direct", "endpoint")
"""How a command reaches the store: by itself, or through an endpoint of Runproj's; ``auto`` has an
endpoint in front of local stores only."""
SWITCHED_ON = frozenset({"true", "1", "yes", "on"})
SWITCHED_OFF = frozenset({"false", "0", "no", "off"})


class Settings(Value):
    """Settings of one invocation of Runproj.

    ``home`` is the cache directory; ``tracking_uri`` what was asked for, ``None`` when the
    default rules decide; ``spool`` the folder for what waits for a tracking server, unless
    ``require_tracking``; ``tracking`` how commands reach the store; ``environ`` the variables that
    Runproj was started with. ``offline`` has environments made of what was fetched before.
    """

    home: str
    directory: str
    environ: Mapping[str, str]
    tracking_uri: str | None = None
    environment_manager: str | None = None
    experiment_name: str | None = None
    experiment_id: str | None = None
    parent: str | None = None
    storage: str | None = None
    spool: str
    require_tracking: bool = False
    tracking: str = AUTO
    offline: bool = False


def settings(
    environ: Mapping[str, str] | None = None,
    *,
    tracking_uri: str | None = None,
    require_tracking: bool = False,
    tracking: str | None = None,
    offline: bool = False,
) -> Settings:
    """Read the settings from the variables; arguments win over them.

    Inside a run the variables of the run's own endpoint are seen through: a nested Runproj writes
    to the store that the outer one uses, and takes nothing from it but the parent.
    """
    given = dict(ENVIRON if environ is None else environ)
    inside = given.get("RUNPROJ_RUN_ID")
    uri = given.get("MLFLOW_TRACKING_URI") or None
    if inside and uri == given.get("RUNPROJ_ENDPOINT"):
        uri = given.get("RUNPROJ_TRACKING_URI") or uri
    experiment_id = given.get("MLFLOW_EXPERIMENT_ID") or None
    if inside and experiment_id == given.get("RUNPROJ_EXPERIMENT_ID"):
        experiment_id = None
    return Settings(
        home=home(given),
        directory=working_directory(given),
        environ=given,
        tracking_uri=tracking_uri or uri,
        environment_manager=given.get("RUNPROJ_ENV_MANAGER") or None,
        experiment_name=given.get("MLFLOW_EXPERIMENT_NAME") or None,
        experiment_id=experiment_id,
        parent=inside,
        storage=given.get("MLFLOW_TMP_DIR") or None,
        spool=spool(given),
        require_tracking=require_tracking or is_true(given.get("RUNPROJ_REQUIRE_TRACKING")),
        tracking=_tracking(tracking or given.get("RUNPROJ_TRACKING") or AUTO),
        offline=offline,
    )


def _tracking(word: str) -> str:
    """Read how commands are to reach the tracking store.

    Raises:
        UsageError: It is none of the ways.
    """
    if word not in TRACKING:
        raise UsageError(
            f"'{word}' is no way to a tracking store", hint=f"choose one of {', '.join(TRACKING)}"
        )
    return word


def sampling(environ: Mapping[str, str], wanted: bool | None) -> float:  # noqa: FBT001
    """Return the seconds between two samples of the machine; 0 when there are to be none.

    MLflow's variables are understood. ``RUNPROJ_SYSTEM_METRICS`` wins over them: ``false``, or a
    number of seconds; it is what a nested run gets, because MLflow's client in a run is told not to
    sample what is sampled already.

    Raises:
        UsageError: A variable is neither a switch nor a number.
    """
    own = environ.get("RUNPROJ_SYSTEM_METRICS", "").strip().lower()
    switch = environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "").strip().lower()
    name, interval = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", ""
    if own and own not in SWITCHED_ON | SWITCHED_OFF:
        name, interval = "RUNPROJ_SYSTEM_METRICS", own
    interval = interval or environ.get(name, "").strip() or str(SAMPLING)
    if not wanted and (wanted is False or (own or switch) in SWITCHED_OFF):
        return 0.0
    try:
        seconds = float(interval)
    except ValueError:
        seconds = -1.0
    if not SHORTEST_SAMPLING <= seconds <= LONGEST_SAMPLING:
        raise UsageError(
            f"{name} is {interval!r}: a number of seconds from {SHORTEST_SAMPLING:g} to "
            f"{LONGEST_SAMPLING:g} was expected",
            hint="MLflow's default is 10; --no-system-metrics takes no samples",
        )
    return seconds


def home(environ: Mapping[str, str]) -> str:
    """Return the cache directory: ``RUNPROJ_HOME``, else the platform's user cache."""
    if chosen := environ.get("RUNPROJ_HOME"):
        return os.path.abspath(os.path.expanduser(chosen))
    cache = environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):
        mac = os.uname().sysname == "Darwin"
        cache = os.path.expanduser("~/Library/Caches" if mac else "~/.cache")
    return os.path.join(cache, "runproj")


def spool(environ: Mapping[str, str]) -> str:
    """Return the folder for what cannot be made again: below ``RUNPROJ_HOME``, else user data."""
    if environ.get("RUNPROJ_HOME"):
        return os.path.join(home(environ), "spool")
    data = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        mac = os.uname().sysname == "Darwin"
        data = os.path.expanduser("~/Library/Application Support" if mac else "~/.local/share")
    return os.path.join(data, "runproj", "spool")


def is_true(text: str | None) -> bool:
    """Say what a variable that switches something on or off says."""
    return (text or "").strip().lower() in {"1", "true", "yes", "on"}


def working_directory(environ: Mapping[str, str]) -> str:
    """Return the caller's directory as the caller sees it, symbolic links kept."""
    actual = os.getcwd()
    logical = environ.get("PWD", "")
    if os.path.isabs(logical) and os.path.realpath(logical) == os.path.realpath(actual):
        return logical
    return actual
