"""Channels: what names mean, and what conda's configuration says about them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conda_channel import Channel, CondaPackage, File

from runner.environments.conda.channels import ALIAS, DEFAULTS, Channels
from runner.errors import EnvError
from runner.system.files import remove_tree

if TYPE_CHECKING:
    from channel_server import Handler
    from conda_bench import CondaBench


def configured(tmp_path: Path, text: str = "") -> Channels:
    (tmp_path / ".condarc").write_text(text)
    return Channels({"HOME": str(tmp_path)})


def urls(channels: Channels, *names: str, directory: str = "/") -> list[tuple[str, ...]]:
    return [channel.urls for channel in channels.read(names, directory)]


def test_names_urls_and_paths(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    channels = configured(tmp_path)
    names = ("conda-forge", "pytorch/label/dev", "defaults", "nodefaults", "https://h/x/",
             "./here", f"{tmp_path}/here", "conda-forge", "pkgs/main")  # fmt: skip
    assert urls(channels, *names, directory=str(tmp_path)) == [
        (f"{ALIAS}/conda-forge",),
        (f"{ALIAS}/pytorch/label/dev",),
        DEFAULTS,
        ("https://h/x",),
        (f"file://{tmp_path}/here",),
        ("https://repo.anaconda.com/pkgs/main",),
    ]


def test_no_channel_means_the_configured_ones_else_defaults(tmp_path: Path) -> None:
    assert urls(configured(tmp_path)) == [DEFAULTS]
    assert urls(configured(tmp_path), "nodefaults") == [DEFAULTS]
    assert urls(configured(tmp_path, "channels: [mine]")) == [(f"{ALIAS}/mine",)]


CONFIGURATION = """\
channel_alias: https://alias/conda/
default_channels: [https://d/one, two]
custom_channels: {acme: https://acme/repo}
custom_multichannels: {both: [a, acme]}
"""


def test_the_configuration_is_followed(tmp_path: Path) -> None:
    channels = configured(tmp_path, CONFIGURATION)
    assert urls(channels, "defaults", "acme", "acme/label/x", "both", "z") == [
        ("https://d/one", "https://alias/conda/two"),
        ("https://acme/repo/acme",),
        ("https://acme/repo/acme/label/x",),
        ("https://alias/conda/a", "https://acme/repo/acme"),
        ("https://alias/conda/z",),
    ]


def test_a_broken_configuration_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvError, match="configuration file is no YAML") as caught:
        configured(tmp_path, "channels: [")
    assert str(caught.value.where).startswith(f"{tmp_path}/.condarc")


def test_credentials_leave_the_urls(tmp_path: Path) -> None:
    channels = configured(tmp_path)
    found = urls(channels, "https://me:p%40ss@h:8080/c", "https://h/t/to-ken-1/private")
    assert found == [("https://h:8080/c",), ("https://h/private",)]
    header = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert channels.access.authorization == {"h/c": header}
    assert channels.access.mirrors == {"https://h/private": ("https://h/t/to-ken-1/private",)}


def test_packages_come_over_http(conda: CondaBench, served: tuple[str, type[Handler]]) -> None:
    host, _ = served
    lock = conda.lock("tool", channels=(f"http://{host}",))
    conda.builder().build(lock)
    assert f"http://{host}/" in Path(lock.document).read_text()


def test_a_download_with_another_hash_is_refused(
    conda: CondaBench, served: tuple[str, type[Handler]]
) -> None:
    host, _ = served
    lock = conda.lock("tool", channels=(f"http://{host}",))
    archive = next(conda.channel.path.glob("*/tool-1.0-0.conda"))
    archive.write_bytes(archive.read_bytes() + b"x")
    with pytest.raises(EnvError, match="hash"):
        conda.builder().build(lock)


def test_passwords_are_used_and_kept_out(
    conda: CondaBench, served: tuple[str, type[Handler]]
) -> None:
    host, handler = served
    handler.password = "s3cret"
    with pytest.raises(EnvError) as caught:
        conda.lock("tool", channels=(f"http://me:wrong-one@{host}",))
    assert "wrong-one" not in f"{caught.value.message}{caught.value.hint}"
    lock = conda.lock("tool", channels=(f"http://me:s3cret@{host}",))
    conda.builder().build(lock)
    text = Path(lock.document).read_text()
    assert "s3cret" not in text
    assert f"http://{host}/" in text
    for path in conda.home.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".yml"}:
            assert b"s3cret" not in path.read_bytes(), path


def test_tokens_are_used_and_kept_out(conda: CondaBench, served: tuple[str, type[Handler]]) -> None:
    host, handler = served
    handler.token = "to-ken-1"
    lock = conda.lock("tool", channels=(f"http://{host}/t/to-ken-1/",))
    conda.builder().build(lock)
    assert "to-ken-1" not in Path(lock.document).read_text()


def test_a_mirror_serves_instead(conda: CondaBench, served: tuple[str, type[Handler]]) -> None:
    host, _ = served
    conda.environ["CONDARC"] = str(conda.project / "rc.yml")
    (conda.project / "rc.yml").write_text(
        f"mirrored_channels: {{'http://gone.invalid/c': ['http://{host}']}}\n"
    )
    lock = conda.lock("tool", channels=("http://gone.invalid/c",))
    assert "http://gone.invalid/c/" in Path(lock.document).read_text()
    conda.builder().build(lock)


def test_offline_uses_what_was_fetched(
    conda: CondaBench, served: tuple[str, type[Handler]]
) -> None:
    host, handler = served
    conda.builder().build(conda.lock("tool", channels=(f"http://{host}",)))
    count = len(handler.asked)
    remove_tree(str(conda.home / "envs"))
    remove_tree(str(conda.home / "locks"))
    conda.environ["CONDA_OFFLINE"] = "1"
    conda.builder().build(conda.lock("tool", channels=(f"http://{host}",)))
    assert len(handler.asked) == count


@pytest.mark.slow
def test_no_server_is_told_with_its_address(conda: CondaBench) -> None:
    with pytest.raises(EnvError, match=r"the channel cannot be reached \(http://127.0.0.1:9/"):
        conda.lock("tool", channels=("http://127.0.0.1:9/c",))


def test_a_package_may_name_its_channel(conda: CondaBench, tmp_path: Path) -> None:
    """``channel::name`` means what the channel means: an alias, a mirror, one not listed."""
    conda.environ["CONDA_CHANNEL_ALIAS"] = f"file://{tmp_path}/channels"
    tool = CondaPackage("tool", "9.0", files={"bin/tool": File(b"#!/bin/sh\n", mode=0o755)})
    for name, packages in (("first", conda.packages), ("second", (tool,))):
        Channel(tmp_path / "channels" / name).add(*packages)
    cases = {
        ("first::tool", "first", "second"): "tool 1.0",
        ("second::tool", "first", "second"): "tool 9.0",
        ("second::tool", "first"): "tool 9.0",
        ("first/linux-64::tool=0.9", "second", "first"): "tool 0.9",
        ("both::tool", "second", "first"): "tool 9.0",
    }
    (tmp_path / ".condarc").write_text("custom_multichannels: {both: [first, second]}\n")
    for (spec, *channels), expected in cases.items():
        assert conda.locked_texts(conda.lock(spec, channels=tuple(channels))) == [expected]
    lock = conda.lock("second::tool", channels=("first",))
    conda.builder().build(lock)
