"""What it means for tasks that an object of ours was missing on the broker. Pure."""

from __future__ import annotations

from amqptasks.control import places
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology.delays import CLOCK, DEAD_END, END, LOST, PREFIX, ROOM, due
from amqptasks.topology.topology import DEAD


def loss_of_exchange(name: str, queue: str | None = None) -> str:
    """A sentence about the exchange `name`; `queue` is the one whose room it belongs to."""
    if name in (DEAD_END, CLOCK):
        return "no task was concerned"
    if name.startswith(f"{PREFIX}.") and name != LOST:
        where = "all delayed tasks" if name == END else "delayed tasks that pass it"
        if name.startswith(ROOM):
            where = f"delayed tasks for {queue or 'one queue'}"
        return f"{where} waited; RabbitMQ tries again every 180 seconds, so they may come three minutes late"
    if name.startswith(due("")) or name == LOST:
        return f"delayed tasks that became due meanwhile went to {LOST}, and are sent on from there"
    if name == QUEUES_EXCHANGE:
        return "calls, retries and dead letters could not be published meanwhile"
    return "calls to it could not be published meanwhile"


def loss_of_queue(name: str, queue: str | None = None) -> str:
    """A sentence about the queue `name`; `queue` is the one whose room it is."""
    if name == LOST:
        return "the delayed tasks in it, which had found no queue when they were due, are lost"
    if name.startswith(ROOM):
        return f"the delayed tasks that waited in it for room in {queue or 'one queue'} are lost"
    if name.startswith(f"{PREFIX}."):
        return "the delayed tasks that waited in it are lost"
    if name.endswith(DEAD):
        return f"the dead letters of {name.removesuffix(DEAD)} in it are lost"
    if name in (places.NODES.name, places.REVOKED.name):
        return "what it kept is lost"
    return "the tasks in it are lost"
