from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.documents.findings import Findings
from runner.documents.yaml_document import MOST_NODES, YamlDocument, read_yaml
from runner.model.spec import Place

if TYPE_CHECKING:
    from typing import Any


def document(text: str | bytes) -> YamlDocument:
    findings = Findings()
    content = text.encode() if isinstance(text, str) else text
    result = read_yaml(content, "f.yaml", findings)
    assert result is not None, findings.problems
    return result


def refusal(content: bytes) -> str:
    findings = Findings()
    assert read_yaml(content, "f.yaml", findings) is None
    return str(findings.problems[-1])


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.dates()
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.from_regex(r"[a-z]{3,6}-", fullmatch=True), inner, max_size=4),
    max_leaves=15,
)


@given(values, st.booleans())
def test_values_are_those_of_safe_load(value: Any, flow: bool) -> None:  # noqa: FBT001
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)

    assert document(text).data == yaml.safe_load(text)


_QUOTED = (
    "!!str 010",
    "!!float 3",
    "!!binary aGk=",
    "'a: b'",
    '"\\u00e9"',
    "|\n  a\n  b\n",
    ">-\n  a\n  b\n",
    "a # c",
)


@pytest.mark.parametrize(
    "text",
    """on yes No 010 0o10 12:30 1e-5 1.0e-5 1_000 0x1f 0b11 .inf ~ null y -0 +1 .5 1. 0777
    2020-01-02 2020-01-02T03:04:05Z True FALSE Off""".split()  # noqa: SIM905 - easier to read
    + list(_QUOTED),
)
def test_scalars_follow_yaml_1_1(text: str) -> None:
    assert document(f"v: {text}").data == yaml.safe_load(f"v: {text}")


def test_characters_that_json_writes_in_two_halves_are_joined() -> None:
    assert document('"a\\ud83d\\ude00": "\\ud83d\\ude00b"').data == {"a😀": "😀b"}
    assert "an escape for no character, or for half of one" in refusal(b'a: "\\ud83d"')


def test_merge_keys_and_anchors_mean_what_they_mean_to_mlflow() -> None:
    text = (
        "base: &base {a: 1, b: 2}\n"
        "more: &more {b: 3, c: 4}\n"
        "one: {<<: *base, a: 9}\n"
        "two: {<<: [*base, *more], d: *base}\n"
    )

    assert document(text).data == yaml.safe_load(text)


def test_every_key_and_value_has_its_place() -> None:
    found = document("a:\n  b: [1, x]\n'c d': |\n  text\n")

    assert found.place(("a", "b", 1)) == Place(file="f.yaml", line=2, column=10)
    assert found.key_place(("a", "b")) == Place(file="f.yaml", line=2, column=3)
    assert found.key_place(("a", "b", 0)) == Place(file="f.yaml", line=2, column=7)
    assert found.key_place(("c d",)) == Place(file="f.yaml", line=3, column=1)
    assert found.place(("a", "nothing", "below")) == Place(file="f.yaml", line=2, column=3)
    assert found.source(("a", "b", 1)) == "x"
    assert found.place_at(found.text.index("text")) == Place(file="f.yaml", line=4, column=3)


def test_places_count_characters_not_bytes() -> None:
    assert document("é: {ß: 日本, k: v}\n").place(("é", "k")).column == 15


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_accepted(line_end: str) -> None:
    found = document(line_end.join(["a: 1", "b: 2", ""]))

    assert found.data == {"a": 1, "b": 2}
    assert found.place(("b",)).line == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_understood(encoding: str) -> None:
    found = document("é: 1\n".encode(encoding))

    assert found.data == {"é": 1}
    assert found.key_place(("é",)).column == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff\n", "f.yaml:1:4: error: f.yaml is not UTF-8: byte 0xff"),
        (b"a: 1\nb: c\0d\n", "f.yaml:2:5: error: f.yaml contains a NUL byte"),
        ("a: 1\n".encode("utf-16-le"), "looks like UTF-16 without a byte order mark"),
        (b"\xff\xfea", "f.yaml is no valid UTF-16"),
        (b"#" * 1_048_577, "f.yaml is too large to be a project file: 1,048,577 bytes"),
        (b"[" * 100_000, "f.yaml is nested more than 64 levels deep"),
        (b"- " * 100_000, "f.yaml is nested more than 64 levels deep"),
        (b"a: &a [*a]", "the alias '*a' in f.yaml is contained in itself"),
        (b"a: 0x" + b"f" * 5000, "the number is too large"),
        (b"a: 0b_", "'0b_' is no valid int"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_cause(content: bytes, message: str) -> None:
    assert message in refusal(content)


def bomb(levels: int, *, merge: bool = False) -> bytes:
    start = b"{k: v}" if merge else b"[x, x, x, x, x, x, x, x, x]"
    lines = [b"l0: &l0 " + start]
    for level in range(1, levels):
        references = b", ".join([b"*l%d" % (level - 1)] * 9)
        wrapped = b"{<<: [%b]}" % references if merge else b"[%b]" % references
        lines.append(b"l%d: &l%d %b" % (level, level, wrapped))
    return b"\n".join(lines)


@pytest.mark.parametrize("merge", [False, True])
def test_alias_bombs_do_not_go_off(merge: bool) -> None:  # noqa: FBT001
    assert f"more than {MOST_NODES:,} values" in refusal(bomb(30, merge=merge))


def test_aliases_that_stack_up_are_refused_as_too_deep() -> None:
    lines = [b"l0: &l0 [x]", *(b"l%d: &l%d [*l%d]" % (n, n, n - 1) for n in range(1, 100))]

    assert "nested more than 64 levels" in refusal(b"\n".join(lines))


def test_the_parser_that_mlflow_uses_has_the_last_word() -> None:
    text = "a: {b: 'x'\n}\nc: [d\n,]\n"

    assert document(text).data == yaml.safe_load(text)


def test_a_key_that_is_no_text_is_taken_as_written() -> None:
    findings = Findings()

    found = read_yaml(b"on: 1\n010: 2\n", "f.yaml", findings)

    assert found is not None
    assert found.data == {"on": 1, "010": 2}
    assert [p.hint for p in findings.problems] == ["write '\"on\":'", "write '\"010\":'"]


@given(st.binary(max_size=200) | st.text("ab:-{}[]&*!|>'\"#\n\t %@`,?", max_size=80))
def test_no_input_gets_an_exception(content: bytes | str) -> None:
    findings = Findings()
    raw = content if isinstance(content, bytes) else content.encode()

    result = read_yaml(raw, "f.yaml", findings)

    errors = [p for p in findings.problems if p.severity == "error"]
    assert (result is None) == bool(errors)
