"""A server with a certificate, which can be renewed while it runs."""

import http.client
import os
import socket
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from driving import API, PROXY, new_run
from serving_certificates import certificate
from teaming import serving

from runner.errors import UsageError
from runner.model.server import ServerOptions
from runner.ports import TrackingStore
from runner.serving import tls
from runner.serving.team_server import TeamServer


def connected(server: TeamServer, cert: str) -> http.client.HTTPSConnection:
    trust = ssl.create_default_context(cafile=cert)
    return http.client.HTTPSConnection("localhost", server.port, timeout=30, context=trust)


def test_files_and_calls_travel_encrypted(store: TrackingStore, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    run = new_run(store)
    content = os.urandom(1_000_000)
    with serving(store, certificate=cert, key=key) as server:
        assert server.uri.startswith("https://")
        connection = connected(server, cert)
        path = f"{PROXY}/0/{run.run_id}/artifacts/a.bin"
        for method, body, answer in (("PUT", content, b"{}"), ("GET", None, content)):
            connection.request(method, path, body)
            assert connection.getresponse().read() == answer
        for _ in range(20):
            connection.request("GET", f"{API}runs/get?run_id={run.run_id}")
            assert connection.getresponse().read()
        connection.close()


def test_who_does_not_speak_tls_disturbs_nobody(store: TrackingStore, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with serving(store, certificate=cert, key=key) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        plain = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        plain.request("GET", "/health")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            plain.getresponse()
        plain.close()
        connection = connected(server, cert)
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b"OK"
        connection.close()
        for one in silent:
            one.close()


def test_pipelined_requests_are_all_answered(store: TrackingStore, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with serving(store, certificate=cert, key=key) as server:
        trust = ssl.create_default_context(cafile=cert)
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        client = trust.wrap_socket(plain, server_hostname="localhost")
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        answers = b""
        while answers.count(b"\r\n\r\nOK") < 10:
            received = client.recv(65_536)
            assert received
            answers += received
        client.close()


def test_a_renewed_certificate_is_used(
    store: TrackingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "CHECK_SECONDS", 0.0)
    cert, key = certificate(tmp_path, serial=1)
    with serving(store, certificate=cert, key=key) as server:

        def serial() -> int:
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            with (
                socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain,
                trust.wrap_socket(plain) as client,
            ):
                shown = client.getpeercert(binary_form=True)
            assert shown is not None
            return x509.load_der_x509_certificate(shown).serial_number

        assert serial() == 1
        (tmp_path / "cert.pem").write_text("half of a renewal")
        assert serial() == 1
        certificate(tmp_path, serial=2)
        deadline = time.monotonic() + 60
        while serial() != 2:
            assert time.monotonic() < deadline


def test_a_key_of_another_certificate_is_refused(store: TrackingStore, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    cert, _ = certificate(tmp_path / "one")
    _, key = certificate(tmp_path / "two")
    with pytest.raises(UsageError, match="certificate cannot be used"):
        TeamServer(store, ServerOptions(port=0, certificate=cert, key=key))
