"""Jobs as a worker would have them, without a broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amqptasks import App
from amqptasks.messages import protocol
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.messages.request import Request
from amqptasks.topology.topology import QueueSettings
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.job.job import Job

WORKER = "worker-1"


class Lease:
    """Notes what is settled how."""

    def __init__(self) -> None:
        self.alive = True
        self.settled: list[tuple[str, int]] = []

    def ack(self, tag: int) -> None:
        self.settled.append(("ack", tag))

    def nack(self, tag: int) -> None:
        self.settled.append(("nack", tag))

    def reject(self, tag: int) -> None:
        self.settled.append(("reject", tag))

    def discard(self, tag: int) -> None:
        self.settled.append(("discard", tag))


def delivery(
    task: str = "shop.work",
    *args: Any,
    headers: dict[str, Any] | None = None,
    redelivered: bool = False,
    tag: int = 1,
    body: bytes | None = None,
    exchange: str = "tasks",
    **properties: Any,
) -> Delivery:
    """A call of `task` as it came from queue `emails`, with further headers and properties."""
    request = Request(task, "id-1", args)
    encoded, given = protocol.encode(request)
    assert given.headers is not None
    given.headers.update(headers or {})
    for name, value in properties.items():
        setattr(given, name, value)
    return Delivery(
        "emails", tag, exchange, "email.send", redelivered, given, encoded if body is None else body, Lease()
    )


def job(came: Delivery | None = None, queue: QueueSettings | None = None, decoded: bool = True) -> Job:
    """A job, with its request decoded where `decoded`."""
    made = Job(came or delivery(), queue or QueueSettings("emails"))
    if decoded:
        assert steps().decode(made)
    return made


def undelayed(outgoing: Outgoing, delay: float) -> Outgoing:
    """In place of the ladder: notes the delay in a header."""
    return Outgoing(
        outgoing.exchange,
        outgoing.routing_key,
        outgoing.body,
        Properties(headers={**(outgoing.properties.headers or {}), "delayed": delay}),
    )


def steps(*functions: Callable[..., Any], **options: Any) -> Executor:
    """The steps of a worker that knows these functions, each a task `shop.NAME` with these options."""
    app = App("shop", "memory://unused")
    for function in functions:
        app.task(name=f"shop.{function.__name__}", **options)(function)
    return Executor(app.tasks, WORKER, undelayed)
