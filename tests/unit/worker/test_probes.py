"""The server for probes: slow and many clients cost neither threads nor time."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from amqptasks.errors import ConfigurationError
from amqptasks.untrusted.bounds import MOST_PROBES
from amqptasks.worker.probes import http_server
from amqptasks.worker.probes.http_server import HttpServer
from tests.harness.wait import wait_for


@pytest.fixture
def server() -> Iterator[HttpServer]:
    made = HttpServer("127.0.0.1", 0, lambda path: (200, f'{{"path":"{path}"}}'.encode()))
    made.start()
    yield made
    made.stop()


def connected(server: HttpServer) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    made.sendall(b"GET /live HTTP/1.1\r\nX: ")
    return made


def asked(server: HttpServer) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/live?x=1", timeout=10) as answer:
        return bytes(answer.read())


def test_health_answers_while_many_slow_clients_hold_on_without_a_thread_for_each(server: HttpServer) -> None:
    before = threading.active_count()
    slow = [connected(server) for _ in range(60)]
    assert asked(server) == b'{"path":"/live"}'
    assert threading.active_count() == before
    wait_for(lambda: len(server._clients) <= MOST_PROBES)
    for one in slow:
        one.close()


def test_health_drops_a_client_whose_time_is_up(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "PROBE_WITHIN", 0.3)
    with connected(server) as slow:
        assert slow.recv(10) == b""


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /live HTTP/1.0\r\n\r\n", b"200"), (b"POST /live HTTP/1.1\n\n", b"405"), (b"nonsense\r\n\r\n", b"400"),
        (b"HEAD /ready HTTP/1.1\r\n\r\n", b"200"),
    ],
)  # fmt: skip
def test_health_answers_what_is_asked_and_nothing_else(server: HttpServer, request_line: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(request_line)
        assert client.recv(100).split()[1] == status


def test_health_takes_no_request_that_is_too_long(server: HttpServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET /" + b"x" * 20_000)
        with pytest.raises((ConnectionError, AssertionError)):
            assert client.recv(10)
    assert asked(server)


def test_health_of_a_host_that_is_none_is_an_error_with_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="for probes cannot be had"):
        HttpServer("192.0.2.1", 0, lambda _: (200, b""))
