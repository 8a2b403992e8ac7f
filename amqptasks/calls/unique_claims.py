"""Claims on the broker: who declares a queue of the claim's name first, with its own id in it, has the claim.

The broker compares a declaration with what exists, in one step, and refuses another id (406): so of many who ask at
once one gets it. Nothing is ever put into such a queue. It goes by itself after its time (`x-expires`), which declaring
in vain does not prolong; or it is deleted by who has the id.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from amqptasks.errors import (
    AccessRefused,
    AlreadyQueued,
    BrokerError,
    BrokerUnreachable,
    ClaimUnavailable,
    DeclarationConflict,
    QueueDown,
)
from amqptasks.options.unique import PREFIX, Claim
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Session
from amqptasks.transport.entities import Queue

logger = get_logger(__name__)

Answer = TypeVar("Answer")

#: The argument that holds the id of who has the claim: one that the broker compares. It asks for an exchange, and that
#: for the right to write to it; none of this name exists, as there is no message that could go there.
HOLDER, EXCHANGE = "x-dead-letter-routing-key", "x-dead-letter-exchange"
EXPIRES = "x-expires"

#: In place of an id where only the holder's is wanted: the broker cuts what it says at 255 bytes, and says both.
NOBODY = "?"

#: Bytes of an id that is written as it is. What is longer, or no ASCII, is known by a digest: RabbitMQ closes the
#: connection (541) where its answer would be cut within a character.
LONGEST_ID = 64
DIGEST = "sha256-"

#: Seconds without a claim after which the connection is closed: shorter than its heartbeats, which nobody sends for it.
IDLE = 10.0

#: Seconds for a claim that nobody waits for, or that a task releases as it begins.
ANSWER_WITHIN = 10.0

#: Seconds that the broker has at least, for a call whose time is nearly up.
SHORTEST = 0.1

#: Seconds for the broker to answer about a claim; it takes a millisecond. A queue on a node that is down is not
#: answered about for a minute.
ANSWERS_WITHIN = 2.0

#: A claim that ends while it is asked for is asked for again, so often at most; each takes it a step further.
MOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class _Taken:
    """Another call has it: `by` is its id, where that is known."""

    by: str | None


class Claims:
    """Takes and releases the claims of one process, over a connection of their own. Thread-safe; blocks."""

    def __init__(self, connect: Callable[[float], Session]) -> None:
        """`connect` opens a session that waits for the broker so many seconds."""
        self._connect = connect
        self._lock = threading.RLock()
        self._asking = False
        self._session: Session | None = None
        self._used = 0.0
        self._closing = False
        self._later: deque[Claim] = deque()  # to be given back where nobody waits for it, by one thread
        self._later_lock = threading.RLock()  # the handler of a signal may publish, too
        self._is_giving_back = False

    def take(self, claim: Claim, until: float | None = None) -> bool:
        """Raises `AlreadyQueued` where another call has it, `ClaimUnavailable` where its node is down, and
        `BrokerError`, at `until` on the monotonic clock at the latest (None: in ten seconds). The same call may take it
        again: False where it had it before, and keeps it whatever comes of the second time."""
        until = monotonic() + ANSWER_WITHIN if until is None else until
        try:
            with self._turn(until):
                had = claim.chosen and self._asked(lambda session: _is_there(session, claim), until)
                taken = self._asked(lambda session: _take(session, claim), until)
                if taken is not None and not claim.chosen:
                    self._asked(lambda session: _is_there(session, claim), until)
        except QueueDown as down:
            raise ClaimUnavailable(claim.task, claim.key, claim.name, str(down), claim.identity) from None
        except BrokerError:
            raise
        except BaseException:  # interrupted while the broker may have given it already
            if not claim.chosen:
                self.give_back(claim)
            raise
        if taken is not None:
            raise AlreadyQueued(claim.task, claim.key, taken.by, claim.identity, waits=claim.released)
        return not had

    async def take_async(self, claim: Claim, until: float) -> bool:
        """`take` for asyncio. Whoever is cancelled meanwhile has no claim."""
        taking = asyncio.ensure_future(asyncio.to_thread(self.take, claim, until))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:  # which no thread hears: it takes the claim all the same
            await asyncio.wait({taking})
            if taking.exception() is None and taking.result():
                await asyncio.to_thread(self.give_back, claim)
            raise

    def release(self, claim: Claim) -> None:
        """Others may have it from now on; nothing is done where others have it already. Raises `BrokerError`."""
        self._release(claim, monotonic() + ANSWER_WITHIN)

    def _release(self, claim: Claim, until: float) -> None:
        with self._turn(until):
            self._asked(lambda session: _release(session, claim), until)

    def give_back(self, claim: Claim, error: BaseException | None = None, until: float | None = None) -> None:
        """`release` of a call that was not published, because of `error`. Never raises: the claim ends by itself, in
        time. A call that is in doubt keeps its claim, as the task may run; whoever publishes it again, with the same
        id, may have it. From `until` on, on the monotonic clock, nobody waits for it: it is done in the background."""
        if isinstance(error, BrokerError) and error.maybe_published:
            return
        if isinstance(error, BrokerUnreachable) or (until is not None and until <= monotonic()):
            self._give_back_later(claim)
        else:
            self._given_back(claim, until)

    def _give_back_later(self, claim: Claim) -> None:
        with self._later_lock:
            self._later.append(claim)
            if self._is_giving_back:
                return
            self._is_giving_back = True
        threading.Thread(target=self._give_all_back, name="amqptasks-claims", daemon=True).start()

    def _give_all_back(self) -> None:
        while True:
            with self._later_lock:
                if not self._later:
                    self._is_giving_back = False
                    return
                claim = self._later.popleft()
            self._given_back(claim)

    def _given_back(self, claim: Claim, until: float | None = None) -> None:
        try:
            self._release(claim, until or monotonic() + ANSWER_WITHIN)
        except Exception as error:
            logger.warning(
                "the claim of task %s[%s], which was not published, stays for %.0f s: %s",
                claim.task,
                claim.identity,
                claim.milliseconds / 1000,
                error,
                extra={"action": "claim_left", "task_name": claim.task, "task_id": claim.identity},
            )

    def close(self, timeout: float) -> None:
        """What is asked for at this moment is waited for, `timeout` seconds at most; it can be used again."""
        if self._lock.acquire(timeout=timeout):
            try:
                self._close()
            finally:
                self._lock.release()

    @contextmanager
    def _turn(self, until: float) -> Iterator[None]:
        """One asks at a time."""
        if not self._lock.acquire(timeout=max(0.0, until - monotonic())):
            raise BrokerUnreachable("the broker does not answer the calls that asked for their claims before this one")
        try:
            yield
        finally:
            self._lock.release()

    def _asked(self, ask: Callable[[Session], Answer], until: float) -> Answer:
        """Twice, where the connection was broken meanwhile: asking again changes nothing."""
        if self._asking:  # the handler of a signal, in the middle of another question of this thread
            with contextlib.closing(self._connect(max(SHORTEST, until - monotonic()))) as session:
                return ask(session)
        self._asking = True
        try:
            return self._asked_in_turn(ask, until)
        finally:
            self._asking = False

    def _asked_in_turn(self, ask: Callable[[Session], Answer], until: float) -> Answer:
        self._used = monotonic()
        left = max(SHORTEST, until - self._used)
        if self._session is None:
            self._session = self._connect(left)
        else:
            self._session.timeout = left
        if not self._closing:
            self._close_later(IDLE)
            self._closing = True
        try:
            answer = ask(self._session)
        except BrokerUnreachable:
            self._close()
            if monotonic() >= until:
                raise
            self._session = self._connect(max(SHORTEST, until - monotonic()))
            answer = ask(self._session)
        except BrokerError:
            raise
        except BaseException:  # a task that is interrupted while it begins: the answer is still to come
            self._close()
            raise
        return answer

    def _close_later(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._close_if_idle)
        timer.daemon = True
        timer.name = "amqptasks-claims"
        timer.start()

    def _close_if_idle(self) -> None:
        with self._lock:
            idle = monotonic() - self._used
            if self._session is None or idle >= IDLE:
                self._closing = False
                self._close()
            else:
                self._close_later(IDLE - idle)

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _is_there(session: Session, claim: Claim) -> bool:
    """Raises `QueueDown` where the node of the claim is down: it refuses everybody then, and never ends. Nothing is
    in the queue, so that purging it is only a question, and one that does not prolong its life. RabbitMQ 4.3 does not
    answer while the node is down, other releases say so. Without the right to ask, the answer is left out."""
    within = min(ANSWERS_WITHIN, session.timeout)
    began = monotonic()
    try:
        session.purge_queue(claim.name, within)
    except BrokerUnreachable as silence:
        if monotonic() - began < within:
            raise
        raise QueueDown(str(silence)) from None
    except QueueDown:
        raise
    except AccessRefused:
        return not claim.chosen or session.queue_state(claim.name) is not None
    except BrokerError:  # there is no such queue
        return False
    return True


def _take(session: Session, claim: Claim) -> _Taken | None:
    """None once the claim is ours."""
    milliseconds = claim.milliseconds
    for _ in range(MOST_ROUNDS):
        conflict = _declared(session, claim, _written(claim.identity), milliseconds)
        if conflict is None:
            if milliseconds == claim.milliseconds:
                return None
            # It ended in this moment, or was ours before: for another time.
            session.delete_queue(claim.name)
            milliseconds = claim.milliseconds
        elif conflict.argument == HOLDER:
            return _Taken(_holder(session, claim, milliseconds, conflict))
        elif conflict.argument == EXPIRES and conflict.current.isdecimal():
            # It was taken for another time, and the broker names one difference only: ask as the other one did.
            milliseconds = int(conflict.current)
        else:
            raise conflict  # somebody else's queue
    return _Taken(None)  # it changes hands all the time


def _release(session: Session, claim: Claim) -> None:
    # Declared first: that is how the broker compares the id. Where there was none, it is ours for this moment.
    if _declared(session, claim, _written(claim.identity), claim.milliseconds) is None:
        session.delete_queue(claim.name)


def _holder(session: Session, claim: Claim, milliseconds: int, conflict: DeclarationConflict) -> str | None:
    """Whose it is; None where that cannot be known."""
    if not conflict.current:
        again = _declared(session, claim, NOBODY, milliseconds)
        if again is None:  # it ended in this moment, and now it is nobody's
            session.delete_queue(claim.name)
            return None
        conflict = again
    return None if conflict.current.startswith(DIGEST) else conflict.current or None


def _written(identity: str) -> str:
    if len(identity) <= LONGEST_ID and identity.isascii():
        return identity
    # A message may bring bytes that are no text.
    return f"{DIGEST}{hashlib.sha256(identity.encode(errors='surrogatepass')).hexdigest()[:32]}"


def _declared(session: Session, claim: Claim, identity: str, milliseconds: int) -> DeclarationConflict | None:
    """None where the queue is there as `identity` wants it, maybe since now."""
    arguments = {"x-queue-type": "classic", EXPIRES: milliseconds, EXCHANGE: PREFIX, HOLDER: identity}
    try:
        session.declare_queue(Queue(claim.name, arguments=arguments))
    except DeclarationConflict as conflict:
        return conflict
    return None
