"""What is written down about a run: MLflow's tags, and the whole as ``runproj/record.json``."""

from __future__ import annotations

import os

from runner.codec import document
from runner.model.value import changed
from runner.redaction import MASK, without_credentials
from runner.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.codec import JSON
    from runner.model.lock import EnvironmentLock, ImageEnvironment, ImageLock
    from runner.model.plan import Draft
    from runner.model.project import Provenance, WorkingTree
    from runner.model.spec import ProjectSpec
    from runner.model.tracking import TrackedRun
    from runner.ports import Services

RECORD_VERSION = 1
FOLDER = "runproj"
"""The folder of a run's artifacts that holds what Runproj recorded."""
DIFF_TAG_LIMIT = 5000
"""The longest tag value that every MLflow store takes; longer patches are in the artifact only."""
TELLING_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "LANG",
    "LC_ALL",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "TF_DETERMINISTIC_OPS",
    "TZ",
)
"""Variables of the caller that can change a result without any code changing."""


def tags(draft: Draft, services: Services) -> dict[str, str]:
    """Return the tags of a run that begins, under MLflow's names wherever they exist.

    Source: ``mlflow.utils.mlflow_tags`` of MLflow 3.17, and what its UI makes of them.
    """
    request, tree = draft.request, draft.tree
    origin = tree.provenance
    found: dict[str, str | None] = {
        "mlflow.user": user(services.environ),
        "mlflow.source.name": source_name(tree),
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": origin.commit,
        "mlflow.source.git.branch": origin.branch,
        "mlflow.source.git.repoURL": origin.repository,
        "mlflow.gitRepoURL": origin.repository,
        "mlflow.gitBranch": origin.branch,
        "mlflow.source.git.dirty": str(origin.dirty).lower() if origin.commit else None,
        "mlflow.source.git.diff": _short_diff(tree),
        "mlflow.project.entryPoint": draft.invocation.entry_point.name,
        "mlflow.project.backend": request.backend,
        "mlflow.project.env": MLFLOW_NAME_OF_MANAGER.get(draft.builder),
        "mlflow.parentRunId": request.parent,
        "runproj.version": __version__,
        "runproj.tree": origin.tree,
        "runproj.findings": ", ".join(dict.fromkeys(risk.rule for risk in draft.risks)),
    }
    given = {key: value for key, value in found.items() if value}
    return {**given, **request.tags}


MLFLOW_NAME_OF_MANAGER = {
    "uv": "uv", "virtualenv": "virtualenv",
    "rattler": "conda", "conda": "conda", "mamba": "conda", "micromamba": "conda",
    "docker": "docker",
}  # fmt: skip
"""MLflow sets no ``mlflow.project.env`` for ``local``."""


def _short_diff(tree: WorkingTree) -> str | None:
    patch = tree.changes.patch
    if not patch or len(patch) > DIFF_TAG_LIMIT:
        return None
    text = patch.decode("utf-8", "replace")
    return text if len(text) <= DIFF_TAG_LIMIT and "\0" not in text else None


def source_name(tree: WorkingTree) -> str:
    """Return the source as MLflow's UI links it: a repository's URL, else where it lies.

    A local checkout is named by its remote where there is one, so that the page of the run links
    to the commit; the local path goes into the record.
    """
    origin = tree.provenance
    inside = os.path.relpath(tree.project, tree.root)
    fragment = "" if inside == os.curdir else f"#{inside}"
    if origin.commit and origin.repository:
        return f"{origin.repository}{fragment}"
    if os.path.isdir(origin.reference.location):
        return f"file://{tree.root}{fragment}" if origin.commit else tree.project
    return f"{without_credentials(origin.reference.location)}{fragment}"


def user(environ: Mapping[str, str]) -> str:
    """Return who runs this, as ``getpass.getuser`` would say."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        if environ.get(name):
            return environ[name]
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def record(draft: Draft, run: TrackedRun, services: Services) -> dict[str, JSON]:
    """Return the record of a run that begins; its environment and outcome come later."""
    request, invocation = draft.request, draft.invocation
    secrets = invocation.secrets
    return {
        "version": RECORD_VERSION,
        "runproj": __version__,
        "run_id": run.run_id,
        "experiment_id": run.experiment_id,
        "name": run.name,
        "created": document(services.now()),
        "user": user(services.environ),
        "parent": request.parent,
        "project": draft.spec.name,
        "source": _source(draft.tree),
        "entry_point": invocation.entry_point.name,
        "parameters": document(invocation.given),
        "extra_parameters": {k: without_credentials(v) for k, v in invocation.extra.items()},
        "secret_parameters": document(secrets),
        "inputs": document(invocation.inputs),
        "command": {"script": draft.command.script, "secrets": len(draft.command.variables)},
        "request": {
            "backend": request.backend,
            "environment_manager": request.environment_manager,
            "as_of": document(draft.as_of),
            "as_of_commit": draft.is_dated_by_commit,
            "locked": request.locked,
            "timeout": document(request.timeout),
            "tags": document(request.tags),
            **_docker_request(draft),
        },
        **({"container": document(draft.container)} if draft.container else {}),
        "environment": {"manager": draft.builder, "lock": None},
        "host": host(services.environ),
        "warnings": [str(problem) for problem in draft.warnings],
        "findings": document(draft.risks),
        "outcome": None,
    }


def _docker_request(draft: Draft) -> dict[str, JSON]:
    """Return what was asked of a container, beyond what the project says."""
    if draft.container is None:
        return {}
    arguments = {
        name: value and without_credentials(value)
        for name, value in draft.request.docker_arguments.items()
    }
    return {
        "docker_arguments": document(arguments),
        "build_image": draft.request.build_image,
        "host_access": draft.request.host_access,
    }


def _source(tree: WorkingTree) -> dict[str, JSON]:
    origin: Provenance = tree.provenance
    described = document(origin)
    assert isinstance(described, dict)  # noqa: S101 - a Value is always written as an object
    reference = described.pop("reference")
    assert isinstance(reference, dict)  # noqa: S101 - likewise
    inside = os.path.relpath(tree.project, tree.root)
    return {**reference, **described, "project": "" if inside == os.curdir else inside}


def lock_entry(lock: EnvironmentLock) -> dict[str, JSON]:
    """Return what the record says of a lock; the lock itself is an artifact beside it."""
    described = document(lock)
    assert isinstance(described, dict)  # noqa: S101 - a Value is always written as an object
    described.pop("document", None)
    return described


def image_entry(environment: ImageEnvironment) -> dict[str, JSON]:
    """Return what the record says of the image that the command ran in."""
    return {"id": environment.digest, "run_as": environment.image, "shell": environment.shell}


def image_tags(lock: ImageLock, environment: ImageEnvironment) -> dict[str, str]:
    """Return the tags that MLflow gives to runs in containers (``mlflow.utils.mlflow_tags``)."""
    return {
        "mlflow.docker.image.uri": lock.reference,
        "mlflow.docker.image.id": environment.digest,
    }


def spec_entry(spec: ProjectSpec) -> JSON:
    """Return the spec as it is stored: defaults of secrets masked, URLs without credentials."""
    hidden = {
        name: changed(
            entry,
            parameters=tuple(
                changed(p, default=MASK) if p.secret and p.default else p for p in entry.parameters
            ),
        )
        for name, entry in spec.entry_points.items()
    }
    return _without_credentials(document(changed(spec, entry_points=hidden)))


def _without_credentials(written: JSON) -> JSON:
    if isinstance(written, dict):
        return {key: _without_credentials(value) for key, value in written.items()}
    if isinstance(written, list):
        return [_without_credentials(value) for value in written]
    if isinstance(written, str) and "://" in written:
        from runner.documents.findings import public

        return public(written)
    return written


def host(environ: Mapping[str, str]) -> dict[str, JSON]:
    """Describe the machine, as far as it can change a result."""
    system = os.uname()
    return {
        "name": system.nodename,
        "os": f"{system.sysname} {system.release}",
        "distribution": _line_value("/etc/os-release", "PRETTY_NAME="),
        "machine": system.machine,
        "cpu": _line_value("/proc/cpuinfo", "model name"),
        "cpus": os.cpu_count(),
        "gpus": document(_gpus()),
        "variables": {k: environ[k] for k in TELLING_VARIABLES if k in environ},
    }


def _line_value(path: str, start: str) -> str | None:
    """Return the text after ``=`` or ``:`` in the first line of a file that starts so."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(start):
                    return line.replace(":", "=", 1).partition("=")[2].strip().strip('"')
    except OSError:
        return None
    return None


def _gpus() -> tuple[str, ...]:
    """Return the models of NVIDIA's cards, as their driver tells them without being started."""
    folder = "/proc/driver/nvidia/gpus"
    if not os.path.isdir(folder):
        return ()
    found = (
        _line_value(os.path.join(folder, card, "information"), "Model")
        for card in sorted(os.listdir(folder))
    )
    return tuple(model for model in found if model)
