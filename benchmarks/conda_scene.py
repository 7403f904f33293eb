"""What conda environments cost, from a channel made of real wheels and a real Python."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Table, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenes import Bench

NEEDED = ("numpy==2.2.6", "pandas==2.3.3", "scikit-learn==1.7.2")
PROJECT = "name: c\nconda_env: conda.yaml\nentry_points:\n  main: {command: 'true'}\n"
ASKED = "channels: [./channel]\ndependencies: [python, numpy, pandas, scikit-learn]\n"


def conda(bench: Bench) -> Iterator[Table]:
    """Measure solving for a conda environment, building it, and using it."""
    project, home = made_project(bench), bench.folder / "conda-home"
    variables = {"RUNPROJ_HOME": str(home)}

    def variant(name: str, *options: str, gone: tuple[str, ...] = ()) -> Variant:
        run = bench.run(name, str(project), *options, **variables)
        return Variant(run.name, run.argv, run.cwd, run.variables, remover(home, gone))

    yield Table(
        "Conda environment of Python, numpy, pandas and scikit-learn",
        [
            variant("warm"),
            variant("solved again", "--refresh"),
            variant("new environment, packages cached", gone=("envs",)),
            variant("nothing cached", gone=(".",)),
        ],
        note="From a channel of files, with no conda installed. Runs include the run itself.",
    )


def made_project(bench: Bench) -> Path:
    """Return a project with a channel of its own, made when it is not there."""
    path = bench.folder / "projects/conda"
    if path.exists():
        return path
    site = bench.folder / "site"
    bench.call(bench.uv, "pip", "install", "-q", "--target", str(site), "--python", sys.executable,
               *NEEDED, cwd=bench.folder)  # fmt: skip
    path.mkdir(parents=True)
    (path / "MLproject").write_text(PROJECT)
    (path / "conda.yaml").write_text(ASKED)
    bench.call(sys.executable, __file__, str(site), str(path / "channel"), cwd=bench.folder)
    return path


def write_channel(site: Path, channel: Path) -> None:
    """Write the channel; in a process of its own, whose memory children do not inherit."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
    from conda_channel import (
        Channel,
        CondaPackage,
        File,
        installed_packages,
        pure,
        python_real,
    )

    data = CondaPackage("tzdata", "2024a", noarch="generic", files={"share/tz": File(b"tz\n")})
    wheels = [package for package in installed_packages(site) if package.name != "tzdata"]
    Channel(channel).add(python_real(), data, pure("pip", "24.0"), *wheels)


def remover(home: Path, names: tuple[str, ...]) -> Callable[[], None]:
    """Return a function that removes parts of a cache."""

    def remove() -> None:
        for name in names:
            shutil.rmtree(home / name, ignore_errors=True)

    return remove


if __name__ == "__main__":
    write_channel(Path(sys.argv[1]), Path(sys.argv[2]))
