"""What the user typed as a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.pipeline.request import parsed_reference

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "location", "subdirectory"),
    [
        (".", ".", ""),
        ("'a b'", "a b", ""),
        ('"https://h/p#x"', "https://h/p", "x"),
        ("https://h/p.git#v1.0/a.b", "https://h/p.git", "v1.0/a.b"),
        ("git@h:p.git#sub/dir/", "git@h:p.git", "sub/dir"),
        ("https://h/p.zip?t=1#./sub", "https://h/p.zip?t=1", "sub"),
        ("dir#", "dir", ""),
        ("dir#a//b", "dir", "a/b"),
        ("dir#..a/b..", "dir", "..a/b.."),
    ],
)
def test_locations_and_subdirectories(text: str, location: str, subdirectory: str) -> None:
    found = parsed_reference(text, None)
    assert (found.location, found.subdirectory, found.revision) == (location, subdirectory, None)


@pytest.mark.parametrize(
    "text", ["", "  ", "''", "#sub", "p#../x", "p#a/../../x", "p#/etc", "p#a/..", "p#a\nb"]
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parsed_reference(text, None)


def test_a_directory_with_a_hash_in_its_name_wins(tmp_path: Path) -> None:
    (tmp_path / "p#1" / "sub").mkdir(parents=True)
    (tmp_path / "p").mkdir()
    whole = parsed_reference(f"{tmp_path}/p#1", "v1")
    assert (whole.location, whole.subdirectory) == (f"{tmp_path}/p#1", "")
    assert whole.revision == "v1"
    inside = parsed_reference(f"{tmp_path}/p#1#sub", None)
    assert (inside.location, inside.subdirectory) == (f"{tmp_path}/p#1", "sub")
    other = parsed_reference(f"{tmp_path}/p#2", None)
    assert (other.location, other.subdirectory) == (f"{tmp_path}/p", "2")


def test_an_error_shows_no_credentials() -> None:
    with pytest.raises(UsageError) as caught:
        parsed_reference("https://u:s3cret@h/p#..", None)
    assert "s3cret" not in f"{caught.value.message}{caught.value.where}{caught.value.hint}"


@given(st.text(max_size=40))
def test_a_subdirectory_never_leads_out(text: str) -> None:
    try:
        found = parsed_reference(text, None)
    except UsageError:
        return
    assert found.location
    parts = found.subdirectory.split("/")
    assert not found.subdirectory.startswith("/")
    assert ".." not in parts
