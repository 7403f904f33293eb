"""Drop measurements that cannot be true and square the times."""

import argparse
import csv
import io

import mlflow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--falls", required=True)
    options = parser.parse_args()

    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["height", "time_squared"])
    kept = dropped = 0
    with open(options.falls, newline="") as file:
        for row in csv.DictReader(file):
            time = float(row["time"])
            if time > 0:
                writer.writerow([row["height"], round(time**2, 6)])
                kept += 1
            else:
                dropped += 1

    with mlflow.start_run():
        mlflow.log_metrics({"kept": kept, "dropped": dropped})
        mlflow.log_text(table.getvalue(), "squared.csv")
    print(f"{kept} kept, {dropped} dropped")


if __name__ == "__main__":
    main()
