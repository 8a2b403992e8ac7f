"""The first connection of a process, and the declaration over it: one attempt for all the calls that wait for it.

Each call waits as long as its own deadline allows and then raises what the attempt has met so far. The attempt goes on
for the others, and for whoever calls next. It fails for all of them at once where trying again mends nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from amqptasks.calls.deadline import Deadline
from amqptasks.errors import HINT, BrokerError, BrokerUnreachable, is_lasting
from amqptasks.runtime.clock import monotonic
from amqptasks.transport import STOPPED, Link

#: Seconds between two looks whether a call that waits is to give up.
LOOK = 0.1

#: The part of the time for a first answer that one try to connect has in any case. On a busy machine, the imports of a
#: first call may take the rest.
ONE_TRY = 0.75

#: Seconds for one try to declare at least: a call that gives up sooner leaves it to the next.
DECLARE_WITHIN = 1.0

#: Seconds between two tries to declare; doubled up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Opening:
    """`where` names the addresses, of which there are `count`. `prepare`, where there is something to declare, does it
    within so many seconds."""

    def __init__(self, link: Link, where: str, count: int, prepare: Callable[[float], None] | None) -> None:
        self._link = link
        self._where = where
        self._prepare = prepare
        self._ended: Future[BaseException | None] = Future()
        self._ended.set_running_or_notify_cancel()  # nobody who stops waiting may cancel it for others
        self._troubles: deque[BrokerError] = deque(maxlen=count)
        self._answered = False
        self._until = 0.0
        self._stopped = threading.Event()

    def begin(self) -> None:
        """Connect, in the background. Returns at once."""
        if not self._link.call_soon(lambda: self._link.connect(self._heard)):
            self._end(BrokerUnreachable(STOPPED))

    def stop(self) -> None:
        """Nobody shall wait for it any longer."""
        self._stopped.set()
        self._end(BrokerUnreachable(STOPPED))

    @property
    def is_done(self) -> bool:
        """True once the broker is there, and declared what was to be."""
        return self._ended.done() and self._ended.result() is None

    @property
    def has_failed(self) -> bool:
        return self._ended.done() and self._ended.result() is not None

    def wait(self, deadline: Deadline) -> None:
        """Until it is done. Raises `BrokerError` at the deadline, or what ended it."""
        self._until = max(self._until, deadline.end)
        while not self._ended.done():
            left = self._left(deadline)
            if left <= 0:
                raise self._given_up(deadline)
            try:
                self._ended.result(min(LOOK, left))
            except TimeoutError:
                continue
        self._raise()

    async def wait_async(self, deadline: Deadline) -> None:
        """`wait` for asyncio: the loop goes on meanwhile."""
        self._until = max(self._until, deadline.end)
        ended = asyncio.wrap_future(self._ended)
        while not self._ended.done():
            left = self._left(deadline)
            if left <= 0:
                raise self._given_up(deadline)
            await asyncio.wait({ended}, timeout=min(LOOK, left))
        self._raise()

    def _left(self, deadline: Deadline) -> float:
        at = deadline.given_up_at(taken=self._link.is_answered, answered=self._answered)
        if not (self._troubles or self._answered):
            # Nothing is known yet, because the process was slow to begin: one try has its time in any case.
            since = self._link.trying_since
            at = deadline.end if since is None else min(deadline.end, max(at, since + ONE_TRY * deadline.first))
        return at - monotonic()

    def _raise(self) -> None:
        error = self._ended.result()
        if isinstance(error, BrokerError):
            raise error.of_call(error.task_id)  # each that waits has an error of its own
        if error is not None:
            raise error

    def _given_up(self, deadline: Deadline) -> BrokerError:
        seen = dict.fromkeys(str(trouble) for trouble in self._troubles)
        who = "somebody listens there, and said nothing" if self._link.is_answered else "nobody answered"
        text = "; ".join(seen) or f"{self._where}: {who} within {deadline.passed:.1f} s"
        return BrokerUnreachable(text if self._answered else f"{text}. {HINT}")

    # The link's thread

    def _heard(self, error: BrokerError | None) -> None:
        if error is None:
            self._answered = True
            self._troubles.clear()
            if self._prepare is None:
                self._end(None)
            else:
                self._declare_beside(self._prepare)
        elif is_lasting(error):
            self._end(error)
        else:
            self._answered |= isinstance(error, BrokerUnreachable) and error.is_answer
            self._troubles.append(error)

    def _declare_beside(self, prepare: Callable[[float], None]) -> None:
        try:
            threading.Thread(target=self._declare, args=(prepare,), name="amqptasks-opening", daemon=True).start()
        except RuntimeError as error:  # no thread can be had: whoever waits is told, and the link's thread goes on
            self._end(error)

    # A thread of its own: it blocks

    def _declare(self, prepare: Callable[[float], None]) -> None:
        pause = FIRST_PAUSE
        while not self._stopped.is_set():
            try:
                prepare(max(DECLARE_WITHIN, self._until - monotonic()))
            except BrokerUnreachable as error:
                if is_lasting(error) or monotonic() >= self._until:
                    self._end(error)
                    return
                self._troubles.append(error)
                self._stopped.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except BaseException as error:  # whatever it is, it is for those who wait
                self._end(error)
                return
            else:
                self._end(None)
                return

    def _end(self, error: BaseException | None) -> None:
        if not self._ended.done():
            self._ended.set_result(error)
