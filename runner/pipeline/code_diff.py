"""Two working trees -> a unified diff of their files."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

from runner.system.files import read
from runner.system.trees import left_out

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 1 << 20
"""Bytes of a file whose lines are still compared."""


def code_diff(before: str, after: str) -> str:
    """Compare the files below two folders; empty when they are the same.

    What is no part of a project (caches, secrets, a repository's own files) is left out.
    """
    one, other = set(_files(before)), set(_files(after))
    pieces = [_compared(before, after, path) for path in sorted(one | other)]
    return "".join(pieces)


def _files(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [n for n in folders if not left_out(os.path.join(folder, n), folder=True)]
        for name in files:
            path = os.path.join(folder, name)
            if not left_out(path, folder=False):
                yield os.path.relpath(path, root)


def _compared(before: str, after: str, path: str) -> str:
    one, other = _content(os.path.join(before, path)), _content(os.path.join(after, path))
    if one == other:
        return ""
    names = (f"a/{path}" if one is not None else os.devnull,
             f"b/{path}" if other is not None else os.devnull)  # fmt: skip
    lines, new_lines = _lines(one), _lines(other)
    if lines is None or new_lines is None:
        return f"Binary files {names[0]} and {names[1]} differ\n"
    found = difflib.unified_diff(lines, new_lines, *names)
    whole = "".join(line if line.endswith("\n") else f"{line}\n" for line in found)
    return whole or f"--- {names[0]}\n+++ {names[1]}\n"  # an empty file came or went


def _content(path: str) -> bytes | None:
    """Return what a git blob of a file would hold; None where there is none."""
    if os.path.islink(path):
        return os.fsencode(os.readlink(path))
    return read(path) if os.path.isfile(path) else None


def _lines(content: bytes | None) -> list[str] | None:
    """Return the lines of a text; None when it is none, or too large."""
    if content is None:
        return []
    if len(content) > LARGEST or b"\0" in content:
        return None
    return content.decode("utf-8", "replace").splitlines(keepends=True)
