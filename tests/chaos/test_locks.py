"""How good a lock on the broker is: what a broken wire of its holder does to it. docs/limits.md tells the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from amqptasks import App
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: Seconds. The broker takes a client for dead after two to three of them without a sign.
HEARTBEAT = 2


class Book:
    """Tasks that begin and do not end until they may."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.may_end = threading.Event()

    def work(self) -> None:
        self.began.append(time.monotonic())
        self.may_end.wait(40)


@pytest.fixture
def book() -> Iterator[Book]:
    book = Book()
    yield book
    book.may_end.set()


def seconds_until_another_holds_it(book: Book, vhost: Vhost, proxy: Proxy, *, hangs: bool) -> float:
    """One holds the lock; its wire hangs, or is cut; from then on until another runs beside it."""
    holder = App("shop", f"{proxy.url}?heartbeat={HEARTBEAT}", ignore_result=True)
    other = App("shop", vhost.url, ignore_result=True)
    for app in (holder, other):
        app.task(name="work", lock=True, queue="default")(book.work)
    with holder.worker(["default"], stop_timeout=1.0):
        other.send_task("work")
        wait_for(lambda: book.began, 20.0, "the first begins")
        with other.worker(["default"]):
            other.send_task("work")
            broke = time.monotonic()
            if hangs:
                proxy.pause()
            else:
                proxy.cut()
                proxy.refuse()
            wait_for(lambda: len(book.began) == 2, 25.0, "another begins beside it")
            overlapped = book.began[1] - broke
            book.may_end.set()
            proxy.resume() if hangs else proxy.accept()
    holder.close()
    other.close()
    return overlapped


def test_a_lock_whose_holder_lost_its_connection_is_free_at_once_while_the_holder_still_runs(
    book: Book, vhost: Vhost, proxy: Proxy
) -> None:
    seconds = seconds_until_another_holds_it(book, vhost, proxy, hangs=False)
    print(f"another began after {seconds:.2f} s")
    assert seconds < 5.0


@pytest.mark.long
def test_a_lock_whose_holder_is_silent_is_free_after_two_to_three_heartbeats(
    book: Book, vhost: Vhost, proxy: Proxy
) -> None:
    seconds = seconds_until_another_holds_it(book, vhost, proxy, hangs=True)
    print(f"another began after {seconds:.2f} s")
    assert HEARTBEAT <= seconds < HEARTBEAT * 3 + 5.0
