"""Pictures, compared by their pixels: PNG by itself, other formats where Pillow is installed."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from runner.model.value import Value
from runner.pipeline.array_comparison import compared_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model.verdict import Judgement, Tolerance

    Found = tuple[Judgement, str]

LARGEST = 256 << 20
"""Bytes of the pixels of a picture that is looked into."""
MISSING = (
    "other bytes; the pixels are not compared, for Pillow is not installed "
    "(pip install 'runproj[compare]')"
)
KINDS = {"I": "=i4", "F": "=f4", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2"}
"""Pillow's modes whose samples are no single bytes, as NumPy spells them."""
PALETTES = frozenset({"P", "PA"})
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_PICTURE = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")


class Frame(Value):
    """One picture of a file: width and height, Pillow's mode, the samples row by row."""

    size: tuple[int, int]
    mode: str
    samples: bytes


def compared_pictures(before: bytes, after: bytes, tolerance: Tolerance) -> Found:
    """Compare what two files show, sample by sample (0 to 255 in most pictures).

    Times, comments and the way of compressing do not count.

    Raises:
        ValueError: One is no picture that Pillow reads, or it is too large.
    """
    try:
        import PIL  # noqa: F401 - only whether it is there
    except ImportError:
        return "diverged", MISSING
    one, other = list(_frames(before)), list(_frames(after))
    if len(one) != len(other):
        return "diverged", f"{len(one)} pictures, now {len(other)}"
    for frame, new in zip(one, other, strict=True):
        if frame.size != new.size:
            return "diverged", f"{_measures(frame)} pixels, now {_measures(new)}"
        if frame.mode != new.mode:
            return "diverged", f"mode {frame.mode}, now {new.mode}"
        kind = KINDS.get(frame.mode, "<u1")
        judgement, detail = compared_numbers(frame.samples, new.samples, kind, tolerance)
        if judgement == "diverged":
            return judgement, f"other pixels: {detail}"
    return "equivalent", "the same pixels"


def compared_pngs(before: bytes, after: bytes, tolerance: Tolerance) -> Found:
    """Compare pixels, not texts, times and compression (the PNG specification, 5.3).

    Two ways of filtering the same pixels are only seen through where Pillow is installed.

    Raises:
        ValueError, KeyError, zlib.error: One is no PNG, or too large.
    """
    if _png(before) == _png(after):
        return "equivalent", "the same pixels"
    judgement, detail = compared_pictures(before, after, tolerance)
    return judgement, "other pixels, or filtered otherwise" if detail == MISSING else detail


def _frames(content: bytes) -> Iterator[Frame]:
    from PIL import Image, ImageSequence

    with Image.open(BytesIO(content)) as picture:
        count = getattr(picture, "n_frames", 1)
        if picture.width * picture.height * 4 * count > LARGEST:
            raise ValueError("too large to look into")
        for frame in ImageSequence.Iterator(picture):
            whole = frame.convert("RGBA") if frame.mode in PALETTES else frame
            yield Frame(size=whole.size, mode=whole.mode, samples=whole.tobytes())


def _measures(frame: Frame) -> str:
    return f"{frame.size[0]} x {frame.size[1]}"


def _png(content: bytes) -> tuple[bytes, bytes]:
    if not content.startswith(PNG_START):
        raise ValueError("no PNG")
    chunks: dict[bytes, bytes] = {}
    at = len(PNG_START)
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        kind = content[at + 4 : at + 8]
        if kind in PNG_PICTURE:
            chunks[kind] = chunks.get(kind, b"") + content[at + 8 : at + 8 + size]
        at += 12 + size
    head = b"".join(chunks.get(kind, b"") for kind in PNG_PICTURE[:3])
    unpacker = zlib.decompressobj()
    pixels = unpacker.decompress(chunks[b"IDAT"], LARGEST)
    if unpacker.unconsumed_tail:
        raise ValueError("too large to look into")
    return head, pixels
