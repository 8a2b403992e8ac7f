"""What takes a password over HTTP to the address it is meant for, and nowhere else.

`urllib.request.urlopen` would send the same headers on to wherever an answer redirects it, and through the proxy that
the environment names. Here a redirect is an answer like others, and no proxy is asked. And its timeout is one for each
read: a server that sends a byte now and then would never be given up. Here it is one for the whole answer, its first
line and its headers included.
"""

from __future__ import annotations

import io
import socket
import ssl
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
    UnknownHandler,
)

from amqptasks.runtime.clock import monotonic

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def opener(base: str, tls: ssl.SSLContext | None) -> OpenerDirector:
    """For addresses that begin with `base`. `tls` is the context where that is https; None: the system's authorities
    count. A whole answer must come within the `timeout` of `open`, in seconds: reading raises `TimeoutError` then."""
    found = OpenerDirector()
    found.add_handler(_Https(context=tls) if base.startswith("https:") else _Http())
    for handler in (HTTPErrorProcessor(), HTTPDefaultErrorHandler(), UnknownHandler()):
        found.add_handler(handler)
    return found


class _UntilDeadline(io.RawIOBase):
    """What comes from a socket until `deadline`, on the monotonic clock."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        # A file of the socket keeps it open for the answer: `urllib` closes the connection when the answer begins.
        self._file = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._connection.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *given: Any, **more: Any) -> None:
        super().__init__(sock, *given, **more)
        self.fp.close()
        self.fp = io.BufferedReader(_UntilDeadline(sock, monotonic() + (sock.gettimeout() or 0.0)))


class _HttpConnection(HTTPConnection):
    response_class = _Response


class _HttpsConnection(HTTPSConnection):
    response_class = _Response


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _Https(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpsConnection, req, context=self._context)  # type: ignore[attr-defined]
