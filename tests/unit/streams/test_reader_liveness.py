"""How a reader notices that it hears nothing any more: by comparing, by a probe, by a tick that does not come."""

from __future__ import annotations

import pytest

from amqptasks.errors import Nacked
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.streams import liveness, ticking
from amqptasks.streams.liveness import COMPARE_EVERY, GRACE, LOOK_WITHIN, Comparing, Probing
from amqptasks.streams.position import Position
from amqptasks.streams.reader import Replaced
from amqptasks.streams.ticking import Ticking
from tests.unit.streams.still_link import Consumer, record
from tests.unit.streams.test_reader_position import Reading


class Time:
    """The clock of what watches."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    for module in (liveness, ticking):
        monkeypatch.setattr(module, "monotonic", made)
    return made


def look(reading: Reading) -> Consumer:
    """Let the time come for a look: its consumer, which the broker confirms."""
    reading.link.pass_time(COMPARE_EVERY)
    found = reading.link.consumers[-1]
    assert found.prefetch == liveness.LOOK_PREFETCH
    found.begin()
    return found


def test_a_look_that_finds_what_the_reader_has_changes_nothing() -> None:
    comparing = Comparing()
    reading = Reading(liveness=comparing)
    reading.main.get(0, 1)
    main = reading.main
    looking = look(reading)
    assert looking.offset == 1, "at the record that it has applied last"
    looking.get(1)
    reading.link.pass_time(GRACE)
    assert looking.is_closed, "what follows on the record would have come with it"
    assert not main.is_closed
    assert (comparing.looks, comparing.deaf) == (1, 0)
    assert look(reading) is not looking, "and so on"


def test_a_reader_that_is_deaf_begins_anew_at_its_position() -> None:
    """As after a cluster was parted: its consumer is there, and hears nothing."""
    comparing = Comparing()
    reading = Reading(liveness=comparing)
    reading.main.get(0, 1)
    main = reading.main
    look(reading).get(1, 2)
    reading.link.pass_time(GRACE)
    assert main.is_closed
    assert comparing.deaf == 1
    assert reading.main.offset == 1
    reading.main.begin()
    reading.main.get(1, 2)
    assert reading.numbers == [0, 1, 2]


def test_a_reader_that_has_read_nothing_yet_compares_with_the_beginning() -> None:
    comparing = Comparing()
    reading = Reading(liveness=comparing)
    looking = look(reading)
    assert looking.offset == "first"
    looking.get(0)
    reading.link.pass_time(GRACE)
    assert comparing.deaf == 1


def test_a_record_that_comes_to_both_in_a_moment_is_no_deafness() -> None:
    comparing = Comparing()
    reading = Reading(liveness=comparing)
    main = reading.main
    main.get(0)
    looking = look(reading)
    looking.get(0, 1)
    main.get(1)
    reading.link.pass_time(GRACE)
    assert comparing.deaf == 0
    assert looking.is_closed


def test_a_look_finds_another_stream_of_the_same_name() -> None:
    reading = Reading(liveness=Comparing())
    reading.main.get(0)
    look(reading).deliver(record(0, "another"))
    assert reading.changes == [Replaced(Position(0, "id-0"))]


def test_a_stream_that_ends_before_the_position_is_another_one_after_a_while() -> None:
    """A replica that is behind ends there, too, for a moment."""
    reading = Reading(liveness=Comparing())
    reading.main.get(50)
    for number in range(liveness.EMPTY_LOOKS):
        assert reading.changes == [], f"after {number} looks"
        look(reading)
        reading.link.pass_time(LOOK_WITHIN)
    assert reading.changes == [Replaced(Position(50, "id-50"))]
    assert reading.main.offset == "first"


def test_a_reader_that_knows_that_it_hears_nothing_does_not_look() -> None:
    comparing = Comparing()
    reading = Reading(liveness=comparing)
    reading.main.get(0)
    reading.main.break_off()
    reading.link.pass_time(COMPARE_EVERY)
    assert comparing.looks == 0


def test_a_reader_that_begins_with_what_is_written_from_now_on_does_not_look_before_it_has_read() -> None:
    comparing = Comparing()
    reading = Reading(liveness=comparing, offset="next")
    reading.link.pass_time(COMPARE_EVERY)
    assert comparing.looks == 0
    reading.main.get(7)
    assert look(reading).offset == 7


def look_in_vain(reading: Reading, reason: str | None) -> None:
    """A look that hears this from the broker, or nothing."""
    reading.link.pass_time(COMPARE_EVERY)
    looking = reading.link.consumers[-1]
    assert looking.prefetch == liveness.LOOK_PREFETCH
    if reason is not None:
        looking.listener.unavailable("log", reason)
    reading.link.pass_time(LOOK_WITHIN)


NO_REPLICA = "406 PRECONDITION_FAILED - stream queue 'log' does not have a running replica on the local node"


@pytest.mark.parametrize("reason", [None, NO_REPLICA])
def test_a_reader_whose_node_does_not_serve_it_goes_to_another_node(reason: str | None) -> None:
    """Less and less often where no node answers."""
    reading = Reading(liveness=Comparing())
    reading.main.get(0)
    moves = []
    for _ in range(16):
        look_in_vain(reading, reason)
        moves.append(reading.link.moves)
    assert moves == [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    look(reading).get(0)
    reading.link.pass_time(LOOK_WITHIN)
    for _ in range(2):
        look_in_vain(reading, reason)
    assert reading.link.moves == 5, "it counts anew after an answer"


@pytest.mark.parametrize("reason", ["403 ACCESS_REFUSED - no right", "404 NOT_FOUND - no queue 'log' in vhost '/'"])
def test_a_reader_goes_to_no_other_node_for_what_each_node_would_refuse(reason: str) -> None:
    reading = Reading(liveness=Comparing())
    reading.main.get(0)
    for _ in range(8):
        look_in_vain(reading, reason)
    assert reading.link.moves == 0


def test_a_reader_that_the_broker_does_not_answer_goes_to_another_node() -> None:
    reading = Reading(liveness=Comparing())
    reading.main.get(0)
    reading.main.break_off()
    for _ in range(liveness.STAYS):
        assert reading.link.moves == 0
        reading.link.pass_time(COMPARE_EVERY)
    assert reading.link.moves == 1


def test_a_reader_that_is_refused_stays_at_its_node() -> None:
    reading = Reading(liveness=Comparing())
    reading.main.get(0)
    reading.main.break_off()
    reading.main.listener.unavailable("log", "403 ACCESS_REFUSED - no right")
    for _ in range(8):
        reading.link.pass_time(COMPARE_EVERY / 2)
    assert reading.link.moves == 0


def test_a_look_comes_at_once_while_a_node_that_is_back_has_no_replica_and_seldom_later_on() -> None:
    reading = Reading(liveness=Comparing())
    reading.main.get(0)
    pauses = []
    for _ in range(liveness.UNSERVED + 1):
        look_in_vain(reading, NO_REPLICA)
        pauses.append(min(timer.delay for timer in reading.link.timers if not timer.is_cancelled))
    assert pauses[:-2] == [liveness.SERVED_AGAIN] * (liveness.UNSERVED - 1)
    assert all(pause >= COMPARE_EVERY * liveness.SHORTEST_PART for pause in pauses[-2:])


def test_a_look_ends_with_its_reader() -> None:
    reading = Reading(liveness=Comparing())
    reading.main.get(0)
    looking = look(reading)
    reading.reader.close()
    assert looking.is_closed
    count = len(reading.link.consumers)
    reading.link.pass_time(100)
    assert len(reading.link.consumers) == count


def probe(identity: str) -> Outgoing:
    return Outgoing("log.probe", "", b"", Properties(message_id=identity))


def written(reading: Reading) -> str:
    """The message id of the probe that was written last, which the broker confirms."""
    outgoing, done = reading.link.published[-1]
    done(None)
    assert outgoing.properties.message_id is not None
    return outgoing.properties.message_id


def test_a_probe_that_comes_back_is_not_shown_to_anybody(time: Time) -> None:
    probing = Probing(probe)
    reading = Reading(liveness=probing)
    reading.main.get(0)
    time.now += 11
    reading.link.pass_time(20)
    identity = written(reading)
    reading.main.deliver(record(1, identity))
    main = reading.main
    reading.link.pass_time(4)
    assert reading.main is main
    assert (reading.numbers, probing.deaf) == ([0], 0)
    assert reading.reader.position == Position(1, identity)


def test_a_probe_that_does_not_come_back_shows_a_deaf_reader_and_then_a_deaf_node(time: Time) -> None:
    stuck: list[int] = []
    probing = Probing(probe, stuck.append)
    reading = Reading(liveness=probing)
    reading.main.get(0)
    for expected in ([], [2], [2, 3]):
        time.now += 11
        reading.link.pass_time(20)
        written(reading)
        main = reading.main
        reading.link.pass_time(4)
        assert reading.main is not main
        reading.main.begin()
        reading.main.get(0)
        assert stuck == expected


def test_nothing_at_all_although_the_probe_is_there_is_another_stream(time: Time) -> None:
    reading = Reading(liveness=Probing(probe))
    reading.main.get(50)
    time.now += 11
    reading.link.pass_time(20)
    written(reading)
    reading.link.pass_time(4)
    reading.main.begin()
    reading.link.pass_time(liveness.REPLACED_WITHIN)
    assert reading.changes == [Replaced(Position(50, "id-50"))]


def test_a_probe_that_cannot_be_written_says_nothing_of_the_reader(time: Time) -> None:
    probing = Probing(probe)
    reading = Reading(liveness=probing)
    reading.main.get(0)
    time.now += 11
    reading.link.pass_time(20)
    reading.link.published[-1][1](Nacked("full", "id"))
    reading.link.pass_time(4)
    assert probing.deaf == 0
    time.now += 11
    reading.link.pass_time(20)
    assert len(reading.link.published) == 2


def test_a_reader_whose_ticks_stop_begins_anew(time: Time) -> None:
    stuck: list[int] = []
    ticks = Ticking(2.0, stuck.append)
    reading = Reading(liveness=ticks)
    reading.main.get(0)
    time.now += 3
    reading.link.pass_time(4)
    assert ticks.deaf == 0, "one may be missed"
    time.now += 2
    main = reading.main
    reading.link.pass_time(4)
    assert reading.main is not main
    assert (ticks.deaf, stuck) == (1, [])
    reading.main.begin()
    time.now += 4
    reading.link.pass_time(4)
    assert (ticks.deaf, stuck) == (2, [2])
