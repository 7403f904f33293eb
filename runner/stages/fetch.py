"""Reference -> working tree."""

from __future__ import annotations

from runner.errors import SourceError
from runner.redaction import without_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.project import ProjectReference, WorkingTree
    from runner.ports import Services


def fetch(reference: ProjectReference, services: Services) -> WorkingTree:
    """Ask the first source that accepts the reference.

    Raises:
        SourceError: No source accepts it, or the one that does cannot get the files.
    """
    for source in services.sources:
        if source.accepts(reference):
            return source.fetch(reference)
    shown = without_credentials(reference.location)
    raise SourceError(
        f"there is no project at {shown!r}",
        hint="give a directory, a git URL, or a .zip or .tar archive",
    )
