"""After the run: a client directly on the store, as the user's own notebook or UI would be."""

import json
import sys

import mlflow  # type: ignore[import-not-found]
import mlflow.sklearn  # type: ignore[import-not-found]
import numpy as np  # type: ignore[import-not-found]

uri, run_id = sys.argv[1:]
mlflow.set_tracking_uri(uri)
x = np.random.default_rng(7).random((60, 3))
loaded = mlflow.sklearn.load_model(f"runs:/{run_id}/by-hand")
registered = mlflow.sklearn.load_model("models:/Wine Model/1")
assert np.allclose(registered.predict(x), loaded.predict(x))
run = mlflow.get_run(run_id)
json.dump(
    {
        "predictions": list(loaded.predict(x[:5])),
        "params": run.data.params,
        "metrics": sorted(run.data.metrics),
        "datasets": len(run.inputs.dataset_inputs),
        "outputs": len(run.outputs.model_outputs) if getattr(run, "outputs", None) else 0,
    },
    sys.stdout,
)
