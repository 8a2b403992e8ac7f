"""Probes over HTTP: does this worker live, and does it work? On a thread of its own, whatever its tasks do.

    GET /live     200 while the link's thread turns; 503 when it is stuck: start the process again
    GET /ready    200 while the broker has confirmed every consumer and tasks can run; 503 when not: no broker, a queue
                  that is gone, a queue paused because its dead letters cannot be stored, a pool whose processes die
                  before they run anything, a worker that stands still, or one that stops

The body is a JSON object that says why, and in `waits` what the worker waits for. A worker without a broker lives and
is not ready: starting it again mends nothing, it comes back by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqptasks.errors import BrokerError
from amqptasks.runtime import forks
from amqptasks.runtime.log_queue import get_logger
from amqptasks.serializers import json
from amqptasks.worker.probes.http_server import HttpServer

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Where nobody says otherwise, only this machine may ask: what the answer tells is for nobody else.
LOCAL = "127.0.0.1"


class HealthServer:
    """Answers on `port` (0: any that is free) of this machine alone, or at `host`: an address of it, or `0.0.0.0` or
    `::` for all of them. Raises `ConfigurationError` where that is taken."""

    def __init__(self, node: Node, port: int, host: str = LOCAL) -> None:
        self._node = node
        self._server = HttpServer(host, port, self._said)
        self._host = host
        forks.in_child(self._let_go)

    @property
    def port(self) -> int:
        return self._server.port

    def start(self) -> None:
        self._server.start()
        logger.info("answers probes on port %d of %s", self.port, self._host, extra={"action": "health"})

    def stop(self) -> None:
        self._server.stop()

    def _let_go(self) -> None:
        """In a forked child. Its copy would keep the port when the worker begins anew."""
        forks.let_go(self._server.descriptors)

    def _said(self, path: str) -> tuple[int, bytes]:
        status, said = self.examine(path)
        return status, json.encode(said)

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


def _starting(node: Node) -> dict[str, Any]:
    trouble = node.link.trouble
    return {"ready": False, "why": "it starts" if trouble is None else f"it starts: {trouble}"}


def _not_consumed(node: Node) -> list[str]:
    return [queue.name for queue in node.queues.values() if not (queue.consuming or queue.paused or queue.cancelled)]
