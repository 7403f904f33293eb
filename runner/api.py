"""The programming interface: ``runner.run`` and the handle it returns."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from runner.app import Application
from runner.errors import RunprojError, UsageError
from runner.model.event import Warned
from runner.model.plan import RunRequest
from runner.model.value import RunId
from runner.pipeline.draft import draft
from runner.pipeline.follow import follow
from runner.pipeline.launch import launch
from runner.pipeline.request import backend_options, duration, parsed_reference
from runner.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.model.event import Event
    from runner.model.run import Outcome
    from runner.model.tracking import TrackedRun
    from runner.pipeline.follow import Ended
    from runner.pipeline.launch import Flight
    from runner.ports import Reporter


class ExecutionError(RunprojError):
    """A run that was waited for did not finish: its command failed or was ended."""

    code = "execution"


class RunHandle:
    """A run that was started by ``runner.run``.

    The run is followed by a thread of this process, which serves its tracking endpoint and closes
    its record; the interpreter does not exit before the run has ended.
    """

    def __init__(self, flight: Flight, services: Application) -> None:
        self._flight = flight
        self._ended: Ended | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._follow, args=(services,), name=f"runproj-{flight.run.run_id[:8]}"
        )
        self._thread.start()

    def _follow(self, services: Application) -> None:
        try:
            self._ended = follow(self._flight, services)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self._error = error
        finally:
            services.close()

    @property
    def run_id(self) -> str:
        """The run's id in the tracking store."""
        return self._flight.run.run_id

    @property
    def status(self) -> str:
        """``RUNNING``, or how the run ended: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        return self.outcome.status if self.outcome else "RUNNING"

    def get_status(self) -> str:
        """Return the status, under the name that MLflow's ``SubmittedRun`` has for it."""
        return self.status

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it has not."""
        return self._ended.outcome if self._ended else None

    @property
    def exit_code(self) -> int | None:
        """The command's exit code; None while it runs, or when a signal ended it."""
        return self.outcome.exit_code if self.outcome else None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most ``timeout`` seconds; say whether the run has FINISHED.

        Raises:
            RunprojError: The run could not be followed to its end.
        """
        self._thread.join(timeout)
        if self._error is not None:
            raise self._error
        return self.status == "FINISHED"

    def cancel(self) -> None:
        """End the run, its whole process tree, and wait for that; no effect on an ended one."""
        if self._thread.is_alive():
            self._flight.handle.cancel()
        self.wait()

    def __repr__(self) -> str:
        return f"<run {self.run_id} {self.status}>"


class WarningReporter:
    """Turns Runproj's warnings into Python's."""

    def report(self, event: Event) -> None:
        """Take note of what happened."""
        if isinstance(event, Warned):
            import warnings

            warnings.warn(str(event.problem), stacklevel=2)


def run(  # noqa: PLR0913 - the signature of ``mlflow.projects.run``, and what we add
    uri: str,
    entry_point: str = "main",
    version: str | None = None,
    parameters: Mapping[str, object] | None = None,
    docker_args: Mapping[str, object] | None = None,
    experiment_name: str | None = None,
    experiment_id: str | None = None,
    backend: str = "local",
    backend_config: str | Mapping[str, object] | None = None,
    storage_dir: str | None = None,
    synchronous: bool = True,  # noqa: FBT001, FBT002 - MLflow's position for it
    run_id: str | None = None,
    run_name: str | None = None,
    env_manager: str | None = None,
    build_image: bool = False,  # noqa: FBT001, FBT002 - MLflow's position for it
    *,
    allow_host_access: bool = False,
    tags: Mapping[str, str] | None = None,
    tracking_uri: str | None = None,
    timeout: float | str | None = None,
    as_of: str | None = None,
    locked: bool = False,
    strict: bool = False,
    parent_run_id: str | None = None,
    system_metrics: bool | None = None,
    reporter: Reporter | None = None,
) -> RunHandle:
    """Run a project, with the argument names of ``mlflow.projects.run``.

    Args:
        uri: Directory, git URL or archive; ``#sub`` names a part of it.
        entry_point: An entry point's name, or a script in the project.
        version: Branch, tag or commit of a git project.
        parameters: Values by name; ``True`` and ``False`` become ``true`` and ``false``, lists
            and tuples the items of list parameters, ``None`` leaves a parameter unset.
        docker_args: Arguments for ``docker run``; ``None`` or ``True`` for bare flags.
        experiment_name: The experiment by name, made when there is none.
        experiment_id: The experiment by id.
        backend: Where to run.
        backend_config: The backend's options, or the path of a ``.json`` file with them.
        storage_dir: Where inputs are downloaded to.
        synchronous: Wait for the end, and raise when the run did not finish.
        run_id: Continue this run instead of making one.
        run_name: The run's name.
        env_manager: ``uv``, ``virtualenv`` or ``local``.
        build_image: Build the project into the docker image.
        allow_host_access: Let the container reach beyond itself, as ``--allow-host-access`` does.
        tags: Tags for the run.
        tracking_uri: Where to record; like ``--tracking-uri``.
        timeout: End the command after so many seconds (or ``"15m"``).
        as_of: Resolve packages as of a date, or ``"commit"``.
        locked: Refuse to resolve.
        strict: Treat warnings as errors.
        parent_run_id: The run that this is a step of; by default the active MLflow run of this
            process, or the run that this process is the command of.
        system_metrics: Sample the machine while the command runs; by default as the variables
            say, and yes if they say nothing.
        reporter: Is told what happens; by default warnings become Python's.

    Returns:
        The run's handle.

    Raises:
        ExecutionError: ``synchronous``, and the run ended FAILED or KILLED.
        RunprojError: The run could not be started.
    """
    found = settings(tracking_uri=tracking_uri)
    if experiment_name and experiment_id:
        raise UsageError("both experiment_name and experiment_id are given")
    name, identity = experiment_name, str(experiment_id) if experiment_id else None
    if not name and not identity:
        name, identity = found.experiment_name, found.experiment_id
    request = RunRequest(
        reference=parsed_reference(uri, version),
        caller=found.directory,
        entry_point=entry_point,
        parameters=_texts(parameters or {}),
        environment_manager=env_manager or found.environment_manager,
        as_of=as_of,
        locked=locked,
        strict=strict,
        backend=backend,
        backend_options=(
            backend_options(backend_config, found.directory)
            if isinstance(backend_config, str)
            else backend_config or {}
        ),
        docker_arguments={
            name: None if value is None or value is True else str(value)
            for name, value in (docker_args or {}).items()
        },
        build_image=build_image,
        host_access=allow_host_access,
        storage=storage_dir or found.storage,
        experiment_name=name,
        experiment_id=identity,
        run_id=RunId(run_id) if run_id else None,
        run_name=run_name,
        tags=dict(tags or {}),
        parent=_parent(parent_run_id or _active_mlflow_run() or found.parent),
        timeout=duration(str(timeout)) if timeout is not None else None,
        system_metrics=system_metrics,
    )
    services = Application(found, reporter or WarningReporter())
    handle = RunHandle(launch(draft(request, services), services), services)
    if synchronous and not handle.wait():
        raise ExecutionError(
            f"run {handle.run_id} {handle.status}", hint=f"runproj runs logs {handle.run_id[:8]}"
        )
    return handle


def search_runs(
    filter_string: str = "",
    *,
    experiments: Iterable[str] = (),
    order_by: Iterable[str] = (),
    max_results: int | None = None,
    tracking_uri: str | None = None,
) -> list[TrackedRun]:
    """Return the runs of a tracking store that a filter lets through.

    Args:
        filter_string: MLflow's filter language: ``metrics.rmse < 0.8 AND params.model = 'tree'``.
        experiments: Names or ids; without any those of all experiments.
        order_by: ``metrics.rmse``, ``params.alpha DESC``, ...; without any the newest first.
        max_results: How many runs at most.
        tracking_uri: Which store; like ``--tracking-uri``.

    Raises:
        FilterError: The filter or the order makes no sense.
        StoreError: There is no such experiment, or the store cannot be read.
    """
    from itertools import islice

    from runner.pipeline import lookup

    services = Application(settings(tracking_uri=tracking_uri), WarningReporter())
    try:
        chosen = lookup.chosen_experiments(services.store, experiments)
        found = lookup.search_runs(
            services.store,
            [*chosen],
            filter_text=filter_string,
            order=[*order_by],
            page_size=lookup.PAGE if max_results is None else max(1, max_results),
        )
        return [*islice(found, max_results)]
    finally:
        services.close()


def _parent(run_id: str | None) -> RunId | None:
    return RunId(run_id) if run_id else None


def _texts(parameters: Mapping[str, object]) -> dict[str, str | tuple[str, ...]]:
    """Write Python values as ``-P`` would give them."""
    return {
        str(name): tuple(map(_text, value)) if isinstance(value, list | tuple) else _text(value)
        for name, value in parameters.items()
        if value is not None
    }


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return os.fspath(value) if isinstance(value, str | os.PathLike) else str(value)


def _active_mlflow_run() -> Any:  # noqa: ANN401 - mlflow is no dependency, its types are not ours
    """Return the id of this process's active MLflow run, when MLflow is loaded and has one."""
    mlflow = sys.modules.get("mlflow")
    active = mlflow.active_run() if mlflow is not None and hasattr(mlflow, "active_run") else None
    return active.info.run_id if active else None
