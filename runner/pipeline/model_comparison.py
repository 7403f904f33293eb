"""Files of models that name their parts by chance -> the same parts under names that stay.

Nothing is unpickled or imported.
"""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

SKOPS_SCHEMA = "schema.json"
LARGEST = 256 << 20
"""Bytes of a part that is looked into."""


def skops_parts(content: bytes) -> dict[str, bytes]:
    """Return the parts of a skops file (skops.io, as MLflow keeps scikit-learn's models).

    It names arrays and nodes by the addresses that objects had in memory; these are replaced by
    the order in which they are first spoken of.

    Raises:
        KeyError, ValueError, zipfile.BadZipFile: It is none, or too large.
    """
    with zipfile.ZipFile(BytesIO(content)) as archive:
        infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        if any(info.file_size > LARGEST for info in infos.values()):
            raise ValueError("too large to look into")
        parts = {name: archive.read(name) for name in infos}
    names: dict[Any, str] = {}
    schema = _renamed(json.loads(parts.pop(SKOPS_SCHEMA)), names)
    found = {names.get(name, name): part for name, part in parts.items()}
    return {SKOPS_SCHEMA: json.dumps(schema).encode(), **found}


def _renamed(node: Any, names: dict[Any, str]) -> Any:  # noqa: ANN401 - JSON of any shape
    if isinstance(node, list):
        return [_renamed(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    found = {}
    for key, value in node.items():
        if key == "__id__":
            found[key] = names.setdefault(value, f"node {len(names)}")
        elif key == "file" and isinstance(value, str):
            ending = value.rpartition(".")[2]
            found[key] = names.setdefault(value, f"array {len(names)}.{ending}")
        else:
            found[key] = _renamed(value, names)
    return found
