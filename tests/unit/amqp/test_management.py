"""The client of the management API where something else answers: one error, and the password goes nowhere else."""

from __future__ import annotations

import socket
from base64 import b64encode

import pytest

from amqptasks.amqp.management import Management, Unanswered
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
