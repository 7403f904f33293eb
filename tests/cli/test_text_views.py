"""What views are made of: text, tables, sparklines."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.cli.sparkline import sparkline
from runner.cli.table import GAP, NARROWEST, Heading, fitted, lines
from runner.cli.text import clipped, padded, printable, width

NAN, INF = math.nan, math.inf


def test_widths() -> None:
    assert width("abc") == 3
    assert width("日本語") == 6
    assert width("e\u0301") == 1
    assert clipped("日本語です", 5) == "日本…"
    assert clipped("abc", 3) == "abc"
    assert clipped("abcd", 3) == "ab…"
    assert padded("日本", 6) == "日本  "
    assert padded("1", 3, right=True) == "  1"


@given(st.text(), st.integers(1, 30))
def test_no_text_is_wider_than_its_cell(text: str, limit: int) -> None:
    shown = clipped(text, limit)
    assert width(shown) <= limit
    assert shown.isprintable()
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([1.0], "▅"),
        ([1.0, 1.0], "▅▅"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([8.0, 1.0], "█▁"),
        ([NAN, 1.0, INF, 2.0, -INF], "·▁↑█↓"),
        ([NAN, NAN], "··"),
        ([INF], "↑"),
        ([-1.7e308, 1.7e308], "▁█"),
    ],
)
def test_sparklines(values: list[float], expected: str) -> None:
    assert sparkline(values) == expected


def test_long_and_plain_sparklines() -> None:
    assert sparkline([*range(1000)], columns=4) == "▁▃▆█"
    assert sparkline([1.0, NAN, NAN, 5.0, NAN, INF], columns=2) == "▁█"
    assert sparkline([0.0, 1.0, NAN, INF, -INF], plain=True) == "_#?^v"
    assert sparkline([0.5], scale=(0.0, 1.0)) == "▅"


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True)), st.integers(1, 40))
def test_every_history_has_a_line(values: list[float], columns: int) -> None:
    for plain in (False, True):
        line = sparkline(values, columns=columns, plain=plain)
        assert len(line) == min(len(values), columns)
        assert not plain or line.isascii()


def test_a_table_fits_its_terminal() -> None:
    headings = [
        Heading(name="ID"),
        Heading(name="NAME", elastic=True),
        Heading(name="N", right=True),
    ]
    rows = [("a", "x" * 50, "1"), ("b", "short\x1b", "234")]

    def drawn(room: int | None) -> list[str]:
        return [*lines(headings, rows, room=room, styled=lambda text, _: text)]

    whole = drawn(None)
    assert whole[1] == f"a   {'x' * 50}    1"
    narrow = drawn(30)
    assert max(map(len, narrow)) == 30
    assert narrow[1].endswith("…    1")
    assert narrow[2].startswith("b   short\\x1b")


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1), st.integers(1, 300))
def test_only_elastic_columns_give_way(columns: list[tuple[int, bool]], room: int) -> None:
    natural, elastic = [w for w, _ in columns], [e for _, e in columns]
    found = fitted(natural, elastic, room)
    total = sum(found) + GAP * (len(found) - 1)
    for before, after, soft in zip(natural, found, elastic, strict=True):
        assert after == before or (soft and NARROWEST <= after < before)
    if total > room:
        assert all(w <= NARROWEST for w, soft in zip(found, elastic, strict=True) if soft)
