"""The loop of a link's thread: a callback that raises loses no other, and what ends the loop is said."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from amqptasks.amqp.loop import MOST_CALLS, MOST_CANCELLED, MOST_IN_A_ROW, Loop
from amqptasks.transport.guard import MOST_FAILURES, MOST_TRACEBACKS, Guard, LinkBroken, described

#: Seconds for a loop that has nothing else to do.
WITHIN = 10.0


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


class Broken(Exception):
    """Its text takes for ever; nobody may ask for it on the link's thread."""

    def __str__(self) -> str:
        threading.Event().wait()
        raise AssertionError

    __repr__ = __str__


@pytest.mark.parametrize("error", [RuntimeError("no"), Broken(), SystemExit(3), KeyboardInterrupt(), RecursionError()])
def test_a_callback_that_raises_loses_no_other_call_timer_or_descriptor_of_its_turn(
    loop: Loop, error: BaseException
) -> None:
    ran: list[str] = []
    near, far = socket.socketpair()

    def fail(*_: object) -> None:
        raise error

    def readable(_descriptor: int, _events: int) -> None:
        ran.append(f"read {near.recv(10)!r}")
        fail()

    with near, far:
        far.send(b"word")
        loop.add_handler(near.fileno(), readable, Loop.READ)
        for kind in ("call", "timer", "soon"):
            for after in (fail, lambda kind=kind: ran.append(kind)):
                if kind == "call":
                    loop.call_soon(after)
                else:
                    loop.call_later(0.001 if kind == "timer" else 0, after)
        loop.call_later(0.05, loop.stop)
        loop.start()
        assert near.fileno() in loop.descriptors
        assert sorted(ran) == ["call", "read b'word'", "soon", "timer"]
        loop.remove_handler(near.fileno())
        assert near.fileno() not in loop.descriptors


def test_a_descriptor_whose_callback_always_raises_ends_the_loop_instead_of_turning_for_ever(loop: Loop) -> None:
    near, far = socket.socketpair()
    calls = []

    def fail(descriptor: int, _events: int) -> None:
        calls.append(descriptor)
        raise RuntimeError

    with near, far:
        far.send(b"never read")
        loop.add_handler(near.fileno(), fail, Loop.READ)
        with pytest.raises(LinkBroken, match="failed 10 times in a row"):
            loop.start()
    assert len(calls) == MOST_IN_A_ROW


def test_callbacks_that_fail_without_end_leave_few_lines_and_then_end_the_loop(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        loop.call_soon(fail)
        raise RuntimeError

    loop.call_soon(fail)
    ended = threading.Timer(WITHIN, loop.stop)
    ended.start()
    with pytest.raises(LinkBroken, match=f"{MOST_FAILURES} of its callbacks"):
        loop.start()
    ended.cancel()
    assert len(caplog.records) == MOST_TRACEBACKS


@pytest.mark.parametrize("which", ["the bell", "the poll", "a socket"])
def test_a_descriptor_that_somebody_closes_ends_the_loop(loop: Loop, which: str) -> None:
    near, far = socket.socketpair()
    loop.add_handler(near.fileno(), lambda *_: None, Loop.READ)
    descriptor = {
        "the bell": loop._wakeup.descriptor,
        "the poll": loop._selector.fileno(),  # type: ignore[attr-defined]
        "a socket": near.fileno(),
    }[which]
    failed: list[BaseException] = []

    def run() -> None:
        try:
            loop.start()
        except BaseException as error:
            failed.append(error)

    copy = os.dup(descriptor)
    thread = threading.Thread(target=run)
    thread.start()
    os.close(descriptor)
    thread.join(WITHIN)
    assert not thread.is_alive()
    assert failed, "it says so"
    os.dup2(copy, descriptor)  # so that whoever owns it closes its own
    os.close(copy)
    near.close()
    far.close()


def test_a_descriptor_that_became_another_file_ends_the_loop(loop: Loop) -> None:
    with open(os.devnull, "rb") as other:
        os.dup2(other.fileno(), loop._wakeup.descriptor)
        with pytest.raises(LinkBroken, match="is another file"):
            loop.start()


def test_timers_run_in_order_and_a_cancelled_one_never_does(loop: Loop) -> None:
    ran: list[str] = []
    loop.call_later(0.03, lambda: ran.append("third"))
    loop.call_later(0.01, lambda: ran.append("second"))
    loop.call_later(0.02, lambda: ran.append("never")).cancel()
    loop.call_later(0, lambda: ran.append("first"))
    loop.call_later(0, lambda: ran.append("never")).cancel()
    loop.call_later(0.04, loop.stop)
    loop.start()
    assert ran == ["first", "second", "third"]


def test_cancelled_timers_do_not_pile_up(loop: Loop) -> None:
    kept = [loop.call_later(3600, lambda: None) for _ in range(10)]
    for _ in range(20 * MOST_CANCELLED):
        loop.call_later(3600, lambda: None).cancel()
    assert len(loop._later) <= MOST_CANCELLED + len(kept)


def test_a_flood_of_call_soon_does_not_keep_the_loop_from_its_descriptors(loop: Loop) -> None:
    seen: list[int] = []
    left = [10 * MOST_CALLS]

    def count() -> None:
        left[0] -= 1
        if not left[0]:
            loop.stop()

    near, far = socket.socketpair()
    with near, far:
        loop.add_handler(near.fileno(), lambda *_: (seen.append(left[0]), near.recv(1)), Loop.READ)
        for _ in range(left[0]):
            loop.call_soon(count)
        loop.call_later(0, lambda: far.send(b"x"))
        loop.start()
        assert left == [0]
        assert seen
        assert seen[0] > MOST_CALLS
        loop.remove_handler(near.fileno())


class Unwilling(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("the log server is away")


def test_a_guard_raises_nothing_where_the_log_does() -> None:
    handler = Unwilling()
    logging.getLogger().addHandler(handler)
    try:
        assert Guard().call(raising(ValueError("x"))) is False
    finally:
        logging.getLogger().removeHandler(handler)


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_the_text_of_an_exception_is_only_asked_for_where_no_code_of_a_user_makes_it() -> None:
    assert described(ValueError("as it is")).endswith("builtins.ValueError: as it is")
    assert described(Broken()).endswith(".Broken")
    assert described(ValueError(Broken())).endswith("builtins.ValueError")
