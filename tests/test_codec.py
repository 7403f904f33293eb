from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.codec import canonical, digest, document, parsed, pretty, sha256
from runner.model.project import ProjectReference
from runner.model.run import Usage

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_canonical_bytes_do_not_depend_on_the_order_of_keys(doc: object) -> None:
    def turned(value: object) -> object:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(list(value))}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert canonical(doc) == canonical(turned(doc))  # type: ignore[arg-type]


@given(documents)
def test_pretty_documents_read_back(doc: object) -> None:
    assert parsed(pretty(doc)) == json.loads(json.dumps(doc)) or "\\ud" in json.dumps(doc)  # type: ignore[arg-type]


def test_known_digests() -> None:
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256(b"") == empty
    assert digest({"b": 1, "a": "é"}) == sha256('{"a":"é","b":1}'.encode())


def test_values_become_documents() -> None:
    reference = ProjectReference(location="x")
    assert document(reference) == {"location": "x", "subdirectory": ""}
    assert document((Usage(user=1.0, system=0.5, peak_memory=3),)) == [
        {"user": 1.0, "system": 0.5, "peak_memory": 3}
    ]
    assert document(datetime(2024, 5, 31, 12, tzinfo=UTC)) == "2024-05-31T12:00:00.000+00:00"
    assert document(timedelta(minutes=1)) == 60.0
    assert document(frozenset({"b", "a"})) == ["a", "b"]
    with pytest.raises(TypeError, match="no document form"):
        document(object())
