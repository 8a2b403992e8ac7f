"""Tokens that live on the broker: who holds one, unacknowledged, has a place; who dies gives it back without a word.

A set of tokens is a quorum queue with so many messages. Taking one is a `basic.get`, giving it back a `basic.nack`; the
broker gives it back by itself when the channel ends. None is ever acknowledged, so their number stays.

The set is made by whoever needs it first, under a lock (an exclusive queue, which the broker gives to one connection at
a time and takes away with it). An exchange of its name is made last: without it, the next one begins anew. Another
number of tokens is another set, for what an old worker counts must not mix with what a new one counts.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from amqptasks import dial
from amqptasks.errors import BrokerError
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.topology.expand.expand import unlimited_queue
from amqptasks.transport import Link, Session
from amqptasks.transport.entities import Binding, Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqptasks.app.app import App

logger = get_logger(__name__)

#: What the names of all sets begin with.
PREFIX = "amqptasks.tokens"

#: Bytes of a set's name before it is cut and told apart by a digest: AMQP's names have 255, and ours have endings.
LONGEST_NAME = 200

#: Seconds before a set that could not be made is tried again.
AGAIN = 2.0

#: For the broker in memory, which has no exclusive queues, and no other processes.
_in_this_process = threading.Lock()

#: Gets a token, or None where none is free.
SessionLease = Callable[[Delivery | None], None]


class Tokens:
    """The tokens of one worker. Link thread only, but for what it says."""

    def __init__(self, app: App, link: Link) -> None:
        self._app = app
        self._link = link
        self._ready: set[str] = set()
        self._waiting: dict[str, list[SessionLease]] = {}  # for a set that is being made
        self._not_before: dict[str, float] = {}

    def take(self, name: str, count: int, taken: SessionLease) -> None:
        """A token of the set `name`, which has `count`, if one is free now."""
        if name in self._ready:
            self._get(name, taken)
        elif name in self._waiting:
            self._waiting[name].append(taken)
        elif monotonic() < self._not_before.get(name, 0.0):
            taken(None)
        else:
            self._waiting[name] = [taken]
            threading.Thread(target=self._make, args=(name, count), name="amqptasks-tokens", daemon=True).start()

    def give_back(self, token: Delivery) -> None:
        """For others."""
        if not token.lease.alive:
            logger.warning(
                "a token of %s was lost while its task ran: another may have run at the same time",
                token.queue,
                extra={"action": "token_lost"},
            )
        token.lease.nack(token.tag)

    def _get(self, name: str, taken: SessionLease) -> None:
        def got(token: Delivery | None, error: BaseException | None) -> None:
            if error is not None:
                self._ready.discard(name)  # it may have been deleted
                logger.info("tokens of %s: %s", name, error, extra={"action": "no_tokens"})
            taken(token)

        self._link.get(name, got)

    def _make(self, name: str, count: int) -> None:
        """Another thread: it waits for the broker."""
        trouble: BrokerError | None = None
        try:
            with self._app.session() as session:
                make(session, name, count, in_memory=dial.is_memory(self._app.broker))
        except BrokerError as error:
            trouble = error
        self._link.call_soon(lambda: self._made(name, trouble))

    def _made(self, name: str, trouble: BrokerError | None) -> None:
        waiting = self._waiting.pop(name)
        if trouble is None:
            self._ready.add(name)
            for taken in waiting:
                self._get(name, taken)
            return
        self._not_before[name] = monotonic() + AGAIN
        logger.warning("tokens %s cannot be had now: %s", name, trouble, extra={"action": "tokens_missing"})
        for taken in waiting:
            taken(None)


def named(*parts: object) -> str:
    """The name of a set."""
    name = ".".join([PREFIX, *map(str, parts)])
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name.encode()[: LONGEST_NAME - 17].decode(errors='ignore')}.{digest}"


def make(session: Session, name: str, count: int, *, in_memory: bool) -> None:
    """Make the set, unless it is there. Raises `BrokerError`, also where somebody else is about to make it."""
    if _is_there(session, name):
        return
    with _only_one(session, name, in_memory=in_memory):
        if _is_there(session, name):
            return
        session.delete_exchange(name)
        if session.queue_state(name) is not None:
            session.delete_queue(name)  # somebody began, and nobody uses it yet
        door = f"{name}.seeding"
        session.declare_queue(unlimited_queue(name, {}))
        session.declare_exchange(Exchange(door, "fanout"))
        session.bind(Binding(door, name))
        for _ in range(count):
            session.publish(Outgoing(door, "", b"", Properties()))
        session.delete_exchange(door)
        session.declare_exchange(Exchange(name, "fanout"))


def _is_there(session: Session, name: str) -> bool:
    return session.exchange_exists(name) and session.queue_state(name) is not None


@contextmanager
def _only_one(session: Session, name: str, *, in_memory: bool) -> Iterator[None]:
    if in_memory:
        with _in_this_process:
            yield
        return
    lock = Queue(f"{name}.lock", durable=False, exclusive=True, arguments={"x-queue-type": "classic"})
    session.declare_queue(lock)
    try:
        yield
    finally:
        session.delete_queue(lock.name)
