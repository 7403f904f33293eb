"""The elastic net on wines in a conda environment of compiled packages, offline, twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conda_channel import (
    MINOR,
    Channel,
    CondaPackage,
    File,
    installed_packages,
    pure,
    python_real,
)
from uv import find_uv_bin

if TYPE_CHECKING:
    from typing import Any

WINE = Path(__file__).parents[2] / "example_projects" / "elastic_net_wine"
NEEDED = ("scikit-learn>=1.5,<2", "pandas>=2.2", "matplotlib>=3.9", "mlflow>=3.1,<4")
ASKED = f"""\
channels: [./channel]
dependencies:
  - python={MINOR}
  - scikit-learn
  - pandas >=2.2
  - matplotlib
  - mlflow
variables: {{OMP_NUM_THREADS: "1"}}
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the example with a ``conda.yaml`` and a channel made of real wheels beside it."""
    folder, site = tmp_path / "wine", tmp_path / "site"
    shutil.copytree(WINE, folder)
    (folder / "python_env.yaml").unlink()
    project = (folder / "MLproject").read_text()
    (folder / "MLproject").write_text(
        project.replace("python_env: python_env.yaml", "conda_env: conda.yaml")
    )
    (folder / "conda.yaml").write_text(ASKED)
    subprocess.run(
        (find_uv_bin(), "pip", "install", "-q", "--python-version", MINOR, "--only-binary", ":all:",
         "--target", site, *NEEDED),
        check=True,
    )  # fmt: skip
    tz = CondaPackage("tzdata", "2024a", noarch="generic", files={"share/tz": File(b"tz\n")})
    Channel(folder / "channel").add(
        python_real(), tz, pure("pip", "24.0"), *installed_packages(site)
    )
    return folder


def ran(runproj: Path, project: Path) -> dict[str, Any]:
    gone = "http://127.0.0.1:9"
    done = subprocess.run(
        (str(runproj), "run", str(project), "--json"),
        cwd=project.parent,
        env={**os.environ, "HOME": str(project.parent), "http_proxy": gone, "https_proxy": gone,
             "PIP_INDEX_URL": gone, "UV_DEFAULT_INDEX": gone},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def kept(project: Path, summary: dict[str, Any], name: str) -> bytes:
    (path,) = project.parent.rglob(f"{summary['run_id']}/artifacts/{name}")
    return path.read_bytes()


def test_the_wine_example_runs_twice_with_the_same_digests(
    runproj: Path, project: Path, home: Path
) -> None:
    first = ran(runproj, project)
    shutil.rmtree(home)
    second = ran(runproj, project)
    for name in ("runproj/conda-lock.yml", "coefficients.csv"):
        assert kept(project, first, name) == kept(project, second, name)
    environments = [
        json.loads(kept(project, run, "runproj/environment.json")) for run in (first, second)
    ]
    assert environments[0]["contents"] == environments[1]["contents"]
    assert environments[0]["environment"] == environments[1]["environment"]
    versions = {row["name"]: row["source"] for row in environments[0]["packages"]}
    assert versions["numpy"] == versions["scikit-learn"] == "conda"
