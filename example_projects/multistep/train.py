"""Fit the line through squared times and heights; its slope is half of g."""

import argparse
import csv
import statistics

import mlflow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--squared", required=True)
    options = parser.parse_args()

    with open(options.squared, newline="") as file:
        rows = list(csv.DictReader(file))
    squares = [float(row["time_squared"]) for row in rows]
    heights = [float(row["height"]) for row in rows]
    line = statistics.linear_regression(squares, heights)

    with mlflow.start_run():
        mlflow.log_metric("g", 2 * line.slope)
        mlflow.log_dict({"slope": line.slope, "intercept": line.intercept}, "model.json")
    print(f"g = {2 * line.slope:.2f} m/s^2")


if __name__ == "__main__":
    main()
