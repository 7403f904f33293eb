"""``runproj runs rm|restore|tag|note``, ``runproj experiments``."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest
from some_runs import add

from runner.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model.value import RunId
    from runner.ports import TrackingStore


@pytest.fixture
def ids(store: TrackingStore) -> list[RunId]:
    return [add(store, params={"at": str(at)}, tags={"old": "1"}).run_id for at in range(3)]


def stages(store: TrackingStore, ids: list[RunId]) -> list[str]:
    try:
        return [store.run(run_id).lifecycle for run_id in ids]
    finally:
        store.close()


def test_deleted_and_restored(store: TrackingStore, ids: list[RunId]) -> None:
    assert main(["runs", "rm", ids[0][:10], ids[2]]) == 0
    assert stages(store, ids) == ["deleted", "active", "deleted"]
    assert main(["runs", "rm", *ids]) == 0
    assert main(["runs", "restore", *ids]) == 0
    assert stages(store, ids) == ["active"] * 3


def test_many_only_after_a_question(
    store: TrackingStore, ids: list[RunId], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--filter", "params.at != '1'"]
    assert main(["runs", "rm", *chosen]) == 2
    assert "delete 2 runs" in capsys.readouterr().err
    assert stages(store, ids) == ["active"] * 3
    assert main(["runs", "rm", "--yes", *chosen]) == 0
    assert stages(store, ids) == ["deleted", "active", "deleted"]
    assert main(["runs", "restore", "--yes", *chosen]) == 0
    assert stages(store, ids) == ["active"] * 3


@pytest.mark.parametrize(
    "arguments", [["rm"], ["rm", "ID0", "--filter", "params.at = '1'"], ["restore"], ["rm", "/"]]
)
def test_no_choice(arguments: list[str], ids: list[RunId]) -> None:
    assert main(["runs", *(ids[0] if a == "ID0" else a for a in arguments)]) in {2, 125}


def test_tags(store: TrackingStore, ids: list[RunId], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "tag", *ids[:2], "stage=a=b", "empty=", "--remove", "old"]) == 0
    tags = [store.run(run_id).tags for run_id in ids]
    store.close()
    assert [t.get("stage") for t in tags] == ["a=b", "a=b", None]
    assert [t.get("old") for t in tags] == [None, None, "1"]
    assert tags[0]["empty"] == ""
    capsys.readouterr()
    assert main(["runs", "tag", ids[0]]) == 0
    assert "stage" in capsys.readouterr().out
    assert main(["runs", "tag", ids[0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[ids[0]]["stage"] == "a=b"


@pytest.mark.parametrize(
    "arguments", [["a=b"], ["ID0", "a=b", "--remove", "a"], ["ID0", "../x=1"], []]
)
def test_tags_that_make_no_sense(arguments: list[str], ids: list[RunId]) -> None:
    assert main(["runs", "tag", *(ids[0] if a == "ID0" else a for a in arguments)]) in {2, 125}


def test_notes(
    store: TrackingStore,
    ids: list[RunId],
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def note() -> str | None:
        try:
            return store.run(ids[0]).tags.get("mlflow.note.content")
        finally:
            store.close()

    assert main(["runs", "note", ids[0], "first **try**"]) == 0
    assert note() == "first **try**"
    assert main(["runs", "note", ids[0]]) == 0
    assert capsys.readouterr().out == "first **try**\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("from\nstdin"))
    assert main(["runs", "note", ids[0], "-"]) == 0
    assert note() == "from\nstdin"
    editor = here / "an editor"
    editor.write_text('#!/bin/sh\necho "and edited" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", f"'{editor}'")
    assert main(["runs", "note", ids[0], "--edit"]) == 0
    assert note() == "from\nstdinand edited"
    monkeypatch.setenv("VISUAL", "false")
    assert main(["runs", "note", ids[0], "--edit"]) == 125
    monkeypatch.setenv("VISUAL", "/there/is/no/editor")
    assert main(["runs", "note", ids[0], "--edit"]) == 125
    assert note() == "from\nstdinand edited"
    assert main(["runs", "note", ids[0], "--remove"]) == 0
    assert note() is None
    assert main(["runs", "note", ids[0], "x", "--edit"]) == 2


def test_experiments(
    store: TrackingStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)

    def call(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["experiments", *arguments]) == code
        out, err = capsys.readouterr()
        return err if code else out

    made = call("create", "wine", "--tag", "team=blue").strip()
    assert store.experiment(made).tags["team"] == "blue"
    assert "already" in call("create", "wine", code=125)
    call("rename", "wine", "beer")
    call("tag", "beer", "team=red", "x=y", "--remove", "x")
    assert call("tag", made).split() == ["team", "red", "x", "y"]
    call("tag", "beer", "--remove", "x")
    listed = json.loads(call("list", "--json", "--filter", "tags.team = 'red'"))
    assert [(e["name"], e["experiment_id"]) for e in listed] == [("beer", made)]
    assert [line.split()[1] for line in call("list").splitlines()[1:]] == ["Default", "beer"]
    assert call("list", "--csv", "--order-by", "name DESC").splitlines()[1].split(",")[1] == "beer"
    run = add(store, experiment_id=made)
    assert "--yes" in call("rm", "beer", code=2)
    call("rm", "beer", "--yes")
    assert stages(store, [run.run_id]) == ["deleted"]
    assert "beer" not in call("list")
    assert "beer" in call("list", "--deleted")
    call("restore", "beer")
    assert stages(store, [run.run_id]) == ["active"]
    assert "did you mean 'beer'?" in call("rm", "bear", code=125)
    assert "no action" in call("remove", code=2)
    call("tag", "beer", "nothing", code=2)
    store.close()
