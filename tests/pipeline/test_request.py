from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from runner.errors import UsageError
from runner.pipeline.request import backend_options, duration, named_values

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400), ("0.25", 0.25)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "m", "-1", "0", "nan", "inf", "1w", "1 h ago", "1e300d"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        duration(text)
    assert repr(text) in caught.value.message
    assert caught.value.hint


def test_names_and_values() -> None:
    assert named_values(["a=1", "b=x=y", "c="], "--tag") == {"a": "1", "b": "x=y", "c": ""}
    assert named_values(["gpus=all", "t"], "-A", bare=True) == {"gpus": "all", "t": None}


@pytest.mark.parametrize("texts", [["a"], ["=1"], [""], ["a=1", "a=2"]])
def test_bad_names_and_values(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        named_values(texts, "--tag")


def test_backend_options_come_from_text_or_file(tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text(json.dumps({"queue": "long"}))
    assert backend_options('{"queue": "long"}', str(tmp_path)) == {"queue": "long"}
    assert backend_options("o.json", str(tmp_path)) == {"queue": "long"}
    assert backend_options(None, str(tmp_path)) == {}


@pytest.mark.parametrize("text", ["{", "[1]", "nowhere.json", "", "latin.json"])
def test_bad_backend_options(text: str, tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(UsageError):
        backend_options(text, str(tmp_path))
