"""Probes over HTTP: does this worker live, and does it work? On a thread of its own, whatever its tasks do.

    GET /live     200 while the link's thread turns; 503 when it is stuck: start the process again
    GET /ready    200 while the broker has confirmed every consumer and tasks can run; 503 when not: no broker, a queue
                  that is gone, a queue paused because its dead letters cannot be stored, a pool whose processes die
                  before they run anything, a worker that stands still, or one that stops

The body is a JSON object that says why, and in `waits` what the worker waits for. A worker without a broker lives and
is not ready: starting it again mends nothing, it comes back by itself.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from amqptasks import forks
from amqptasks.errors import BrokerError, ConfigurationError
from amqptasks.log_queue import get_logger
from amqptasks.serializers import json

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)


class HealthServer:
    """Answers on `port` (0: any that is free) of all addresses, or of `host`. Raises `ConfigurationError` where that
    is taken."""

    def __init__(self, node: Node, port: int, host: str = "") -> None:
        self._node = node
        try:
            self._server = ThreadingHTTPServer((host, port), self._handler())
        except OSError as error:
            raise ConfigurationError(f"the port {port} for probes cannot be had: {error}") from error
        self._server.daemon_threads = True
        forks.in_child(self._let_go)
        self._thread = threading.Thread(target=self._server.serve_forever, name="amqptasks-health", daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def start(self) -> None:
        self._thread.start()
        logger.info("answers probes on port %d", self.port, extra={"action": "health"})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _let_go(self) -> None:
        """In a forked child. Its copy would keep the port when the worker begins anew."""
        forks.let_go([self._server.fileno()])

    def examine(self, path: str) -> tuple[int, dict[str, Any]]:
        """HTTP status and body for a path."""
        if path not in ("/live", "/ready"):
            return 404, {"error": "ask for /live or /ready"}
        node = self._node
        if not node.started:
            return (200, {"live": True}) if path == "/live" else (503, _starting(node))
        try:
            ready, stopping, idle, trouble, waits = node.control.on_link(
                lambda: (node.ready, node.is_stopping, _not_consumed(node), node.trouble, node.waits.current())
            )
        except BrokerError as error:
            return 503, {"live": False, "ready": False, "why": str(error)}
        if path == "/live":
            return 200, {"live": True}
        if stopping:
            return 503, {"ready": False, "why": "it stops"}
        said: dict[str, Any] = {"waits": [wait.told() for wait in waits]} if waits else {}
        if not ready:
            return 503, {"ready": False, "why": trouble or f"not consumed: {', '.join(idle)}", **said}
        return 200, {"ready": True, **said}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            server_version = "amqptasks"
            #: Seconds that a client may take: a probe is short, and threads are not for holding.
            timeout = 5.0

            def do_GET(self) -> None:
                status, said = server.examine(self.path.partition("?")[0])
                body = json.encode(said)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """A probe every few seconds is no event."""

        return Handler


def _starting(node: Node) -> dict[str, Any]:
    trouble = node.link.trouble
    return {"ready": False, "why": "it starts" if trouble is None else f"it starts: {trouble}"}


def _not_consumed(node: Node) -> list[str]:
    return [queue.name for queue in node.queues.values() if not (queue.consuming or queue.paused or queue.cancelled)]
