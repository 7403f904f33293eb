"""Every error that Runproj raises on purpose.

    RunprojError
    ├── UsageError       the command line or the arguments make no sense          exit 2
    ├── SpecError        a project file is missing or wrong                       exit 2
    ├── ParameterError   the values do not fit the entry point                    exit 2
    ├── SourceError      the reference could not become a working tree            exit 125
    ├── EnvError         the environment could not be locked or built             exit 125
    ├── BackendError     the job could not be submitted or followed               exit 125
    ├── StoreError       the run record could not be read or written              exit 125
    │   └── FilterError  a filter or an order of a search makes no sense          exit 2
    └── PluginError      an adapter could not be loaded                           exit 125

A command that runs and fails is not an error: it is an outcome.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar

    from runner.model.spec import Problem


class RunprojError(Exception):
    """Something went wrong that the user can understand and act on.

    ``message`` is one sentence that names the thing as the user wrote it and says what was found;
    ``where`` is a place (``file:line:column``, a URL without credentials); ``hint`` is what to do
    next. ``problems`` are all the findings, where there are several.
    """

    code: ClassVar[str] = "runproj"
    exit_code: ClassVar[int] = 125

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.problems = tuple(problems)


class UsageError(RunprojError):
    """The command line or the arguments make no sense."""

    code = "usage"
    exit_code = 2


class SpecError(RunprojError):
    """A project file is missing or wrong."""

    code = "spec"
    exit_code = 2


class ParameterError(RunprojError):
    """The values do not fit the entry point."""

    code = "parameter"
    exit_code = 2


class SourceError(RunprojError):
    """The reference could not become a working tree."""

    code = "source"


class EnvError(RunprojError):
    """The environment could not be locked or built."""

    code = "environment"


class BackendError(RunprojError):
    """The job could not be submitted or followed."""

    code = "backend"


class StoreError(RunprojError):
    """The run record could not be read or written. ``status`` is MLflow's error code."""

    code = "store"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        status: str = "INTERNAL_ERROR",
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status


LANGUAGE = "metrics.NAME, params.NAME, tags.NAME, attributes.NAME; comparisons joined by AND"


class FilterError(StoreError):
    """A filter or an order of a search makes no sense."""

    code = "filter"
    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or LANGUAGE, status="INVALID_PARAMETER_VALUE")


class StoreUnavailableError(StoreError):
    """The store cannot be had just now: no answer, no sense in it, or no room. It may be later."""


class PluginError(RunprojError):
    """An adapter could not be loaded."""

    code = "plugin"
