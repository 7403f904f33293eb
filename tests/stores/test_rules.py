"""MLflow's rules, and the names that are made up."""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.errors import StoreError
from runner.model.tracking import TrackedRun
from runner.model.value import RunId
from runner.stores import paging, rules


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0.50", "0.5", True),
        ("1", "1.0", True),
        ("1e-3", "0.001", True),
        ("nan", "NaN", True),
        ("-0", "0.0", True),
        ("10000000000000000000000000000001", "10000000000000000000000000000002", False),
        ("1", "2", False),
        ("true", "True", False),
        ("", "0", False),
        ("1_0", "10", False),
        ("a", "a ", False),
        ("inf", "Infinity", True),
    ],
)
def test_equal_numbers(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - the expectation
    assert rules.same_number(one, other) is same
    assert rules.same_number(other, one) is same


def mlflow_takes(key: str) -> bool:
    """Say what ``_validate_param_name`` of MLflow 3.17 says."""
    plain = posixpath.normpath(key)
    unique = not (plain != key or plain == "." or plain.startswith(("..", "/")))
    return bool(re.fullmatch(r"[/\w.\- :]*", key)) and unique and 0 < len(key) <= 250


@given(
    st.one_of(
        st.text(max_size=12), st.text("a./ _:-é\\\n\0", max_size=8), st.text("x", max_size=260)
    )
)
@example("a\u00b7")  # goes on an identifier, and is no letter
def test_keys_are_those_of_mlflow(key: str) -> None:
    try:
        rules.check_key("parameter", key)
    except StoreError as error:
        assert error.status == "INVALID_PARAMETER_VALUE"  # noqa: PT017 - both ends are checked
        assert not mlflow_takes(key)
    else:
        assert mlflow_takes(key)


def test_made_up_names() -> None:
    found = {rules.run_name() for _ in range(200)}
    assert len(found) > 190
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-[1-9][0-9]{2}", name) for name in found)
    for words in (rules.ADJECTIVES.split(), rules.NOUNS.split()):
        assert len(words) == len(set(words)) >= 50


def test_completing_keeps_what_is_given() -> None:
    run = TrackedRun(
        run_id=RunId("abc"),
        experiment_id="0",
        name="given",
        status="RUNNING",
        started=1,
        ended=None,
        artifact_uri="",
        tags={"mlflow.runName": "tagged"},
    )
    done = rules.completed(run)
    assert (done.run_id, done.name, done.tags) == ("abc", "given", {"mlflow.runName": "given"})


@given(st.integers(0, 2**60), st.from_regex(r"[a-z0-9]{1,32}", fullmatch=True))
def test_page_tokens_come_back(started: int, run_id: str) -> None:
    run = TrackedRun(
        run_id=RunId(run_id),
        experiment_id="0",
        name="",
        status="RUNNING",
        started=started,
        ended=None,
        artifact_uri="",
    )
    assert paging.start(paging.after(run)) == (started, run_id)


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        (
            "runner.stores.sqlite",
            "typing pathlib dataclasses subprocess tempfile shutil yaml socket",
        ),
        (
            "runner.stores.files",
            "typing pathlib dataclasses subprocess tempfile shutil yaml sqlite3",
        ),
        ("runner.stores.opening", "typing pathlib sqlite3 yaml http.client"),
    ],
)
def test_what_a_warm_run_imports(module: str, banned: str) -> None:
    script = f"import sys; before = set(sys.modules); import {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(banned.split()) & set(done.stdout.split())
