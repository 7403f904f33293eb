from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.redaction import masked, without_credentials


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://bob:s3cr3t@git.example.com/r.git", "https://git.example.com/r.git"),
        ("https://t0ken@git.example.com/r.git#sub", "https://git.example.com/r.git#sub"),
        ("https://bob:p@ss@host/r", "https://host/r"),
        ("https://host/r.git", "https://host/r.git"),
        ("https://host/a@b/c", "https://host/a@b/c"),
        ("ssh://git@host/r.git", "ssh://git@host/r.git"),
        ("ssh://git:pw@host/r.git", "ssh://git@host/r.git"),
        ("git+ssh://git@host/r.git", "git+ssh://git@host/r.git"),
        ("git@host:owner/r.git", "git@host:owner/r.git"),
        ("https://host/p.zip?token=abc&x=1", "https://host/p.zip?token=***&x=1"),
        ("https://host/p.zip?X-Amz-Signature=abc#f", "https://host/p.zip?X-Amz-Signature=***#f"),
        ("https://u:p@host?private_key=1", "https://host?private_key=***"),
        ("/a/path@with:everything", "/a/path@with:everything"),
        ("not a url", "not a url"),
        ("", ""),
        ("://x", "://x"),
    ],
)
def test_credentials_go_and_the_rest_stays(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


safe = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789.-_~%!$&'()*+,;=", min_size=1)


@given(user=safe, password=safe.filter(lambda s: len(s) > 3))
def test_no_password_survives(user: str, password: str) -> None:
    clean = without_credentials(f"https://{user}:{password}@HOST/PATH")
    assert clean == "https://HOST/PATH"


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = without_credentials(text)
    assert without_credentials(once) == once


def test_masking_replaces_the_longest_first_and_ignores_empty_secrets() -> None:
    assert masked("token=abcdef, abc", ["abc", "abcdef", ""]) == "token=***, ***"
