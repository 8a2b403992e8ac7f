"""`stream://`: results on RabbitMQ alone, in streams (`streams/result_streams.py`).

A record is published with its task's id as message id and as filter value, and confirmed. A look-up writes a probe,
waits for its confirm, and reads up to it (`stream_look.py`): so "there is none" is exact, and no guess by silence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from urllib.parse import parse_qsl

from amqptasks.errors import (
    AccessRefused,
    BrokerError,
    ConfigurationError,
    DeclarationConflict,
    MessageTooLarge,
    PublishRejected,
    StoreRefused,
    StoreUnavailable,
    Unroutable,
)
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.results.record import Record
from amqptasks.results.stores.base import Around
from amqptasks.results.stores.stream_look import Event, Hearing, Look
from amqptasks.streams import result_streams
from amqptasks.transport import Link

SCHEME = "stream"

#: Seconds for the confirm of a record. Then the worker says that the store is down, and publishes it again.
PUBLISH_WITHIN = 30.0

#: Streams that one look-up reads at the same time: each takes a channel.
AT_ONCE = 16

#: Seconds between two looks at the clock while a look-up waits for the broker.
TICK = 0.2


class StreamStore:
    """`stream://` or `stream://?partitions=COUNT`."""

    pauses = (0.1, 2.0)

    def __init__(self, url: str, around: Around) -> None:
        self.where = url
        self._around = around
        self._partitions = partitions_of(url)
        self._is_known = False  # the streams are there

    def write(self, records: Sequence[Record]) -> None:
        try:
            count = self._count(self._around.link())
            outgoings = [_outgoing(record, count) for record in records]
            # At first one alone: each that finds no exchange would cost the broker a channel.
            failed = self._publish(outgoings if self._is_known else outgoings[:1])
            if any(_is_absent(error) for error in failed.values()):
                self._prepare(count)
                failed = self._publish(outgoings)
            elif not self._is_known and not failed:
                failed = {position + 1: error for position, error in self._publish(outgoings[1:]).items()}
            self._is_known = not failed
        except BrokerError as error:
            raise StoreUnavailable(f"{self.where}: {error}") from error
        for why in failed.values():
            kind = StoreRefused if _is_about_the_bytes(why) else StoreUnavailable
            raise kind(f"{self.where}: {why}") from why

    def read(self, ids: Sequence[str], now: float) -> dict[str, Record]:
        if not ids:
            return {}
        try:
            return self._read(list(dict.fromkeys(ids)), now)
        except BrokerError as error:
            raise StoreUnavailable(f"{self.where}: {error}") from error

    def forget(self, ids: Sequence[str]) -> None:  # noqa: ARG002 - none of them
        raise StoreRefused(f"{self.where}: a stream keeps each result until it expires, and forgets none before")

    def clean(self, now: float) -> int:  # noqa: ARG002 - RabbitMQ does it
        return 0

    def close(self) -> None: ...

    def _publish(self, outgoings: list[Outgoing]) -> dict[int, BaseException]:
        failed = self._around.publisher().publish_many(outgoings, PUBLISH_WITHIN)
        return {one.position: one.error for one in failed}

    def _read(self, ids: list[str], now: float) -> dict[str, Record]:
        link = self._around.link()
        count = self._count(link)
        by_key: dict[str, list[str]] = {}
        for identity in ids:
            by_key.setdefault(result_streams.key_of(identity, count), []).append(identity)
        events: SimpleQueue[Event] = SimpleQueue()
        hearing = Hearing()
        waiting = deque(Look(link, key, some, now, events, hearing) for key, some in by_key.items())
        running: list[Look] = []
        found: dict[str, Record] = {}
        prepared = False
        try:
            while waiting or running:
                while waiting and len(running) < AT_ONCE:
                    running.append(waiting.popleft())
                    running[-1].begin()
                with suppress(Empty):
                    event = events.get(timeout=TICK)
                    event.look.hear(event)
                for look in running:
                    look.check()
                for look in [look for look in running if look.over]:
                    running.remove(look)
                    if look.error is not None and _is_absent(look.error) and not look.is_second:
                        if not prepared:
                            self._prepare(count)
                            prepared = True
                        waiting.append(look.again())
                    elif look.error is not None:
                        raise look.error
                    else:
                        found.update(look.found())
        finally:
            for look in running:
                look.close()
        return found

    def _count(self, link: Link) -> int:
        if self._partitions is not None:
            return self._partitions
        capabilities = link.capabilities
        if capabilities is None:
            raise StoreUnavailable(f"{self.where}: {link.trouble or 'there is no connection to the broker yet'}")
        return result_streams.usual(capabilities)

    def _prepare(self, count: int) -> None:
        """Make the streams that are missing. One that somebody declared with other bounds is taken as it is."""
        try:
            with self._around.session() as session:
                for exchange in result_streams.exchanges():
                    session.declare_exchange(exchange)
                for key in result_streams.keys(count):
                    with suppress(DeclarationConflict):
                        session.declare_queue(result_streams.queue(key, count, session.capabilities))
                    for binding in result_streams.bindings(key):
                        session.bind(binding)
        except AccessRefused as refused:
            raise StoreUnavailable(
                f"{self.where}: the streams of results are not on the broker, and this user may not make them:"
                f" `amqptasks declare --backend {self.where}` does, or a worker with this backend ({refused})"
            ) from refused


def partitions_of(url: str) -> int | None:
    """How many streams an address asks for; None: as many as the release needs. Raises `ConfigurationError`."""
    place, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    text = options.pop("partitions", None)
    if place != f"{SCHEME}://" or options:
        raise ConfigurationError(
            f"backend: write {SCHEME}:// or {SCHEME}://?partitions=16; it names no host, because results are on the"
            " app's broker"
        )
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= result_streams.MOST:
        raise ConfigurationError(f"backend: partitions= is a number from 1 to {result_streams.MOST:,}")
    return int(text)


def _outgoing(record: Record, count: int) -> Outgoing:
    properties = Properties(
        content_type="application/octet-stream",
        headers={result_streams.FILTER_VALUE: record.id},
        message_id=record.id,
    )
    key = result_streams.key_of(record.id, count)
    return Outgoing(result_streams.RECORDS.name, key, record.encode(), properties)


def _is_absent(error: BaseException) -> bool:
    return isinstance(error, Unroutable) or (isinstance(error, PublishRejected) and error.reason.startswith("404"))


def _is_about_the_bytes(error: BaseException) -> bool:
    return isinstance(error, MessageTooLarge) or (
        isinstance(error, PublishRejected) and not error.reason.startswith(("403", "404"))
    )
