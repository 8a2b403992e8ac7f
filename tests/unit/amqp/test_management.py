"""The client of the management API where something else answers: one error, and the password goes nowhere else."""

from __future__ import annotations

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from amqptasks.management import client
from amqptasks.management.client import Management, Unanswered
from tests.harness.impostor import impostor

URL = "amqp://shop:hush@127.0.0.1/"
SECRET = b64encode(b"shop:hush")


def ok(body: bytes, length: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (length or len(body), body)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"AMQP\x00\x00\x09\x01", "BadStatusLine"),
        (b"220 mail.example ESMTP\r\n", "BadStatusLine"),
        (b"x" * 100_000, "LineTooLong"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "got more than 100 headers"),
        (b"", "closed connection without response"),
        (ok(b'{"rabbit', 100), "IncompleteRead"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nno", "IncompleteRead"),
        (ok(b"hello"), "not in JSON"),
        (ok(b'["rabbitmq_version"]'), "does not say which RabbitMQ it is"),
        (ok(b'"rabbitmq_version"'), "does not say which RabbitMQ it is"),
        (ok(b"5"), "does not say which RabbitMQ it is"),
        (ok(b""), "does not say which RabbitMQ it is"),
        (ok(b"{}"), "does not say which RabbitMQ it is"),
    ],
)
def test_whatever_answers_it_is_one_error_that_names_the_place(answer: bytes, says: str) -> None:
    with impostor(answer) as other, pytest.raises(Unanswered) as caught:
        Management(other.url, URL, timeout=5).version()
    assert other.url in str(caught.value)
    assert says in str(caught.value)
    assert "hush" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("base", ["http://", "http://nowhere:port", "http://a..b", "ftp://127.0.0.1", "file:///etc"])
def test_an_address_that_is_none_is_the_same_error(base: str) -> None:
    with pytest.raises(Unanswered, match=r"(?i)url type|host|port|HTTP"):
        Management(base, URL, timeout=5).version()


@pytest.mark.parametrize(
    "status", [b"301 Moved Permanently", b"302 Found", b"307 Temporary Redirect", b"308 Elsewhere"]
)
def test_a_redirect_is_told_and_not_followed(status: bytes) -> None:
    with impostor(ok(b'{"rabbitmq_version": "4.3.0"}')) as elsewhere:
        head = b"HTTP/1.1 %s\r\nLocation: %s/api/overview\r\nContent-Length: 0\r\n\r\n" % (
            status,
            elsewhere.url.encode(),
        )
        with impostor(head) as other, pytest.raises(Unanswered, match="leads to") as caught:
            Management(other.url, URL, timeout=5).version()
        assert SECRET in other.heard[0]
        assert elsewhere.heard == []
    assert caught.value.status == int(status[:3])
    assert elsewhere.url in str(caught.value)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_the_environments_proxy_learns_no_password(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with (
        impostor(ok(b'{"rabbitmq_version": "4.3.0"}')) as proxy,
        impostor(ok(b'{"rabbitmq_version": "3.10.8"}')) as api,
    ):
        monkeypatch.setenv(name, proxy.url)
        assert Management(api.url, URL, timeout=5).version() == "3.10.8"
        assert proxy.heard == []


def test_nobody_there_is_the_same_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unanswered, match=rf"^http://127\.0\.0\.1:{port}: .*refused"):
        Management(f"http://127.0.0.1:{port}", URL).version()


@contextmanager
def server(pieces: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """Answers in pieces, as long as somebody reads them; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                for piece in pieces():
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive(), "somebody still reads"


def endless(head: bytes, piece: bytes, nap: float = 0.0) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        yield head
        while True:
            time.sleep(nap)
            yield piece

    return pieces


OK, CHUNKED = b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        endless(OK + b"\r\n", b"[" * 65536),
        endless(OK + b"Content-Length: 99999999999\r\n\r\n", b" " * 65536),
        endless(OK + CHUNKED, b"10000\r\n" + b"1" * 65536 + b"\r\n"),
        endless(b"HTTP/1.1 404 Not Found\r\n\r\n", b"x" * 65536),
    ],
    ids=["without a length", "a false length", "chunks", "an error"],
)
def test_an_answer_without_end_is_an_error_once_it_is_too_large(
    pieces: Callable[[], Iterator[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LARGEST_ANSWER", 1_000_000)
    with server(pieces) as base, pytest.raises(Unanswered, match="more than 1000000 bytes"):
        Management(base, URL, timeout=30).version()


@pytest.mark.parametrize(
    "pieces",
    [
        endless(OK + b"\r\n", b"[", 0.05),
        endless(OK + b"Content-Length: 1000\r\n\r\n", b" ", 0.05),
        endless(OK + CHUNKED, b"1\r\n1\r\n", 0.05),
        endless(b"HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n", b"x", 0.05),
        endless(OK, b"A: b\r\n", 0.05),
        endless(b"", b"H", 0.05),
    ],
    ids=["without a length", "with a length", "chunks", "an error", "headers", "the first line"],
)
def test_an_answer_that_comes_byte_by_byte_is_an_error_once_it_is_too_slow(pieces: Callable[[], Iterator[bytes]]):
    began = time.monotonic()
    with server(pieces) as base, pytest.raises(Unanswered, match=r"within 1 s|timed out|HTTP"):
        Management(base, URL, timeout=1).version()
    assert time.monotonic() - began < 8
