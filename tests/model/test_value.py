from __future__ import annotations

import copy
import pickle

import pytest

from runner.model.value import EMPTY, Value, changed, fields


class Point(Value):
    x: int
    y: int = 0


class Named(Point):
    name: str


class Other(Value):
    x: int
    y: int = 0


def test_defaults_are_filled_in_and_fields_keep_their_order() -> None:
    assert fields(Point(x=1)) == {"x": 1, "y": 0}
    assert list(fields(Named(name="a", x=1))) == ["x", "y", "name"]


def test_a_missing_or_unknown_field_is_a_type_error_that_names_it() -> None:
    with pytest.raises(TypeError, match=r"missing \['x'\]"):
        Point(y=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"unknown \['z'\]"):
        Point(x=1, z=1)  # type: ignore[call-arg]


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(TypeError):
        Point(1, 2)  # type: ignore[misc]


def test_a_value_never_changes() -> None:
    point = Point(x=1)
    with pytest.raises(AttributeError, match="cannot be changed"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del point.x
    with pytest.raises(AttributeError):
        point.z = 2


def test_equality_and_hash_follow_type_and_fields() -> None:
    assert Point(x=1) == Point(x=1, y=0)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Other(x=1)
    assert len({Point(x=1), Point(x=1), Point(x=2)}) == 2


def test_changed_makes_another() -> None:
    point = Point(x=1)
    assert changed(point, y=5) == Point(x=1, y=5)
    assert point.y == 0


def test_values_match_patterns_by_keyword() -> None:
    match Named(x=1, name="a"):
        case Point(x=1, y=found):
            assert found == 0
        case _:
            pytest.fail("no match")


def test_values_survive_copy_and_pickle() -> None:
    point = Named(x=1, name="a")
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point


def test_a_value_has_no_dict_and_shows_its_fields() -> None:
    assert not hasattr(Point(x=1), "__dict__")
    assert repr(Point(x=1)) == "Point(x=1, y=0)"


def test_the_empty_mapping_cannot_be_filled() -> None:
    with pytest.raises(TypeError):
        EMPTY["a"] = 1  # type: ignore[index]
