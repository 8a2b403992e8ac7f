"""A reader of a stream goes on at the last record that it applied: gaps, other streams, records that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from amqptasks.messages.delivery import Delivery
from amqptasks.streams.position import Position
from amqptasks.streams.reader import REFUSED_PAUSE, Gap, Reader, Replaced
from amqptasks.transport import StreamOffset
from tests.unit.streams.still_link import Consumer, StillLink, record


class Reading:
    """A reader that follows, and what it said."""

    def __init__(self, position: Position | None = None, offset: StreamOffset = "first", **options: Any) -> None:
        self.link = StillLink()
        self.read: list[Delivery] = []
        self.changes: list[Gap | Replaced] = []
        self.ended: list[str | None] = []
        self.behind = 0
        link: Any = self.link
        options.setdefault("message", self.read.append)
        self.reader = Reader(
            link,
            "log",
            offset,
            ended=self.ended.append,
            follow=True,
            never_empty=True,
            behind=self._on_behind,
            position=position,
            changed=self.changes.append,
            **options,
        )
        self.reader.start()
        self.main.begin()

    @property
    def main(self) -> Consumer:
        """Its own consumer of now; the others are tails."""
        return [one for one in self.link.consumers if one.offset != "last"][-1]

    @property
    def numbers(self) -> list[int]:
        return [int((one.properties.headers or {})["x-stream-offset"]) for one in self.read]  # type: ignore[call-overload]

    def _on_behind(self) -> None:
        self.behind += 1


def test_a_reader_looks_at_its_last_record_again_and_goes_on_behind_it() -> None:
    reading = Reading()
    reading.main.get(0, 1, 2)
    old = reading.main
    old.break_off()
    assert reading.main.offset == 2
    assert old.is_closed
    reading.main.begin()
    reading.main.get(2, 3)
    assert (reading.numbers, reading.changes) == ([0, 1, 2, 3], [])


def test_a_reader_begins_at_a_position_that_it_is_given() -> None:
    reading = Reading(Position(7, "id-7"))
    assert reading.main.offset == 7
    reading.main.get(7, 8)
    assert reading.numbers == [8]


def test_a_reader_notes_records_that_retention_has_cut() -> None:
    reading = Reading(Position(7, "id-7"))
    reading.main.get(20, 21)
    assert reading.changes == [Gap(7, 20)]
    assert reading.numbers == [20, 21]


def test_numbers_that_are_left_out_are_no_gap_later_on() -> None:
    reading = Reading(Position(7, "id-7"))
    reading.main.get(7, 9, 30)
    assert (reading.changes, reading.numbers) == ([], [9, 30])


def test_a_reader_reads_another_stream_of_the_same_name_from_its_beginning() -> None:
    reading = Reading(Position(1, "id-1"))
    reading.main.deliver(record(1, "somebody-else's"), record(2))
    assert reading.changes == [Replaced(Position(1, "id-1"))]
    assert reading.numbers == [], "the other stream is read in order"
    assert reading.main.offset == "first"
    reading.main.begin()
    reading.main.deliver(record(0), record(1, "somebody-else's"))
    assert reading.numbers == [0, 1]


def test_a_record_without_a_message_id_is_known_again_by_its_body() -> None:
    reading = Reading()
    first = record(0, body=b"one")
    first.properties.message_id = None
    reading.main.deliver(first)
    reading.main.break_off()
    other = record(0, body=b"two")
    other.properties.message_id = None
    reading.main.begin()
    reading.main.deliver(other)
    assert isinstance(reading.changes[0], Replaced)


def test_a_stream_that_was_deleted_is_another_one_when_it_is_back() -> None:
    reading = Reading(Position(50, "id-50"))
    reading.main.listener.unavailable("log", "404 NOT_FOUND - no queue 'log' in vhost '/'")
    assert reading.changes == [Replaced(Position(50, "id-50"))]
    assert reading.ended == ["log: 404 NOT_FOUND - no queue 'log' in vhost '/'"]
    reading.main.begin()
    assert reading.behind == 1
    reading.main.get(0)
    assert reading.numbers == [0]


def test_a_reader_that_is_refused_tries_again() -> None:
    reading = Reading()
    reading.main.get(0)
    reading.main.break_off()
    reading.main.listener.unavailable("log", "403 ACCESS_REFUSED - read")
    refused = reading.main
    assert refused.is_closed
    reading.link.pass_time(REFUSED_PAUSE - 1)
    assert reading.main is refused
    reading.link.pass_time(REFUSED_PAUSE)
    assert reading.main is not refused
    reading.main.begin()
    reading.main.get(0, 1)
    assert reading.numbers == [0, 1]
    assert reading.behind == 2, "when it was cut, and when it could read again"


def test_an_old_consumer_of_a_reader_is_not_heard_any_more() -> None:
    reading = Reading()
    old = reading.main
    reading.reader.reopen()
    old.get(0)
    old.break_off()
    assert reading.numbers == []
    assert reading.main is not old


@pytest.mark.parametrize("raised", [ValueError("bad"), RecursionError(), MemoryError(), KeyError(1)])
def test_a_reader_skips_and_counts_what_its_user_cannot_read(raised: Exception) -> None:
    def message(delivery: Delivery) -> None:
        if delivery.body == b"bad":
            raise raised
        taken.append(delivery)

    taken: list[Delivery] = []
    reading = Reading(message=message)
    reading.main.deliver(record(0), record(1, body=b"bad"), record(2))
    assert (len(taken), reading.reader.skipped) == (2, 1)
    assert reading.reader.position == Position(2, "id-2")


def test_a_reader_hands_on_how_a_record_was_published() -> None:
    """Only the broker can say that: so the exchange is the kind of a record."""
    reading = Reading()
    reading.main.deliver(record(0, exchange="amqptasks.revoked.revocation"))
    assert (reading.read[0].exchange, reading.read[0].routing_key) == ("amqptasks.revoked.revocation", "key")


def test_a_reader_takes_as_many_at_once_as_it_is_told() -> None:
    assert Reading(prefetch=10).main.prefetch == 10
