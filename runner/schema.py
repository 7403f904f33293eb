"""Where the JSON Schemas are, installed or checked out."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jsonschema import Draft202012Validator


def schema_directory() -> str:
    """Find the schemas: inside an installed wheel, else beside the package."""
    here = os.path.dirname(os.path.abspath(__file__))
    installed = os.path.join(here, "_schemas")
    return installed if os.path.isdir(installed) else os.path.join(os.path.dirname(here), "schemas")


def schema_text(name: str) -> bytes:
    """Return ``schemas/<name>.schema.json`` as it is on disk."""
    with open(os.path.join(schema_directory(), f"{name}.schema.json"), "rb") as file:
        return file.read()


def validator(name: str) -> Draft202012Validator:
    """Make the validator of ``schemas/<name>.schema.json``; imports jsonschema (58 ms)."""
    import json

    from jsonschema import Draft202012Validator

    schema: dict[str, Any] = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
