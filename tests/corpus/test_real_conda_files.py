"""Real conda environment files: every package in them is one that rattler understands."""

from __future__ import annotations

from pathlib import Path

import pytest
import rattler

from runner.documents.conda_environment import read_conda_environment
from runner.documents.findings import Findings
from runner.documents.remembered import ProjectFiles
from runner.environments.conda.inputs import specs
from runner.environments.requirements import Requirements
from runner.model.spec import CondaSpec

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"
pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the corpus is not beside the checkout (../shared/corpus)"
)
NOTHING = Requirements(lines=(), build=(), constraints=(), options=(), files=())
FILES = [
    path
    for path in sorted(CORPUS.rglob("*"))
    if path.suffix in {".yml", ".yaml"} and path.is_file() and b"dependencies" in path.read_bytes()
]


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(CORPUS)) for path in FILES])
def test_what_a_real_file_asks_for_is_understood_or_refused_with_the_cause(path: Path) -> None:
    findings = Findings()
    files = ProjectFiles(str(path.parent), str(path.parent))
    spec = read_conda_environment(path.read_bytes(), path.name, files, findings)
    if spec is None:
        assert any(problem.severity == "error" for problem in findings.problems)
    elif isinstance(spec, CondaSpec):
        for text in specs(spec, NOTHING):
            assert rattler.MatchSpec(text).name is not None


def test_most_real_files_need_conda() -> None:
    """Of 50 distinct files 39 do: what only conda can install is the rule, not the exception."""
    kinds = [
        read_conda_environment(
            path.read_bytes(), path.name, ProjectFiles(str(path.parent), "/"), Findings()
        )
        for path in FILES
    ]
    read = [spec for spec in kinds if spec is not None]
    assert sum(isinstance(spec, CondaSpec) for spec in read) > len(read) / 2
