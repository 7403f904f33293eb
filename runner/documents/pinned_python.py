"""``.python-version`` beside a ``pyproject.toml``: the Python that uv takes for it.

Source: https://docs.astral.sh/uv/concepts/python-versions/#python-version-files. Other projects
have no such file for us, as they have none for mlflow.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from runner.documents.decoding import decoded
from runner.model.spec import Place
from runner.model.value import changed

if TYPE_CHECKING:
    from runner.documents.findings import Findings
    from runner.documents.remembered import ProjectFiles
    from runner.model.spec import PythonSpec

NAME = ".python-version"
VERSION = re.compile(r"(?:(?:c?python)[-@]?)?(\d+(?:\.\d+){0,2})", re.IGNORECASE)


def with_pinned_python(spec: PythonSpec, files: ProjectFiles, findings: Findings) -> PythonSpec:
    """Return a spec that asks for the Python of its ``.python-version`` file, if it has one.

    What is no version, and what ``requires-python`` excludes, is passed over with a warning.
    """
    name = os.path.join(spec.directory, NAME)
    content = files.read(name)
    text = None if content is None else decoded(content, name, findings)
    rows = enumerate((text or "").splitlines(), 1)
    found = next(((n, row.strip()) for n, row in rows if row.strip() and row[:1] != "#"), None)
    if found is None:
        return spec
    line, said = found
    place = Place(file=name, line=line, column=1)
    version = VERSION.fullmatch(said)
    if version is None:
        findings.warn("python-version", f"'{said}' is no version of CPython; it is passed over",
                      place, hint="write a version, such as 3.11")  # fmt: skip
    elif spec.python and not _allowed(version[1], spec.python):
        findings.warn(
            "python-version",
            f"Python {said} is excluded by requires-python ('{spec.python}'); it is passed over",
            place,
            hint="make the two agree",
        )
    else:
        return changed(spec, python=version[1])
    return spec


def _allowed(version: str, requires: str) -> bool:
    """Whether a Python of this version may satisfy a specifier; one that is wrong is told later."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        wanted = SpecifierSet(requires)
    except InvalidSpecifier:
        return True
    numbers = version.split(".")
    newest = ".".join([*numbers, *["999"] * (3 - len(numbers))])
    return any(wanted.contains(text, prereleases=True) for text in (version, newest))
