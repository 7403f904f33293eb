"""``.condarc`` and its variables: proxies, certificates, credentials, offline, links, scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from channel_server import serving
from conda_channel import CondaPackage, File

from runner.environments.conda.channels import Channels
from runner.environments.conda.configuration import Configuration
from runner.environments.store import found
from runner.errors import EnvError
from runner.model.event import Warned
from runner.system.files import remove_tree

if TYPE_CHECKING:
    from channel_server import Handler
    from conda_bench import CondaBench


def configure(conda: CondaBench, text: str) -> None:
    (conda.home.parent / ".condarc").write_text(text)


def test_variables_win_over_files_and_stand_in_texts(tmp_path: Path) -> None:
    (tmp_path / ".condarc").write_text(
        "channels: ['https://h/t/$TOKEN/one', 'https://u:a$$b$c@h/${TOKEN}']\n"
        "offline: true\nchannel_alias: https://file\n"
    )
    environ = {"HOME": str(tmp_path), "TOKEN": "abc"}
    said = Configuration(environ)
    assert said.names("channels") == ("https://h/t/abc/one", "https://u:a$$b$c@h/abc")
    assert said.is_set("offline")
    said = Configuration(
        {**environ, "CONDA_OFFLINE": "false", "CONDA_CHANNELS": "a, b",
         "CONDA_CHANNEL_ALIAS": "https://variable"}
    )  # fmt: skip
    assert said.names("channels") == ("a", "b")
    assert not said.is_set("offline")
    assert said.value("channel_alias") == "https://variable"


def test_proxies_and_certificates_become_variables(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    (tmp_path / ".condarc").write_text(
        f"proxy_servers: {{http: 'http://$USER_NAME@p:1', https: 'http://p:2'}}\n"
        f"ssl_verify: {bundle}\n"
    )
    environ = {"HOME": str(tmp_path), "USER_NAME": "me"}
    assert Configuration(environ).network == {
        "http_proxy": "http://me@p:1", "https_proxy": "http://p:2", "SSL_CERT_FILE": str(bundle),
    }  # fmt: skip
    own = {**environ, "HTTPS_PROXY": "http://mine", "SSL_CERT_DIR": "/certs"}
    assert Configuration(own).network == {"http_proxy": "http://me@p:1"}
    folder = {**environ, "CONDA_SSL_VERIFY": str(tmp_path)}
    assert Configuration(folder).network["SSL_CERT_DIR"] == str(tmp_path)
    with pytest.raises(EnvError, match="'ssl_verify' of conda's configuration names no file"):
        _ = Configuration({**environ, "CONDA_SSL_VERIFY": "/gone.pem"}).network


def test_packages_come_through_a_proxy(
    conda: CondaBench, served: tuple[str, type[Handler]]
) -> None:
    host, handler = served
    configure(conda, f"proxy_servers: {{http: 'http://{host}'}}\n")
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        conda.environ.pop(name, None)
    conda.builder().build(conda.lock("tool", channels=("http://channel.invalid",)))
    assert any(path.startswith("http://channel.invalid/") for path in handler.asked)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Return a folder: ``ca.pem`` is trusted by nobody else; what it signed is ``cert.pem``."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path / "authority"
    folder.mkdir()
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (
        f"req -x509 {new} -keyout ca.key -out ca.pem -days 30 -subj /CN=authority",
        f"req {new} -keyout key.pem -out request -subj /CN=channel",
        "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 30 "
        "-extfile ext",
    ):
        subprocess.run([openssl, *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_certificates_are_those_of_the_configuration(conda: CondaBench, authority: Path) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        conda.environ.pop(name, None)
    pair = authority / "cert.pem", authority / "key.pem"
    with serving(conda.channel.path, pair) as (host, _):
        channels = (f"https://{host}",)
        with pytest.raises(EnvError, match=f"the certificate of https://{host}/.* is not trusted"):
            conda.lock("tool", channels=channels)
        configure(conda, f"ssl_verify: {authority / 'ca.pem'}\n")
        conda.builder().build(conda.lock("tool", channels=channels))
        remove_tree(str(conda.home))
        configure(conda, "ssl_verify: false\n")
        conda.builder().build(conda.lock("tool", channels=channels))


def test_no_password_goes_to_servers_that_nobody_checked(tmp_path: Path) -> None:
    channels = Channels({"HOME": str(tmp_path), "CONDA_SSL_VERIFY": "false"})
    channels.read(["https://me:s3cret@h/c"], "/")
    with pytest.raises(EnvError, match="'ssl_verify' is off") as caught:
        _ = channels.access
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_credentials_come_from_rattler_s_store(
    conda: CondaBench, served: tuple[str, type[Handler]]
) -> None:
    host, handler = served
    handler.password = "s3cret"
    store = conda.home.parent / "credentials.json"
    entry = {"BasicHTTP": {"username": "me", "password": "s3cret"}}
    store.write_text(json.dumps({host: entry, "127.0.0.1": entry}))
    conda.environ["RATTLER_AUTH_FILE"] = str(store)
    lock = conda.lock("tool", channels=(f"http://{host}",))
    conda.builder().build(lock)
    assert "s3cret" not in Path(lock.document).read_text()


def test_offline_what_was_never_fetched_is_named(
    conda: CondaBench, served: tuple[str, type[Handler]]
) -> None:
    host, handler = served
    channels = (f"http://{host}",)
    conda.lock("tool", channels=channels)
    remove_tree(str(conda.home / "locks"))
    configure(conda, "offline: true\n")
    count = len(handler.asked)
    lock = conda.lock("tool", channels=channels)
    with pytest.raises(
        EnvError, match=r"offline, and .*tool-1\.0-0\.conda was not fetched"
    ) as told:
        conda.builder().build(lock)
    assert "CONDA_OFFLINE" in str(told.value.hint)
    assert not os.path.exists(conda.prefix(lock))
    assert len(handler.asked) == count


def test_a_lock_that_is_remembered_serves_offline(
    conda: CondaBench, served: tuple[str, type[Handler]]
) -> None:
    channels = (f"http://{served[0]}",)
    conda.builder().build(conda.lock("tool", channels=channels))
    conda.environ["CONDA_OFFLINE"] = "1"
    assert conda.lock("tool", channels=channels).origin == "remembered"


def test_copies_instead_of_links(conda: CondaBench) -> None:
    linked = tool_of(conda)
    assert linked.stat().st_nlink > 1
    remove_tree(str(conda.home / "envs"))
    configure(conda, "always_copy: true\n")
    copied = tool_of(conda)
    assert copied.stat().st_nlink == 1
    assert copied == linked


def tool_of(conda: CondaBench) -> Path:
    lock = conda.lock("tool")
    conda.builder().build(lock)
    return Path(conda.prefix(lock), "bin", "tool")


SCRIPT = b'#!/bin/sh\necho "linked $PKG_NAME" > "$PREFIX/linked"\n'
SCRIPTED = CondaPackage("scripted", "1.0",
                        files={"bin/.scripted-post-link.sh": File(SCRIPT, mode=0o755)})  # fmt: skip


def warnings(conda: CondaBench) -> list[str]:
    return [str(event.problem) for event in conda.watcher.events if isinstance(event, Warned)]


def test_link_scripts_are_not_run_and_that_is_said(conda: CondaBench) -> None:
    conda.channel.add(SCRIPTED)
    lock = conda.lock("scripted")
    conda.builder().build(lock)
    assert not Path(conda.prefix(lock), "linked").exists()
    (said,) = warnings(conda)
    assert ".scripted-post-link.sh" in said
    assert "RUNPROJ_LINK_SCRIPTS=1" in said


def test_link_scripts_run_when_asked_and_the_lock_says_so(conda: CondaBench) -> None:
    conda.channel.add(SCRIPTED)
    without = conda.lock("scripted")
    conda.environ["RUNPROJ_LINK_SCRIPTS"] = "1"
    lock = conda.lock("scripted")
    assert lock.environment != without.environment
    conda.builder().build(lock)
    assert Path(conda.prefix(lock), "linked").read_text() == "linked scripted\n"
    assert warnings(conda) == []
    (conda.project / "conda-lock.yml").write_bytes(Path(lock.document).read_bytes())
    del conda.environ["RUNPROJ_LINK_SCRIPTS"]
    again = conda.lock("scripted", locked=True)
    assert (again.environment, again.origin) == (lock.environment, "project")
    assert found(conda.prefix(again)) is not None
