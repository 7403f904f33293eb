"""What clients from MLflow 3.9 on ask a server about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.codec import JSON
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

KINDS = {"sqlite": "SqlStore", "file": "FileStore"}
"""By the scheme of the store's URI."""


def get(service: Service, given: Arguments) -> JSON:  # noqa: ARG001 - as all calls
    """``server-info``: the kind of store, and which of MLflow's newer features there are."""
    return {
        "store_type": KINDS.get(service.store.uri.partition(":")[0]),
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False},
    }
