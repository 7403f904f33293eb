"""One program for every MLflow: logs into the shared store, or prints what all have logged there.

``shared_log.py log`` and ``shared_log.py read``; nothing tells it where the store is but the
variables of its run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

import mlflow  # type: ignore[import-not-found]
from mlflow.tracking import MlflowClient  # type: ignore[import-not-found]

CLIENT = MlflowClient()


def log() -> None:
    mlflow.set_experiment("shared")
    with mlflow.start_run() as run:
        assert run.info.run_id == os.environ["RUNPROJ_RUN_ID"]
        mlflow.log_params({"alpha": 0.5, "text": "naïve ✓"})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.set_tags({"client": mlflow.__version__, "multi": "a\nb"})
        mlflow.log_text("made by " + mlflow.__version__, "notes/made by.txt")


def read() -> None:
    experiment = CLIENT.get_experiment_by_name("shared")
    found = CLIENT.search_runs(
        [experiment.experiment_id], "params.alpha = '0.5'", order_by=["tags.client ASC"]
    )
    sys.stdout.write(f"\n{json.dumps([seen(run) for run in found])}\n")


def seen(run: mlflow.entities.Run) -> dict[str, object]:
    run_id = run.info.run_id
    with tempfile.TemporaryDirectory() as folder:
        path = CLIENT.download_artifacts(run_id, "notes/made by.txt", folder)
        with open(path, encoding="utf-8") as file:
            text = file.read()
    return {
        "id": run_id,
        "status": run.info.status,
        "params": run.data.params,
        "client": run.data.tags["client"],
        "multi": run.data.tags["multi"],
        "loss": run.data.metrics["loss"],
        "history": [[m.step, m.value] for m in CLIENT.get_metric_history(run_id, "loss")],
        "text": text,
    }


if __name__ == "__main__":
    {"log": log, "read": read}[sys.argv[1]]()
