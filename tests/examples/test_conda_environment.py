"""The example with a conda environment, from a channel that stands in for conda-forge."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conda_channel import MINOR, Channel, CondaPackage, File, installed_packages, pure, python_real
from uv import find_uv_bin

if TYPE_CHECKING:
    from tests.examples.conftest import Caller

EXAMPLE = str(Path(__file__).parents[2] / "example_projects/conda_environment")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def conda_forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a channel with a real Python and a real numpy where conda-forge is looked for."""
    site = tmp_path / "site"
    subprocess.run(
        (find_uv_bin(), "pip", "install", "-q", "--python-version", MINOR, "--only-binary", ":all:",
         "--target", site, "numpy>=1.26,<3"),
        check=True,
    )  # fmt: skip
    tz = CondaPackage("tzdata", "2024a", noarch="generic", files={"share/tz": File(b"tz\n")})
    Channel(tmp_path / "channels" / "conda-forge").add(
        python_real(), tz, pure("pip", "24.0"), *installed_packages(site)
    )
    settings = tmp_path / "condarc"
    settings.write_text(f"channel_alias: file://{tmp_path}/channels\n")
    monkeypatch.setenv("CONDARC", str(settings))


@pytest.mark.usefixtures("conda_forge")
def test_it_runs_as_its_readme_says(caller: Caller) -> None:
    for _ in range(2):
        ended = caller("run", EXAMPLE, "-P", "masses=100")
        assert ended.stdout.startswith("100 modes, the lowest at 0.031104\nnumpy ")
        assert ended.stdout.endswith(", 1 thread\n")
    first, second = caller.folder.rglob("artifacts/modes.csv")
    assert first.read_bytes() == second.read_bytes()
    (described, _) = caller.folder.rglob("artifacts/runproj/environment.json")
    sources = {row["name"]: row["source"] for row in json.loads(described.read_text())["packages"]}
    assert (sources["numpy"], sources["mlflow-skinny"]) == ("conda", "pip")
