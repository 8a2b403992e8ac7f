"""How a worker stops: warm, then soft, then cold, each for a bounded time. Link thread only.

warm    nothing more is taken, what has not begun goes back to its queue, what runs may end
soft    `WorkerStopping` is raised in what still runs: it may tidy up, and goes back without an attempt counted
cold    what runs even now is ended by force where that can be, and goes back; a task that was acknowledged when it
        began (`acks_late=False`) cannot, and becomes a dead letter if the broker takes that in time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from amqptasks.errors import WorkerStopping
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Link
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.pools.choice import Pools

logger = get_logger(__name__)

Beginning = Literal["finish", "interrupt", "hand-back"]

#: Seconds for tasks to end, and then to tidy up. Together with the goodbye to the broker they fit the 30 seconds that
#: Kubernetes gives a pod (`terminationGracePeriodSeconds`).
FINISH_WITHIN, TIDY_WITHIN = 22.0, 4.0


@dataclass(frozen=True, slots=True)
class StopPlan:
    """`begin` is the first stage: finish (warm), interrupt (soft) or hand-back (cold). `finish` and `tidy` are the
    seconds of the warm and of the soft stage; None: without an end."""

    begin: Beginning = "finish"
    finish: float | None = FINISH_WITHIN
    tidy: float | None = TIDY_WITHIN

    @property
    def within(self) -> float | None:
        """Seconds until the cold stage begins; None where it never does."""
        stages = {"finish": (self.finish, self.tidy), "interrupt": (self.tidy,), "hand-back": ()}[self.begin]
        known = [seconds for seconds in stages if seconds is not None]
        return sum(known) if len(known) == len(stages) else None


class Stages:
    """Leads through the stages once the warm one has begun. `cold` begins the last one."""

    def __init__(self, link: Link, pools: Pools, plan: StopPlan, cold: Callable[[], None]) -> None:
        self._link = link
        self._pools = pools
        self._plan = plan
        self._cold = cold
        self._begun = False

    @property
    def within(self) -> float | None:
        """See `StopPlan`."""
        return self._plan.within

    def begin(self) -> None:
        """Once."""
        if self._begun:
            return
        self._begun = True
        plan = self._plan
        if plan.begin == "hand-back":
            self._harden()
        elif plan.begin == "interrupt":
            self._soften()
        elif plan.finish is not None:
            self._link.call_later(plan.finish, self._soften)

    def _soften(self) -> None:
        count = 0
        for pool in self._pools:
            for job in pool.current():
                count += pool.interrupt(job, WorkerStopping())
        if count:
            logger.warning(
                "stopping: %s told to end",
                counted(count, "task is", "tasks are"),
                extra={"action": "worker_interrupts"},
            )
        if self._plan.tidy is not None:
            self._link.call_later(self._plan.tidy, self._harden)

    def _harden(self) -> None:
        # Those that were acknowledged are told of as lost.
        jobs = [job for pool in self._pools for job in pool.current() if not job.acked]
        if jobs:
            listed = ", ".join(f"{job.task_name}[{job.task_id}]" for job in jobs)
            logger.warning(
                "stopping: %s back unfinished, and the work so far will be done twice: %s",
                counted(len(jobs), "task goes", "tasks go"),
                listed,
                extra={"action": "worker_abandons"},
            )
        self._cold()
