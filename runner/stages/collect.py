"""Invocation -> the same with its inputs on this machine, found, digested and made absolute."""

from __future__ import annotations

import os
import stat

from runner.errors import ParameterError
from runner.model.plan import Input
from runner.model.spec import Problem
from runner.model.value import changed
from runner.redaction import MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.plan import Invocation, RunRequest
    from runner.model.project import WorkingTree
    from runner.model.spec import Parameter
    from runner.model.value import Digest
    from runner.ports import Services

ELSEWHERE = frozenset(
    (
        *(
            "abfs",
            "abfss",
            "azureml",
            "dbfs",
            "ftp",
            "ftps",
            "gs",
            "hdfs",
            "hf",
            "s3",
            "s3a",
            "sftp",
        ),
        *("git", "models", "mlflow-artifacts", "ssh", "viewfs", "wasb", "wasbs"),
    )
)
"""Schemes that nobody means as the name of a local file, even without ``//``."""
FETCHED = frozenset(("file", "http", "https", "runs"))


def collect(
    invocation: Invocation, request: RunRequest, tree: WorkingTree, services: Services
) -> Invocation:
    """Find, fetch and digest what the ``path`` parameters name.

    A relative path that the caller gave starts at the caller's directory, a default at the
    project's. The command gets absolute paths; what was given is what is recorded.

    Raises:
        ParameterError: There is no such file, it cannot be fetched, or is of a kind that cannot be
            recorded.
        StoreError: The run that it belongs to cannot be read.
    """
    values = dict(invocation.values)
    names = [
        p
        for p in invocation.entry_point.parameters
        if p.type == "path"
        and p.name in values
        and (values[p.name] or p.name in request.parameters)
    ]
    if not names:
        return invocation
    collector = Collector(request, tree, services)
    for parameter in names:
        value = values[parameter.name]
        if isinstance(value, str):
            values[parameter.name] = collector.local(parameter, value)
        else:
            values[parameter.name] = tuple(collector.local(parameter, text) for text in value)
    return changed(
        invocation,
        values=values,
        inputs=tuple(collector.inputs),
        warnings=(*invocation.warnings, *collector.warnings),
    )


class Collector:
    """Inputs under way: where relative paths start, and what was found."""

    def __init__(self, request: RunRequest, tree: WorkingTree, services: Services) -> None:
        self._request = request
        self._tree = tree
        self._services = services
        self.inputs: list[Input] = []
        self.warnings: list[Problem] = []

    def local(self, parameter: Parameter, text: str) -> str:
        """Return the absolute path of one input, and take note of it."""
        if not text:
            raise self._missing(parameter, "''", self._request.caller)
        scheme, colon, rest = text.partition(":")
        scheme = scheme.lower() if colon else ""
        if scheme in FETCHED or scheme in ELSEWHERE or (scheme.isalnum() and rest[:2] == "//"):
            path = self._fetched(parameter, scheme, text)
        else:
            path = self._found(parameter, text)
        self._note(parameter, text, path)
        return path

    def _found(self, parameter: Parameter, text: str) -> str:
        given = parameter.name in self._request.parameters
        base = self._request.caller if given else self._tree.project
        path = self._absolute(base, text)
        if os.path.lexists(path) or given:
            return path
        other = self._absolute(self._request.caller, text)
        if not os.path.lexists(other):
            return path
        self.warnings.append(
            Problem(
                severity="warning",
                rule="default-outside-project",
                message=f"the default of parameter {parameter.name!r} is not in the project; "
                f"{_shown(parameter, text)} in the current directory is used",
                place=parameter.place,
                hint=f"-P {parameter.name}=... says so",
            )
        )
        return other

    def _absolute(self, base: str, text: str) -> str:
        path = os.path.join(base, text)
        if text.startswith("~") and not os.path.lexists(path):
            home = self._services.environ.get("HOME", "~")
            path = f"{home}{text[1:]}" if text[1:2] in {"", "/"} else os.path.expanduser(text)
        return os.path.abspath(path)

    def _fetched(self, parameter: Parameter, scheme: str, text: str) -> str:
        from runner.stages import fetched_input
        from runner.system.download import DownloadError

        shown = _shown(parameter, text)
        if scheme not in FETCHED:
            raise self._refused(
                parameter,
                f"{shown} is a location that Runproj does not download from ({scheme}:)",
                "declare the parameter with 'type: uri' and let the program read it, "
                "or download it and give the local path",
            )
        try:
            if scheme == "file":
                return fetched_input.path_of_file_url(text)
            if scheme == "runs":
                return fetched_input.of_run(text, self._storage(), self._services)
            title = f"parameter {parameter.name}" if parameter.secret else None
            return fetched_input.of_web(text, self._storage(), self._services, title)
        except DownloadError as error:
            where = "" if parameter.secret else f" ({error.where})"
            raise self._refused(parameter, f"{error.message}{where}", error.hint) from None
        except ValueError as error:
            raise self._refused(parameter, f"{shown} {error}", None) from None

    def _storage(self) -> str:
        if self._request.storage:
            return self._absolute(self._request.caller, self._request.storage)
        return os.path.join(self._services.home, "inputs")

    def _note(self, parameter: Parameter, text: str, path: str) -> None:
        """Digest an input, once for each name it has."""
        digest, size = self._digested(parameter, text, path)
        from runner.redaction import without_credentials

        self.inputs.append(
            Input(
                parameter=parameter.name,
                given=MASK if parameter.secret else without_credentials(text),
                path=MASK if parameter.secret else path,
                digest=digest,
                size=size,
            )
        )

    def _digested(self, parameter: Parameter, text: str, path: str) -> tuple[Digest, int]:
        from runner.system.digests import file_input, folder_input

        shown = _shown(parameter, text)
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISDIR(mode):
                return folder_input(path, self._services.home)
            if stat.S_ISREG(mode) or path == os.devnull:
                return file_input(path, self._services.home)
        except FileNotFoundError:
            raise self._missing(parameter, shown, path) from None
        except NotADirectoryError:
            raise self._missing(parameter, shown, path) from None
        except OSError as error:
            why = error.strerror or str(error)
            raise self._refused(parameter, f"{shown} cannot be read: {why}", None) from None
        raise self._refused(
            parameter,
            f"{shown} is neither a file nor a directory",
            "a pipe cannot be recorded: write its content to a file first",
        )

    def _missing(self, parameter: Parameter, shown: str, path: str) -> ParameterError:
        given = parameter.name in self._request.parameters
        base = self._request.caller if given else self._tree.project
        looked = "" if parameter.secret else f" (looked for {path!r})"
        broken = ": it is a link to nothing" if os.path.islink(path) else ""
        return self._refused(
            parameter,
            f"no such file or directory: {shown}{broken}{looked if not broken else ''}",
            f"relative paths {'of -P' if given else 'of defaults'} start at {base}",
        )

    def _refused(self, parameter: Parameter, message: str, hint: str | None) -> ParameterError:
        return ParameterError(
            f"parameter {parameter.name!r}: {message}",
            where=str(parameter.place) if parameter.place else None,
            hint=hint,
        )


def _shown(parameter: Parameter, text: str) -> str:
    from runner.stages.accept import quoted

    return "the value" if parameter.secret else quoted(text)
