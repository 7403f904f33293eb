"""Copy what one tracking store holds into another, whatever kinds they are.

Everything may be repeated: what is there already is found again, by its id or by the tag that
names its origin, and only what is missing is written. So a copy that was killed is finished by
calling it once more, and a copy of a store that goes on growing catches up. A run that is being
copied says SCHEDULED until all its data are there.
"""

from __future__ import annotations

from runner.errors import StoreError, UsageError
from runner.model.event import Progress
from runner.model.run import ENDED
from runner.model.tracking import Lineage, ModelOutput
from runner.model.value import EMPTY, RunId, changed
from runner.pipeline.origins import (
    COPIED_FROM,
    model_origin_of,
    origin_of,
    translated,
    unknown_ids,
)
from runner.pipeline.store_reading import (
    RUN_NAME_TAG,
    every_run,
    listed,
    measured,
    name_of,
    point,
)
from runner.pipeline.tally import Scope, Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.model.run import Artifact
    from runner.model.tracking import Experiment, LoggedModel, Metric, TrackedRun
    from runner.pipeline.tally import Copied
    from runner.ports import Artifacts, Reporter, TrackingStore

UNFINISHED = "SCHEDULED"
"""What a run says whose data are still on their way; nobody takes it for lost or done."""
DONE = "done"
"""Stands for a deleted experiment that is deleted in the target, too."""


def transfer(
    source: TrackingStore,
    target: TrackingStore,
    *,
    reporter: Reporter,
    scope: Scope = Scope(),  # noqa: B008 - values never change
    dry_run: bool = False,
) -> Copied:
    """Copy experiments, runs, logged models and registered models.

    Raises:
        StoreError: One of the stores cannot be had; calling again goes on where this one ended.
    """
    tally = Tally()
    copying = Transfer(source, target, tally, dry_run=dry_run)
    for experiment in chosen(source, scope):
        copying.experiment(experiment, reporter)
    copying.link()
    if scope.registry:
        from runner.pipeline.transfer_registry import transfer_registry

        transfer_registry(copying, dry_run=dry_run)
    return tally.result()


def chosen(store: TrackingStore, scope: Scope) -> tuple[Experiment, ...]:
    """Return the experiments of a scope, oldest first; deleted ones only where all are meant.

    Raises:
        UsageError: There is no experiment of a name.
    """
    there = store.experiments()
    names = {experiment.name for experiment in there if experiment.lifecycle == "active"}
    for name in scope.experiments:
        if name not in names:
            raise UsageError(
                f"there is no experiment named {name!r} in {store.uri}",
                hint=f"there are: {', '.join(sorted(names))}",
            )
    if not scope.experiments:
        return there
    return tuple(experiment for experiment in there if experiment.name in scope.experiments)


class Transfer:
    """One copy under way: which ids have become which, and what is left to be linked.

    ``mark`` is the tag for the origins of runs and models in a target that chooses ids itself.
    """

    def __init__(
        self,
        source: TrackingStore,
        target: TrackingStore,
        tally: Tally,
        *,
        mark: str = COPIED_FROM,
        dry_run: bool = False,
    ) -> None:
        self.source = source
        self.target = target
        self.tally = tally
        self.ids: dict[str, str] = {}
        self._mark = mark
        self._dry_run = dry_run
        self._open: list[tuple[RunId, RunId, bool]] = []
        self._unlinked: dict[RunId, dict[str, str]] = {}
        self._ending: list[str] = []
        self._models: list[tuple[LoggedModel, LoggedModel]] = []
        self._source_models = source.model_store
        self._target_models = target.model_store

    def experiment(self, experiment: Experiment, reporter: Reporter) -> None:
        """Copy one experiment with its runs and models; what they refer to is linked later."""
        place = self._place(experiment)
        if place == DONE:
            return
        ids = [run.run_id for run in every_run(self.source, experiment.experiment_id)]
        for number, run_id in enumerate(reversed(ids), 1):
            reporter.report(Progress(line=f"{experiment.name}: run {number} of {len(ids)}"))
            try:
                self.run(self.source.run(run_id), place)
            except StoreError as error:
                self.tally.trouble(f"run {run_id}", error)
        models = self._source_models
        for model in reversed(models.models([experiment.experiment_id]) if models else ()):
            reporter.report(Progress(line=f"{experiment.name}: model {model.name}"))
            try:
                self.model(model, place)
            except StoreError as error:
                self.tally.trouble(f"logged model {model.model_id}", error)

    def _place(self, experiment: Experiment) -> str | None:
        """Return the target's experiment of the same name; None in a dry run without one."""
        there = self.target.experiment_named(experiment.name)
        self.tally.count("experiments", new=there is None)
        if there is None:
            if self._dry_run:
                return None
            there = self.target.create_experiment(experiment.name, tags=experiment.tags)
        if there.lifecycle != "active" and experiment.lifecycle != "active":
            return DONE  # deleting comes last
        if there.lifecycle != "active":
            raise StoreError(
                f"the experiment {experiment.name!r} is deleted in {self.target.uri}",
                hint="restore it there, or rename one of the two",
            )
        if experiment.lifecycle != "active":
            self._ending.append(there.experiment_id)
        return there.experiment_id

    # ------------------------------------------------------------------------------------ runs

    def run(self, run: TrackedRun, place: str | None) -> RunId:
        """Copy one run with its files; return its id in the target."""
        origin = origin_of(self.source, run)
        there = self._copy_of(origin, place)
        self.tally.count("runs", new=there is None)
        if self._dry_run or place is None:
            return RunId(origin)
        files = listed(self.source.artifacts(run))
        is_done = there is not None and there.lifecycle == "deleted" == run.lifecycle
        made = there or self._made(run, origin, place, reachable=files is not None)
        self.ids[run.run_id] = made.run_id
        if is_done:  # deleting comes last
            return made.run_id
        if made.lifecycle == "deleted":
            self.target.restore_run(made.run_id)
        self._log(run, made, self.tags(run.tags, origin), fresh=there is None)
        if files:
            self._files(run, made, files)
        if (made.status, made.ended, made.name) != (run.status, run.ended, name_of(run)):
            self.target.update_run(
                made.run_id, status=run.status, ended=run.ended, name=name_of(run)
            )
        self._open.append((run.run_id, made.run_id, run.lifecycle == "deleted"))
        return made.run_id

    def merge(self, run: TrackedRun, made: TrackedRun) -> None:
        """Add what is known of a run here to the same run there; what is said here counts."""
        self.ids[run.run_id] = made.run_id
        self._log(run, made, {k: translated(v, self.ids) for k, v in run.tags.items()}, fresh=False)
        self._files(run, made, listed(self.source.artifacts(run)) or (), again=True)
        if run.status in ENDED:
            self.target.update_run(made.run_id, status=run.status, ended=run.ended)
        self._open.append((run.run_id, made.run_id, False))

    def _copy_of(self, origin: str, place: str | None) -> TrackedRun | None:
        if place is None:
            return None
        if self.target.own_ids:
            return self.target.own_ids.run_tagged(place, self._mark, origin)
        try:
            return self.target.run(RunId(origin))
        except StoreError as error:
            if error.status != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _made(self, run: TrackedRun, origin: str, place: str, *, reachable: bool) -> TrackedRun:
        return self.target.create_run(
            changed(
                run,
                run_id=RunId(origin),
                experiment_id=place,
                name=name_of(run),
                status=UNFINISHED,
                ended=None,
                artifact_uri="" if reachable else run.artifact_uri,
                lifecycle="active",
                tags=self.tags(run.tags, origin),
                metrics=EMPTY,
            )
        )

    def tags(self, tags: Mapping[str, str], origin: str) -> dict[str, str]:
        """Return tags for the target: with its ids, and with the origin where ids change."""
        found = {k: translated(v, self.ids) for k, v in tags.items() if k != COPIED_FROM}
        if self.target.own_ids:
            found[self._mark] = origin
        return found

    def _log(
        self, run: TrackedRun, made: TrackedRun, tags: Mapping[str, str], *, fresh: bool
    ) -> None:
        """Write what the copy has not yet."""
        known = made if fresh else self.target.run(made.run_id)
        new_tags = {k: v for k, v in tags.items() if known.tags.get(k) != v and k != RUN_NAME_TAG}
        params = {k: v for k, v in run.params.items() if k not in known.params}
        there = (
            set()
            if fresh
            else {point(metric) for metric in measured(self.target, known, run.metrics)}
        )
        metrics: list[Metric] = []
        for metric in measured(self.source, run):
            if (name := point(metric)) not in there:
                there.add(name)
                metrics.append(metric)
        if metrics or params or new_tags:
            self.target.log(made.run_id, metrics=metrics, params=params, tags=new_tags)
        if self.target.own_ids:
            unlinked = {k: v for k, v in run.tags.items() if unknown_ids(v, self.ids)}
            unlinked.pop(COPIED_FROM, None)
            if unlinked:
                self._unlinked[made.run_id] = unlinked

    def _files(
        self, run: TrackedRun, made: TrackedRun, files: Sequence[Artifact], *, again: bool = False
    ) -> None:
        here, there = self.source.artifacts(run), self.target.artifacts(made)
        try:
            self.files(here, there, files, again=again)
        except StoreError as error:
            self.tally.trouble(f"run {run.run_id}", error)

    def files(
        self, here: Artifacts, there: Artifacts, files: Sequence[Artifact], *, again: bool = False
    ) -> None:
        """Copy the files that are not there in the same size; ``again`` copies all of them."""
        sizes = {} if again else {artifact.path: artifact.size for artifact in there.list()}
        for artifact in files:
            if sizes.get(artifact.path) == artifact.size:
                continue
            if not self._dry_run:
                with here.open(artifact.path) as content:
                    there.put(artifact.path, content)
            self.tally.count("files", new=True)

    # ----------------------------------------------------------------------------------- models

    def model(self, model: LoggedModel, place: str | None) -> None:
        """Copy one logged model with its files."""
        target = self._target_models
        if target is None or self._source_models is None:
            raise too_old(self.target, "logged models")
        origin = model_origin_of(self.source, model)
        there = self._model_copy_of(origin, place)
        self.tally.count("models", new=there is None)
        if self._dry_run or place is None:
            return
        here_files = self._source_models.model_artifacts(model)
        files = listed(here_files)
        wanted = changed(
            model,
            model_id=origin,
            experiment_id=place,
            artifact_uri=model.artifact_uri if files is None else "",
            source_run_id=self.ids.get(model.source_run_id, model.source_run_id),
            status="PENDING",
            tags=self.tags(model.tags, origin),
            metrics=(),
        )
        made = there or target.create_model(wanted)
        self.ids[model.model_id] = made.model_id
        if files:
            self.files(here_files, target.model_artifacts(made), files)
        final = changed(made, status=model.status, status_message=model.status_message)
        tags = {**made.tags, **wanted.tags}  # servers add some of their own
        final = changed(final, params=wanted.params, tags=tags, updated=model.updated)
        if (made.status, made.params, made.tags) != (final.status, final.params, final.tags):
            target.update_model(final)
        self._models.append((model, made))

    def _model_copy_of(self, origin: str, place: str | None) -> LoggedModel | None:
        if place is None or self._target_models is None:
            return None
        if self.target.own_ids:
            return self.target.own_ids.model_tagged(place, self._mark, origin)
        try:
            return self._target_models.model(origin)
        except StoreError as error:
            if error.status != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    # ------------------------------------------------------------------------------------ links

    def link(self) -> None:
        """Write what refers to other things, now that everything has its id; delete what is."""
        for made, tags in self._unlinked.items():
            known = {k: translated(v, self.ids) for k, v in tags.items()}
            if new := {k: v for k, v in known.items() if v != tags[k]}:
                self.target.log(made, tags=new)
        for run_id, made, is_deleted in self._open:
            try:
                self._link_lineage(run_id, made)
            except StoreError as error:
                self.tally.trouble(f"what run {run_id} read and made", error)
            if is_deleted:
                self.target.delete_run(made)
        self._open.clear()
        for model, copy in self._models:
            self._link_metrics(model, copy)
        self._models.clear()
        for experiment_id in self._ending:
            self.target.delete_experiment(experiment_id)
        self._ending.clear()

    def _link_lineage(self, run_id: RunId, made: RunId) -> None:
        here, there = self.source.lineage_store, self.target.lineage_store
        lineage = here.lineage(run_id) if here else Lineage()
        if lineage == Lineage():
            return
        if there is None:
            raise too_old(self.target, "datasets")
        there.log_lineage(made, self._translated(lineage))

    def _link_metrics(self, model: LoggedModel, copy: LoggedModel) -> None:
        there = self.target.lineage_store
        known = {(m.run_id, point(m.metric)) for m in copy.metrics}
        metrics = [
            changed(m, model_id=copy.model_id, run_id=RunId(self.ids[m.run_id]))
            for m in model.metrics
            if m.run_id in self.ids
        ]
        metrics = [m for m in metrics if (m.run_id, point(m.metric)) not in known]
        if metrics and there:
            there.log_model_metrics(metrics)

    def _translated(self, lineage: Lineage) -> Lineage:
        return changed(
            lineage,
            models=tuple(self.ids.get(model_id, model_id) for model_id in lineage.models),
            outputs=tuple(
                ModelOutput(model_id=self.ids.get(o.model_id, o.model_id), step=o.step)
                for o in lineage.outputs
            ),
        )


def too_old(target: TrackingStore, things: str) -> StoreError:
    """Say that a store is older than what it is to keep."""
    return StoreError(
        f"the store {target.uri} is too old for {things}", status="ENDPOINT_NOT_FOUND"
    )
