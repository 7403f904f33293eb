"""Copies of stores: nothing is lost, nothing is there twice, whatever is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from libraries import CHILD, GONE, MODEL, OLD, PARENT, STEPS, fill, fresh

from runner.cli.output import SilentReporter
from runner.errors import StoreError, UsageError
from runner.model.tracking import Metric
from runner.model.value import RunId
from runner.pipeline.origins import COPIED_FROM
from runner.pipeline.store_digest import compare, contents
from runner.pipeline.store_reading import every_run
from runner.pipeline.tally import Scope
from runner.pipeline.transfer import transfer
from runner.serving.endpoint import LoopbackEndpoint
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.pipeline.tally import Copied
    from runner.ports import TrackingStore

    Opened = Callable[[str], TrackingStore]

ALL = Scope()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Open stores by a short name; ``served…`` is a SQLite store behind our endpoint."""
    stores: list[TrackingStore] = []
    endpoints: list[LoopbackEndpoint] = []

    def open_it(name: str) -> TrackingStore:
        if not name.startswith("served"):
            made = open_store(name, directory=str(tmp_path), environ={})
            stores.append(made)
            return made
        behind = open_it(f"sqlite:///{name}/mlflow.db")
        (tmp_path / name).mkdir()
        endpoint = LoopbackEndpoint(store=behind, run=fresh("9" * 32))
        endpoint.serve()
        endpoints.append(endpoint)
        return open_it(endpoint.uri)

    yield open_it
    for endpoint in endpoints:
        endpoint.close(within=timedelta(seconds=30))
    for store in stores:
        store.close()


def copied(source: TrackingStore, target: TrackingStore, scope: Scope = ALL) -> Copied:
    return transfer(source, target, reporter=SilentReporter(), scope=scope)


def every_id(store: TrackingStore) -> list[str]:
    return [r.run_id for e in store.experiments() for r in every_run(store, e.experiment_id)]


STOPS = [("sqlite:///one.db", "files"), ("files", "sqlite:///one.db"), ("files", "served")]


@pytest.mark.parametrize(("source", "target"), STOPS)
def test_everything_arrives(opened: Opened, source: str, target: str) -> None:
    here, there = opened(source), opened(target)
    fill(here)
    result = copied(here, there)
    assert result.problems == ()
    assert result.made["runs"] == 4
    compared = compare(here, there, scope=ALL, whole=True)
    assert compared.differences == ()
    assert compared.digest == compared.other
    assert compared.things == 3 + 4 + 1 + 1 + 3
    again = copied(here, there)
    assert again.made == {}
    assert len(every_id(there)) == 4
    assert compare(here, there, scope=ALL, whole=True).differences == ()


def test_a_journey_through_all_kinds_ends_where_it_began(opened: Opened) -> None:
    """File -> SQLite -> server -> file: the same ids, the same digests."""
    stops = [opened(name) for name in ("files", "sqlite:///middle.db", "served", "files2")]
    fill(stops[0])
    for here, there in pairwise(stops):
        assert copied(here, there).problems == ()
    first, last = (contents(store, ALL) for store in (stops[0], stops[-1]))
    assert first == last
    assert sorted(every_id(stops[-1])) == [OLD, PARENT, CHILD, GONE]
    child = stops[-1].run(CHILD)
    assert child.tags["mlflow.parentRunId"] == PARENT
    assert COPIED_FROM not in child.tags
    assert len(stops[-1].history(PARENT, "loss")) == STEPS
    assert stops[-1].run(GONE).lifecycle == "deleted"
    assert [e.lifecycle for e in stops[-1].experiments() if e.name == "old"] == ["deleted"]
    registry, models = stops[-1].registry_store, stops[-1].model_store
    assert registry
    assert [v.version for v in registry.versions("Wine")] == [1, 2, 4]
    assert models
    assert models.model(MODEL).source_run_id == PARENT


def test_on_a_server_ids_inside_of_tags_and_sources_are_those_of_the_server(opened: Opened) -> None:
    here, there = opened("files"), opened("served")
    fill(here)
    copied(here, there)
    by_origin = {
        run.tags[COPIED_FROM]: run
        for e in there.experiments()
        for run in every_run(there, e.experiment_id)
    }
    parent, child = by_origin[PARENT], by_origin[CHILD]
    assert parent.run_id != PARENT
    assert child.tags["mlflow.parentRunId"] == parent.run_id
    assert f'"{child.run_id}"' in child.tags["mlflow.log-model.history"]
    registry, models = there.registry_store, there.model_store
    assert registry
    assert models
    (model,) = models.models([parent.experiment_id])
    assert model.tags["of"] == parent.run_id
    first, second, _ = registry.versions("Wine")
    assert first.source == f"models:/{model.model_id}"
    assert second.source == f"{parent.artifact_uri}/a"
    assert second.run_id == parent.run_id


def test_a_copy_catches_up(opened: Opened) -> None:
    here, there = opened("sqlite:///one.db"), opened("files")
    fill(here)
    copied(here, there)
    here.log(PARENT, metrics=[Metric(key="loss", value=3.0, timestamp=9, step=9999)])
    here.log(PARENT, tags={"new": "tag"}, params={"late": "1"})
    here.artifacts(here.run(PARENT)).put("late.txt", b"late")
    here.restore_run(GONE)
    assert len(compare(here, there, scope=ALL).differences) == 2
    result = copied(here, there)
    assert result.made == {"files": 1}
    assert compare(here, there, scope=ALL, whole=True).differences == ()


def test_differences_are_named(opened: Opened) -> None:
    here, there = opened("sqlite:///one.db"), opened("files")
    fill(here)
    copied(here, there)
    there.artifacts(there.run(PARENT)).put("a/b c.txt", b"h##\n\n")
    there.log(CHILD, params={"extra": "1"})
    there.create_run(fresh("e" * 32))
    assert compare(here, there, scope=ALL).differences == (
        f"run {PARENT} differs in its files",
        f"run {CHILD} differs in its parameters",
    )
    assert f"run {'e' * 32} is not in {here.uri}" in (
        compare(here, there, scope=ALL, whole=True).differences
    )


def test_one_experiment_only(opened: Opened) -> None:
    here, there = opened("files"), opened("sqlite:///one.db")
    fill(here)
    scope = Scope(experiments=("wine / größe",), registry=False)
    copied(here, there, scope)
    assert sorted(every_id(there)) == [PARENT, CHILD]
    assert compare(here, there, scope=scope).differences == ()
    with pytest.raises(UsageError, match="no experiment named 'beer'"):
        copied(here, there, Scope(experiments=("beer",)))


def test_a_dry_run_writes_nothing(opened: Opened, tmp_path: Path) -> None:
    here = opened("files")
    fill(here)
    target = opened("sqlite:///new.db")
    result = transfer(here, target, reporter=SilentReporter(), dry_run=True)
    assert result.made["runs"] == 4
    assert result.made["models"] == 1
    assert target.experiment_named("wine / größe") is None
    assert not (tmp_path / "mlruns").exists()


def test_what_a_store_refuses_is_said_and_the_rest_is_copied(opened: Opened) -> None:
    here, there = opened("sqlite:///one.db"), opened("files")
    bad = here.create_run(fresh("1" * 32, params={"a": "1"}))
    here.log(bad.run_id, params={"a/b": "2"})  # a file and a folder of one name
    here.create_run(fresh("2" * 32))
    result = copied(here, there)
    assert len(result.problems) == 1
    assert result.problems[0].startswith(f"run {'1' * 32}: ")
    assert there.run(RunId("2" * 32)).status == "RUNNING"
    assert compare(here, there, scope=ALL).differences


def test_files_out_of_reach_keep_their_address(opened: Opened) -> None:
    here, there = opened("sqlite:///one.db"), opened("files")
    here.create_run(fresh("1" * 32, artifact_uri="s3://bucket/1/artifacts"))
    assert copied(here, there).problems == ()
    assert there.run(RunId("1" * 32)).artifact_uri == "s3://bucket/1/artifacts"


def command(runproj: Path, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (str(runproj), "store", *arguments),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("target", ["sqlite:///two.db", "files", "served"])
def test_a_copy_that_is_killed_is_finished_by_the_next(
    opened: Opened, runproj: Path, tmp_path: Path, target: str
) -> None:
    here = opened("sqlite:///one.db")
    fill(here)
    for number in range(25):
        run = here.create_run(fresh(f"{number:032x}", params={"n": str(number)}))
        here.artifacts(run).put("file", os.urandom(50_000))
        here.update_run(run.run_id, status="FINISHED", ended=1_700_000_005_000)
    there = opened(target)
    for stop in (4, 12):
        process = command(runproj, "copy", here.uri, there.uri, cwd=tmp_path)
        until(partial(_enough, there, stop, process))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert 4 <= copies(there) <= 29
    process = command(runproj, "copy", here.uri, there.uri, cwd=tmp_path)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "verified: " in output
    assert len(every_id(there)) == 29
    assert compare(here, there, scope=ALL, whole=True).differences == ()


def _enough(store: TrackingStore, number: int, process: subprocess.Popen[str]) -> bool:
    return copies(store) >= number or process.poll() is not None


def copies(store: TrackingStore) -> int:
    try:
        return len(every_id(store))
    except StoreError:
        return 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_command_tells_and_exits_by_what_differs(
    opened: Opened, runproj: Path, tmp_path: Path
) -> None:
    fill(opened("files"))
    for arguments, code, words in (
        (("copy", "--dry-run", "files", "sqlite:///two.db"), 0, "runs: 4 would be copied"),
        (("copy", "files", "sqlite:///two.db"), 0, "verified: 12 things are the same, sha256:"),
        (("verify", "files", "sqlite:///two.db"), 0, "verified: "),
        (("verify", "-q", "files", "sqlite:///two.db"), 0, ""),
        (("verify", "files", "sqlite:///empty.db"), 1, "run " + PARENT + " is not in"),
        (("copy", "files", "files/../files"), 2, "FROM and TO are the same store"),
        (("copy", "sqlite:///none.db", "files"), 2, "there is no store at sqlite:///"),
        (("copy", "files", "ftp://x"), 125, "there is no tracking store for 'ftp://x'"),
    ):
        process = command(runproj, *arguments, cwd=tmp_path)
        output, _ = process.communicate()
        assert process.returncode == code, output
        assert words in output
