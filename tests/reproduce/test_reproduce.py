"""``runproj reproduce`` as users call it: real git, uv, supervisor, store and endpoint."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from git_repositories import Repo
from machines import PROJECT
from packages import make_wheel

from runner.schema import validator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from machines import Machine

pytestmark = pytest.mark.slow


def test_a_dirty_run_is_reproduced_elsewhere(
    project: Repo, machine: Callable[[str], Machine], tmp_path: Path
) -> None:
    first = machine("first")
    project.git("clone", "-q", "--bare", str(project.path), str(tmp_path / "origin.git"))
    project.git("remote", "add", "origin", f"file://{tmp_path / 'origin.git'}")
    project.write({"train.py": (project.path / "train.py").read_text() + "metric('more', 3)\n"})
    project.write({"notes/new.txt": "untracked"})
    reference = first.run(project.path, "-P", "alpha=0.25")

    second = machine("second")
    second.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{first.here / 'mlflow.db'}"
    shutil.rmtree(first.home)
    shutil.move(project.path, tmp_path / "gone")
    found = second.verdict(reference[:8])
    assert found["status"] == "IDENTICAL"
    assert [*validator("verdict").iter_errors(found)] == []
    assert found["reference"] == reference
    judged = {c["name"]: c["judgement"] for c in found["comparisons"] if c["kind"] == "metric"}
    assert judged == {"loss": "identical", "more": "identical", "score": "identical"}
    again = first.tracked(found["reproduction"])
    before = first.tracked(reference)
    assert again.tags["runproj.reproduces"] == reference
    assert again.tags["runproj.verdict"] == "IDENTICAL"
    assert again.tags["runproj.tree"] == before.tags["runproj.tree"]
    assert before.tags["runproj.reproduced"] == "IDENTICAL"
    assert before.tags["runproj.reproduced_by"] == again.run_id
    assert again.params == before.params
    kept = first.artifact(again.run_id, "runproj/verdict.json")
    assert json.loads(kept)["status"] == "IDENTICAL"


def test_a_changed_result_is_told_with_its_cause(
    project: Repo, machine: Callable[[str], Machine], wheels: Path
) -> None:
    here = machine("here")
    reference = here.run(project.path)
    make_wheel(wheels, "tensorish", "2.0", body="def score(alpha):\n    return alpha * 3\n")
    make_wheel(wheels, "pip", "99.0")
    assert here.verdict(f"runs:/{reference}")["status"] == "IDENTICAL"
    found = here.verdict(reference, "--refresh", code=1)
    assert found["status"] == "DIVERGED"
    (score,) = [c for c in found["comparisons"] if c["name"] == "score"]
    assert (score["reference"], score["now"], score["difference"]) == ("1.0", "1.5", "0.5")
    first = found["differences"][0]
    assert (first["axis"], first["name"]) == ("package", "tensorish")
    assert (first["reference"], first["now"]) == ("1.0", "2.0")
    assert here.tracked(found["reproduction"]).tags["runproj.verdict.cause"] == "package tensorish"


def test_noise_within_a_tolerance_is_equivalent(
    project: Repo, machine: Callable[[str], Machine], tmp_path: Path
) -> None:
    here = machine("here")
    noisy = (project.path / "train.py").read_text().replace("random.seed(7)", "random.seed()")
    project.commit({"train.py": noisy})
    reference = here.run(project.path)
    done = here.call("reproduce", reference)
    assert done.returncode == 1
    assert "metric loss diverged" in done.stdout
    report, junit, shown = (tmp_path / name for name in ("report.md", "junit.xml", "page.html"))
    summary = tmp_path / "summary.md"
    done = here.call(
        "reproduce", reference, "--tolerance", "lo*=0.01", "--markdown", report, "--junit", junit,
        "--html", shown,
        GITHUB_STEP_SUMMARY=str(summary),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(f"EQUIVALENT: run {reference}")
    assert report.read_text() == summary.read_text()
    assert "| metric | loss |" in report.read_text()
    assert shown.read_text().count("<polyline") == 2
    suite = ET.parse(junit).getroot()  # noqa: S314 - our own file
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    project.commit({"MLproject": PROJECT + "reproduce:\n  metrics: {loss: '1%,0.01'}\n"})
    assert here.verdict(here.run(project.path))["status"] == "EQUIVALENT"


def test_other_values_make_a_variation(project: Repo, machine: Callable[[str], Machine]) -> None:
    here = machine("here")
    reference = here.run(project.path)
    found = here.verdict(reference, "-P", "alpha=0.75", code=1)
    assert found["is_variation"]
    assert found["varied"] == {"alpha": "0.75"}
    again = here.tracked(found["reproduction"])
    assert again.params["alpha"] == "0.75"
    assert again.tags["runproj.variation"] == "alpha=0.75"
    assert "runproj.reproduced" not in here.tracked(reference).tags


def test_a_changed_input_makes_it_incomplete(
    project: Repo, machine: Callable[[str], Machine], tmp_path: Path
) -> None:
    here = machine("here")
    data = here.here / "own.csv"
    data.write_text("3.0\n")
    reference = here.run(project.path, "-P", "data=own.csv")
    data.rename(tmp_path / "moved.csv")
    found = here.verdict(reference, code=3)
    assert found["status"] == "INCOMPLETE"
    assert "'own.csv' is not here" in found["reasons"][0]
    assert "reproduction" not in found
    data.write_text("4.0\n")
    found = here.verdict(reference, code=3)
    assert "is not what it was" in found["reasons"][0]
    found = here.verdict(reference, "-P", f"data={tmp_path / 'moved.csv'}")
    assert (found["status"], found["is_variation"]) == ("IDENTICAL", False)
    assert here.tracked(found["reproduction"]).params["data"] == "own.csv"


def test_what_cannot_be_had_is_named(
    project: Repo, machine: Callable[[str], Machine], tmp_path: Path, wheels: Path
) -> None:
    here = machine("here")
    reference = here.run(project.path)
    there = machine("there")
    there.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{here.here / 'mlflow.db'}"
    for wheel in wheels.iterdir():
        wheel.rename(tmp_path / wheel.name)
    found = there.verdict(reference, code=3)
    assert "tensorish" in found["reasons"][0]
    assert here.tracked(found["reproduction"]).tags["runproj.verdict"] == "INCOMPLETE"
    project.path.rename(tmp_path / "moved")
    found = there.verdict(reference, code=3)
    assert (
        f"the commit {project_commit(tmp_path / 'moved')} of the run cannot be had"
        in (found["reasons"][0])
    )
    done = there.call("reproduce", "f" * 32)
    assert done.returncode == 3
    assert "there is no run" in done.stderr


def project_commit(path: Path) -> str:
    return Repo(path).git("rev-parse", "HEAD")[:12]


def test_the_package_that_matters_is_found_by_bisection(
    project: Repo, machine: Callable[[str], Machine], wheels: Path
) -> None:
    here = machine("here")
    others = [f"other{number}" for number in range(4)]
    for name in others:
        make_wheel(wheels, name, "1.0")
    listed = "".join(f"  - {name}\n" for name in ("tensorish", *others))
    project.commit({"python_env.yaml": f"dependencies:\n{listed}"})
    reference = here.run(project.path)
    make_wheel(wheels, "tensorish", "1.1", body="def score(alpha):\n    return alpha * 3\n")
    for name in others:
        make_wheel(wheels, name, "2.0")
    found = here.verdict(reference, "--refresh", "--bisect", "env", code=1)
    assert found["bisection"]["names"] == ["tensorish"]
    assert 2 <= found["bisection"]["trials"] <= 6
    assert found["differences"][0]["name"] == "tensorish"
    assert found["differences"][0]["weight"] == 1
    assert [*validator("verdict").iter_errors(found)] == []
    kept = json.loads(here.artifact(found["reproduction"], "runproj/verdict.json"))
    assert kept["bisection"] == found["bisection"]
    assert here.tracked(reference).tags["runproj.reproduced"] == "DIVERGED"
    done = here.call("reproduce", reference, "--bisect", "env")
    assert done.returncode == 0, done.stderr


def test_repetitions_measure_the_noise(project: Repo, machine: Callable[[str], Machine]) -> None:
    here = machine("here")
    noisy = (project.path / "train.py").read_text().replace("random.seed(7)", "random.seed()")
    project.commit({"train.py": noisy})
    reference = here.run(project.path)
    done = here.call("reproduce", reference, "--repeat", "2", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["status"] == "DIVERGED"
    assert len(found["verdicts"]) == 2
    assert len(found["noise"]["loss"]["values"]) == 3
    proposed = found["noise"]["loss"]["tolerance"]
    assert 0 < float(found["noise"]["loss"]["spread"]) < float(proposed) < 0.01
    assert found["noise"]["score"]["tolerance"] is None
