"""Run the steps; each is a run of its own, and its artifacts are the next one's input."""

import argparse
import json
import subprocess


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measurements", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    loaded = step("load", measurements=options.measurements, seed=options.seed)
    transformed = step("transform", falls=f"runs:/{loaded}/falls.csv")
    step("train", squared=f"runs:/{transformed}/squared.csv")


def step(entry_point: str, **parameters: object) -> str:
    """Run one entry point of this project and return the id of its run.

    Runproj knows that it is called from inside a run: the step is recorded in the same store, as
    a child of this run, and built with the same environment manager.
    """
    given = [text for name, value in parameters.items() for text in ("-P", f"{name}={value}")]
    command = ["runproj", "run", ".", "-e", entry_point, "--json", *given]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(ended.stdout)["run_id"]


if __name__ == "__main__":
    main()
