"""Finding runs and models on a server by their tags, for the ids there are not ours."""

from __future__ import annotations

from runner.stores import wire
from runner.stores.artifacts import UnreachableArtifacts
from runner.stores.rest_models import RestModels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.tracking import LoggedModel, TrackedRun
    from runner.stores.transport import Server


class RestIds:
    """See ``runner.ports.OwnIds``."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def run_tagged(self, experiment_id: str, key: str, value: str) -> TrackedRun | None:
        """Return the run that has this tag; the oldest where a lost answer made two."""
        answer = self._server.post(
            "mlflow/runs/search",
            {
                "experiment_ids": [experiment_id],
                "filter": f"tags.`{key}` = '{value}'",
                "run_view_type": "ALL",
                "max_results": 10,
                "order_by": ["attributes.start_time ASC"],
            },
        )
        found = [wire.run(run) for run in wire.items(answer, "runs")]
        return min(found, key=lambda run: (run.started or 0, run.run_id), default=None)

    def model_tagged(self, experiment_id: str, key: str, value: str) -> LoggedModel | None:
        """Return the model that has this tag."""
        models = RestModels(self._server, UnreachableArtifacts).models([experiment_id])
        return next((model for model in models if model.tags.get(key) == value), None)
