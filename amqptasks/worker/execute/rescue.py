"""What becomes of a job that an exception met outside of its task's own lines: an interruption that came too early or
too late, or a fault. Each job gets its settlement, or it would stay with its worker for good."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from amqptasks.errors import INTERRUPTIONS
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks.outcomes import interrupted
from amqptasks.worker.job.job import Job

if TYPE_CHECKING:
    from amqptasks.worker.execute.executor import Executor

logger = get_logger(__name__)


def rescue(steps: Executor, job: Job, error: BaseException) -> None:
    """Plan a job that `error` kept from it. An outcome that it has stands: the interruption came too late. Raises
    nothing but a further interruption, while the job's pool may still interrupt it, and may be called again then."""
    if job.planned is not None:
        return
    if isinstance(error, (*INTERRUPTIONS, asyncio.CancelledError)):
        error = job.interruption or error  # with its reason: only its class can be raised in a thread
    else:
        logger.error("task %s[%s]: a step of its delivery raised", job.task_name, job.task_id, exc_info=error)
    try:
        steps.conclude(job, job.outcome or interrupted(error))
    except BaseException as broken:
        if job.interruption is not None and isinstance(broken, INTERRUPTIONS):
            raise
        # Not back to its queue: a classic queue counts nothing, and it would go round for ever.
        steps.bury(job, broken)
