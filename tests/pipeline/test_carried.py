"""The credentials that go into a container: for the server, and for the place of artifacts."""

from __future__ import annotations

import pytest

from runner.model.tracking import TrackedRun
from runner.model.value import RunId
from runner.pipeline.carried import carried_credentials

ENVIRON = {
    "MLFLOW_TRACKING_TOKEN": "t",
    "MLFLOW_TRACKING_USERNAME": "",
    "AWS_SECRET_ACCESS_KEY": "a",
    "AZURE_STORAGE_ACCESS_KEY": "z",
    "HOME": "/root",
}


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("s3://bucket/0", {"MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"}),
        ("wasbs://c@a/0", {"MLFLOW_TRACKING_TOKEN", "AZURE_STORAGE_ACCESS_KEY"}),
        ("mlflow-artifacts:/0", {"MLFLOW_TRACKING_TOKEN"}),
        ("/srv/artifacts", {"MLFLOW_TRACKING_TOKEN"}),
    ],
)
def test_only_what_is_needed_goes_along(uri: str, names: set[str]) -> None:
    run = TrackedRun(
        run_id=RunId("r"),
        experiment_id="0",
        name="n",
        status="RUNNING",
        started=1,
        ended=None,
        artifact_uri=uri,
    )
    assert set(carried_credentials(run, ENVIRON)) == names
