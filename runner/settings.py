"""What the user configured, and where each value came from: the only reader of variables."""

from __future__ import annotations

import os

from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRON: Mapping[str, str] = os.environ


class Settings(Value):
    """Settings of one invocation of Runproj.

    ``home`` is the cache directory; ``tracking_uri`` what was asked for, ``None`` when the
    default rules decide; ``spool`` the folder for what waits for a tracking server, unless
    ``require_tracking``; ``environ`` the variables that Runproj was started with. ``offline`` has
    environments made of what was fetched before.
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
    offline: bool = False


def settings(
    environ: Mapping[str, str] | None = None,
    *,
    tracking_uri: str | None = None,
    require_tracking: bool = False,
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
        offline=offline,
    )


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
