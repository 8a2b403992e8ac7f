"""How a node leaves: what it holds is settled or handed back, then its consumers are closed. Link thread only."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.node.shutdown_stages import Stages, StopPlan
from amqptasks.worker.settle import Settler

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Seconds between two looks at what still runs, while stopping.
STOP_POLL = 0.02

#: Seconds to write what is buffered and to say goodbye to the broker.
GOODBYE = 5.0

#: The same for a worker that never was ready: it holds nothing, and its broker may not answer at all.
START_GOODBYE = 1.0

#: Seconds that a cold stop waits for the broker's answer.
COLD_GOODBYE = 0.5


class Shutdown:
    """`begun` once the node takes nothing more, `cold` once it gives back what runs, too."""

    def __init__(self, node: Node, settler: Settler, plan: StopPlan) -> None:
        self._node = node
        self._settler = settler
        self._stages = Stages(node.link, node.pools, plan, self.leave_cold)
        self.begun = False
        self.cold = False
        #: Set once all is settled and the consumers are closed; waited for in other threads.
        self.over = threading.Event()

    @property
    def within(self) -> float | None:
        """See `StopPlan.within`."""
        return self._stages.within

    def leave_warm(self) -> None:
        """Take nothing more, give back what has not begun, and lead what runs through the stages of the plan."""
        if self.begun:
            return
        self._begin()
        node = self._node
        for pool in node.pools:
            for job in pool.take_back():
                if job.settled:
                    pool.submit([job])
                else:
                    node.completions.hand_back(job)
        for job in (*node.decisions.take_back(), *node.dispatcher.take_back()):
            node.completions.hand_back(job)
        self._settler.stop()
        logger.info(
            "stopping: %s running",
            counted(node.pools.running, "task is", "tasks are"),
            extra={"action": "worker_stopping"},
        )
        self._stages.begin()
        self._finish_when_settled()

    def leave_cold(self) -> None:
        """Everything goes back to its queue, also what runs, but for what was acknowledged when it began."""
        if self.over.is_set() or self.cold:
            return
        self.cold = True
        self._begin()  # first: what we give back must not come to us again
        self._settler.stop()
        for job in self._node.held:
            if job.acked:
                self._node.completions.lose(job)  # while its pool still knows since when it ran
        for pool in self._node.pools:
            pool.abort()  # before anybody else begins what it ran
        for job in self._node.held:
            self._node.completions.abandon(job)
        self._settler.replies.drop()
        self._finish_when_closed(monotonic() + COLD_GOODBYE)

    def _begin(self) -> None:
        self.begun = True
        self._node.give_up_starting()
        self._node.consumers.close()
        self._node.lost_runs.give_up()
        self._node.dispatcher.barrier.open()  # after the cancels: what it held goes back, and must not come again

    def _finish_when_settled(self) -> None:
        if self.over.is_set():
            return
        if any(queue.held for queue in self._node.queues.values()) or self._node.completions.pending:
            self._node.link.call_later(STOP_POLL, self._finish_when_settled)
        else:
            self._settler.replies.drop()
            self._finish_when_told()

    def _finish_when_told(self) -> None:
        """Callers whose replies are dropped are told so, while the link lives."""
        if self._settler.replies.is_telling:
            self._node.link.call_later(STOP_POLL, self._finish_when_told)
        else:
            self._finish_when_closed(monotonic() + self._node.goodbye)

    def _finish_when_closed(self, deadline: float) -> None:
        """What is on its way until the broker has answered the cancels goes back too; a connection that is closed
        before that would make the broker count it as failed."""
        node = self._node
        node.control.stop()
        if node.events is not None:
            node.events.offline()
        if (node.consumers.is_closed and not node.decisions.pending) or monotonic() > deadline:
            self.over.set()
        else:
            node.link.call_later(STOP_POLL, lambda: self._finish_when_closed(deadline))
