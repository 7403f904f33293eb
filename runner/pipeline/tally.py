"""What is to be copied, and what came of it."""

from __future__ import annotations

from runner.errors import StoreUnavailableError
from runner.model.value import Value
from runner.pipeline.store_reading import OUT_OF_REACH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.errors import StoreError


class Scope(Value):
    """What is to be copied or compared: experiments by name (none: all), and the registry."""

    experiments: tuple[str, ...] = ()
    registry: bool = True


class Copied(Value):
    """What a copy has done. ``made`` counts what is new in the target, ``found`` what was there.

    ``problems`` are sentences about what could not be copied.
    """

    made: Mapping[str, int]
    found: Mapping[str, int]
    problems: tuple[str, ...] = ()


class Tally:
    """Counts, and the sentences about what went wrong."""

    def __init__(self) -> None:
        self.made: dict[str, int] = {}
        self.found: dict[str, int] = {}
        self.problems: list[str] = []

    def count(self, kind: str, *, new: bool) -> None:
        """Count one thing of a kind."""
        counts = self.made if new else self.found
        counts[kind] = counts.get(kind, 0) + 1

    def trouble(self, subject: str, error: StoreError) -> None:
        """Note what the target did not take; what is no fault of the data ends the copy."""
        refused = error.status in {"INVALID_PARAMETER_VALUE", OUT_OF_REACH, "ENDPOINT_NOT_FOUND"}
        if isinstance(error, StoreUnavailableError) or not refused:
            raise error
        self.problems.append(f"{subject}: {error.message}")

    def result(self) -> Copied:
        """Return what was counted."""
        return Copied(made=self.made, found=self.found, problems=tuple(self.problems))
