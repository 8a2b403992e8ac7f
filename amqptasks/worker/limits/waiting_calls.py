"""The claim of a call that waits (`unique=`), released where the call waits no longer: just before its task's first
line, so that whoever calls from then on gets in, and what he changed before is seen; or when it never runs."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from amqptasks.errors import BrokerError
from amqptasks.uniqueness import UNIQUE, Claim, read
from amqptasks.worker.job import Job

if TYPE_CHECKING:
    from amqptasks.app import App

logger = logging.getLogger(__name__)

#: Ends of a call that never ran, and waits no longer.
NEVER_RAN = frozenset({"Reject", "Expired", "Revoked"})


class WaitingCalls:
    """Of one process that runs tasks."""

    def __init__(self, app: App) -> None:
        self._app = app

    def begin(self, job: Job) -> None:
        """It is about to run. Blocks until others may call; any thread but the link's. Never raises: the claim that
        could not be released ends in time."""
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
            threading.Thread(target=self._release, args=(claim,), name="amqptasks-claims", daemon=True).start()

    def _release(self, claim: Claim) -> None:
        try:
            self._app.claims.release(claim)
        except BrokerError as error:
            logger.warning(
                "the claim of task %s could not be released: calls like it are refused for up to %.0f s more: %s",
                claim.identity,
                claim.milliseconds / 1000,
                error,
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
