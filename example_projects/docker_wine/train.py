"""Tell two kinds of wine apart by their nearest neighbours, and log how well it went."""

import argparse
import csv
import json
import random
from collections import Counter
from math import dist

try:
    import mlflow
except ImportError:  # an image without it: what is printed and written is all there is
    mlflow = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neighbours", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with open("/opt/wines.csv", newline="") as file:
        wines = [tuple(map(float, row)) for row in list(csv.reader(file))[1:]]
    random.Random(options.seed).shuffle(wines)
    test, train = wines[:50], wines[50:]
    right = sum(kind(wine, train, options.neighbours) == wine[-1] for wine in test)
    accuracy = right / len(test)
    print(json.dumps({"accuracy": accuracy, "wines": len(wines)}))
    if mlflow:
        with mlflow.start_run():
            mlflow.log_metric("accuracy", accuracy)


def kind(wine, known, count):
    """Return the kind that most of the nearest wines are of."""
    nearest = sorted(known, key=lambda other: dist(wine[:-1], other[:-1]))[:count]
    return Counter(other[-1] for other in nearest).most_common(1)[0][0]


if __name__ == "__main__":
    main()
