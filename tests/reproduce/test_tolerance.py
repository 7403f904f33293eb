"""Numbers that count as the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.model.tracking import Metric
from runner.model.verdict import Tolerance, Tolerances
from runner.pipeline.comparison import judged_history
from runner.pipeline.noise import noise
from runner.pipeline.tolerance import (
    chosen,
    combined,
    from_document,
    from_flags,
    parsed_tolerance,
    within,
)

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
AMOUNTS = st.floats(min_value=0, max_value=1e300, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0.01", Tolerance(absolute=0.01)),
        ("1%", Tolerance(relative=0.01)),
        ("1e-6,0.1%", Tolerance(absolute=1e-6, relative=0.001)),
        ("last, 1%", Tolerance(relative=0.01, history=False)),
        ("ignore", Tolerance(ignore=True)),
        ("0", Tolerance()),
    ],
)
def test_tolerances_are_read(text: str, meant: Tolerance) -> None:
    assert parsed_tolerance(text, "here") == meant


@pytest.mark.parametrize("text", ["", ",", "much", "-1", "nan", "inf", "1%%", "-2%"])
def test_what_is_no_tolerance_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        parsed_tolerance(text, "here")


@pytest.mark.parametrize("document", [[], "x", {"metric": {}}, {"metrics": [1]}])
def test_a_file_of_another_shape_is_refused(document: object) -> None:
    with pytest.raises(UsageError, match=r"t\.yaml"):
        from_document(document, "t.yaml")


@given(NUMBERS, AMOUNTS, AMOUNTS)
def test_a_number_is_within_any_tolerance_of_itself(
    number: float, absolute: float, relative: float
) -> None:
    assert within(number, number, Tolerance(absolute=absolute, relative=relative))


@given(NUMBERS, NUMBERS, AMOUNTS, AMOUNTS)
def test_no_tolerance_reaches_from_a_number_to_what_is_none(
    one: float, other: float, absolute: float, relative: float
) -> None:
    tolerance = Tolerance(absolute=absolute, relative=relative)
    if within(one, other, tolerance) and not (one == other or (one != one and other != other)):  # noqa: PLR0124 - NaN
        assert math.isfinite(one)
        assert math.isfinite(other)
        assert abs(one - other) <= absolute + relative * abs(one)


def test_the_first_pattern_counts_flags_before_files_before_ours() -> None:
    flags = from_flags(["loss=0.1", "val_*=1%", "odd=name=2"])
    filed = from_document({"metrics": {"*": 5, "loss": 7}}, "t.yaml")
    rules = combined(flags, filed).metrics
    assert chosen(rules, "loss") == Tolerance(absolute=0.1)
    assert chosen(rules, "val_loss") == Tolerance(relative=0.01)
    assert chosen(rules, "odd=name") == Tolerance(absolute=2)
    assert chosen(rules, "other") == Tolerance(absolute=5)
    assert chosen(combined(Tolerances()).metrics, "system/cpu").ignore
    assert 0 < chosen(combined(Tolerances()).metrics, "loss").relative < 1e-4


def history(*values: float) -> list[Metric]:
    return [Metric(key="m", value=v, timestamp=at, step=at) for at, v in enumerate(values)]


def test_a_history_is_judged_as_a_whole() -> None:
    near = Tolerance(absolute=0.1)
    assert judged_history(history(1, math.nan), history(1, math.nan), near)[0] == "identical"
    judgement, apart, _ = judged_history(history(1, 2), history(1.05, 2), near)
    assert judgement == "equivalent"
    assert apart == pytest.approx(0.05)
    judgement, apart, detail = judged_history(history(1, 2, 3), history(1, 2.5, 3), near)
    assert (judgement, apart) == ("diverged", 0.5)
    assert detail == "first at step 1: 2 -> 2.5"
    assert "2 values were logged, now 1" in judged_history(history(1, 2), history(1), near)[2]
    assert judged_history(history(1, math.inf), history(1, 5), near)[:2] == ("diverged", math.inf)


def test_noise_is_measured_and_proposes_what_covers_it() -> None:
    found = {
        n.name: n
        for n in noise(
            [
                {"a": 1.0, "b": 2.0, "c": math.nan, "d": 1.0, "e": math.inf},
                {"a": 1.0, "b": 2.013, "c": math.nan, "e": 1.0},
                {"a": 1.0, "b": 1.99, "c": math.nan, "d": 1.0, "e": 1.0},
            ]
        )
    }
    assert (found["a"].spread, found["a"].tolerance) == (0.0, None)
    assert found["b"].spread == pytest.approx(0.023)
    assert found["b"].tolerance == Tolerance(absolute=0.046)
    assert found["c"].spread == 0.0
    assert found["d"].spread == found["e"].spread == math.inf
