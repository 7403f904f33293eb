"""A project that trains with autologging, logs a model and loads it again from its own run."""

import json
import sys

import mlflow  # type: ignore[import-not-found]
import mlflow.sklearn  # type: ignore[import-not-found]
import numpy as np  # type: ignore[import-not-found]
from sklearn.linear_model import ElasticNet  # type: ignore[import-not-found]

rng = np.random.default_rng(7)
x = rng.random((60, 3))
y = x.sum(axis=1)
mlflow.sklearn.autolog()
with mlflow.start_run() as run:
    model = ElasticNet(alpha=0.01).fit(x, y)
    mlflow.sklearn.log_model(model, "by-hand", registered_model_name="Wine Model")
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/by-hand")
    assert np.allclose(loaded.predict(x), model.predict(x))
    registered = mlflow.sklearn.load_model("models:/Wine Model/1")
    assert np.allclose(registered.predict(x), model.predict(x))
json.dump({"run_id": run.info.run_id, "predictions": list(model.predict(x[:5]))}, sys.stdout)
