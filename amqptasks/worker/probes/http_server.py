"""A very small HTTP server: one thread, a bound on every client, no thread for a client.

A client that sends a byte a second is dropped after `PROBE_WITHIN`, and of too many clients the oldest. Where the
process has no descriptor left for another one, nothing is accepted for a while: asking again at once would burn a
processor.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus

from amqptasks.errors import ConfigurationError
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted.bounds import LARGEST_PROBE, MOST_PROBES, PROBE_WITHIN

logger = get_logger(__name__)

#: Answers a path with a status and a body in JSON.
Examine = Callable[[str], tuple[int, bytes]]

#: Seconds without accepting anybody after the system refused to.
ACCEPT_PAUSE = 0.5

#: Seconds between two looks for clients whose time is up, and for the end.
LOOK_EVERY = 0.25

#: Connections that the system keeps until they are accepted.
BACKLOG = 16

#: What ends the head of a request, as clients write it.
_ENDS = (b"\r\n\r\n", b"\n\n")


class _Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.until = monotonic() + PROBE_WITHIN
        self.received = b""


class HttpServer:
    """Answers at `host` (`0.0.0.0` or `::`: every address) and `port` (0: any that is free), with what `examine` says.
    Raises `ConfigurationError` where the port cannot be had."""

    def __init__(self, host: str, port: int, examine: Examine) -> None:
        self._examine = examine
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server(
                (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::"
            )
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(f"the port {port} of {host} for probes cannot be had: {error}") from error
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, _Client] = {}
        self._paused_until = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="amqptasks-health", daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def descriptors(self) -> list[int]:
        """Those that a forked child must close."""
        return [self._listener.fileno()]

    def start(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; waits for the thread."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(2 * PROBE_WITHIN)
        self._listener.close()

    def _serve(self) -> None:
        try:
            while not self._over.is_set():
                self._turn()
        finally:
            for client in list(self._clients.values()):
                self._drop(client)
            self._selector.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(LOOK_EVERY):
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.data, _Client) and key.data in self._clients.values():
                self._read(key.data)
        now = monotonic()
        for client in [one for one in self._clients.values() if one.until <= now]:
            self._drop(client)
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # no descriptor is left, or the client is gone already
            if not self._paused_until:
                logger.debug("no probe can be accepted: %s", error)
                self._selector.unregister(self._listener)
            self._paused_until = monotonic() + ACCEPT_PAUSE
            return
        connection.setblocking(False)
        client = _Client(connection)
        if len(self._clients) >= MOST_PROBES:
            self._drop(next(iter(self._clients.values())))
        self._clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _read(self, client: _Client) -> None:
        try:
            data = client.connection.recv(LARGEST_PROBE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.received += data
        if not data or len(client.received) > LARGEST_PROBE:
            self._drop(client)
        elif any(end in client.received for end in _ENDS):
            self._answer(client)

    def _answer(self, client: _Client) -> None:
        words = client.received.split(b"\n", 1)[0].split()
        method, target = (words[0], words[1]) if len(words) == 3 else (b"", b"")
        status, body = 400, b'{"error":"this is no HTTP request"}'
        if method in (b"GET", b"HEAD"):
            try:
                status, body = self._examine(target.partition(b"?")[0].decode("ascii", "replace"))
            except Exception:
                logger.exception("a probe could not be answered")
                status, body = 500, b'{"error":"the worker could not say"}'
        elif method:
            status, body = 405, b'{"error":"ask with GET"}'
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        try:
            client.connection.send(head.encode() + (b"" if method == b"HEAD" else body))
            client.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client is gone
        self._drop(client)

    def _drop(self, client: _Client) -> None:
        """Once more does no harm: a client may be ready in the same turn in which another one takes its place."""
        if self._clients.pop(client.connection.fileno(), None) is client:
            self._selector.unregister(client.connection)
            client.connection.close()
