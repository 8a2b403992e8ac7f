"""A wait has a name and a sentence, and is read in one place."""

from __future__ import annotations

from amqptasks.worker.consume.waits import ALARM, FULL_QUEUE, Wait, Waits


def test_waits_are_told_until_they_end() -> None:
    waits = Waits()
    waits.begin(ALARM, "the broker is low on disk", ready=True)
    waits.begin(FULL_QUEUE, "emails.dead is full", key="emails")
    waits.begin(FULL_QUEUE, "reports.dead is full", key="reports")
    assert [(one.name, one.detail, one.ready) for one in waits.current()] == [
        (ALARM, "the broker is low on disk", True),
        (FULL_QUEUE, "emails.dead is full", False),
        (FULL_QUEUE, "reports.dead is full", False),
    ]
    waits.end(FULL_QUEUE, key="emails")
    waits.end(ALARM)
    waits.end(ALARM)
    assert [one.detail for one in waits.current()] == ["reports.dead is full"]


def test_a_wait_that_lasts_keeps_its_time_and_gets_its_new_sentence() -> None:
    waits = Waits()
    waits.begin(ALARM, "low on disk")
    (first,) = waits.current()
    waits.begin(ALARM, "low on memory")
    (second,) = waits.current()
    assert (second.detail, second.since) == ("low on memory", first.since)
    assert second.told()["seconds"] >= 0


def test_who_knows_its_own_waits_is_asked_for_them() -> None:
    waits = Waits()
    told = [Wait("paused", "queue emails is paused", ready=True)]
    waits.ask(lambda: told)
    assert waits.current() == told
    assert told[0].told() == {"name": "paused", "detail": "queue emails is paused", "ready": True, "seconds": None}
