"""What a client sees of a store, in the words of its own API; the same for MLflow 1.30 to 3.17.

Run as a script, prints it as JSON: ``fluent_snapshot.py <tracking URI>``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING

import mlflow  # type: ignore[import-not-found]
from mlflow.entities import ViewType  # type: ignore[import-not-found]
from mlflow.tracking import MlflowClient  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from typing import Any


def snapshot() -> dict[str, Any]:
    client = MlflowClient()
    experiments = client.search_experiments(view_type=ViewType.ALL, order_by=["name ASC"])
    return {
        "experiments": [
            {
                "name": e.name,
                "id": e.experiment_id,
                "stage": e.lifecycle_stage,
                "tags": e.tags,
                "created": e.creation_time,
            }
            for e in experiments
        ],
        "runs": [
            seen_run(client, run)
            for e in experiments
            for run in client.search_runs(
                [e.experiment_id], run_view_type=ViewType.ALL, order_by=["attributes.run_id ASC"]
            )
        ],
        "models": seen_models(client),
    }


def seen_run(client: Any, run: Any) -> dict[str, Any]:
    run_id = run.info.run_id
    return {
        "id": run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "stage": run.info.lifecycle_stage,
        "times": [run.info.start_time, run.info.end_time],
        "params": run.data.params,
        "tags": run.data.tags,
        "histories": {
            key: [
                [m.timestamp, m.step, str(m.value)]
                for m in sorted(
                    client.get_metric_history(run_id, key), key=lambda m: (m.timestamp, m.step)
                )
            ]
            for key in sorted(run.data.metrics)
        },
        "files": files(client, run_id) if run.info.lifecycle_stage == "active" else None,
    }


def files(client: Any, run_id: str, path: str | None = None) -> dict[str, int]:
    found = {}
    for item in client.list_artifacts(run_id, path):
        if item.is_dir:
            found.update(files(client, run_id, item.path))
        else:
            found[item.path] = item.file_size
    return found


def seen_models(client: Any) -> list[Any] | None:
    if mlflow.__version__.startswith("1.") and mlflow.get_tracking_uri().startswith("file:"):
        return None  # MLflow 1 cannot read models that are registered in files
    return [seen_model(client, m) for m in client.search_registered_models(order_by=["name ASC"])]


def seen_model(client: Any, model: Any) -> dict[str, Any]:
    versions = client.search_model_versions(f"name = '{model.name}'")
    return {
        "name": model.name,
        "description": model.description or "",
        "tags": model.tags,
        "aliases": {k: int(v) for k, v in getattr(model, "aliases", {}).items()},
        "versions": [
            {
                "version": int(v.version),
                "stage": v.current_stage,
                "description": v.description or "",
                "tags": v.tags,
                "run": v.run_id or "",
                "status": v.status,
            }
            for v in sorted(versions, key=lambda v: int(v.version))
        ],
    }


def content(client: Any, run_id: str, path: str) -> bytes:
    """Return the bytes of one artifact, by way of the client."""
    with tempfile.TemporaryDirectory() as folder:
        local = client.download_artifacts(run_id, path, folder)
        with open(os.path.join(local), "rb") as file:
            return file.read()


if __name__ == "__main__":
    mlflow.set_tracking_uri(sys.argv[1])
    json.dump(snapshot(), sys.stdout)
