from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_cache_is_runproj_home_else_the_users_cache() -> None:
    assert settings({"RUNPROJ_HOME": "/x/y"}).home == "/x/y"
    assert settings({"XDG_CACHE_HOME": "/c"}).home == "/c/runproj"
    assert settings({"XDG_CACHE_HOME": "relative"}).home.endswith("/runproj")
    assert os.path.isabs(settings({}).home)


def test_an_argument_wins_over_the_variable() -> None:
    environ = {"MLFLOW_TRACKING_URI": "sqlite:///a.db"}
    assert settings(environ).tracking_uri == "sqlite:///a.db"
    assert settings(environ, tracking_uri="b").tracking_uri == "b"
    assert settings({"MLFLOW_TRACKING_URI": ""}).tracking_uri is None


def test_inside_a_run_the_outer_store_is_used_and_the_experiment_is_not_forced() -> None:
    inside = {
        "RUNPROJ_RUN_ID": "r1",
        "RUNPROJ_ENDPOINT": "http://127.0.0.1:1/r/t",
        "RUNPROJ_TRACKING_URI": "sqlite:////s.db",
        "RUNPROJ_EXPERIMENT_ID": "7",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1/r/t",
        "MLFLOW_EXPERIMENT_ID": "7",
    }
    found = settings(inside)
    assert found.tracking_uri == "sqlite:////s.db"
    assert found.experiment_id is None
    assert found.parent == "r1"


def test_inside_a_run_what_the_project_sets_itself_wins() -> None:
    inside = {
        "RUNPROJ_RUN_ID": "r1",
        "RUNPROJ_ENDPOINT": "http://127.0.0.1:1/r/t",
        "RUNPROJ_TRACKING_URI": "sqlite:////s.db",
        "RUNPROJ_EXPERIMENT_ID": "7",
        "MLFLOW_TRACKING_URI": "http://elsewhere",
        "MLFLOW_EXPERIMENT_ID": "8",
    }
    found = settings(inside)
    assert found.tracking_uri == "http://elsewhere"
    assert found.experiment_id == "8"


def test_the_working_directory_keeps_symbolic_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    monkeypatch.chdir(link)
    assert settings({"PWD": str(link)}).directory == str(link)
    assert settings({"PWD": "/wrong"}).directory == os.getcwd()
