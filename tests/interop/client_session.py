"""A project's script as its author wrote it, for MLflow 1.30 to 3.17; prints what it read back."""

import json
import os
import sys
import tempfile

import mlflow  # type: ignore[import-not-found]
from mlflow.tracking import MlflowClient  # type: ignore[import-not-found]

mlflow.set_experiment("shared")
with mlflow.start_run() as run:
    mlflow.log_param("alpha", 0.5)  # the runner has logged it as 0.50
    mlflow.log_params({"client": mlflow.__version__, "text": "naïve ✓", "none": None})
    for step in range(20):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
    mlflow.log_metrics({"nan": float("nan"), "score": 0.25})
    mlflow.set_tag("kind", "interop")
    mlflow.set_tags({"gone": "1", "long": "x" * 4000})
    mlflow.delete_tag("gone")
    mlflow.log_text("hello", "texts/a b.txt")
    mlflow.log_dict({"a": [1, 2]}, "d.json")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one.bin", "two.bin"):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(name.encode() * 1000)
        mlflow.log_artifacts(folder, "many")
    with mlflow.start_run(nested=True, run_name="inner"):
        mlflow.log_metric("score", 3)

client = MlflowClient()
run_id = run.info.run_id
found = client.get_run(run_id)
with tempfile.TemporaryDirectory() as folder:
    local = client.download_artifacts(run_id, "many", folder)
    sizes = {name: os.path.getsize(os.path.join(local, name)) for name in sorted(os.listdir(local))}
experiment = client.get_experiment_by_name("shared")
inner = mlflow.search_runs(
    [experiment.experiment_id],
    f"tags.mlflow.parentRunId = '{run_id}'",
    order_by=["metrics.score"],
)
json.dump(
    {
        "run_id": run_id,
        "experiment": experiment.experiment_id,
        "same": found.info.experiment_id == experiment.experiment_id,
        "status": found.info.status,
        "params": found.data.params,
        "tags": {k: v for k, v in found.data.tags.items() if not k.startswith("mlflow.")},
        "history": [[m.step, m.value] for m in client.get_metric_history(run_id, "loss")],
        "nan": str(found.data.metrics["nan"]),
        "files": sorted(item.path for item in client.list_artifacts(run_id)),
        "sizes": sizes,
        "inner": list(inner["metrics.score"]),
    },
    sys.stdout,
)
