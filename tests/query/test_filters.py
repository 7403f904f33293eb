"""MLflow's filter language."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import FilterError
from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId
from runner.query.kinds import RUN
from runner.query.search import searched


def a_run(name: str, started: int | None = 1, **data: dict[str, object]) -> TrackedRun:
    metrics = {
        key: Metric(key=key, value=float(str(value)), timestamp=0)
        for key, value in data.get("metrics", {}).items()
    }
    return TrackedRun(
        run_id=RunId(name),
        experiment_id="0",
        name=f"run {name}",
        status="FINISHED",
        started=started,
        ended=None,
        artifact_uri="",
        params={k: str(v) for k, v in data.get("params", {}).items()},
        tags={k: str(v) for k, v in data.get("tags", {}).items()},
        metrics=metrics,
    )


RUNS = (
    a_run("a", 3, metrics={"m": 1, "x/y z": 2}, params={"p": "0.1"}, tags={"mlflow.user": "Ann"}),
    a_run("b", 2, metrics={"m": 2}, params={"p": "abc", "it's": "1"}, tags={"mlflow.user": "bob"}),
    a_run("c", 1, metrics={"m": math.nan}, tags={"t": "100%"}),
    a_run("d", None),
)


def names(filter_text: str, *order: str) -> str:
    found = searched(RUNS, RUN, filter_text=filter_text, order=order)
    return "".join(run.run_id for run in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abcd"),
        ("   ", "abcd"),
        ("metrics.m = 1", "a"),
        ("metrics.m=1", "a"),
        ("metric.m >= 1.0", "ab"),
        ("metrics.m > -1e3", "ab"),
        ("metrics.m != 1", "bc"),
        ("metrics.m < 2 AND metrics.m > 0", "a"),
        ("metrics.m < 2 and params.p = '0.1' And attributes.status = 'FINISHED'", "a"),
        ('metrics."x/y z" = 2', "a"),
        ("metrics.`x/y z` = 2", "a"),
        ("params.p = 'abc'", "b"),
        ('params.p = "abc"', "b"),
        ("params.p != 'abc'", "a"),
        ("params.`it's` = '1'", "b"),
        ("params.p LIKE 'A%'", ""),
        ("params.p ILIKE 'A%'", "b"),
        ("params.p LIKE '_b_'", "b"),
        ("params.p LIKE '0.1'", "a"),
        ("params.p LIKE '0_1'", "a"),
        ("tags.t LIKE '100%'", "c"),
        ("tags.mlflow.user = 'Ann'", "a"),
        ("tags.`mlflow.user` = 'bob'", "b"),
        ("tags.mlflow.user IS NULL", "cd"),
        ("tags.mlflow.user IS NOT NULL", "ab"),
        ("attributes.run_id IN ('a', 'c')", "ac"),
        ("run_id NOT IN ('a','c')", "bd"),
        ("attributes.run_name = 'run d'", "d"),
        ("\"run name\" = 'run a'", "a"),
        ("start_time > 1", "ab"),
        ("attr.start_time >= 1 AND attribute.start_time <= 2", "bc"),
        ("params.none = 'x'", ""),
        ("metrics.none != 1", ""),
    ],
)
def test_filters(text: str, expected: str) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["metrics.m"], "abcd"),
        (["metrics.m DESC"], "bacd"),
        (["start_time ASC"], "cbad"),
        (["attributes.start_time desc"], "abcd"),
        (["params.p DESC", "run_id"], "bacd"),
        (["status", "run_id DESC"], "dcba"),
        (["tags.`mlflow.user` ASC"], "abcd"),
    ],
)
def test_orders(order: list[str], expected: str) -> None:
    assert names("", *order) == expected


@pytest.mark.parametrize(
    "text",
    [
        "m",
        "metrics.m",
        "metrics.m =",
        "metrics.m = 'x'",
        "metrics.m ~ 1",
        "metrics.m = 1 OR metrics.m = 2",
        "metrics.m = 1 AND",
        "AND metrics.m = 1",
        "metrics.m = 1 metrics.m = 2",
        "weather.today = 'x'",
        "unknown = 'x'",
        "attributes.unknown = 'x'",
        "params.p = 'open",
        "params.p = abc",
        "run_id IN 'a'",
        "run_id IN ('a'",
        "run_id IN ('a' 'b')",
        "run_id IN (1)",
        "run_id IN ()",
        "run_id IS MAYBE",
        "'a' = 'a'",
        "1 = 1",
        ";",
        "metrics.m = 1; DROP TABLE runs",
    ],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(FilterError) as refused:
        names(text)
    assert refused.value.status == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("order", ["", "DESC", "weather.x", "unknown ASC", "start_time sideways"])
def test_what_is_no_order_is_refused(order: str) -> None:
    with pytest.raises(FilterError):
        names("", order)


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        found = names(text)
    except FilterError:
        return
    assert set(found) <= set("abcd")


@given(
    st.lists(st.sampled_from(["metrics.m", "=", "'a'", "1", "AND", "IN", "(", ")", "IS", "NULL"]))
)
def test_any_words_are_a_filter_or_refused(words: list[str]) -> None:
    try:
        names(" ".join(words))
    except FilterError:
        return
    assert not words or words[0] == "metrics.m"


@given(st.text(max_size=20))
def test_a_quoted_value_is_found(text: str) -> None:
    run = a_run("x", params={"p": text})
    literal = "'" + text.replace("'", "''") + "'"
    assert searched([run], RUN, filter_text=f"params.p = {literal}", order=()) == [run]
