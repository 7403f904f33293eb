"""Measure runproj beside the bare command, raw uv and, where there is one, mlflow.

    python benchmarks/run.py [--rounds N] [--only SCENE ...] [--mlflow PATH] [--write FILE]

Prints Markdown tables; ``--write`` puts them between the markers of a file instead.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from scenes import SCENES, Bench

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    """Measure and report."""
    options = parsed_options()
    report = [surroundings(options)]
    with tempfile.TemporaryDirectory(prefix="runproj-benchmark-") as folder:
        bench = Bench(Path(folder), options.runproj, options.uv, options.mlflow)
        for name in options.only:
            for table in SCENES[name](bench):
                table.measure(options.rounds)
                report.append(table.markdown())
        left = [path.name for path in bench.fresh("tmp").iterdir() if options.mlflow is None]
    if options.mlflow is None:
        report.append(f"Files left in the temporary directory by all of this: {len(left)}.\n")
    if options.write:
        write(options.write, "\n".join(report))
    else:
        print("\n".join(report))


def parsed_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    beside = Path(sys.executable).parent / "runproj"
    parser.add_argument("--rounds", type=int, default=15, help="rounds to measure (default: 15)")
    parser.add_argument("--only", nargs="+", choices=SCENES, default=[*SCENES], metavar="SCENE")
    parser.add_argument("--runproj", default=str(beside), help="the runproj to measure")
    parser.add_argument("--uv", default=program("uv"), help="the uv to compare with")
    parser.add_argument("--mlflow", help="the mlflow to compare with")
    parser.add_argument("--write", type=Path, metavar="FILE", help="update this file's tables")
    options = parser.parse_args()
    if not os.access(options.runproj, os.X_OK):
        parser.error(f"there is no {options.runproj}; install the project, or give --runproj")
    return options


def program(name: str) -> str:
    """Return a program beside this interpreter, else the one on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


def surroundings(options: argparse.Namespace) -> str:
    """Say when and on what was measured."""
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    facts = [
        f"Measured {datetime.now(UTC):%Y-%m-%d}",
        machine,
        f"medians of {options.rounds} rounds",
    ]
    for path in filter(None, (options.uv, options.mlflow)):
        told = subprocess.run((path, "--version"), check=True, capture_output=True, text=True)
        facts.append(told.stdout.split(" (")[0].strip().replace(", version", ""))
    return ", ".join(facts) + f", load {os.getloadavg()[0]:.1f} at the start.\n"


def write(path: Path, tables: str) -> None:
    """Put the tables between the markers of a file."""
    text = path.read_text()
    head, begin, rest = text.partition(BEGIN)
    _old, end, tail = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{path} has no {BEGIN} and {END}")
    path.write_text(f"{head}{BEGIN}\n\n{tables}\n{END}{tail}")


if __name__ == "__main__":
    main()
