"""Measure falls: heights in metres and times in seconds, by somebody with a shaky hand."""

import argparse
import csv
import io
import random

import mlflow

G = 9.81


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measurements", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    chance = random.Random(options.seed)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["height", "time"])
    for _ in range(options.measurements):
        height = chance.uniform(1, 50)
        time = (2 * height / G) ** 0.5 + chance.gauss(0, 0.02)
        stopped_too_early = chance.random() < 0.05
        writer.writerow([round(height, 3), -1 if stopped_too_early else round(time, 3)])

    with mlflow.start_run():
        mlflow.log_text(table.getvalue(), "falls.csv")
    print(f"{options.measurements} falls measured")


if __name__ == "__main__":
    main()
