"""The claim of a call that waits (`unique=`), released where the call waits no longer: just before its task's first
line, so that whoever calls from then on gets in, and what he changed before is seen; or when it never runs."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from amqptasks.errors import INTERRUPTIONS, BrokerError
from amqptasks.messages.own_headers import UNIQUE
from amqptasks.options.unique import Claim, read
from amqptasks.runtime.log_queue import get_logger
from amqptasks.worker.job.job import Job

if TYPE_CHECKING:
    from amqptasks.app.app import App

logger = get_logger(__name__)

#: Ends of a call that never ran, and waits no longer.
NEVER_RAN = frozenset({"Reject", "Expired", "Revoked"})


#: Claims that wait to be released by a worker: a minute's work for the broker.
MOST_OVER = 10_000


class WaitingCalls:
    """Of one process that runs tasks."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._over: deque[Claim] = deque()  # to be released
        self._left = 0  # claims that were not released, as too many waited
        self._lock = threading.Lock()
        self._releasing = False

    def begin(self, job: Job) -> None:
        """It is about to run. Blocks until others may call; any thread but the link's."""
        claim = claim_held_by(job)
        if claim is not None:
            self._release(claim)

    def end(self, job: Job) -> None:
        """It was settled. Returns at once; link thread."""
        planned = job.planned
        if planned is None or planned.kind not in NEVER_RAN or job.runtime:
            return
        claim = claim_held_by(job)
        if claim is not None:
            self._release_soon(claim)

    def _release_soon(self, claim: Claim) -> None:
        """By one thread for as many as there are: a queue of expired calls is read quicker than claims are released.
        Whoever may publish may name any claim, so there is an end to them."""
        with self._lock:
            if len(self._over) >= MOST_OVER:
                self._left += 1
                if str(self._left).strip("0") == "1":
                    told = "too many claims wait to be released: this one ends by its own time (%d so far)"
                    logger.warning(told, self._left, extra={"action": "claim_left", "task_id": claim.identity})
                return
            self._over.append(claim)
            if self._releasing:
                return
            self._releasing = True
        threading.Thread(target=self._release_all, name="amqptasks-claims", daemon=True).start()

    def _release_all(self) -> None:
        while True:
            with self._lock:
                if not self._over:
                    self._releasing = False
                    return
                claim = self._over.popleft()
            self._release(claim)

    def _release(self, claim: Claim) -> None:
        """Raises nothing but what interrupts the task from outside: the claim that could not be released ends in time,
        and its task runs, or was settled."""
        try:
            self._app.caller.claims.release(claim)
        except INTERRUPTIONS:
            raise
        except Exception as error:
            logger.warning(
                "the claim of task %s could not be released: calls like it are refused for up to %.0f s more: %s",
                claim.identity,
                claim.milliseconds / 1000,
                error,
                exc_info=not isinstance(error, BrokerError),
                extra={"action": "claim_left", "task_id": claim.identity},
            )


def claim_held_by(job: Job) -> Claim | None:
    """The claim that this delivery's message holds, if it holds one and has not begun before."""
    headers = job.delivery.properties.headers
    if not headers or UNIQUE not in headers:
        return None
    if job.request is not None and job.request.retries:  # a retry that the broker kept by itself
        return None
    return read(headers[UNIQUE], job.task_id)
