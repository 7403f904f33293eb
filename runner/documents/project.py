"""A project's files -> its spec and everything there is to say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.documents.environment import KEYS, chosen_environment, default_environment
from runner.documents.findings import Findings
from runner.documents.parameter import ParameterReader
from runner.documents.remembered import SPARK_JOB, Reading
from runner.documents.risks import risks_of
from runner.documents.schema_check import check
from runner.documents.template import TemplateCheck
from runner.documents.yaml_document import YamlDocument, read_yaml
from runner.model.spec import EntryPoint, ProjectSpec
from runner.model.value import EntryPointName

if TYPE_CHECKING:
    from runner.documents.remembered import ProjectFiles
    from runner.documents.yaml_document import Path
    from runner.model.spec import EnvironmentSpec, Parameter


def read_project(files: ProjectFiles, file: str | None, content: bytes = b"") -> Reading:
    """Read a project whose MLproject file is called ``file`` (``None``: it has none).

    Never raises for what an author wrote: all problems of all files are in the reading, and its
    spec is ``None`` when one of them concerns the project as a whole.
    """
    findings = Findings()
    if file is None:
        spec = _bare(default_environment(files, findings))
    else:
        document = read_yaml(content, file, findings)
        spec = _ProjectDocument(document, files, findings).spec() if document else None
    usable = None if findings.fatal else spec
    return Reading(
        spec=usable,
        problems=findings.problems,
        files=dict(files.states),
        risks=risks_of(usable) if usable else {},
    )


def _bare(environment: EnvironmentSpec | None) -> ProjectSpec | None:
    if environment is None:
        return None
    return ProjectSpec(name=None, file=None, environment=environment, entry_points={})


class _ProjectDocument:
    """An MLproject document on its way to a spec."""

    def __init__(self, document: YamlDocument, files: ProjectFiles, findings: Findings) -> None:
        self.document, self.files, self.findings = document, files, findings

    def spec(self) -> ProjectSpec | None:
        """Check everything; return the spec, None when there is none to speak of."""
        self._drop_empty_environments()
        check(self.document, "mlproject", self.findings)
        data = self.document.data
        if not isinstance(data, dict):
            return None
        self._check_spark_job(data)
        environment = chosen_environment(self.document, self.files, self.findings)
        entry_points = self._entry_points(data.get("entry_points"))
        if environment is None:
            return None
        return ProjectSpec(
            name=None if data.get("name") is None else str(data["name"]),
            file=self.document.file,
            environment=environment,
            entry_points=entry_points,
            description=_text(data.get("description")),
            reproduce=_tolerances(data.get("reproduce")),
        )

    def _drop_empty_environments(self) -> None:
        """Treat ``conda_env: ~`` as if it were not there, as mlflow does."""
        data = self.document.data
        for key in KEYS if isinstance(data, dict) else ():
            if key in data and not data[key]:
                del data[key]
                message = f"'{key}' is empty: it is taken as not given"
                place = self.document.key_place((key,))
                self.findings.warn("empty-environment", message, place, hint="remove the line")

    def _check_spark_job(self, data: dict[str, Any]) -> None:
        if data.get("databricks_spark_job"):
            message = "'databricks_spark_job' runs on Databricks only, not here"
            place = self.document.key_place(("databricks_spark_job",))
            self.findings.warn(SPARK_JOB, message, place, hint="use 'mlflow run -b databricks'")

    def _entry_points(self, bodies: object) -> dict[EntryPointName, EntryPoint]:
        if not isinstance(bodies, dict):
            return {}
        return {EntryPointName(name): self._entry_point(name, bodies[name]) for name in bodies}

    def _entry_point(self, name: str, body: object) -> EntryPoint:
        path = ("entry_points", name)
        facts = body if isinstance(body, dict) else {}
        parameters = self._parameters(facts.get("parameters"), (*path, "parameters"))
        command = facts.get("command")
        if isinstance(body, dict) and "command" not in facts:
            message = f"entry point '{name}' has no 'command'"
            place = self.document.key_place(path)
            hint = "add 'command: ...'"
            self.findings.warn("no-command", message, place, hint=hint, entry_point=name)
        if isinstance(command, str):
            places = {p.name: p.place for p in parameters if p.place}
            check_template = TemplateCheck(self.document, (*path, "command"), self.findings)
            check_template.report(command, places)
        return EntryPoint(
            name=EntryPointName(name),
            template=command if isinstance(command, str) else None,
            parameters=parameters,
            description=_text(facts.get("description")),
            place=self.document.key_place(path),
        )

    def _parameters(self, bodies: object, path: Path) -> tuple[Parameter, ...]:
        if not isinstance(bodies, dict):
            return ()
        return tuple(
            ParameterReader(self.document, (*path, name), self.findings).read(body)
            for name, body in bodies.items()
        )


def _tolerances(section: object) -> dict[str, dict[str, str]]:
    """Return tolerances as texts; what they mean is known where results are compared."""
    found = section if isinstance(section, dict) else {}
    return {
        kind: {str(name): str(value) for name, value in found[kind].items()}
        for kind in ("metrics", "artifacts")
        if isinstance(found.get(kind), dict)
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
