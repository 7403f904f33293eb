"""Predict the alcohol of a wine from its chemistry with an elastic net.

The data are the 178 wines that come with scikit-learn; alcohol, usually a feature, is the target.
"""

import argparse

import matplotlib
import mlflow
import pandas as pd
import sklearn
from sklearn.datasets import load_wine
from sklearn.linear_model import ElasticNet
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

matplotlib.use("Agg")

from matplotlib import pyplot

SEED = 42
TARGET = "alcohol"


def main() -> None:
    """Train with the given parameters and log everything that came of it."""
    options = parsed_options()
    wines = load_wine(as_frame=True).data
    train, test = train_test_split(wines, test_size=0.25, random_state=SEED)
    model = make_pipeline(
        StandardScaler(),
        ElasticNet(alpha=options.alpha, l1_ratio=options.l1_ratio, random_state=SEED),
    )
    model.fit(train.drop(columns=TARGET), train[TARGET])
    predicted = model.predict(test.drop(columns=TARGET))

    with mlflow.start_run():
        mlflow.log_params({"alpha": options.alpha, "l1_ratio": options.l1_ratio})
        mlflow.log_metrics(scores(test[TARGET], predicted))
        mlflow.log_figure(plot(test[TARGET], predicted), "predictions.png")
        mlflow.log_text(coefficients(model, test).to_csv(index=False), "coefficients.csv")
        mlflow.sklearn.log_model(
            model,
            name="model",
            pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"pandas=={pd.__version__}"],
        )


def parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--l1-ratio", type=float, default=0.5)
    return parser.parse_args()


def scores(actual, predicted) -> dict[str, float]:
    found = {
        "rmse": root_mean_squared_error(actual, predicted),
        "mae": mean_absolute_error(actual, predicted),
        "r2": r2_score(actual, predicted),
    }
    print("  ".join(f"{name} {value:.4f}" for name, value in found.items()))
    return found


def coefficients(model, wines) -> pd.DataFrame:
    """Return the weight of each feature, the strongest first."""
    table = pd.DataFrame(
        {"feature": wines.columns.drop(TARGET), "weight": model[-1].coef_.round(6)}
    )
    return table.sort_values("weight", key=abs, ascending=False)


def plot(actual, predicted):
    """Draw predicted over actual alcohol, with the line on which all points should lie."""
    figure, axes = pyplot.subplots(figsize=(5, 5))
    axes.scatter(actual, predicted)
    axes.axline((actual.mean(), actual.mean()), slope=1, color="grey", linestyle="--")
    axes.set_xlabel("alcohol, % by volume")
    axes.set_ylabel("predicted")
    return figure


if __name__ == "__main__":
    main()
