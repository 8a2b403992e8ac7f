"""A small client of RabbitMQ's management API: what the broker itself says, to check what we believe.

https://www.rabbitmq.com/docs/http-api-reference
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import pika
from pika import exceptions

from amqptasks.transport.capabilities import from_server_properties

#: Seconds for one answer; a node that has just been started takes its time.
ANSWER_WITHIN = 15.0


#: How often something is read that a 3.10 answers with a 500 and no word: a list of queues one of which ends meanwhile,
#: with the connection of a worker that was killed; and how often a virtual host is deleted in a broker that is just
#: up again, and answers likewise. And the seconds in between.
TRIES = 10
TRY_AGAIN = 0.2
REPEATABLE = ("GET", "DELETE")


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages of a queue as the management API counts them (about half a second behind on our own nodes)."""

    ready: int
    unacked: int
    total: int


class Management:
    """The management API, seen from one virtual host. `broker` is anything with `url` and `management_url`."""

    def __init__(self, url: str, management_url: str, vhost: str = "/") -> None:
        parts = urlsplit(url)
        self.user, self.password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        self._credentials = b64encode(f"{self.user}:{self.password}".encode()).decode()
        self._base = f"{management_url}/api"
        self._amqp = (parts.hostname, parts.port or 5672)
        self.vhost = vhost

    def request(self, method: str, *path: str, body: Any = None, **query: str) -> Any:
        """One call; each part of the path is quoted. The decoded answer, None where there is none or it is a 404."""
        address = "/".join((self._base, *(quote(part, safe="") for part in path)))
        if query:
            address += "?" + urlencode(query)
        request = urllib.request.Request(
            address,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {self._credentials}", "Content-Type": "application/json"},
        )
        for left in reversed(range(TRIES)):
            try:
                with urllib.request.urlopen(request, timeout=ANSWER_WITHIN) as response:
                    text = response.read()
                break
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == 404:
                        return None
                    if not (method in REPEATABLE and error.code == 500 and left):
                        raise RuntimeError(f"{method} {address}: {error.code} {error.read().decode()}") from None
            time.sleep(TRY_AGAIN)
        return json.loads(text) if text else None

    def overview(self) -> dict[str, Any]:
        return self.request("GET", "overview")

    def release(self) -> tuple[int, int, int]:
        return from_server_properties({"version": self.overview()["rabbitmq_version"]}).version

    def queues(self) -> list[dict[str, Any]]:
        return self.request("GET", "queues", self.vhost) or []

    def queue(self, name: str) -> dict[str, Any] | None:
        return self.request("GET", "queues", self.vhost, name)

    def exchanges(self) -> list[dict[str, Any]]:
        """Those that somebody declared: without the broker's own `amq.` and the default one."""
        found = self.request("GET", "exchanges", self.vhost) or []
        return [exchange for exchange in found if exchange["name"] and not exchange["name"].startswith("amq.")]

    def bindings(self, queue: str | None = None) -> list[dict[str, Any]]:
        """Without those of the default exchange, which every queue has."""
        path = ("bindings", self.vhost) if queue is None else ("queues", self.vhost, queue, "bindings")
        return [binding for binding in self.request("GET", *path) or [] if binding["source"]]

    def consumers(self, queue: str | None = None) -> list[dict[str, Any]]:
        found = self.request("GET", "consumers", self.vhost) or []
        return [consumer for consumer in found if queue is None or consumer["queue"]["name"] == queue]

    def connections(self) -> list[dict[str, Any]]:
        """Open connections to this virtual host. A new one appears up to a second after it was opened."""
        return self.request("GET", "vhosts", self.vhost, "connections") or []

    def close_connections(self, reason: str = "closed by a test") -> int:
        """Have the broker close every connection to this virtual host (320); how many there were."""
        found = self.connections()
        for connection in found:
            self.close_connection(connection["name"], reason)
        return len(found)

    def close_connection(self, name: str, reason: str = "closed by a test") -> None:
        request = urllib.request.Request(
            f"{self._base}/connections/{quote(name, safe='')}",
            method="DELETE",
            headers={"Authorization": f"Basic {self._credentials}", "X-Reason": reason},
        )
        try:
            urllib.request.urlopen(request, timeout=ANSWER_WITHIN).close()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 404:  # gone by itself
                    raise

    def depth(self, queue: str) -> Depth | None:
        """As the management API says, unacked ones included; None before its first figures."""
        found = self.queue(queue)
        if found is None or "messages" not in found:
            return None
        return Depth(found["messages_ready"], found["messages_unacknowledged"], found["messages"])

    def ready(self, queue: str) -> int:
        """Ready messages by passive declare: exact now, but blind to unacked and delayed ones. -1: no such queue."""
        return self._passive(queue)[0]

    def consumer_count(self, queue: str) -> int:
        """Consumers by passive declare: exact now. -1: no such queue."""
        return self._passive(queue)[1]

    def delete_queue(self, name: str) -> None:
        self.request("DELETE", "queues", self.vhost, name)

    def set_policy(
        self, name: str, pattern: str, apply_to: str = "queues", priority: int = 0, **definition: Any
    ) -> None:
        """Keys of the definition with `_` for `-`: `max_length=5`."""
        body = {
            "pattern": pattern,
            "apply-to": apply_to,
            "priority": priority,
            "definition": {key.replace("_", "-"): value for key, value in definition.items()},
        }
        self.request("PUT", "policies", self.vhost, name, body=body)

    def _passive(self, queue: str) -> tuple[int, int]:
        parameters = pika.ConnectionParameters(
            *self._amqp, virtual_host=self.vhost, credentials=pika.PlainCredentials(self.user, self.password)
        )
        with pika.BlockingConnection(parameters) as connection:
            try:
                declared = connection.channel().queue_declare(queue, passive=True).method
            except exceptions.ChannelClosedByBroker as error:
                if error.reply_code == 404:
                    return -1, -1
                raise
            return declared.message_count, declared.consumer_count
