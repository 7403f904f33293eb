"""``runproj check``: what stands in the way is named, with its place and a fix."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from git_repositories import make_repo

from runner.cli.main import main
from runner.schema import validator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from machines import Machine

CAREFUL = """\
name: careful
python_env: python_env.yaml
entry_points:
  main:
    parameters:
      seed: {type: int, default: 0}
      data: {type: path, default: data.csv}
    command: 'python train.py {seed} {data} > /dev/null'
"""
CARELESS = """\
name: careless
python_env: python_env.yaml
entry_points:
  main:
    parameters:
      data: {type: path, default: ../data.csv}
      where: {type: uri, default: "https://user:pass@example.org/x"}
    command: 'python train.py --more /data/more.csv --url https://example.org/y.csv'
"""


def rules(path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, dict[str, str]]:
    assert main(["check", str(path), "--json", *flags]) == 0
    return {risk["rule"]: risk for risk in json.loads(capsys.readouterr().out)["risks"]}


def test_a_careful_project_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repo = make_repo(
        tmp_path / "p",
        {
            "MLproject": CAREFUL,
            "python_env.yaml": "python: '3.11'\ndependencies:\n  - numpy==2.0.1\n",
            "data.csv": "1\n",
        },
    )
    repo.git("remote", "add", "origin", "https://example.org/p.git")
    assert rules(repo.path, capsys, "--strict") == {}
    assert main(["check", str(repo.path)]) == 0
    assert "nothing stands in the way" in capsys.readouterr().out


def test_a_careless_one_is_told_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = make_repo(
        tmp_path / "p",
        {
            "MLproject": CARELESS,
            "python_env.yaml": "dependencies:\n  - numpy\n  - pandas>=2\n  - scipy==1.*\n",
        },
    )
    repo.write({"new.py": "", "secret.pem": "x"})
    found = rules(repo.path, capsys)
    assert set(found) == {
        "dirty-tree", "no-remote", "not-recorded", "unpinned", "no-python", "no-seed",
        "absolute-path", "network", "outside-path",
    }  # fmt: skip
    assert "'numpy', 'pandas>=2', 'scipy==1.*'" in found["unpinned"]["message"]
    assert "secret.pem" in found["not-recorded"]["message"]
    assert found["outside-path"]["where"].startswith("MLproject:6:")
    assert "pass@" not in json.dumps(found)
    assert main(["check", str(repo.path), "--strict"]) == 1
    assert capsys.readouterr().out.startswith("high[not-recorded]")
    repo.write({"pylock.toml": "lock-version = '1.0'\n"})
    assert "unpinned" not in rules(repo.path, capsys)


def test_images_by_tag_and_folders_without_git_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    docker = "name: d\ndocker_env:\n  image: registry:5000/image:latest\n"
    (folder / "MLproject").write_text(docker)
    found = rules(folder, capsys)
    assert set(found) == {"no-commit", "image-by-tag"}
    fix = "runproj lock, or name it registry:5000/image@sha256:..."
    assert found["image-by-tag"]["fix"] == fix
    assert found["image-by-tag"]["where"].startswith("MLproject:2:")
    (folder / "MLproject").write_text(f"name: d\ndocker_env:\n  image: i@sha256:{'0' * 64}\n")
    assert set(rules(folder, capsys)) == {"no-commit"}


def test_what_was_found_is_kept_with_every_run(
    tmp_path: Path, machine: Callable[[str], Machine]
) -> None:
    careless = CARELESS.replace("python train.py", "true")
    more = "  other:\n    parameters: {seed: {type: int, default: 0}}\n    command: 'true {seed}'\n"
    repo = make_repo(tmp_path / "p", {"MLproject": careless + more, "data.csv": "1\n"})
    repo.write({"python_env.yaml": "dependencies: [numpy]\n"})
    (tmp_path / "data.csv").write_text("1\n")
    here = machine("here")
    told = {"dirty-tree", "no-remote", "unpinned", "no-python"}
    of_main = {"no-seed", "absolute-path", "network", "outside-path"}
    for entry_point, expected in (("other", told), ("main", told | of_main)):
        # the second run reads nothing of the project anew
        run_id = here.run(repo.path, "-e", entry_point, "--env-manager", "local")
        record = json.loads(here.artifact(run_id, "runproj/record.json"))
        assert [e.message for e in validator("record").iter_errors(record)] == []
        assert {finding["rule"] for finding in record["findings"]} == expected
        assert record["findings"][0]["severity"] == "medium"
        assert "pass@" not in json.dumps(record)
        assert set(here.tracked(run_id).tags["runproj.findings"].split(", ")) == expected


def test_the_value_of_a_secret_is_not_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "where: {type: uri, secret: true, default: 'https://example.org/hush'}"
    project = "entry_points:\n  main:\n    parameters:\n      {}\n    command: 'true {{where}}'\n"
    repo = make_repo(tmp_path / "p", {"MLproject": project.format(secret)})
    assert "hush" not in json.dumps(rules(repo.path, capsys))


def test_images_that_a_dockerfile_begins_with_are_told_until_they_are_locked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = "name: d\ndocker_env: {dockerfile: docker/Dockerfile, args: {V: '3.12'}}\n"
    dockerfile = f"ARG V\nFROM python:$V AS a\nFROM a\nCOPY --from=b@sha256:{'0' * 64} /x /y\n"
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/Dockerfile").write_text(dockerfile)
    (tmp_path / "MLproject").write_text(project)
    found = rules(tmp_path, capsys)
    assert set(found) == {"no-commit", "image-by-tag"}
    assert "'python:3.12'" in found["image-by-tag"]["message"]
    assert found["image-by-tag"]["where"] == "docker/Dockerfile"
    base = {"reference": "python:3.12"}
    lock = {"version": 1, "image": None, "build": {"bases": [base]}}
    (tmp_path / "image-lock.json").write_text(json.dumps(lock))
    assert set(rules(tmp_path, capsys)) == {"no-commit"}
