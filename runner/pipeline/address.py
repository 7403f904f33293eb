"""The URL of a run, as people copy it from a browser -> the tracking server and the run's id."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit, urlunsplit

from runner.errors import UsageError
from runner.model.value import RunId, Value
from runner.redaction import without_credentials

IN_PATH = re.compile(r"(?:^|/)runs/([A-Za-z0-9][\w-]*)(?:/|$)")
FRONT_PAGE = re.compile(r"/(?:ml/)?(?:experiments|runs)/.*|/(?:ajax-)?api/[\d.]+/mlflow/.*")
"""What a server's address ends before: a page of its UI, or a call of its API."""


class RunAddress(Value):
    """A run on a tracking server; ``server`` may carry credentials."""

    server: str
    run_id: RunId


def run_address(text: str) -> RunAddress | None:
    """Read the URL of a run's page or of an API call that names it; None for all that is no URL.

    MLflow's UI puts the page behind a ``#``; others (Databricks, proxies) have it in the path.

    Raises:
        UsageError: It is a URL, and names no run.
    """
    if not text.startswith(("http://", "https://")):
        return None
    parts = urlsplit(text)
    query = parse_qs(parts.query)
    asked = query.get("run_id", query.get("run_uuid", []))
    found = IN_PATH.search(parts.fragment.partition("?")[0])
    if not found and "api/" not in parts.path:
        found = IN_PATH.search(parts.path)
    run_id = found.group(1) if found else (asked[0] if asked else None)
    if not run_id or not parts.netloc:
        raise UsageError(
            f"{without_credentials(text)!r} names no run",
            hint="copy the address of the run's page: http://HOST/#/experiments/1/runs/ID; "
            "other stores are named with --tracking-uri",
        )
    path = FRONT_PAGE.sub("", parts.path).rstrip("/")
    return RunAddress(
        server=urlunsplit((parts.scheme, parts.netloc, path, "", "")), run_id=RunId(run_id)
    )
