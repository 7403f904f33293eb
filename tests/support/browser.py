"""A real browser without a screen: what it makes of a page, says about it, and asks the network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
DEADLINE = 120


@dataclass(frozen=True)
class Seen:
    """A page in a browser: its elements, the console's messages, the URLs that were asked for."""

    dom: str
    console: tuple[str, ...]
    asked: frozenset[str]
    size: tuple[int, int]
    picture: bytes


def browser() -> str:
    """Find a browser; none is only an excuse where nobody promised one (``CI``)."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and not os.environ.get("CI"):
        pytest.skip("no chromium is installed")
    assert found, "chromium is needed"
    return found


def seen(page: Path, folder: Path, *, width: int = 1100, dark: bool = False) -> Seen:
    """Open a page in a window of that width."""
    folder.mkdir()
    log, picture = folder / "net.json", folder / "page.png"
    look = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if dark else ()
    argv = (
        browser(), *QUIET, *look, f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},1600", f"--log-net-log={log}", f"--screenshot={picture}",
        "--dump-dom", page.as_uri(),
    )  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert picture.exists(), done.stderr
    image = picture.read_bytes()
    return Seen(
        dom=done.stdout,
        console=tuple(line for line in done.stderr.splitlines() if "CONSOLE" in line),
        asked=_asked(log),
        size=(int.from_bytes(image[16:20]), int.from_bytes(image[20:24])),
        picture=image,
    )


def _asked(log: Path) -> frozenset[str]:
    """Return the URLs that a page asked for, from Chromium's own log of its network.

    What the browser asks for itself has no origin there. An event stands on a line of its own.
    """
    events = [
        json.loads(line.rstrip().rstrip(",")).get("params", {})
        for line in log.read_text().splitlines()
        if line.startswith('{"params"') and '"initiator"' in line and line.rstrip().endswith("},")
    ]
    return frozenset(e["url"] for e in events if e["initiator"] != "not an origin" and "url" in e)
