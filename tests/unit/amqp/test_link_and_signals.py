"""A signal's handler runs in the midst of whatever the main thread does, also of asking the link for something: what it
asks for itself, and an exception that it raises, must leave the link awake."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from amqptasks.amqp.link import Link

#: Signals of each test. One in some dozens met the lock that this is about, one in some hundreds the gap. Of those that
#: ask, each waits for the interpreter to change threads, five milliseconds.
ASKING, RAISING = 1000, 3000

#: Calls that wait for the link at most: without an end there would be millions of them, and a minute of collecting.
MOST_AHEAD = 1000

#: Seconds for what the link's thread was asked: it has nothing else to do.
ANSWERED_WITHIN = 10.0


class Interrupted(Exception):
    pass


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link(["amqp://localhost:1"])
    made.start()
    yield made
    made.stop(5)


@contextmanager
def interrupting(handler: Callable[[], None], wanted: SimpleQueue[bool]) -> Iterator[threading.Thread]:
    """Send this thread a signal for each True that is wanted, handled by `handler`, until a False; the sender."""
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: handler())
    main = threading.main_thread().ident
    assert main is not None

    def send() -> None:
        while wanted.get():
            signal.pthread_kill(main, signal.SIGUSR1)

    sender = threading.Thread(target=send, daemon=True)
    try:
        sender.start()
        yield sender
    finally:
        sender.join(ANSWERED_WITHIN)
        signal.signal(signal.SIGUSR1, before)


def answers(link: Link) -> bool:
    answered = threading.Event()
    link.call_soon(answered.set)
    return answered.wait(ANSWERED_WITHIN)


@pytest.mark.long
def test_a_handler_may_ask_the_link_for_something_while_the_thread_that_it_interrupts_is_asking(link: Link) -> None:
    asked, done, ran = [0], [0], [0]
    sent = 0

    wanted: SimpleQueue[bool] = SimpleQueue()

    def ask() -> None:
        asked[0] += 1
        link.call_soon(lambda: done.__setitem__(0, done[0] + 1))
        wanted.put(asked[0] < ASKING)

    with interrupting(ask, wanted) as sender:
        wanted.put(True)
        while sender.is_alive():
            if sent - ran[0] < MOST_AHEAD:
                link.call_soon(lambda: ran.__setitem__(0, ran[0] + 1))
                sent += 1
    assert answers(link)
    assert ran == [sent]
    assert done == asked == [ASKING]


@pytest.fixture
def no_collection() -> Iterator[None]:
    """An exception raised in the midst of one would be swallowed, and reported."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.long
@pytest.mark.usefixtures("no_collection")
def test_an_exception_of_a_handler_in_the_midst_of_asking_leaves_the_link_awake(link: Link) -> None:
    def end() -> None:
        raise Interrupted

    interrupted = 0
    wanted: SimpleQueue[bool] = SimpleQueue()
    with interrupting(end, wanted):
        for _ in range(RAISING):
            try:
                wanted.put(True)
                while True:
                    link.call_soon(lambda: None)
            except Interrupted:
                interrupted += 1
            assert answers(link), f"asleep after {interrupted} interruptions"
        wanted.put(False)
    assert interrupted == RAISING
