"""Environment files that are fine, and the specs they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runner.documents.project import read_project
from runner.documents.remembered import ProjectFiles
from runner.model.spec import CondaSpec, DockerSpec, PythonSpec
from runner.stages.load import judged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.documents.remembered import Reading

    Read = Callable[[dict[str, str]], Reading]


def environment(reading: Reading) -> Any:
    assert reading.spec is not None, reading.problems
    return reading.spec.environment


def test_python_env(read: Read) -> None:
    found = read(
        {
            "MLproject": "python_env: envs/python_env.yaml\n",
            "envs/python_env.yaml": 'python: "3.11"\n'
            "build_dependencies: [pip, setuptools==70]\n"
            "dependencies:\n  - numpy==2.1\n  - '# comment'\n  - -r requirements.txt\n  - ./pkg\n",
            "envs/requirements.txt": "six\n",
        }
    )

    spec = environment(found)
    assert found.problems == ()
    assert (spec.kind, spec.origin, spec.directory) == (
        "python_env",
        "envs/python_env.yaml",
        "envs",
    )
    assert spec.python == "3.11"
    assert spec.build_requirements == ("pip", "setuptools==70")
    assert spec.requirements == ("numpy==2.1", "-r requirements.txt", "./pkg")


@pytest.mark.parametrize("text", ["{}", "python:\ndependencies:\nbuild_dependencies:\n"])
def test_a_python_env_may_leave_everything_open(read: Read, text: str) -> None:
    spec = environment(read({"MLproject": "python_env: p.yaml\n", "p.yaml": text}))

    assert (spec.python, spec.requirements, spec.build_requirements) == (None, (), ())


@pytest.mark.parametrize("line", ["-r req.txt", "-rreq.txt", "--requirement=req.txt", "-c req.txt"])
def test_includes_are_looked_for_in_the_project_folder_too(read: Read, line: str) -> None:
    files = {
        "MLproject": "python_env: envs/p.yaml\n",
        "envs/p.yaml": f"dependencies: ['{line}']\n",
        "req.txt": "six\n",
    }

    found = read(files)

    assert found.problems == ()
    option = line.replace("=", " ").removesuffix("req.txt").strip()
    assert environment(found).requirements == (f"{option} ../req.txt",)
    assert "req.txt" in found.files


def test_conda_with_python_and_pip_only_is_a_python_environment(read: Read) -> None:
    text = (
        "name: tutorial\n"
        "channels: [conda-forge]\n"
        "dependencies:\n"
        "  - python=3.8.*\n"
        "  - pip=20.2\n"
        "  - pip:\n    - mlflow>=2\n"
        "  - pip:\n    - numpy\n"
        "prefix: /home/x/envs/tutorial\n"
    )

    found = read({"MLproject": "conda_env: conda.yaml\n", "conda.yaml": text})

    spec = environment(found)
    notes = [(p.severity, str(p.place), p.message.partition(" ")[0]) for p in found.problems]
    assert notes == [("note", "conda.yaml:1:1", "'name'"), ("note", "conda.yaml:10:1", "'prefix'")]
    assert judged(found.problems, entry_point="main") == (), "a run says nothing, strict or not"
    assert isinstance(spec, PythonSpec)
    assert (spec.kind, spec.origin, spec.python) == ("conda", "conda.yaml", "3.8")
    assert spec.build_requirements == ("pip==20.2.*",)
    assert spec.requirements == ("mlflow>=2", "numpy")


def test_conda_with_more_packages_keeps_everything(read: Read) -> None:
    text = (
        "name: tutorial\n"
        "channels: [conda-forge, defaults]\n"
        "dependencies:\n  - python=3.8\n  - numpy=1.20\n  - pip\n  - pip: [mlflow]\n"
        "variables: {A: 1, B: }\n"
    )

    spec = environment(read({"MLproject": "conda_env: conda.yaml\n", "conda.yaml": text}))

    assert isinstance(spec, CondaSpec)
    assert spec.name == "tutorial"
    assert spec.channels == ("conda-forge", "defaults")
    assert spec.packages == ("python=3.8", "numpy=1.20", "pip")
    assert spec.pip == ("mlflow",)
    assert spec.variables == {"A": "1", "B": ""}


def test_a_python_that_only_conda_can_choose_makes_a_conda_environment(read: Read) -> None:
    text = "dependencies: ['python=3.8|3.9']\n"

    spec = environment(read({"MLproject": "conda_env: c.yaml\n", "c.yaml": text}))

    assert isinstance(spec, CondaSpec)
    assert spec.packages == ("python=3.8|3.9",)


def test_docker(read: Read) -> None:
    text = (
        "name: my-project\n"
        "docker_env:\n"
        "  image: python:3.11\n"
        '  volumes: ["/data:/data:ro"]\n'
        '  environment: [["GREETING", "hello world"], "TOKEN", ["N", 3]]\n'
    )

    found = read({"MLproject": text})

    spec = environment(found)
    assert found.problems == ()
    assert isinstance(spec, DockerSpec)
    assert spec.image == "python:3.11"
    assert spec.volumes == ("/data:/data:ro",)
    assert spec.variables == {"GREETING": "hello world", "TOKEN": None, "N": "3"}


def test_docker_with_all_its_keys(read: Read) -> None:
    text = (
        "name: my-project\n"
        "docker_env:\n"
        "  dockerfile: docker/Dockerfile\n"
        "  context: docker\n"
        "  args: {CUDA: 12.4, FULL: true}\n"
        "  target: train\n"
        "  gpus: 2\n"
        "  network: none\n"
        "  user: 1000\n"
        "  platform: linux/amd64\n"
        "  pull: never\n"
        "  code: mount\n"
    )

    found = read({"MLproject": text, "docker/Dockerfile": "FROM scratch\n"})

    spec = environment(found)
    assert found.problems == ()
    assert isinstance(spec, DockerSpec)
    assert (spec.image, spec.dockerfile, spec.context) == (None, "docker/Dockerfile", "docker")
    assert spec.is_built
    assert spec.args == {"CUDA": "12.4", "FULL": "true"}
    assert (spec.target, spec.gpus, spec.network, spec.user) == ("train", "2", "none", "1000")
    assert (spec.platform, spec.pull, spec.code) == ("linux/amd64", "never", "mount")


def test_requirements_and_pyproject_may_be_named_as_python_env(read: Read) -> None:
    requirements = read({"MLproject": "python_env: r/dev.txt\n", "r/dev.txt": "six\n"})
    pyproject = read(
        {
            "MLproject": "python_env: pyproject.toml\n",
            "pyproject.toml": "[project]\nname = 'x'\nrequires-python = '>=3.9'\n"
            "dependencies = ['six', 'numpy>=2']\n",
        }
    )

    asked = environment(requirements)
    assert (asked.kind, asked.directory, asked.requirements) == (
        "requirements",
        "r",
        ("-r dev.txt",),
    )
    asked = environment(pyproject)
    assert (asked.kind, asked.origin, asked.python) == ("pyproject", "pyproject.toml", ">=3.9")
    assert asked.requirements == ("six", "numpy>=2")


DEFAULTS = {
    "python_env.yaml": "dependencies: [a]\n",
    "conda.yaml": "dependencies: [python, {pip: [b]}]\n",
    "environment.yml": "dependencies: [python, {pip: [c]}]\n",
    "environment.yaml": "dependencies: [python, {pip: [d]}]\n",
    "requirements.txt": "e\n",
    "pyproject.toml": "[project]\nname = 'x'\ndependencies = ['f']\n",
}


@pytest.mark.parametrize("mlproject", ["name: x\n", None])
def test_without_a_key_the_first_known_file_is_the_environment(
    tmp_path: Path, mlproject: str | None
) -> None:
    for name, text in DEFAULTS.items():
        (tmp_path / name).write_text(text)
    chosen = []
    for name in DEFAULTS:
        files = ProjectFiles(str(tmp_path), str(tmp_path))
        reading = read_project(files, mlproject and "MLproject", (mlproject or "").encode())
        chosen.append(environment(reading).origin)
        (tmp_path / name).unlink()

    assert chosen == list(DEFAULTS)
    files = ProjectFiles(str(tmp_path), str(tmp_path))
    assert environment(read_project(files, None)) == PythonSpec()


def test_a_pyproject_of_tools_only_is_no_environment(read: Read) -> None:
    found = read({"MLproject": "name: x\n", "pyproject.toml": "[tool.black]\nline-length = 90\n"})

    assert environment(found) == PythonSpec()
    assert found.problems == ()


def test_a_file_in_a_parent_folder_of_the_same_tree_is_fine(tmp_path: Path) -> None:
    project = tmp_path / "repository" / "part"
    project.mkdir(parents=True)
    (tmp_path / "repository" / "env.yaml").write_text("dependencies: [six]\n")
    (tmp_path / "env.yaml").write_text("dependencies: [evil]\n")

    def reading(name: str) -> Reading:
        files = ProjectFiles(str(project), str(tmp_path / "repository"))
        return read_project(files, "MLproject", f"python_env: {name}\n".encode())

    assert environment(reading("../env.yaml")).directory == ".."
    assert [p.rule for p in reading("../../env.yaml").problems] == ["outside"]
    assert [p.rule for p in reading(str(tmp_path / "env.yaml")).problems] == ["outside"]


def test_a_link_that_leads_out_of_the_tree_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (tmp_path / "secret.yaml").write_text("dependencies: [evil]\n")
    (root / "python_env.yaml").symlink_to(tmp_path / "secret.yaml")

    reading = read_project(ProjectFiles(str(root), str(root)), "MLproject", b"name: x\n")
    named = read_project(
        ProjectFiles(str(root), str(root)), "MLproject", b"python_env: python_env.yaml\n"
    )

    assert environment(reading) == PythonSpec()
    assert [p.rule for p in named.problems] == ["outside"]
    assert named.spec is None


PINS = {
    "3.12\n": "3.12",
    "# a note\n\n3.11.7\n3.12\n": "3.11.7",
    "cpython-3.11": "3.11",
    "3.8": ">=3.9",
    "pypy3.10": ">=3.9",
    "": ">=3.9",
}


@pytest.mark.parametrize("pin", PINS)
def test_a_pyproject_takes_the_python_of_its_version_file(read: Read, pin: str) -> None:
    table = "[project]\nname = 'x'\nrequires-python = '>=3.9'\n"
    reading = read({"MLproject": "name: x\n", "pyproject.toml": table, ".python-version": pin})
    asked = environment(reading)
    assert asked.python == PINS[pin]
    passed_over = asked.python == ">=3.9" and pin != ""
    assert [p.rule for p in reading.problems] == ["python-version"] * passed_over
    assert ".python-version" in reading.files


def test_other_projects_have_no_version_file(read: Read) -> None:
    files = {"MLproject": "name: x\n", "requirements.txt": "f\n", ".python-version": "3.8\n"}
    assert environment(read(files)).python is None
