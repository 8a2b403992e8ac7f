"""How a reader of a stream knows where the end is, whatever time the broker takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from amqptasks.messages.delivery import SETTLED
from amqptasks.streams import Reader
from amqptasks.transport import StreamOffset
from tests.unit.streams.still_link import Consumer, StillLink


class Reading:
    """A reader, and what it said."""

    def __init__(self, offset: StreamOffset = "first", **options: Any) -> None:
        self.said: list[str] = []
        self.link = StillLink()
        link: Any = self.link
        self.reader = Reader(
            link,
            "log",
            offset,
            lambda _delivery: None,
            lambda trouble: self.said.append(f"ended {trouble}"),
            behind=lambda: self.said.append("behind"),
            **options,
        )
        self.reader.start()
        self.tail, self.main = self.link.consumers
        self.tail.begin()
        self.main.begin()

    def break_off(self) -> tuple[Consumer, Consumer]:
        """Its channel is lost: the tail and the consumer that take the place of the old ones."""
        self.main.listener.lost(SETTLED, "cut")
        *_, tail, self.main = self.link.consumers
        return tail, self.main


@pytest.mark.parametrize("offset", ["first", datetime(2026, 1, 1, tzinfo=UTC)])
def test_silence_is_no_end_of_what_is_never_empty(offset: StreamOffset) -> None:
    reading = Reading(offset, never_empty=True)
    reading.link.pass_time()
    assert reading.said == [], "neither has the broker sent the tail's first chunk"
    reading.tail.get(2)
    reading.link.pass_time()
    assert reading.said == [], "nor all that comes before its end"
    reading.main.get(0, 1, 2)
    reading.link.pass_time()
    assert reading.said == ["ended None"]


def test_silence_is_the_end_of_what_may_be_empty() -> None:
    reading = Reading()
    reading.link.pass_time()
    assert reading.said == ["ended None"]


def test_a_break_lets_it_fall_behind_until_it_has_come_to_where_the_end_is_now() -> None:
    reading = Reading(follow=True, never_empty=True)
    reading.tail.get(0)
    reading.main.get(0)
    reading.link.pass_time()
    tail, main = reading.break_off()
    assert reading.said == ["ended None", "behind"]
    assert (tail.offset, main.offset) == ("last", 0), "it looks once more at the record that it has applied last"
    tail.begin()
    tail.get(5)
    reading.main.begin()
    reading.link.pass_time()
    reading.main.get(0, 1, 2, 3)
    reading.link.pass_time()
    assert reading.said == ["ended None", "behind"], "two are still to come"
    reading.main.get(4, 5)
    reading.link.pass_time()
    assert reading.said == ["ended None", "behind", "ended None"]
    assert tail.is_closed


def test_a_break_just_before_the_end_is_not_taken_for_it() -> None:
    reading = Reading(follow=True, never_empty=True)
    reading.tail.get(0)
    reading.main.get(0)
    reading.main.listener.lost(SETTLED, "cut")
    reading.link.pass_time()
    assert reading.said == ["behind"]


def test_where_the_end_is_is_asked_anew_when_the_answer_was_lost() -> None:
    reading = Reading(follow=True, never_empty=True)
    reading.tail.get(0)
    reading.tail.listener.lost(SETTLED, "cut")
    again = reading.link.consumers[-1]
    assert again is not reading.tail
    assert reading.tail.is_closed
    reading.main.get(0)
    reading.link.pass_time()
    assert reading.said == [], "the end that it knew is an old one"
    again.begin()
    again.get(1)
    reading.main.get(1)
    reading.link.pass_time()
    assert reading.said == ["ended None"]


def test_one_that_is_closed_falls_behind_no_more() -> None:
    reading = Reading(follow=True)
    reading.link.pass_time()
    reading.reader.close()
    reading.main.listener.lost(SETTLED, "closed")
    assert reading.said == ["ended None"]
    assert len(reading.link.consumers) == 2


def test_a_stream_that_is_not_served_yet_is_no_end() -> None:
    """A broker that starts has other queues sooner."""
    reading = Reading(follow=True, never_empty=True)
    reading.tail.get(0)
    reading.main.get(0)
    reading.link.pass_time()
    tail, _ = reading.break_off()
    for reason in (
        "406 PRECONDITION_FAILED - stream queue 'log' in vhost '/' does not have a running replica on the local node",
        "404 NOT_FOUND - queue 'log' in vhost '/' process is stopped by supervisor",
    ):
        reading.main.listener.unavailable("log", reason)
    assert reading.said == ["ended None", "behind"]
    tail.begin()
    tail.get(1)
    reading.main.begin()
    reading.main.get(0, 1)
    reading.link.pass_time()
    assert reading.said == ["ended None", "behind", "ended None"]


@pytest.mark.parametrize("reason", ["404 NOT_FOUND - no queue 'log' in vhost '/'", "403 ACCESS_REFUSED - read"])
def test_a_stream_that_is_not_there_or_not_for_us_is_the_end(reason: str) -> None:
    reading = Reading(follow=True, never_empty=True)
    reading.main.listener.unavailable("log", reason)
    assert reading.said == [f"ended log: {reason}"]


def test_who_reads_to_the_end_once_does_not_wait_for_a_stream_that_is_not_served() -> None:
    reading = Reading()
    reading.main.listener.unavailable("log", "406 PRECONDITION_FAILED")
    assert reading.said == ["ended log: 406 PRECONDITION_FAILED"]


def test_one_that_never_had_the_stream_catches_up_when_it_is_told() -> None:
    """The stream was made after it began: it has no channel whose loss it would hear of."""
    reading = Reading(follow=True, never_empty=True)
    reading.main.listener.unavailable("log", "404 NOT_FOUND - no queue 'log' in vhost '/'")
    reading.said.clear()
    reading.reader.catch_up()
    reading.reader.catch_up()
    tail = reading.link.consumers[-1]
    assert len(reading.link.consumers) == 3, "its own, the first tail, and one more"
    reading.main.begin()
    assert reading.said == ["behind"], "now it can be read"
    tail = reading.link.consumers[-1]
    tail.begin()
    tail.get(3)
    reading.main.get(0, 1, 2)
    reading.link.pass_time()
    assert reading.said == ["behind"]
    reading.main.get(3)
    reading.link.pass_time()
    assert reading.said == ["behind", "ended None"]


def test_one_that_is_closed_does_not_catch_up() -> None:
    reading = Reading(follow=True)
    reading.link.pass_time()
    reading.reader.close()
    reading.reader.catch_up()
    assert len(reading.link.consumers) == 2
