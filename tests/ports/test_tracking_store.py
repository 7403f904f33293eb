"""What every tracking store does: the port's contract, run on each of them.

``endpoint`` is our REST client against our own endpoint on a SQLite store, ``server`` the same
client against a real ``mlflow server``.
"""

from __future__ import annotations

import io
import math
import os
import socket
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import StoreError
from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId
from runner.serving.endpoint import LoopbackEndpoint
from runner.stores.opening import open_store
from runner.stores.rules import (
    KEY_LIMIT,
    METRICS_A_BATCH,
    PARAM_VALUE_LIMIT,
    PARAMS_A_BATCH,
    TAG_VALUE_LIMIT,
)
from tests.ports.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.model.run import RunStatus
    from runner.ports import TrackingStore

KINDS = ["memory", "sqlite", "files", "endpoint", pytest.param("server", marks=pytest.mark.slow)]
LARGEST = 1.7976931348623157e308


def now() -> int:
    return int(time.time() * 1000)


def fresh(**given: object) -> TrackedRun:
    fields: dict[str, object] = {
        "run_id": RunId(""),
        "experiment_id": "0",
        "name": "",
        "status": "RUNNING",
        "started": now(),
        "ended": None,
        "artifact_uri": "",
        "user": "ada",
    }
    return TrackedRun(**{**fields, **given})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def server_uri(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Start a real ``mlflow server``."""
    clients = request.getfixturevalue("mlflow_python")
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    python = clients("3.17.2")
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [
            python,
            "-m",
            "mlflow",
            "server",
            "--workers",
            "1",
            "--port",
            str(port),
            "--backend-store-uri",
            f"sqlite:///{folder}/s.db",
            "--artifacts-destination",
            str(folder / "artifacts"),
        ],
        env={
            "PATH": f"{Path(python).parent}:{os.defpath}",
            "HOME": str(folder),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=folder,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        asking = open_store(uri, directory=str(folder), environ=IMPATIENT)
        while True:
            try:
                asking.experiments()
                asking.close()
                break
            except StoreError:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.3)
        yield uri
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
        log.close()


IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TrackingStore]:
    opened: TrackingStore
    if kind == "memory":
        opened = MemoryStore()
    elif kind == "endpoint":
        local = open_store("sqlite:///t.db", directory=str(tmp_path), environ={})
        endpoint = LoopbackEndpoint(store=local, run=local.create_run(fresh(name="outer")))
        endpoint.serve()
        opened = open_store(endpoint.uri, directory=str(tmp_path), environ={})
        yield opened
        opened.close()
        endpoint.close(within=timedelta(seconds=5))
        local.close()
        return
    else:
        uri = {"sqlite": "sqlite:///t.db", "files": "runs"}.get(kind)
        uri = uri or request.getfixturevalue("server_uri")
        opened = open_store(uri, directory=str(tmp_path), environ=IMPATIENT)
    yield opened
    opened.close()


@pytest.fixture
def run(store: TrackingStore) -> TrackedRun:
    return store.create_run(fresh(params={"a": "1"}, tags={"t": "x"}))


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        action()
    assert caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.status


def unique(name: str) -> str:
    return f"{name} {os.urandom(4).hex()}"


class TestExperiments:
    def test_the_default_one_is_there(self, store: TrackingStore) -> None:
        assert store.experiment("0").name == "Default"
        found = store.experiment_named("Default")
        assert found is not None
        assert found.experiment_id == "0"
        assert store.experiments()[0].experiment_id == "0"

    def test_a_new_one_is_found_again(self, store: TrackingStore) -> None:
        name = unique("größer/als 'das'")
        made = store.create_experiment(name, tags={"team": "blau", "n/m": "multi\nline"})
        assert made.name == name
        assert made.lifecycle == "active"
        assert made.tags["n/m"] == "multi\nline"
        assert store.experiment(made.experiment_id) == made
        assert store.experiment_named(name) == made
        assert made in store.experiments()

    def test_names_are_unique(self, store: TrackingStore) -> None:
        name = unique("twice")
        store.create_experiment(name)
        assert refusal(lambda: store.create_experiment(name)) == "RESOURCE_ALREADY_EXISTS"

    @pytest.mark.parametrize("name", ["", "   ", "x" * 501])
    def test_bad_names_are_refused(self, store: TrackingStore, name: str) -> None:
        assert refusal(lambda: store.create_experiment(name)) == "INVALID_PARAMETER_VALUE"

    @pytest.mark.parametrize("experiment_id", ["4711", "nope", "../0", ""])
    def test_no_such(self, store: TrackingStore, experiment_id: str) -> None:
        status = refusal(lambda: store.experiment(experiment_id))
        assert status in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
        assert store.experiment_named(unique("nobody")) is None

    def test_renaming_and_tagging(self, store: TrackingStore) -> None:
        made = store.create_experiment(unique("old"), tags={"kept": "1", "t": "old"})
        name = unique("neu/ü")
        renamed = store.update_experiment(made.experiment_id, name=name)
        assert (renamed.name, renamed.tags) == (name, made.tags)
        tagged = store.update_experiment(made.experiment_id, tags={"t": "new", "a/b": "x\ny"})
        assert tagged.tags == {"kept": "1", "t": "new", "a/b": "x\ny"}
        assert store.experiment(made.experiment_id) == tagged
        found = store.experiment_named(name)
        assert found is not None
        assert found.experiment_id == made.experiment_id
        assert store.experiment_named(made.name) is None
        store.delete_experiment_tag(made.experiment_id, "a/b")
        assert store.experiment(made.experiment_id).tags == {"kept": "1", "t": "new"}
        gone = refusal(lambda: store.delete_experiment_tag(made.experiment_id, "a/b"))
        assert gone == "RESOURCE_DOES_NOT_EXIST"

    def test_changes_that_are_refused(self, store: TrackingStore, kind: str) -> None:
        one, two = (store.create_experiment(unique(name)).experiment_id for name in "ab")
        taken = store.experiment(one).name
        invalid = "INVALID_PARAMETER_VALUE"
        if kind != "server":  # MLflow's own answers with a text of its database
            again = refusal(lambda: store.update_experiment(two, name=taken))
            assert again == "RESOURCE_ALREADY_EXISTS"
        assert refusal(lambda: store.update_experiment(two, name=" ")) == invalid
        assert refusal(lambda: store.update_experiment(two, tags={"../x": "1"})) == invalid
        assert refusal(lambda: store.update_experiment(two, tags={"x": "1" * 20_001})) == invalid
        missing = "RESOURCE_DOES_NOT_EXIST"
        assert refusal(lambda: store.update_experiment("4711", name=unique("n"))) == missing
        assert refusal(lambda: store.delete_experiment("4711")) == missing
        assert refusal(lambda: store.restore_experiment("4711")) == missing
        assert refusal(lambda: store.restore_experiment(two)) == missing

    def test_deleting_and_restoring(self, store: TrackingStore) -> None:
        made = store.create_experiment(unique("doomed")).experiment_id
        run = store.create_run(fresh(experiment_id=made, params={"p": "1"}))
        store.log(run.run_id, metrics=[Metric(key="m", value=2.0, timestamp=3)])
        store.artifacts(run).put("d/a.txt", b"x")
        store.delete_experiment(made)
        assert store.experiment(made).lifecycle == "deleted"
        assert store.run(run.run_id).lifecycle == "deleted"
        assert store.runs([made]).runs == ()
        assert [r.run_id for r in store.runs([made], lifecycle="deleted").runs] == [run.run_id]
        assert [a.path for a in store.artifacts(store.run(run.run_id)).list()] == ["d/a.txt"]
        for action in (
            lambda: store.delete_experiment(made),
            lambda: store.update_experiment(made, name=unique("n")),
            lambda: store.update_experiment(made, tags={"t": "1"}),
            lambda: store.log(run.run_id, params={"q": "1"}),
            lambda: store.create_run(fresh(experiment_id=made)),
        ):
            assert refusal(action)
        store.restore_experiment(made)
        assert store.experiment(made).lifecycle == "active"
        found = store.run(run.run_id)
        assert (found.lifecycle, found.params, found.metrics["m"].value) == (
            "active",
            {"p": "1"},
            2.0,
        )
        assert [a.path for a in store.artifacts(found).list()] == ["d/a.txt"]
        store.log(run.run_id, params={"q": "1"})

    def test_artifacts_go_where_the_experiment_says(
        self, store: TrackingStore, kind: str, tmp_path: Path
    ) -> None:
        if kind in {"memory", "endpoint"}:
            pytest.skip("files are in memory, or only below the endpoint's own root")
        place = tmp_path / "else where"
        experiment = store.create_experiment(unique("far"), artifact_location=place.as_uri())
        run = store.create_run(fresh(experiment_id=experiment.experiment_id))
        store.artifacts(run).put("a.txt", b"x")
        assert (place / run.run_id / "artifacts" / "a.txt").read_bytes() == b"x"


class TestRuns:
    def test_all_of_a_run_comes_back(self, store: TrackingStore) -> None:
        made = store.create_run(
            fresh(
                name="erste",
                params={"alpha": "0.50", "dir/p": "x", "empty": "", "u": "héé ☃ 🎉"},
                tags={"k": "v", "multi": "line\nline", "mlflow.note.content": "# *hi*"},
            )
        )
        found = store.run(made.run_id)
        assert found == made
        assert found.name == "erste"
        assert found.tags["mlflow.runName"] == "erste"
        assert found.params["u"] == "héé ☃ 🎉"
        assert found.status == "RUNNING"
        assert found.ended is None
        assert found.user == "ada"
        assert found.artifact_uri.endswith(f"{made.run_id}/artifacts")

    def test_a_name_is_made_up(self, store: TrackingStore) -> None:
        one, two = store.create_run(fresh()), store.create_run(fresh())
        assert one.name.count("-") == 2
        assert one.name != two.name
        assert store.run(one.run_id).name == one.name

    def test_the_name_may_come_as_tag(self, store: TrackingStore) -> None:
        assert store.create_run(fresh(tags={"mlflow.runName": "tagged"})).name == "tagged"

    def test_ids_are_unique(self, store: TrackingStore, kind: str) -> None:
        if kind in {"endpoint", "server"}:
            pytest.skip("servers choose the ids")
        store.create_run(fresh(run_id=RunId("a" * 32)))
        again = refusal(lambda: store.create_run(fresh(run_id=RunId("a" * 32))))
        assert again == "RESOURCE_ALREADY_EXISTS"

    @pytest.mark.parametrize("run_id", ["f" * 32, "nope"])
    def test_no_such_run(self, store: TrackingStore, run_id: str) -> None:
        name = RunId(run_id)
        missing = "RESOURCE_DOES_NOT_EXIST"
        assert refusal(lambda: store.run(name)) == missing
        assert refusal(lambda: store.update_run(name, status="FINISHED")) == missing
        assert refusal(lambda: store.log(name, params={"a": "b"})) == missing
        assert refusal(lambda: store.delete_run(name)) == missing
        assert refusal(lambda: store.restore_run(name)) == missing

    @pytest.mark.parametrize("run_id", ["../../etc/passwd", "a/b", "", ".", "..", "a\0b"])
    def test_ids_are_no_paths(self, store: TrackingStore, run_id: str) -> None:
        assert refusal(lambda: store.run(RunId(run_id))) in {
            "RESOURCE_DOES_NOT_EXIST",
            "INVALID_PARAMETER_VALUE",
        }

    def test_no_run_without_its_experiment(self, store: TrackingStore) -> None:
        assert refusal(lambda: store.create_run(fresh(experiment_id="4711"))) in {
            "RESOURCE_DOES_NOT_EXIST"
        }

    @pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
    def test_an_end(self, store: TrackingStore, run: TrackedRun, status: RunStatus) -> None:
        ended = now()
        answer = store.update_run(run.run_id, status=status, ended=ended, tags={"x.y": "3"})
        assert (answer.status, answer.ended) == (status, ended)
        assert answer.tags == {**run.tags, "x.y": "3"}
        assert answer.params == run.params
        assert store.run(run.run_id) == answer

    def test_renaming_changes_the_tag_too(self, store: TrackingStore, run: TrackedRun) -> None:
        assert store.update_run(run.run_id, name="other").name == "other"
        found = store.run(run.run_id)
        assert (found.name, found.tags["mlflow.runName"]) == ("other", "other")
        store.log(run.run_id, tags={"mlflow.runName": "third"})
        assert store.run(run.run_id).name == "third"

    def test_an_unknown_status_is_refused(self, store: TrackingStore, run: TrackedRun) -> None:
        bad: RunStatus = "DONE"  # type: ignore[assignment]
        assert refusal(lambda: store.update_run(run.run_id, status=bad)) == (
            "INVALID_PARAMETER_VALUE"
        )

    def test_deleted_runs_are_kept_but_not_written(
        self, store: TrackingStore, run: TrackedRun
    ) -> None:
        store.delete_run(run.run_id)
        assert store.run(run.run_id).lifecycle == "deleted"
        assert refusal(lambda: store.log(run.run_id, params={"n": "1"})) == (
            "INVALID_PARAMETER_VALUE"
        )
        assert refusal(lambda: store.update_run(run.run_id, status="FAILED")) == (
            "INVALID_PARAMETER_VALUE"
        )
        store.restore_run(run.run_id)
        store.log(run.run_id, params={"n": "1"})
        found = store.run(run.run_id)
        assert (found.lifecycle, found.params["n"], found.params["a"]) == ("active", "1", "1")

    def test_tags_go_away(self, store: TrackingStore, run: TrackedRun) -> None:
        store.log(run.run_id, tags={"d/e/f": "x"})
        store.delete_tag(run.run_id, "d/e/f")
        assert "d/e/f" not in store.run(run.run_id).tags
        gone = refusal(lambda: store.delete_tag(run.run_id, "d/e/f"))
        assert gone == "RESOURCE_DOES_NOT_EXIST"

    def test_moving_takes_everything_along(
        self, store: TrackingStore, run: TrackedRun, kind: str
    ) -> None:
        if kind in {"endpoint", "server"}:
            assert refusal(lambda: store.move_run(run.run_id, "0")) == "NOT_IMPLEMENTED"
            return
        store.artifacts(run).put("d/a.txt", b"x")
        target = store.create_experiment(unique("new home"))
        moved = store.move_run(run.run_id, target.experiment_id)
        assert moved == store.run(run.run_id)
        assert moved.experiment_id == target.experiment_id
        assert (moved.params, moved.tags) == (run.params, run.tags)
        assert [a.path for a in store.artifacts(moved).list()] == ["d/a.txt"]
        assert store.runs(["0"]).runs == ()
        assert store.runs([target.experiment_id]).runs == (moved,)
        assert refusal(lambda: store.move_run(run.run_id, "4711")) == "RESOURCE_DOES_NOT_EXIST"


class TestParameters:
    def test_an_equal_number_is_no_change(self, store: TrackingStore) -> None:
        run = store.create_run(fresh(params={"alpha": "0.50", "n": "1e3", "text": "yes"}))
        store.log(run.run_id, params={"alpha": "0.5", "n": "1000.0", "text": "yes", "new": "z"})
        found = store.run(run.run_id).params
        assert found == {"alpha": "0.50", "n": "1e3", "text": "yes", "new": "z"}

    def test_another_value_is_refused_and_nothing_written(
        self, store: TrackingStore, run: TrackedRun
    ) -> None:
        batch = {"before": "1", "a": "2", "behind": "3"}
        metric = Metric(key="m", value=1.0, timestamp=1)
        status = refusal(
            lambda: store.log(run.run_id, params=batch, tags={"q": "r"}, metrics=[metric])
        )
        assert status == "INVALID_PARAMETER_VALUE"
        assert store.run(run.run_id) == run

    @pytest.mark.parametrize(
        "key",
        [
            "../x",
            "/abs",
            "a//b",
            "a/../b",
            "./a",
            "a/",
            ".",
            "..",
            "",
            "a\nb",
            "semi;colon",
            "quote'",
            "null\x00",
            "x" * (KEY_LIMIT + 1),
            "a\\b",
            "täg🎉",
        ],
    )
    def test_keys_that_are_refused(self, store: TrackingStore, run: TrackedRun, key: str) -> None:
        invalid = "INVALID_PARAMETER_VALUE"
        assert refusal(lambda: store.log(run.run_id, params={key: "1"})) == invalid
        assert refusal(lambda: store.log(run.run_id, tags={key: "1"})) == invalid
        metric = Metric(key=key, value=1.0, timestamp=1)
        assert refusal(lambda: store.log(run.run_id, metrics=[metric])) == invalid
        assert refusal(lambda: store.create_run(fresh(params={key: "1"}))) == invalid
        assert store.run(run.run_id) == run

    @pytest.mark.parametrize(
        "key", ["b", "c/d/e", "with space", "x.y-z_1", "ümläut", "1", "a:b", "x" * 90, ".hidden"]
    )
    def test_keys_that_are_welcome(self, store: TrackingStore, run: TrackedRun, key: str) -> None:
        metric = Metric(key=key, value=1.5, timestamp=7, step=2)
        store.log(run.run_id, params={key: "p"}, tags={key: "t"}, metrics=[metric])
        found = store.run(run.run_id)
        assert (found.params[key], found.tags[key], found.metrics[key]) == ("p", "t", metric)
        assert store.history(run.run_id, key) == (metric,)

    def test_limits_of_values(self, store: TrackingStore, run: TrackedRun) -> None:
        most = {"p": "x" * PARAM_VALUE_LIMIT}
        store.log(run.run_id, params=most, tags={"t": "y" * TAG_VALUE_LIMIT})
        found = store.run(run.run_id)
        assert (len(found.params["p"]), len(found.tags["t"])) == (
            PARAM_VALUE_LIMIT,
            TAG_VALUE_LIMIT,
        )
        for long in ({"params": {"q": most["p"] + "x"}}, {"tags": {"t": "y" * 8001}}):
            assert refusal(lambda long=long: store.log(run.run_id, **long)) == (  # type: ignore[misc]
                "INVALID_PARAMETER_VALUE"
            )

    def test_more_than_a_batch(self, store: TrackingStore) -> None:
        params = {f"p{i}": str(i) for i in range(2 * PARAMS_A_BATCH + 3)}
        run = store.create_run(fresh(params=params))
        metrics = [
            Metric(key=f"m{i % 3}", value=float(i), timestamp=i, step=i)
            for i in range(METRICS_A_BATCH + 5)
        ]
        store.log(run.run_id, metrics=metrics, tags={f"t{i}": "x" for i in range(101)})
        found = store.run(run.run_id)
        assert found.params == params
        assert found.tags.keys() >= {"t0", "t100"}
        assert found.metrics["m1"].value == METRICS_A_BATCH + 3
        assert len(store.history(run.run_id, "m2")) == (METRICS_A_BATCH + 5) // 3

    def test_undecodable_text_is_kept_readable(self, store: TrackingStore) -> None:
        run = store.create_run(fresh(params={"p": "caf\udce9"}, tags={"t": "\udcff"}))
        found = store.run(run.run_id)
        assert found.params["p"] == "caf\\udce9"
        assert found.tags["t"] == "\\udcff"

    def test_no_key_can_be_a_folder_and_a_file(
        self, store: TrackingStore, run: TrackedRun, kind: str
    ) -> None:
        both = {"d": "1", "d/e": "2"}
        if kind != "files":
            store.log(run.run_id, params=both)
            assert store.run(run.run_id).params.items() >= both.items()
            return
        store.log(run.run_id, params={"d": "1"})
        assert refusal(lambda: store.log(run.run_id, params={"x": "1", "d/e": "2"})) == (
            "INVALID_PARAMETER_VALUE"
        )
        assert store.run(run.run_id).params == {**run.params, "d": "1"}


class TestMetrics:
    def test_history_and_latest(self, store: TrackingStore, run: TrackedRun) -> None:
        logged = [
            Metric(key="loss", value=3.0, timestamp=10, step=0),
            Metric(key="loss", value=1.0, timestamp=30, step=2),
            Metric(key="loss", value=2.0, timestamp=20, step=1),
            Metric(key="loss", value=9.0, timestamp=40, step=1),
        ]
        for metric in logged:
            store.log(run.run_id, metrics=[metric])
        found = store.history(run.run_id, "loss")
        assert [m.timestamp for m in found] == [10, 20, 30, 40]
        assert store.run(run.run_id).metrics == {"loss": logged[1]}
        assert store.history(run.run_id, "nothing") == ()

    def test_numbers_that_are_none(self, store: TrackingStore, run: TrackedRun, kind: str) -> None:
        values = {"nan": math.nan, "up": math.inf, "down": -math.inf, "tiny": 5e-324}
        store.log(
            run.run_id,
            metrics=[Metric(key=k, value=v, timestamp=5, step=-3) for k, v in values.items()],
        )
        found = {k: m.value for k, m in store.run(run.run_id).metrics.items()}
        assert math.isnan(found["nan"])
        assert found["tiny"] == 5e-324
        exact = kind in {"memory", "files"}
        assert found["up"] == (math.inf if exact else LARGEST)
        assert found["down"] == (-math.inf if exact else -LARGEST)
        assert store.run(run.run_id).metrics["tiny"].step == -3

    def test_metrics_of_nobody(self, store: TrackingStore, kind: str) -> None:
        if kind == "server":
            assert store.history(RunId("f" * 32), "m") == ()
            return
        assert refusal(lambda: store.history(RunId("f" * 32), "m")) == "RESOURCE_DOES_NOT_EXIST"


class TestListing:
    @pytest.fixture
    def experiment_id(self, store: TrackingStore) -> str:
        return store.create_experiment(unique("listed")).experiment_id

    def test_newest_first_in_pages(self, store: TrackingStore, experiment_id: str) -> None:
        made = [
            store.create_run(
                fresh(experiment_id=experiment_id, started=1000 + i, params={"i": str(i)})
            )
            for i in range(7)
        ]
        store.create_run(fresh(started=5000))
        found: list[str] = []
        page: str | None = None
        for _ in range(9):
            answer = store.runs([experiment_id], limit=3, page=page)
            assert len(answer.runs) <= 3
            found += [run.params["i"] for run in answer.runs]
            page = answer.next_page
            if page is None:
                break
        assert found == ["6", "5", "4", "3", "2", "1", "0"]
        assert store.run(made[3].run_id) in store.runs([experiment_id]).runs

    def test_equal_times_are_all_shown(self, store: TrackingStore, experiment_id: str) -> None:
        made = {
            store.create_run(fresh(experiment_id=experiment_id, started=77)).run_id
            for _ in range(5)
        }
        first = store.runs([experiment_id], limit=2)
        second = store.runs([experiment_id], limit=2, page=first.next_page)
        third = store.runs([experiment_id], limit=2, page=second.next_page)
        assert {r.run_id for p in (first, second, third) for r in p.runs} == made

    def test_lifecycles(self, store: TrackingStore, experiment_id: str) -> None:
        alive = store.create_run(fresh(experiment_id=experiment_id)).run_id
        dead = store.create_run(fresh(experiment_id=experiment_id)).run_id
        store.delete_run(dead)

        def ids(lifecycle: str) -> set[str]:
            return {r.run_id for r in store.runs([experiment_id], lifecycle=lifecycle).runs}

        assert ids("active") == {alive}
        assert ids("deleted") == {dead}
        assert ids("all") == {alive, dead}
        assert refusal(lambda: ids("undead")) == "INVALID_PARAMETER_VALUE"

    def test_beginnings_of_ids(self, store: TrackingStore, experiment_id: str) -> None:
        runs = [store.create_run(fresh(experiment_id=experiment_id)) for _ in range(4)]
        for run in runs:
            for length in (12, len(run.run_id)):
                found = store.runs([experiment_id], prefix=run.run_id[:length]).runs
                assert [r.run_id for r in found] == [run.run_id]
        assert store.runs([experiment_id], prefix="zzz").runs == ()

    def test_nothing_anywhere(self, store: TrackingStore, experiment_id: str) -> None:
        assert store.runs([]).runs == ()
        assert store.runs([experiment_id]).runs == ()

    def test_a_page_token_of_somebody_else(self, store: TrackingStore, experiment_id: str) -> None:
        for token in ("nonsense", ":", "x:y"):
            assert refusal(lambda token=token: store.runs([experiment_id], page=token)) == (  # type: ignore[misc]
                "INVALID_PARAMETER_VALUE"
            )


class TestArtifacts:
    def test_files_come_back(self, store: TrackingStore, run: TrackedRun, kind: str) -> None:
        odd = "d/e f/ü.bin" if kind == "server" else "d/e f/ü%20#?.bin"  # MLflow refuses the latter
        artifacts = store.artifacts(run)
        assert artifacts.list() == ()
        artifacts.put("a.txt", b"one")
        artifacts.put(odd, io.BytesIO(bytes(range(256)) * 9000))
        artifacts.put("empty", b"")
        artifacts.put("a.txt", b"three")
        assert [(a.path, a.size) for a in artifacts.list()] == [
            ("a.txt", 5),
            (odd, 256 * 9000),
            ("empty", 0),
        ]
        assert [a.path for a in artifacts.list("d")] == [odd]
        with artifacts.open("a.txt") as file:
            assert file.read() == b"three"
        with artifacts.open(odd) as file:
            assert file.read(3) == b"\0\1\2"
            assert len(file.read()) == 256 * 9000 - 3
        with artifacts.open("empty") as file:
            assert file.read() == b""

    def test_what_is_not_there(self, store: TrackingStore, run: TrackedRun) -> None:
        artifacts = store.artifacts(run)
        artifacts.put("d/a.txt", b"x")
        assert refusal(lambda: artifacts.open("nope")) == "RESOURCE_DOES_NOT_EXIST"
        assert refusal(lambda: artifacts.open("d/nope")) == "RESOURCE_DOES_NOT_EXIST"
        assert artifacts.list("nope") == ()

    @pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "..", "a\0b", "a\\..\\b", ""])
    def test_paths_that_leave(self, store: TrackingStore, run: TrackedRun, path: str) -> None:
        artifacts = store.artifacts(run)
        assert refusal(lambda: artifacts.put(path, b"x")) == "INVALID_PARAMETER_VALUE"
        assert artifacts.list() == ()

    def test_no_name_is_both_file_and_folder(self, store: TrackingStore, run: TrackedRun) -> None:
        artifacts = store.artifacts(run)
        artifacts.put("d/a", b"x")
        assert refusal(lambda: artifacts.put("d/a/b", b"y"))
        assert refusal(lambda: artifacts.put("d", b"y"))
        assert [(a.path, a.size) for a in artifacts.list()] == [("d/a", 1)]

    def test_deleting(self, store: TrackingStore, run: TrackedRun) -> None:
        artifacts = store.artifacts(run)
        for path in ("a", "d/b", "d/e/c"):
            artifacts.put(path, b"x")
        artifacts.delete("d")
        artifacts.delete("never there")
        assert [a.path for a in artifacts.list()] == ["a"]

    def test_a_stream_that_breaks_leaves_the_old_file(
        self, store: TrackingStore, run: TrackedRun
    ) -> None:
        class Broken(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - as files have it
                if self.tell_once:
                    self.tell_once = False
                    return b"half"
                raise OSError(5, "the disk is gone")

            tell_once = True

        artifacts = store.artifacts(run)
        artifacts.put("a", b"old")
        with pytest.raises((StoreError, OSError)):
            artifacts.put("a", Broken())  # type: ignore[arg-type]
        with artifacts.open("a") as file:
            assert file.read() == b"old"
        assert [a.path for a in artifacts.list()] == ["a"]


class TestTogether:
    def test_many_threads(self, store: TrackingStore, run: TrackedRun) -> None:
        troubles: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for step in range(5):
                    metric = Metric(
                        key="shared", value=number, timestamp=step, step=number * 5 + step
                    )
                    store.log(
                        run.run_id,
                        metrics=[metric],
                        params={f"p{number}.{step}": "x"},
                        tags={f"t{number}": str(step)},
                    )
                    store.run(run.run_id)
            except BaseException as error:  # noqa: BLE001 - shown below
                troubles.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert troubles == []
        found = store.run(run.run_id)
        assert len(found.params) == 41
        assert len(store.history(run.run_id, "shared")) == 40
        assert found.metrics["shared"].step == 39

    def test_closing_is_not_the_end(self, store: TrackingStore, run: TrackedRun) -> None:
        store.close()
        assert store.run(run.run_id).params == run.params


@pytest.mark.parametrize("name", ["sqlite:///h.db", "files"])
def test_any_text_comes_back(name: str, tmp_path: Path) -> None:
    """Values of params and tags are stored as they are, whatever they hold."""
    store = open_store(name, directory=str(tmp_path), environ={})
    run = store.create_run(fresh())
    numbers = iter(range(10**6))

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
    def check(text: str) -> None:
        key = f"k{next(numbers)}"
        store.log(run.run_id, params={key: text}, tags={key: text})
        found = store.run(run.run_id)
        assert (found.params[key], found.tags[key]) == (text, text)
        name = text.strip()[:250]
        if name and text.isprintable():
            store.update_run(run.run_id, name=name)
            store.close()
            assert store.run(run.run_id).name == name

    check()
    store.close()
