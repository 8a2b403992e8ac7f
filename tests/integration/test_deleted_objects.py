"""Every object of ours on the broker deleted by hand, one after the other, while tasks are under way."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest

from amqptasks import App
from amqptasks.amqp.blocking.session import Session
from amqptasks.errors import BrokerError
from amqptasks.worker.upkeep import upkeep
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: RabbitMQ offers a message again after so many seconds whose dead-letter exchange was missing; and what a busy machine
#: adds.
HELD_BACK, SLOW = 180.0, 15.0

#: Messages in deleted queues that RabbitMQ does not count: a worker holds them, or they are on their way to the next.
UNDER_WAY = 5

#: Objects that may come back with the one that was deleted before them.
AT_ONCE = 2

#: A task may be early by so many seconds.
EARLY = 1.0

#: Seconds for an object to be there again.
MENDED_WITHIN = 30.0

#: A task that was called before a queue was deleted, and due after that, may have been in it; by so many seconds times
#: taken on two threads differ.
NEARLY = 1.0


class Load:
    """An app with a worker, and a thread that goes on calling: plain and delayed tasks, retries, tasks with a link."""

    def __init__(self, url: str) -> None:
        self.app = App("shop", url, ignore_result=True)
        self.called: dict[str, float] = {}
        self.due: dict[str, float] = {}
        self.ran: dict[str, float] = {}
        self.refused = 0
        self.note = self.app.task(name="shop.note")(self._note)
        self.again = self.app.task(name="shop.again", autoretry_for=(KeyError,), default_retry_delay=1)(self._again)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)

    def missing(self) -> set[str]:
        return self.due.keys() - self.ran.keys()

    def _go_on(self) -> None:
        chosen = random.Random(5)
        number = 0
        while not self._over.wait(0.1):
            number += 1
            seconds = chosen.choice((0.3, 0.7, 1.5, 3.0))
            words = {f"{number}": (0.0, seconds, 1.0, 0.0)[number % 4]}
            if number % 4 == 3:
                words[f"{number} linked"] = 0.0
            try:
                self._call(number, seconds)
            except BrokerError as error:
                self.refused += not error.maybe_published
                continue
            now = time.monotonic()
            for word, delay in words.items():
                self.due[word] = now + delay

    def _call(self, number: int, seconds: float) -> None:
        self.called[f"{number}"] = self.called[f"{number} linked"] = time.monotonic()
        match number % 4:
            case 1:
                self.note.apply_async([f"{number}"], countdown=seconds)
            case 2:
                self.again.apply_async([f"{number}"])
            case 3:
                self.note.apply_async([f"{number}"], link=self.note.si(f"{number} linked"))
            case _:
                self.note.apply_async([f"{number}"])

    def _note(self, word: str) -> None:
        self.ran.setdefault(word, time.monotonic())

    def _again(self, word: str) -> None:
        if self.again.request.retries == 0:
            raise KeyError(word)
        self._note(word)


@pytest.fixture
def load(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Its worker looks every second or two, and not every minute."""
    monkeypatch.setattr(upkeep, "EVERY", 2.0)
    monkeypatch.setattr(upkeep, "SHORTEST", 1.0)
    monkeypatch.setattr(upkeep, "PAUSE", 0.5)
    made = Load(vhost.url)
    with made.app.worker():
        yield made
        made.stop()
    made.app.close()


def _objects(vhost: Vhost) -> list[tuple[str, str]]:
    """Ours, and the queues of the topology; without what goes with a connection."""
    queues = [one["name"] for one in vhost.management.queues() if not one.get("exclusive")]
    exchanges = [one["name"] for one in vhost.management.request("GET", "exchanges", vhost.name)]
    return [("queue", name) for name in sorted(queues)] + [
        ("exchange", name) for name in sorted(exchanges) if name.startswith("amqptasks.")
    ]


def _is_there(session: Session, kind: str, name: str) -> bool:
    return session.queue_state(name) is not None if kind == "queue" else session.exchange_exists(name)


def _said(caplog: pytest.LogCaptureFixture, name: str) -> bool:
    return any(name in one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_object_deleted_by_hand_loses_only_what_was_in_it_and_makes_no_task_early(
    load: Load, session: Session, vhost: Vhost, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    load.start()
    wait_for(lambda: len(load.ran) > 10, 30)
    load.app.control.ping()
    objects = _objects(vhost)
    assert len(objects) > 60
    deleted: list[tuple[str, float, int]] = []
    mended: dict[str, float] = {}
    unsaid = []
    for kind, name in objects:
        caplog.clear()
        at, held = time.monotonic(), 0
        if kind == "queue":
            held = session.delete_queue(name)
        else:
            session.delete_exchange(name)
        deleted.append((f"{kind} {name}", at, held))
        wait_for(partial(_is_there, session, kind, name), MENDED_WITHIN, f"{kind} {name} is not there again")
        mended[f"{kind} {name}"] = time.monotonic() - at
        with suppress(AssertionError):
            wait_for(partial(_said, caplog, name), 5)
        unsaid += [] if _said(caplog, name) else [f"{kind} {name}"]
        wait_for(lambda: load.app.control.ping(timeout=1), MENDED_WITHIN, f"no answer after {kind} {name} was deleted")
    load.stop()
    lost = sum(held for *_, held in deleted)
    queues = [at for name, at, _ in deleted if name.startswith("queue ")]

    def excused(word: str) -> bool:
        return any(load.called[word] - NEARLY <= at <= load.due[word] + NEARLY for at in queues)

    wait_for(lambda: all(map(excused, load.missing())), HELD_BACK + SLOW, lambda: f"{load.missing()} never ran", 1.0)
    lateness = sorted(load.ran[word] - due for word, due in load.due.items() if word in load.ran)
    with capsys.disabled():
        print(
            f"\n{len(deleted)} objects deleted and there again after {max(mended.values()):.1f} s at most;"
            f" {len(load.due)} tasks, {load.refused} calls refused, {len(load.missing())} lost with"
            f" {lost} messages in deleted queues; earliest {lateness[0]:.2f} s,"
            f" latest {lateness[-1]:.1f} s, {sum(late > 5 for late in lateness)} over 5 s late; unsaid: {unsaid}"
        )
    assert len(load.missing()) <= lost + UNDER_WAY
    assert lateness[0] > -EARLY
    assert lateness[-1] < HELD_BACK + SLOW
    # The client of the test makes this one itself before each command. And what is deleted while the one before it is
    # still being mended comes back with that one, unseen.
    assert len({*unsaid} - {"exchange amqptasks.control"}) <= AT_ONCE
