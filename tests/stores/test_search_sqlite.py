"""SQL finds what reading and testing every run finds: both are asked, and must agree."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.model.tracking import Metric, RunSearch, TrackedRun
from runner.model.value import RunId
from runner.query.filters import parsed
from runner.query.kinds import RUN
from runner.query.search import orderings, searched
from runner.stores.sqlite import SqliteStore

STATUSES: Final = ("RUNNING", "FINISHED", "FAILED")
WORDS = ("tree", "Tree", "t_ee", "10%", "[a]*", "", "5", "é", "naïve'quote", "a\nb")
NUMBERS = (0.0, -1.5, 2.0, math.nan, math.inf, 1e-300)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    opened = SqliteStore(str(tmp_path_factory.mktemp("store") / "mlflow.db"))
    opened.create_experiment("other")
    for at in range(60):
        run_id = RunId(f"{at * 7919 % 97:032x}")
        word, number = WORDS[at % len(WORDS)], NUMBERS[at % len(NUMBERS)]
        opened.create_run(
            TrackedRun(
                run_id=run_id,
                experiment_id=str(at % 2),
                name=f"run {at % 5}",
                status=STATUSES[at % 3],
                started=1_000 + at // 3,
                ended=None if at % 4 else 2_000 + at,
                artifact_uri="",
                user="ann" if at % 2 else "",
                params={"word": word, "depth": str(at % 6)} if at % 7 else {},
                tags={"team": word} if at % 5 else {},
                metrics={"m": Metric(key="m", value=number, timestamp=1, step=1)} if at % 6 else {},
            )
        )
        if at % 11 == 0:
            opened.delete_run(run_id)
    yield opened
    opened.close()


def by_reading(store: SqliteStore, text: str, order: list[str], lifecycle: str) -> list[str]:
    runs = store.runs(["0", "1"], limit=1000, lifecycle=lifecycle).runs
    return [run.run_id for run in searched(runs, RUN, filter_text=text, order=order)]


def by_sql(store: SqliteStore, text: str, order: list[str], lifecycle: str) -> list[str] | None:
    found: list[str] = []
    while True:
        search = RunSearch(
            experiment_ids=("0", "1", "none"),
            comparisons=tuple(parsed(text, RUN)),
            order=orderings(order, RUN),
            lifecycle=lifecycle,
            start=len(found),
            limit=7,
        )
        page = store.search_runs(search)
        if page is None:
            return None
        found += [run.run_id for run in page]
        if len(page) < 7:
            return found


def quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


TEXTS = st.sampled_from(
    ["params.word", "params.depth", "tags.team", "run_name", "status", "run_id"]
)
FIGURES = st.sampled_from(["metrics.m", "start_time", "end_time", "metrics.none"])
COMPARES = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
PATTERNS = st.sampled_from([*WORDS, "t%", "%ee", "T__e", "%", "run _", "F%ED", "[a]%", "*"])
LITERALS = st.sampled_from([*WORDS, "FINISHED", "run 3", f"{7919 % 97:032x}"]).map(quoted)
CONDITIONS = st.one_of(
    st.tuples(TEXTS, COMPARES, LITERALS),
    st.tuples(TEXTS, st.just("LIKE"), PATTERNS.map(quoted)),
    st.tuples(
        st.sampled_from(["run_name", "status", "run_id"]),
        st.sampled_from(["=", "!=", "<"]),
        st.just("5"),
    ),
    st.tuples(
        st.sampled_from(["params.word", "tags.team", "run_name", "status"]),
        st.sampled_from(["IN", "NOT IN"]),
        st.lists(LITERALS, min_size=1, max_size=3).map(lambda words: f"({', '.join(words)})"),
    ),
    st.tuples(FIGURES, COMPARES, st.sampled_from(["0", "-1.5", "1010", "2004.5", "1e400"])),
    st.tuples(st.one_of(TEXTS, FIGURES), st.sampled_from(["IS NULL", "IS NOT NULL"]), st.just("")),
).map(" ".join)
ORDERS = st.lists(
    st.tuples(st.one_of(TEXTS, FIGURES), st.sampled_from(["", "ASC", "DESC"])).map(" ".join),
    max_size=3,
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    conditions=st.lists(CONDITIONS, max_size=3),
    order=ORDERS,
    lifecycle=st.sampled_from(["active", "deleted", "all"]),
)
def test_both_ways_find_the_same(
    store: SqliteStore, conditions: list[str], order: list[str], lifecycle: str
) -> None:
    text = " AND ".join(conditions)
    assert by_sql(store, text, order, lifecycle) == by_reading(store, text, order, lifecycle)


@pytest.mark.parametrize(
    "text", ["run_name ILIKE 'RUN%'", "start_time IN ('1')", "start_time LIKE '1%'"]
)
def test_what_sql_cannot_say_is_left_to_others(store: SqliteStore, text: str) -> None:
    assert by_sql(store, text, [], "active") is None


def test_a_search_holds_up_nobody(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "mlflow.db"))
    store.create_experiment("one")
    database = store._database
    with database.aside() as reader:
        assert reader.execute("SELECT count(*) FROM experiments").fetchone() == (2,)
        writer = threading.Thread(target=store.create_experiment, args=("two",))
        writer.start()
        writer.join(60)
        assert not writer.is_alive()
        assert reader.execute("SELECT count(*) FROM experiments").fetchone() == (2,)
    with database.aside() as reader:
        assert reader.execute("SELECT count(*) FROM experiments").fetchone() == (3,)
    store.close()


def test_a_search_in_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "mlflow.db"))
    assert store.search_runs(RunSearch(experiment_ids=("0",), limit=5)) == ()
    assert list(tmp_path.iterdir()) == []
    store.create_experiment("one")
    assert store.search_runs(RunSearch(experiment_ids=("0",), limit=5)) == ()
    (tmp_path / "mlflow.db").unlink()
    for rest in tmp_path.glob("mlflow.db-*"):
        rest.unlink()
    assert store.search_runs(RunSearch(experiment_ids=("0",), limit=5)) == ()
    store.close()
