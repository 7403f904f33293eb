"""Redirects that are not followed."""

from __future__ import annotations

from email.message import Message
from io import BytesIO
from typing import TYPE_CHECKING, cast
from urllib.request import Request

import pytest

from runner.system.download import DownloadError, _Redirects

if TYPE_CHECKING:
    from http.client import HTTPMessage


def redirected(old: str, new: str) -> Request | None:
    headers = cast("HTTPMessage", Message())
    return _Redirects().redirect_request(Request(old), BytesIO(), 302, "Found", headers, new)  # noqa: S310 - no request is made


@pytest.mark.parametrize("new", ["http://user:pw@h/b", "ftp://user:pw@h/b", "file:///etc/passwd"])
def test_a_redirect_to_a_less_safe_place_is_refused(new: str) -> None:
    with pytest.raises(DownloadError, match="redirected to") as caught:
        redirected("https://h/a", new)
    assert "pw@" not in caught.value.message


@pytest.mark.parametrize("old", ["http://h/a", "https://h/a"])
def test_a_redirect_to_a_safe_place_is_followed(old: str) -> None:
    followed = redirected(old, "https://h/b")
    assert followed is not None
    assert followed.full_url == "https://h/b"
