"""Notebooks -> what their cells say and show, without what each execution writes anew."""

from __future__ import annotations

import binascii
import json
import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from runner.pipeline.tolerance import within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model.verdict import Tolerance

VOLATILE = frozenset({"id", "execution_count", "execution", "papermill", "ExecuteTime", "collapsed",
                      "scrolled", "signature", "widgets"})  # fmt: skip
"""What a notebook holds of the moment it was run, or of how it was looked at (nbformat 4)."""
SHOWN = ".shown"
"""The ending of a part that is a text for people, with numbers in it."""
ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif",
           "application/json": ".json"}  # fmt: skip
"""How files are named that hold such an output."""
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
"""Where an object lay in memory, as in ``<Figure at 0x7f12…>``."""
NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


def notebook_parts(content: bytes) -> dict[str, bytes]:
    """Return the outputs of a notebook one by one, and the rest of it without them.

    What a cell printed is taken as a whole, for it is cut into pieces by chance.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: It is no notebook.
    """
    document = _lasting(json.loads(content))
    parts: dict[str, bytes] = {}
    for number, cell in enumerate(document["cells"], 1):
        if isinstance(cell.get("source"), list):
            cell["source"] = "".join(cell["source"])
        for name, output in _outputs(cell.pop("outputs", [])):
            parts[f"cell {number}, {name}"] = output
    return {"cells.json": json.dumps(document).encode(), **parts}


def _lasting(document: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    if isinstance(document, dict):
        return {k: _lasting(v) for k, v in document.items() if k not in VOLATILE}
    if isinstance(document, list):
        return [_lasting(item) for item in document]
    return document


def _outputs(outputs: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    printed: dict[str, str] = {}
    number = 0
    for output in outputs:
        if output["output_type"] == "stream":
            printed[output["name"]] = printed.get(output["name"], "") + _text(output["text"])
            continue
        number += 1
        if output["output_type"] == "error":
            yield f"error {number}{SHOWN}", f"{output['ename']}: {output['evalue']}".encode()
        for kind, data in sorted(output.get("data", {}).items()):
            ending = ENDINGS.get(kind, SHOWN)
            yield f"output {number} {kind.replace('/', ' ')}{ending}", _data(kind, data)
    for name, text in printed.items():
        yield f"{name}{SHOWN}", text.encode()


def _data(kind: str, data: Any) -> bytes:  # noqa: ANN401 - JSON of any shape
    if kind == "application/json" or not isinstance(data, str | list):
        return json.dumps(data).encode()
    text = _text(data)
    if kind.startswith("image/") and kind in ENDINGS:
        return binascii.a2b_base64(text)
    return text.encode()


def _text(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def shown_difference(before: str, after: str, tolerance: Tolerance) -> tuple[int, str, str] | None:
    """Find where two texts for people differ: the line's number, and the line in both.

    Numbers may differ within the tolerance; white space and addresses in memory do not count.
    """
    lines, others = before.rstrip().splitlines(), after.rstrip().splitlines()
    for number, (line, new) in enumerate(zip_longest(lines, others, fillvalue=""), 1):
        if not _near(line, new, tolerance):
            return number, line, new
    return None


def _near(line: str, other: str, tolerance: Tolerance) -> bool:
    words, new = (NUMBER.split(ADDRESS.sub("0x", text)) for text in (line, other))
    if len(words) != len(new):
        return False
    for at, (one, two) in enumerate(zip(words, new, strict=True)):
        if at % 2 and not within(float(one), float(two), tolerance):
            return False
        if not at % 2 and one.split() != two.split():
            return False
    return True
