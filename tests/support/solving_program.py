"""A program that solves as conda does for conda-lock: ``create --dry-run --json``, by rattler."""

from __future__ import annotations

import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """\
#!{python}
import asyncio, json, os, sys
import rattler
words = sys.argv[1:]
with open({log!r}, "a") as file:
    file.write(json.dumps(words) + "\\n")
if words == ["--version"]:
    print("mamba 2.3.0", flush=True)
    os._exit(0)
assert words[0] == "create" and "--dry-run" in words and "--json" in words
channels, specs, at = [], [], 1
while at < len(words):
    if words[at] in ("--prefix", "--channel"):
        at += 1
        if words[at - 1] == "--channel":
            channels.append(words[at])
    elif not words[at].startswith("--"):
        specs.append(words[at])
    at += 1
platform = os.environ["CONDA_SUBDIR"]

async def solve():
    virtual = [rattler.GenericVirtualPackage(rattler.PackageName(n), rattler.Version(v),
               rattler.BuildString("0")) for n, v in (("__unix", "0"), ("__glibc", "2.28"))]
    return await rattler.solve(
        sources=[rattler.Channel(c) for c in channels], specs=[rattler.MatchSpec(s) for s in specs],
        platforms=[platform, "noarch"], virtual_packages=virtual, channel_relations="disabled")

try:
    found = asyncio.run(solve())
    rows = [{{**json.loads(r.to_json()), "url": r.url, "channel": r.channel}} for r in found]
    answer, code = {{"success": True, "actions": {{"FETCH": rows, "LINK": rows}}}}, 0
except BaseException as error:
    answer, code = {{"success": False, "message": str(error)}}, 1
print(json.dumps(answer), flush=True)
os._exit(code)
"""


def make_solver(path: Path, log: Path) -> Path:
    """Write the program; it notes the words it was called with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PROGRAM.format(python=sys.executable, log=str(log)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
