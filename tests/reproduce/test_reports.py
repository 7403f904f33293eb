"""A verdict as a document, Markdown, JUnit and a page."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from runner.model.tracking import Metric
from runner.model.value import RunId
from runner.model.verdict import Bisection, Comparison, Difference, Verdict
from runner.pipeline.comparison import reasons_of, status_of
from runner.pipeline.page import page
from runner.pipeline.verdict import exit_code, junit, markdown, verdict_document
from runner.schema import validator

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
JUDGEMENTS = st.sampled_from(
    ["identical", "equivalent", "diverged", "missing", "extra", "unknown", "varied", "ignored"]
)
COMPARISONS = st.builds(
    Comparison,
    kind=st.sampled_from(["outcome", "metric", "parameter", "artifact", "output"]),
    name=TEXTS,
    judgement=JUDGEMENTS,
    reference=st.none() | TEXTS,
    now=st.none() | TEXTS,
    difference=st.none() | st.floats(min_value=0),
    detail=TEXTS,
)
DIFFERENCES = st.builds(
    Difference,
    axis=st.sampled_from(["code", "package", "variable"]),
    name=TEXTS,
    reference=st.none() | TEXTS,
    now=st.none() | TEXTS,
    weight=st.floats(0, 1),
    reason=TEXTS,
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    comparisons = tuple(draw(st.lists(COMPARISONS, max_size=4)))
    return Verdict(
        status=status_of(comparisons),
        reference=RunId("a" * 32),
        reference_store="sqlite:////tmp/mlflow.db",
        reproduction=draw(st.none() | st.just(RunId("b" * 32))),
        reasons=reasons_of(comparisons),
        comparisons=comparisons,
        differences=tuple(draw(st.lists(DIFFERENCES, max_size=3))),
        varied=draw(st.dictionaries(TEXTS, TEXTS, max_size=2)),
        bisection=draw(st.none() | st.just(Bisection(kind="env", names=("numpy",), trials=3))),
    )


EMPTY_TAGS = frozenset({"circle", "line", "meta", "polyline"})


class Tags(HTMLParser):
    """Checks that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in EMPTY_TAGS:
            self.open.append(tag)
        assert not any((value or "").startswith("http") for _, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY_TAGS:
            assert self.open.pop() == tag


@given(verdicts())
def test_every_verdict_can_be_written_in_every_form(verdict: Verdict) -> None:
    document = verdict_document(verdict)
    assert [error.message for error in validator("verdict").iter_errors(document)] == []
    assert exit_code(verdict) in {0, 1, 3}
    bad = sum(c.judgement in {"diverged", "missing", "extra"} for c in verdict.comparisons)
    suite = ET.fromstring(junit(verdict))  # noqa: S314 - our own text
    assert suite.get("failures") == str(bad)
    assert len(suite.findall("testcase/failure")) == bad
    assert (verdict.status == "DIVERGED") == (bad > 0)
    assert len(suite.findall("testcase/error")) == int(suite.get("errors") or 0)
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0") or exit_code(verdict)
    assert markdown(verdict).startswith(f"## {verdict.status}\n")
    for line in markdown(verdict).splitlines():
        assert not line.startswith("|") or line.endswith("|")
    tags = Tags()
    tags.feed(page(verdict, {}).decode())
    assert tags.open == []


VALUES = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6)


@given(VALUES, VALUES)
def test_every_history_can_be_drawn(before: list[float], after: list[float]) -> None:
    sides = [
        [Metric(key="m", value=v, timestamp=0, step=at) for at, v in enumerate(values)]
        for values in (before, after)
    ]
    text = page(EMPTY, {"m<": (sides[0], sides[1])}).decode()
    tags = Tags()
    tags.feed(text)
    drawable = [v for v in (*before, *after) if math.isfinite(v)]
    assert ("svg" in tags.seen) == bool(max(len(before), len(after)) > 1 and drawable)
    assert 'points="nan' not in text
    assert "inf," not in text


EMPTY = Verdict(status="IDENTICAL", reference=RunId("a"), reference_store="s")
