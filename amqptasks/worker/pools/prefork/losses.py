"""What a process that died leaves behind: an outcome for what it ran, and a pause before the next one. Pure."""

from __future__ import annotations

from typing import Any

from amqptasks.errors import WorkerLostError
from amqptasks.tasks.outcomes import Crashed, Failure, Outcome
from amqptasks.tasks.task import Task
from amqptasks.worker.job.admission import failed_deliveries
from amqptasks.worker.job.job import Job

#: Seconds before a child is started in place of one that died before it did anything, doubled up to the second figure;
#: the same before a fork server is started where the last could not be, or had no child that did anything. Whoever
#: gives the machine descriptors or memory again need not wait longer for the tasks.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0


def lost(job: Job, task: Task[..., Any] | None, how: str) -> Outcome:
    """Run it again as often as its queue's delivery limit allows, where its task does not say otherwise."""
    again = task is None or task.options.get("reject_on_worker_lost", True)
    times, limit = failed_deliveries(job.delivery) + 1, job.queue.delivery_limit
    if again and not job.acked and (limit <= 0 or times < limit):
        return Crashed(how)
    count = f", in run {times} of {limit}" if again and not job.acked else ""
    return Failure(WorkerLostError(f"its process was {how}{count}"))


def pause_after(deaths: int) -> float:
    """Seconds to wait after so many earlier deaths in a row that were of no use."""
    doublings = min(deaths, 10)  # beyond, the pause is the longest, and the power no float any more in the end
    return min(FIRST_PAUSE * 2.0**doublings, LONGEST_PAUSE)
