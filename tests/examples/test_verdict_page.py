"""The page of the wine example's verdict, looked at with a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import browser, seen

from runner.pipeline.page_style import STYLE

if TYPE_CHECKING:
    from tests.examples.conftest import Caller

WINE = str(Path(__file__).parents[2] / "example_projects" / "elastic_net_wine")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_page_of_a_variation_is_whole_in_a_browser(caller: Caller, tmp_path: Path) -> None:
    browser()
    ended = caller("run", WINE, "--json", "-q")
    run = json.loads(ended.stdout[ended.stdout.index("{") :])["run_id"]
    page = tmp_path / "verdict.html"
    caller("reproduce", run, "-P", "alpha=0.2", "--html", str(page), code=1)
    light = seen(page, tmp_path / "light")
    assert light.console == ()
    assert light.asked == frozenset()
    assert "</span> DIVERGED</h1>" in light.dom
    for name in ("rmse", "mae", "r2", "coefficients.csv", "predictions.png", "alpha"):
        assert f'<th scope="row">{name} <small>' in light.dom
    assert "<b>parameter alpha</b>" in light.dom
    dark = seen(page, tmp_path / "dark", dark=True)
    narrow = seen(page, tmp_path / "narrow", width=500)
    assert (dark.console, narrow.console) == ((), ())
    assert (light.size[0], narrow.size[0]) == (1100, 500)
    assert len({light.picture, dark.picture, narrow.picture}) == 3


def test_a_page_that_asks_the_network_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    address = "http://127.0.0.1:9/x.png"
    page.write_text(f"<img src='{address}'><script>console.error('oh')</script>")
    found = seen(page, tmp_path / "bad")
    assert address in found.asked
    assert any("oh" in line for line in found.console)
    assert "url(" not in STYLE
