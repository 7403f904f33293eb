"""What a run takes along into a container of the caller's credentials."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.tracking import TrackedRun

SERVER = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_INSECURE_TLS",
)
"""What lets a client in at a tracking server."""
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
       "AWS_DEFAULT_REGION", "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_S3_IGNORE_TLS")  # fmt: skip
AZURE = ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY")
ARTIFACTS: Mapping[str, tuple[str, ...]] = {"s3": AWS, "wasb": AZURE, "wasbs": AZURE}
"""What lets a client write artifacts where the server does not do it for him, by scheme."""


def carried_credentials(run: TrackedRun, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's credentials for a server and for the place of the run's artifacts."""
    scheme = run.artifact_uri.partition(":")[0]
    names = (*SERVER, *ARTIFACTS.get(scheme, ()))
    return {name: environ[name] for name in names if environ.get(name)}
