"""Which store a tracking URI names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runner.errors import StoreError
from runner.stores.opening import file_url, file_url_path, local_path, open_store, scheme_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (None, "sqlite:///{d}/mlflow.db"),
        ("", "sqlite:///{d}/mlflow.db"),
        ("  ", "sqlite:///{d}/mlflow.db"),
        ("sqlite:///x.db", "sqlite:///{d}/x.db"),
        ("sqlite:///./a/../x.db", "sqlite:///{d}/x.db"),
        ("SQLite:///x.db", "sqlite:///{d}/x.db"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("sqlite:///x.db?timeout=3", "sqlite:///{d}/x.db"),
        ("runs", "file://{d}/runs"),
        ("./runs/", "file://{d}/runs"),
        ("/abs/my runs", "file:///abs/my%20runs"),
        ("file:runs", "file://{d}/runs"),
        ("file:///abs/my%20runs", "file:///abs/my%20runs"),
        ("file://localhost/abs", "file:///abs"),
        ("http://h:1", "http://h:1"),
        ("http://h:1/base/", "http://h:1/base"),
        ("https://me:secret@h/x", "https://h/x"),
    ],
)
def test_rules(uri: str | None, expected: str, tmp_path: Path) -> None:
    store = open_store(uri, directory=str(tmp_path), environ={})
    assert store.uri == expected.format(d=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:secret@h/db",
        "mysql+pymysql://me:secret@h/db",
        "databricks",
        "databricks://profile",
        "s3://bucket/x",
        "uc:x",
        "sqlite://",
        "sqlite:///",
        "sqlite:x.db",
        "sqlite:///:memory:",
        "file://elsewhere/abs",
        "http://",
        "http://h:port",
        "http://h:99999",
    ],
)
def test_what_is_not_supported(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(uri, directory=str(tmp_path), environ={})
    assert caught.value.hint
    assert "secret" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.status == "INVALID_PARAMETER_VALUE"
    assert os.listdir(tmp_path) == []


def test_existing_data_decide(tmp_path: Path) -> None:
    def kind() -> str:
        return open_store(None, directory=str(tmp_path), environ={}).uri.partition(":")[0]

    (tmp_path / "mlruns" / "0" / "artifacts").mkdir(parents=True)
    (tmp_path / "mlruns" / "models").mkdir()
    (tmp_path / "mlruns" / "models" / "meta.yaml").touch()
    assert kind() == "sqlite"
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    assert kind() == "file"


def test_schemes() -> None:
    assert scheme_of("C:/x") == ""
    assert scheme_of("a b:c") == ""
    assert scheme_of("MySQL+PyMySQL://x") == "mysql+pymysql"
    assert local_path("s3://b/x", "/d") is None
    assert local_path("mlflow-artifacts:/0", "/d") is None
    assert local_path("x/../y", "/d") == "/d/y"
    assert local_path("/a%20b", "/d") == "/a%20b"


@pytest.mark.parametrize("path", ["/a", "/a b/ü/%20/#?", "/\udcff"])
def test_file_urls_come_back(path: str) -> None:
    assert file_url(path).isascii()
    assert file_url_path(file_url(path), "/d") == path
