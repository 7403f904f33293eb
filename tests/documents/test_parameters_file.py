"""Files of parameters, and ``-P`` texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runner.documents.parameters_file import parse_assignments, read_parameters
from runner.errors import ParameterError, RunprojError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_assignments_are_split_at_the_first_equals_sign() -> None:
    assert parse_assignments(["a=1", "b=x=y", "c=", "d= e "]) == {
        "a": "1",
        "b": "x=y",
        "c": "",
        "d": " e ",
    }


def test_a_repeated_assignment_is_a_tuple() -> None:
    assert parse_assignments(["a=1", "b=2", "a=3", "a=1"]) == {"a": ("1", "3", "1"), "b": "2"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("alpha", "-P 'alpha' is not NAME=VALUE", "-P alpha=value"),
        ("", "-P '' is not NAME=VALUE", "-P name=value"),
        ("=1", "-P '=1' has no name before the '='", "-P name=1"),
    ],
)
def test_a_malformed_assignment_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_assignments([text])
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("{}", {}),
        ("a: 0.10", {"a": "0.10"}),
        ("a: 1e-5", {"a": "1e-5"}),
        (
            "a: 010\nb: 12:30\nc: 1_000\nd: 0x1F",
            {"a": "010", "b": "12:30", "c": "1_000", "d": "0x1F"},
        ),
        ("a: 2024-05-31", {"a": "2024-05-31"}),
        ("a: true\nb: False\nc: yes\nd: off", {"a": "true", "b": "false", "c": "yes", "d": "off"}),
        ("a: null\nb: ~\nc:\nd: ''", {"d": ""}),
        ("a: 'null'\nb: \"true\"", {"a": "null", "b": "true"}),
        ("a: [1, 2.50, x]\nb: []", {"a": ("1", "2.50", "x"), "b": ()}),
        ("a:\n  - 1\n  - two words\n", {"a": ("1", "two words")}),
        ("a: &v 1\nb: *v", {"a": "1", "b": "1"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("{a: 1, b: two}", {"a": "1", "b": "two"}),
        ("1: 2", {"1": "2"}),
        (
            '{"a": 0.10, "b": 1E5, "c": null, "d": true, "e": ["x", 1]}',
            {"a": "0.10", "b": "1E5", "d": "true", "e": ("x", "1")},
        ),
        ('{\n\t"a": "\\ud83d\\ude00 \\u0041"}', {"a": "😀 A"}),
        ('{"a": NaN, "b": -Infinity}', {"a": "NaN", "b": "-Infinity"}),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": "1", "b": "2"}),
    ],
)
def test_values_keep_their_text(tmp_path: Path, text: str, expected: dict[str, object]) -> None:
    file = tmp_path / "parameters.yaml"
    file.write_bytes(text.encode())
    assert read_parameters(str(file)) == expected


@pytest.mark.parametrize(
    ("name", "content", "place", "sentence"),
    [
        ("p.yaml", b"a:\n  b: 1", "2:3", "the value of 'a' is a mapping"),
        ("p.json", b'{"x": 1,\n "a": {"b": 1}}', "2:7", "the value of 'a' is a mapping"),
        ("p.yaml", b"a: [1, [2]]", "1:8", "an element of 'a' is a list itself"),
        ("p.yaml", b"a: [1, null]", "1:8", "an element of 'a' is null"),
        ("p.json", b'{"a": [null]}', "1:8", "an element of 'a' is null"),
        ("p.yaml", b"- a\n- b", "1:1", "not a mapping"),
        ("p.yaml", b"alpha", "1:1", "not a mapping"),
        ("p.json", b"[1]", "1:1", "not a mapping"),
        ("p.yaml", b"a: 1\nb: 2\na: 3", "3:1", "'a' is given twice, first in line 1"),
        ("p.json", b'{"a": 1, "a": 2}', "1:10", "'a' is given twice, first in line 1"),
        ("p.yaml", b"? [a]\n: 1", "1:3", "not a parameter's name"),
        ("p.yaml", b"'': 1", "1:1", "not a parameter's name"),
        ("p.yaml", b"x: &x {a: 1}\n<<: *x", "1:4", "is a mapping"),
        ("p.yaml", b"<<: 1", "1:1", "merge keys"),
        ("p.yaml", b"a: 1\n\tb: 2", "2:1", "not YAML"),
        ("p.yaml", b"a: [1", "1:6", "not YAML"),
        ("p.yaml", b"a: *nowhere", "1:4", "not YAML"),
        ("p.yaml", b"a: 1\n---\nb: 2", "2:1", "not YAML"),
        ("p.json", b'{"a": 1 "b"}', "1:9", "not JSON"),
        ("p.yaml", b"a: 1\nb: \xff", "2:4", "not UTF-8"),
        ("p.yaml", b"a: 1\nb: \x00", "2:4", "U+0000 is not allowed"),
    ],
)
def test_a_malformed_file_says_where(
    tmp_path: Path, name: str, content: bytes, place: str, sentence: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ParameterError) as caught:
        read_parameters(str(file))
    assert sentence in caught.value.message
    assert caught.value.where == f"{file}:{place}"


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"{a: " * 100_000])
@pytest.mark.parametrize("name", ["p.yaml", "p.json"])
def test_a_deep_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ParameterError):
        read_parameters(str(file))


def test_utf_16_is_read(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes("a: é".encode("utf-16"))
    assert read_parameters(str(file)) == {"a": "é"}


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_parameters(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_parameters(str(tmp_path))


@given(
    st.binary(max_size=40)
    | st.text(alphabet="ab:{}[]-,\"'&*!|>?# \n\t1", max_size=30).map(str.encode)
)
@example(b"!!binary a: b")
@example(b"a: !!python/object/apply:os.system [id]")
@settings(
    max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_any_file_gives_parameters_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(content)
    try:
        found = read_parameters(str(file))
    except RunprojError as error:
        found = {"message": error.message, "where": error.where or ""}
        assert all(found.values())
    assert all(isinstance(value, str | tuple) for value in found.values())


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=6),
        st.text(max_size=8) | st.lists(st.text(max_size=4)),
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_json_texts_come_back(tmp_path: Path, values: dict[str, str | list[str]]) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(values))
    expected = {k: v if isinstance(v, str) else tuple(v) for k, v in values.items()}
    assert read_parameters(str(file)) == expected
