"""MLflow's fluent API and its client, as projects use them: ``fluent_program.py <tracking URI>``.

Asserts what each call promises, for every MLflow from 1.30 on, and prints what it sees in the end.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib import import_module
from typing import TYPE_CHECKING, Any

import mlflow  # type: ignore[import-not-found]
import mlflow.pyfunc  # type: ignore[import-not-found]
from fluent_snapshot import content, snapshot  # type: ignore[import-not-found]
from mlflow.entities import Metric, Param, RunTag, ViewType  # type: ignore[import-not-found]
from mlflow.exceptions import MlflowException  # type: ignore[import-not-found]
from mlflow.tracking import MlflowClient  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
URI = sys.argv[1]


def refused(code: str, action: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    answer = None
    try:
        action(*args, **kwargs)
    except MlflowException as error:
        answer = error.error_code
    assert answer == code, (action, args, answer)


class Doubler(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow chose the names
        return model_input * 2


def experiments(client: Any) -> None:
    made = mlflow.create_experiment("made", tags={"team": "blue"})
    refused("RESOURCE_ALREADY_EXISTS", mlflow.create_experiment, "made")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_experiment, "123456789")
    assert mlflow.get_experiment(made).tags == {"team": "blue"}
    assert mlflow.get_experiment_by_name("made").experiment_id == made
    assert mlflow.get_experiment_by_name("nobody") is None
    client.set_experiment_tag(made, "note", "ü\n")
    client.rename_experiment(made, "renamed")
    assert client.get_experiment(made).name == "renamed"
    doomed = client.create_experiment("doomed")
    inside = client.create_run(doomed).info.run_id
    client.delete_experiment(doomed)
    assert client.get_experiment(doomed).lifecycle_stage == "deleted"
    assert client.get_run(inside).info.lifecycle_stage == "deleted"
    assert [e.name for e in client.search_experiments(view_type=ViewType.DELETED_ONLY)] == [
        "doomed"
    ]
    refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, "doomed")
    client.restore_experiment(doomed)
    assert client.get_run(inside).info.lifecycle_stage == "active"
    gone = client.create_experiment("gone")
    client.delete_experiment(gone)
    names = [e.name for e in client.search_experiments(filter_string="name LIKE '%ed'")]
    assert names in (["doomed", "renamed"], ["renamed", "doomed"]), names
    first = client.search_experiments(max_results=2, order_by=["name ASC"])
    rest = client.search_experiments(max_results=2, order_by=["name ASC"], page_token=first.token)
    assert [e.name for e in (*first, *rest)] == ["Default", "doomed", "renamed"]
    assert mlflow.set_experiment("fluent").name == "fluent"


def logging(client: Any) -> tuple[str, list[int]]:
    assert mlflow.active_run() is None
    with mlflow.start_run(run_name="outer", tags={"a": "b"}) as run:
        run_id = run.info.run_id
        assert mlflow.active_run().info.run_id == run_id
        mlflow.log_param("alpha", 0.5)
        mlflow.log_params({"text": "naïve ✓", "none": None, "p/q": 1})
        refused("INVALID_PARAMETER_VALUE", mlflow.log_param, "alpha", 0.6)
        refused("INVALID_PARAMETER_VALUE", mlflow.log_param, "../x", 1)
        mlflow.log_param("alpha", 0.5)
        for step in range(20):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        mlflow.log_metrics({"nan": float("nan"), "inf": float("inf"), "score": -2.5e-300})
        mlflow.set_tag("kind", "fluent")
        mlflow.set_tags({"gone": 1, "long": "x" * 4000, "multi": "a\nb"})
        mlflow.delete_tag("gone")
        refused("RESOURCE_DOES_NOT_EXIST", mlflow.delete_tag, "gone")
        mlflow.log_text("hello", "texts/a b.txt")
        mlflow.log_dict({"a": [1, 2]}, "d.json")
        files()
        figure()
        assert mlflow.get_artifact_uri().endswith(f"/{run_id}/artifacts")
        assert mlflow.get_artifact_uri("d.json").endswith("/artifacts/d.json")
        with mlflow.start_run(nested=True, run_name="inner") as inner:
            mlflow.log_metric("score", 3)
            assert inner.data.tags["mlflow.parentRunId"] == run_id
        predictions = model()
    assert mlflow.active_run() is None
    assert mlflow.last_active_run().info.run_id == run_id
    assert client.get_run(run_id).info.status == "FINISHED"
    assert json.loads(content(client, run_id, "d.json")) == {"a": [1, 2]}
    assert content(client, run_id, "many/deep/two.bin") == b"two" * 1000
    refused("RESOURCE_DOES_NOT_EXIST", client.get_run, "0" * 32)
    mlflow.start_run(run_name="failed")
    mlflow.end_run("FAILED")
    resumed = mlflow.last_active_run().info.run_id
    with mlflow.start_run(run_id=resumed):
        mlflow.log_metric("late", 1)
    return run_id, predictions


def files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "deep"))
        for name, word in (("one.bin", b"one"), (os.path.join("deep", "two.bin"), b"two")):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(word * 1000)
        mlflow.log_artifact(os.path.join(folder, "one.bin"))
        mlflow.log_artifact(os.path.join(folder, "one.bin"), "sub/dir")
        mlflow.log_artifacts(folder, "many")


def figure() -> None:
    try:
        import matplotlib as mpl  # type: ignore[import-not-found]
    except ImportError:  # MLflow 1 did not bring it
        return
    mpl.use("Agg")
    from matplotlib.figure import Figure  # type: ignore[import-not-found]

    drawn = Figure()
    drawn.subplots().plot([1, 2])
    mlflow.log_figure(drawn, "figures/line.png")


def model() -> list[int]:
    pd = import_module("pandas")

    named = {"name": "doubler"} if VERSION >= (3, 0) else {"artifact_path": "doubler"}
    logged = mlflow.pyfunc.log_model(python_model=Doubler(), pip_requirements=["mlflow"], **named)
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    return [int(n) for n in loaded.predict(pd.DataFrame({"x": [1, 2]}))["x"]]


def batches(client: Any, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id, start_time=5, tags={"by": "hand"}).info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(f"m{n % 10}", n, n, n) for n in range(1000)],
        params=[Param(f"p{n}", str(n)) for n in range(100)],
    )
    client.log_batch(run_id, tags=[RunTag(f"t{n}", str(n)) for n in range(100)])
    twice = [Param("p", "1"), Param("p", "2")]
    refused("INVALID_PARAMETER_VALUE", client.log_batch, run_id, params=twice)
    client.set_terminated(run_id, "KILLED", end_time=9)
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    refused("INVALID_PARAMETER_VALUE", client.log_param, run_id, "q", "1")
    found = client.search_runs([experiment_id], "tags.by = 'hand'")
    assert found == [], found
    client.restore_run(run_id)
    if VERSION >= (2, 0):
        client.update_run(run_id, name="by hand", status="FAILED")
        assert client.get_run(run_id).info.run_name == "by hand"


def searches(client: Any, experiment_id: str) -> None:
    def names(text: str, **given: Any) -> list[str]:
        found = mlflow.search_runs(
            [experiment_id],
            text,
            order_by=["attributes.start_time ASC"],
            output_format="list",
            **given,
        )
        return [run.data.tags["mlflow.runName"] for run in found]

    assert names("metrics.score > 2") == ["inner"]
    assert names("params.alpha = '0.5' and tags.kind = 'fluent'") == ["outer"]
    assert names("attributes.status = 'FAILED' and metrics.late = 1") == []
    assert names("attributes.status = 'FINISHED' and metrics.late = 1") == ["failed"]
    assert names("tags.mlflow.runName LIKE '%er'") == ["outer", "inner"]
    assert names("params.`p/q` = '1'") == ["outer"]
    refused("INVALID_PARAMETER_VALUE", names, "metrics.score >")
    refused("INVALID_PARAMETER_VALUE", names, "shoes.size = '1'")
    frame = mlflow.search_runs([experiment_id], order_by=["metrics.score DESC"])
    assert frame["metrics.score"][0] == 3.0
    assert list(frame["metrics.score"].dropna()) == [3.0, -2.5e-300]
    page = client.search_runs([experiment_id], max_results=1)
    rest = client.search_runs([experiment_id], max_results=100, page_token=page.token)
    assert len({run.info.run_id for run in (*page, *rest)}) == 4
    refused("INVALID_PARAMETER_VALUE", client.search_runs, [experiment_id], max_results=50001)


def registry(client: Any, run_id: str) -> None:
    source = f"runs:/{run_id}/doubler"
    client.create_registered_model("Wine", tags={"t": "1"}, description="first")
    refused("RESOURCE_ALREADY_EXISTS", client.create_registered_model, "Wine")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "nobody")
    for number in (1, 2, 3):
        assert int(mlflow.register_model(source, "Wine").version) == number
    client.update_registered_model("Wine", "all about ü")
    client.set_registered_model_tag("Wine", "kind", "red")
    client.set_registered_model_tag("Wine", "gone", "1")
    client.delete_registered_model_tag("Wine", "gone")
    client.update_model_version("Wine", "1", "the first one")
    client.set_model_version_tag("Wine", "1", "checked", "yes")
    client.set_model_version_tag("Wine", "1", "gone", "1")
    client.delete_model_version_tag("Wine", "1", "gone")
    client.transition_model_version_stage("Wine", "1", "Production")
    client.transition_model_version_stage("Wine", "2", "Production", archive_existing_versions=True)
    client.transition_model_version_stage("Wine", "3", "Staging")
    latest = client.get_latest_versions("Wine", ["Production", "Staging"])
    assert sorted(int(v.version) for v in latest) == [2, 3]
    assert client.get_model_version("Wine", "1").current_stage == "Archived"
    refused("INVALID_PARAMETER_VALUE", client.transition_model_version_stage, "Wine", "1", "Odd")
    assert loaded("models:/Wine/2") == loaded("models:/Wine/Production") == [10]
    client.delete_model_version("Wine", "3")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, "Wine", "3")
    client.rename_registered_model("Wine", "Fine Wine")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, "Wine")
    assert int(mlflow.register_model(source, "Fine Wine").version) == 4
    if VERSION >= (2, 3):
        client.set_registered_model_alias("Fine Wine", "best", "1")
        client.set_registered_model_alias("Fine Wine", "gone", "1")
        client.delete_registered_model_alias("Fine Wine", "gone")
        assert int(client.get_model_version_by_alias("Fine Wine", "best").version) == 1
        assert loaded("models:/Fine Wine@best") == [10]
    if VERSION >= (2, 9):
        copied = client.copy_model_version("models:/Fine Wine/2", "Copy")
        assert (copied.name, int(copied.version)) == ("Copy", 1)
        assert loaded("models:/Copy/1") == [10]
    client.create_registered_model("Doomed")
    client.delete_registered_model("Doomed")
    found = client.search_registered_models("name ILIKE 'fine%'")
    assert [m.name for m in found] == ["Fine Wine"]
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    assert {int(v.version) for v in versions if v.name == "Fine Wine"} == {1, 2, 4}


def loaded(uri: str) -> list[int]:
    pd = import_module("pandas")

    predicted = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({"x": [5]}))
    return [int(n) for n in predicted["x"]]


def autologging(client: Any) -> None:
    if VERSION < (2, 10):
        return
    np = import_module("numpy")
    from sklearn.linear_model import LinearRegression  # type: ignore[import-not-found]

    mlflow.autolog(log_models=False, silent=True)
    with mlflow.start_run(run_name="auto") as run:
        LinearRegression().fit(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0]))
    mlflow.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert found.data.params["fit_intercept"] == "True"
    assert abs(found.data.metrics["training_r2_score"] - 1) < 1e-9
    assert len(found.inputs.dataset_inputs) == 1
    by_dataset = client.search_runs([run.info.experiment_id], "dataset.context = 'train'")
    assert [other.info.run_id for other in by_dataset] == [run.info.run_id]


if __name__ == "__main__":
    mlflow.set_tracking_uri(URI)
    assert mlflow.get_tracking_uri() == URI
    client = MlflowClient()
    experiments(client)
    run_id, predictions = logging(client)
    assert predictions == [2, 4]
    experiment_id = client.get_experiment_by_name("fluent").experiment_id
    batches(client, experiment_id)
    searches(client, experiment_id)
    registry(client, run_id)
    autologging(client)
    json.dump(snapshot(), sys.stdout)
