"""The frequencies of a row of equal masses, tied to each other and to two walls by springs."""

import argparse
import os

import mlflow
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masses", type=int, default=50)
    parser.add_argument("--stiffness", type=float, default=1.0)
    options = parser.parse_args()

    frequencies = modes(options.masses, options.stiffness)
    with mlflow.start_run():
        mlflow.log_metrics({"lowest": frequencies[0], "highest": frequencies[-1]})
        lines = [f"{number},{value:.12f}" for number, value in enumerate(frequencies, 1)]
        mlflow.log_text("\n".join(["mode,frequency", *lines, ""]), "modes.csv")
    print(f"{options.masses} modes, the lowest at {frequencies[0]:.6f}")
    print(f"numpy {np.__version__}, {os.environ['OPENBLAS_NUM_THREADS']} thread")


def modes(masses: int, stiffness: float) -> np.ndarray:
    """Return the angular frequencies, the lowest first: roots of eigenvalues of the chain."""
    between = np.full(masses - 1, -stiffness)
    chain = np.diag(np.full(masses, 2 * stiffness)) + np.diag(between, 1) + np.diag(between, -1)
    return np.sqrt(np.linalg.eigvalsh(chain))


if __name__ == "__main__":
    main()
