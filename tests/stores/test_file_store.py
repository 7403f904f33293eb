"""What is particular to the file store: the files."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import StoreError
from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId
from runner.stores import metafile, runfolder
from runner.stores.files import FileStore

if TYPE_CHECKING:
    from pathlib import Path


def fresh(**given: object) -> TrackedRun:
    fields: dict[str, object] = {
        "run_id": RunId(""),
        "experiment_id": "0",
        "name": "",
        "status": "RUNNING",
        "started": 1,
        "ended": None,
        "artifact_uri": "",
    }
    return TrackedRun(**{**fields, **given})  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mlruns"


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(str(root))


def meta(folder: Path) -> dict[str, Any]:
    found = yaml.safe_load((folder / "meta.yaml").read_bytes())
    assert isinstance(found, dict)
    return found


def test_nothing_is_made_before_the_first_write(store: FileStore, tmp_path: Path) -> None:
    assert [e.name for e in store.experiments()] == ["Default"]
    assert store.runs(["0"]).runs == ()
    assert os.listdir(tmp_path) == []


def test_the_layout_suits_every_client(store: FileStore, root: Path) -> None:
    run = store.create_run(
        fresh(name="n: 'x' # ü", params={"a/b": "1"}, tags={"t": "x"}, user="ada")
    )
    folder = root / "0" / run.run_id
    assert {*os.listdir(folder)} == {"artifacts", "meta.yaml", "metrics", "params", "tags"}
    assert (folder / "params/a/b").read_bytes() == b"1"
    assert meta(folder) == {
        "artifact_uri": f"file://{folder}/artifacts",
        "deleted_time": None,
        "end_time": None,
        "entry_point_name": "",
        "experiment_id": "0",
        "lifecycle_stage": "active",
        "run_id": run.run_id,
        "run_name": "n: 'x' # ü",
        "run_uuid": run.run_id,
        "source_name": "",
        "source_type": 4,
        "source_version": "",
        "start_time": 1,
        "status": 1,
        "tags": [],
        "user_id": "ada",
    }
    assert meta(root / "0")["name"] == "Default"
    assert os.listdir(root / ".trash") == []


def test_what_a_new_client_took_away_is_put_back(store: FileStore, root: Path) -> None:
    run = store.create_run(fresh())
    folder = root / "0" / run.run_id
    theirs = {**meta(folder), "status": 3, "their_new_key": {"a": [1, "ü"]}}
    del theirs["run_uuid"], theirs["deleted_time"]
    (folder / "meta.yaml").write_text(yaml.safe_dump(theirs), encoding="utf-8")
    assert store.run(run.run_id).status == "FINISHED"
    store.update_run(run.run_id, status="FAILED", ended=9)
    found = meta(folder)
    assert (found["run_uuid"], found["deleted_time"]) == (run.run_id, None)
    assert (found["status"], found["end_time"]) == (4, 9)
    assert found["their_new_key"] == {"a": [1, "ü"]}


def test_the_folder_of_a_database_becomes_a_store(store: FileStore, root: Path) -> None:
    """``mlruns/0`` may hold artifacts of a SQLite store, without any ``meta.yaml``."""
    (root / "0" / "f" / "artifacts").mkdir(parents=True)
    run = store.create_run(fresh())
    assert meta(root / "0")["experiment_id"] == "0"
    assert [r.run_id for r in store.runs(["0"]).runs] == [run.run_id]
    assert os.listdir(root / ".trash") == []


def test_deleted_experiments_are_found_in_the_trash(store: FileStore, root: Path) -> None:
    experiment = store.create_experiment("old")
    run = store.create_run(fresh(experiment_id=experiment.experiment_id))
    os.rename(root / experiment.experiment_id, root / ".trash" / experiment.experiment_id)
    found = store.experiment(experiment.experiment_id)
    assert found.lifecycle == "deleted"
    assert store.run(run.run_id).run_id == run.run_id
    with pytest.raises(StoreError) as caught:
        store.create_run(fresh(experiment_id=experiment.experiment_id))
    assert caught.value.status == "INVALID_PARAMETER_VALUE"


def test_a_store_that_was_moved_finds_its_files(store: FileStore, root: Path) -> None:
    run = store.create_run(fresh())
    store.artifacts(run).put("a", b"x")
    elsewhere = root.with_name("moved here")
    shutil.move(root, elsewhere)
    moved = FileStore(str(elsewhere))
    found = moved.run(run.run_id)
    assert [a.path for a in moved.artifacts(found).list()] == ["a"]


def test_half_made_and_damaged_runs_are_passed_over(store: FileStore, root: Path) -> None:
    run = store.create_run(fresh())
    (root / "0" / ("a" * 32)).mkdir()
    (root / "0" / ("b" * 32)).mkdir()
    (root / "0" / ("b" * 32) / "meta.yaml").write_text("{ no: yaml", encoding="utf-8")
    (root / "0" / "datasets").mkdir()
    assert [r.run_id for r in store.runs(["0"], lifecycle="all").runs] == [run.run_id]
    with pytest.raises(StoreError) as caught:
        store.run(RunId("b" * 32))
    assert str(caught.value.where).endswith("meta.yaml")
    with pytest.raises(StoreError) as caught:
        store.run(RunId("a" * 32))
    assert caught.value.status == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.ENOSPC, "TEMPORARILY_UNAVAILABLE"), (errno.EACCES, "PERMISSION_DENIED")],
)
def test_a_disk_that_does_not_take_it(
    number: int, status: str, store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create_run(fresh())

    def full(_descriptor: int, _content: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(runfolder, "_write_all", full)
        for action in (
            lambda: store.create_run(fresh(params={"a": "b"})),
            lambda: store.log(run.run_id, params={"a": "b"}),
            lambda: store.log(run.run_id, tags={"a": "b"}),
        ):
            with pytest.raises(StoreError) as caught:
                action()
            assert caught.value.status == status
            assert os.strerror(number) in caught.value.message
    assert [r.run_id for r in store.runs(["0"]).runs] == [run.run_id]
    assert store.run(run.run_id) == run
    assert os.listdir(root / ".trash") == []
    assert not [n for n in os.listdir(root / "0" / run.run_id) if n.startswith(".")]


def test_a_file_in_the_place_of_the_store(root: Path) -> None:
    root.touch()
    with pytest.raises(StoreError):
        FileStore(str(root)).create_run(fresh())


def test_links_are_not_followed_when_writing_metrics(
    store: FileStore, root: Path, tmp_path: Path
) -> None:
    run = store.create_run(fresh())
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    for kind in ("metrics", "params", "tags"):
        os.symlink(victim, root / "0" / run.run_id / kind / "link")
    with pytest.raises(StoreError):
        store.log(run.run_id, metrics=[Metric(key="link", value=1.0, timestamp=1)])
    store.log(run.run_id, tags={"link": "x"})
    assert victim.read_text(encoding="utf-8") == "precious"


def test_odd_metric_lines_of_others(store: FileStore, root: Path) -> None:
    run = store.create_run(fresh())
    lines = "5 0.5\n6 0.25 3\n7 0.125 4 data 8abc\n\nrubbish\n8 nan 1\n9 1e3 "
    (root / "0" / run.run_id / "metrics" / "m").write_text(lines, encoding="utf-8")
    found = [(m.timestamp, m.step) for m in store.history(run.run_id, "m")]
    assert found == [(5, 0), (6, 3), (7, 0), (8, 1), (9, 0)]
    assert store.run(run.run_id).metrics["m"].value == 0.25


values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.integers(0, 2**53),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=120),
    st.sampled_from(["null", "yes", "~", "1.5", "0x1f", "1e5", "2020-01-01", "a: b", "- x", "''"]),
    st.just([]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(st.dictionaries(st.from_regex(r"k[a-z_]{1,20}", fullmatch=True), values, min_size=1))
def test_what_we_write_yaml_reads(tmp_path: Path, document: dict[str, Any]) -> None:
    metafile.write(str(tmp_path), document)
    assert meta(tmp_path) == document
    assert metafile.read(str(tmp_path)) == document


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(
    st.dictionaries(st.from_regex(r"k[a-z_]{1,20}", fullmatch=True), values, min_size=1),
    st.sampled_from([None, '"', "'"]),
)
def test_what_yaml_writes_we_read(
    tmp_path: Path, document: dict[str, Any], style: str | None
) -> None:
    """MLflow writes with PyYAML; the quick reader must never read anything else than it."""
    text = yaml.safe_dump(document, default_flow_style=False, allow_unicode=True)
    if style:
        text = yaml.safe_dump(document, default_style=style)
    (tmp_path / "meta.yaml").write_text(text, encoding="utf-8", newline="\n")
    assert metafile.read(str(tmp_path)) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    [
        "run_id: abc # comment\n",
        "run_id: 'it''s'\n",
        'name: "a\\u00e9\\U0001F600"\n',
        "name: |\n  two\n  lines\n",
        "a: 1\na: 2\n",
        "start_time: 0123\n",
        "start_time: 12_3\n",
        "name: yes\n",
        "name: abc\n  def\n",
        "---\nname: x\n",
        "name: 1e3\nother: .5\n",
        "when: 2020-01-01\n",
        "name:\n",
        "name: x \n",
        "name: 'x'   \n",
    ],
)
def test_yaml_by_hand_is_yaml(tmp_path: Path, text: str) -> None:
    (tmp_path / "meta.yaml").write_text(text, encoding="utf-8")
    assert metafile.read(str(tmp_path)) == yaml.safe_load(text)
