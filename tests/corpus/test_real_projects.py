"""Real MLproject files from public repositories, beside the verdict of mlflow on each."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.documents.project import read_project
from runner.documents.remembered import ProjectFiles, Reading, recalled, remember

if TYPE_CHECKING:
    from typing import Any

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"
pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the corpus is not beside the checkout (../shared/corpus)"
)


def rows() -> list[dict[str, str]]:
    if not CORPUS.is_dir():
        return []
    with open(CORPUS / "mlflow_verdict.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = rows()
NAMES = [f"{row['dir']}/{row['path']}" for row in ROWS]
DISAGREEMENTS = {
    ("warn", "accept"): "boolean types are ours to check: nothing to warn about",
    ("error", "warn"): "UTF-16 with a byte order mark can be read",
}
"""Where we judge milder than the corpus suggests, and why."""


def read(row: dict[str, str]) -> Reading:
    root = CORPUS / row["dir"]
    path = root / row["path"]
    files = ProjectFiles(str(path.parent), str(root))
    return read_project(files, path.name, path.read_bytes())


def verdict(reading: Reading) -> str:
    if any(problem.severity == "error" for problem in reading.problems):
        return "error"
    noted = all(problem.severity == "note" for problem in reading.problems)
    return "accept" if noted else "warn"


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_the_verdict_is_the_one_suggested(row: dict[str, str]) -> None:
    reading = read(row)

    ours, suggested = verdict(reading), row["suggested"]
    assert ours == suggested or (suggested, ours) in DISAGREEMENTS, reading.problems


def test_what_mlflow_runs_loads() -> None:
    for row in ROWS:
        if row["loads"] == "yes" and (row["env_parse"] or "ok").startswith("ok"):
            assert read(row).spec is not None, row["dir"]


def test_entry_points_are_those_that_mlflow_sees() -> None:
    for row in ROWS:
        spec = read(row).spec
        if spec is None or row["loads"] != "yes":
            continue
        theirs: dict[str, Any] = json.loads(row["entry_points"])
        ours = {entry_point.name: entry_point for entry_point in spec.entry_points.values()}
        assert set(ours) == set(theirs)
        for name, entry_point in theirs.items():
            declared = next(e for e in ours.values() if e.name == name)
            assert declared.template == entry_point["command"]
            assert {p.name: p.default for p in declared.parameters} == {
                key: None if value["default"] is None else str(value["default"])
                for key, value in entry_point["parameters"].items()
            }


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_what_is_remembered_is_what_was_read(row: dict[str, str], tmp_path: Path) -> None:
    reading = read(row)
    path = os.path.join(tmp_path, "specs", "one.json")

    remember(path, reading)

    assert recalled(path) == (reading if reading.spec else None)
