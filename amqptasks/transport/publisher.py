"""Confirmed publishing for callers: blocking, awaited, as futures, and in bulk. One thread writes for all of them."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - asyncio loads it late, and it cannot be loaded while a program ends
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import NamedTuple

from amqptasks.errors import AccessRefused, BrokerError, BrokerUnreachable, ConnectionBlocked, PublishTimeout
from amqptasks.messages.outgoing import Outgoing
from amqptasks.transport import STOPPED, Done, Link

#: Called with the number of messages that are confirmed so far.
Progress = Callable[[int], None]

#: Messages handed to the link in one go: large enough that a wake-up costs nothing, small enough that the first ones
#: are on the wire while the next are still being encoded.
CHUNK = 200

#: Messages in bulk publishing that wait for their confirm. Twice the window of a channel: the link never runs dry,
#: and memory does not grow with the length of the input.
AHEAD = 2000

#: Why nothing is published any more, in `__del__` for example: the thread that writes has ended with the program.
ENDING = "the program is ending, and the thread of its connections has ended: publish before, or in an `atexit` handler"

#: Seconds that a caller waits longer than the link's own deadline, which reports the better reason.
GRACE = 5.0


#: Errors that say nothing of the message: no broker took it in time.
_AWAY = (AccessRefused, BrokerUnreachable, ConnectionBlocked, PublishTimeout)


class Failed(NamedTuple):
    """A message of many that the broker did not take; `position` counts from 0."""

    position: int
    outgoing: Outgoing
    error: BaseException


class Publisher:
    """Publishes through a link that it does not own. Every method may be called from any thread."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def submit(self, outgoing: Outgoing, timeout: float) -> Future[None]:
        """Publish without waiting; the future ends with the confirm, or with a `BrokerError`."""
        future: Future[None] = Future()

        def done(error: BaseException | None) -> None:
            if not future.set_running_or_notify_cancel():
                return  # the caller stopped waiting; the message is the broker's all the same
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._hand_over(outgoing, done, timeout)
        return future

    def publish(self, outgoing: Outgoing, timeout: float) -> None:
        """Publish and wait for the confirm, for about `timeout` seconds."""
        waiter = threading.Lock()
        waiter.acquire()
        failed: list[BaseException] = []

        def done(error: BaseException | None) -> None:
            if error is not None:
                failed.append(error)
            waiter.release()

        self._hand_over(outgoing, done, timeout)
        if not waiter.acquire(timeout=timeout + GRACE):
            late = PublishTimeout("the link did not answer in time", outgoing.properties.correlation_id)
            late.maybe_published = True
            raise late
        if failed:
            raise failed[0]

    def _hand_over(self, outgoing: Outgoing, done: Done, timeout: float) -> None:
        if sys.is_finalizing():
            done(_unsent(outgoing, ENDING))
        elif not self._link.call_soon(lambda: self._link.publish(outgoing, done, timeout)):
            done(_unsent(outgoing, STOPPED))

    async def publish_async(self, outgoing: Outgoing, timeout: float) -> None:
        """Publish and await the confirm, without blocking the running loop."""
        await asyncio.wrap_future(self.submit(outgoing, timeout))

    def publish_many(
        self, outgoings: Iterable[Outgoing], timeout: float, progress: Progress | None = None
    ) -> list[Failed]:
        """Publish all with the pipeline kept full; what failed, in the order of `outgoings`.

        `outgoings` may be a generator. It is drawn from as confirms come in, and no further once the broker was away
        for the `timeout` of a message. `progress` is called on this thread with the number of messages that are
        confirmed so far, whenever that has grown.
        """
        bulk = _Bulk(self._link, timeout, progress)
        source = iter(enumerate(outgoings))
        while not bulk.is_away and (chunk := list(islice(source, CHUNK))):
            bulk.publish(chunk)
        return bulk.finish()


def _unsent(outgoing: Outgoing, why: str) -> BrokerError:
    return BrokerUnreachable(why).of_call(outgoing.properties.correlation_id or "")


class _Bulk:
    """The count of one `publish_many`: how much is under way, what failed."""

    def __init__(self, link: Link, timeout: float, progress: Progress | None) -> None:
        self._link = link
        self._timeout = timeout
        self._progress = progress
        self._changed = threading.Condition()
        self._ended = 0
        self._reported = 0
        self._given = 0
        self._failed: list[Failed] = []
        #: True once a message failed because the broker was away or blocks publishers: so would those after it.
        self.is_away = False

    def publish(self, chunk: list[tuple[int, Outgoing]]) -> None:
        self._given += len(chunk)
        if sys.is_finalizing():
            for position, outgoing in chunk:
                self._end(position, outgoing, _unsent(outgoing, ENDING))
        elif not self._link.call_soon(lambda: self._publish_all(chunk)):
            for position, outgoing in chunk:
                self._end(position, outgoing, _unsent(outgoing, STOPPED))
        self._wait_for(self._given - AHEAD)

    def finish(self) -> list[Failed]:
        self._wait_for(self._given)
        return sorted(self._failed, key=lambda failed: failed.position)

    def _publish_all(self, chunk: list[tuple[int, Outgoing]]) -> None:
        publish, end, timeout = self._link.publish, self._end, self._timeout
        for position, outgoing in chunk:
            publish(outgoing, partial(end, position, outgoing), timeout)

    def _end(self, position: int, outgoing: Outgoing, error: BaseException | None) -> None:
        if error is not None:
            self._failed.append(Failed(position, outgoing, error))
            self.is_away |= isinstance(error, _AWAY)
        self._ended += 1  # only the link's thread counts, or after it ours
        if self._ended % CHUNK == 0 or self._ended >= self._given:
            with self._changed:
                self._changed.notify()

    def _wait_for(self, ended: int) -> None:
        while self._ended < ended and not (self.is_away and ended < self._given):
            with self._changed:
                # The confirm may have come before this wait began; then nobody notifies, so never wait long.
                self._changed.wait(0.05)
            self._report()
        self._report()

    def _report(self) -> None:
        confirmed = self._ended - len(self._failed)
        if self._progress is not None and confirmed > self._reported:
            self._reported = confirmed
            self._progress(confirmed)
