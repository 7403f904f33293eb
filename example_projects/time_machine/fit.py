"""Fit a line by gradient descent and describe its errors as a ``google.api.Distribution``."""

import argparse
import random

from google.api.distribution_pb2 import Distribution

SLOPE, OFFSET, NOISE = 2.0, -1.0, 0.3
RATE = 0.5
BOUNDS = (-0.6, -0.3, 0.0, 0.3, 0.6)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    points = made_points(options.seed)
    slope, offset = fitted(points, options.steps)
    errors = described([slope * x + offset - y for x, y in points])
    print(f"slope {slope:.6f}  offset {offset:.6f}")
    print(f"errors: mean {errors.mean:.6f}, histogram {list(errors.bucket_counts)}")
    print(f"{len(errors.SerializeToString())} bytes as a message")


def made_points(seed):
    """Return points near a line, the same ones for the same seed."""
    source = random.Random(seed)
    places = [number / 50 for number in range(100)]
    return [(x, SLOPE * x + OFFSET + source.gauss(0, NOISE)) for x in places]


def fitted(points, steps):
    """Return slope and offset after so many steps down the gradient of the squared error."""
    slope = offset = 0.0
    for _ in range(steps):
        errors = [(slope * x + offset - y, x) for x, y in points]
        slope -= RATE * sum(error * x for error, x in errors) / len(points)
        offset -= RATE * sum(error for error, _ in errors) / len(points)
    return slope, offset


def described(errors):
    """Return count, mean and histogram of the errors."""
    found = Distribution(count=len(errors), mean=sum(errors) / len(errors))
    found.bucket_options.explicit_buckets.bounds.extend(BOUNDS)
    found.bucket_counts.extend(
        sum(low <= error < high for error in errors)
        for low, high in zip((float("-inf"), *BOUNDS), (*BOUNDS, float("inf")))
    )
    return found


if __name__ == "__main__":
    main()
