"""The look at the objects of a worker, once a minute and whenever something is missed. Link thread only.

A message that came early, because a delay queue was missing, goes back for the rest of its time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqptasks.control import broker_clock
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.own_headers import TO
from amqptasks.runtime.clock import broker_time, monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks.outcomes import Outcome, Postpone
from amqptasks.topology.delays import rung, skipped, waiting_time
from amqptasks.topology.expand.ladder import ladder_names
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport import Missing
from amqptasks.worker.job.admission import EARLY
from amqptasks.worker.upkeep.mending import Mending

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Seconds between two looks at most; they vary, so that a hundred workers do not look together.
EVERY = 60.0
SHORTEST = 40.0

#: Seconds between something that is missed and the look: it may be about to be made anew by whoever deleted it.
PAUSE = 2.0

#: Seconds between two lines about messages that came early.
TOLD_EVERY = 60.0


class Upkeep:
    """For one node. `mending` knows what was mended."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.mending = Mending(node.app)
        self._missed = False  # something is missing: declare, whatever the look finds
        self._due_soon = False
        self._clock_asked = monotonic()
        self._lost = 0  # messages in `amqptasks.delay.lost` at the last look
        self._told = float("-inf")

    def begin(self) -> None:
        """Look every minute from now on. The first look is somewhere within the first minute."""
        if self._node.app.topology.longest_delay:
            self._node.dispatcher.refusals.append(self.refusal)
        self._node.link.call_later(random.uniform(0, EVERY), self._look_and_go_on)

    def soon(self) -> None:
        """Something that we need is not on the broker."""
        self._missed = True
        if not self._due_soon:
            self._due_soon = True
            self._node.link.call_later(PAUSE, self._look)

    def refusal(self, delivery: Delivery) -> Outcome | None:
        """For a message that came early by more than a delay may differ, the rest of its delay. It is not known how
        long it lay in its queue, so it comes late rather than early."""
        headers = delivery.shared_headers
        if TO not in headers:
            return None
        rungs = skipped(delivery.exchange, headers)
        early = waiting_time(rungs)
        if early <= EARLY:
            return None
        self.soon()
        now = monotonic()
        if now - self._told >= TOLD_EVERY:
            self._told = now
            names = ", ".join(f"queue {rung(number)}" for number in rungs)
            logger.error(
                "delayed tasks come early by up to %.1f s, because on their way there was no %s: they go back for the"
                " rest of their time",
                early,
                names,
                extra={"action": "delayed_early"},
            )
        return Postpone(early)

    def _look_and_go_on(self) -> None:
        if not self._node.is_stopping:
            self._node.link.call_later(random.uniform(SHORTEST, EVERY), self._look_and_go_on)
            self._look()

    def _look(self) -> None:
        self._due_soon = False
        can = self._node.link.capabilities
        if self._node.is_stopping:
            return
        if not broker_time.is_current() or monotonic() - self._clock_asked > broker_clock.EVERY:
            self._clock_asked = monotonic()
            self._node.app.caller.know_the_time_again()
        if can is None:  # not connected yet
            self._on_looked(None, None)
            return
        topology = self._node.app.topology
        ladder = ladder_names(topology, can)
        consumed = [topology.queue(name) for name in self._node.queues]
        own = [name for queue in consumed for name in _belonging(queue)]
        rooms = [queue.room for queue in consumed if queue.room is not None] if topology.longest_delay else []
        by_name = [QUEUES_EXCHANGE] if topology.reached_by_name else []
        exchanges = [*by_name, *topology.exchanges, *rooms, *ladder.exchanges]
        queues = [*dict.fromkeys(own), *rooms, *ladder.queues]  # lost is the last: how many messages it holds is wanted
        self._node.link.look_for(exchanges, queues, self._on_looked)

    def _on_looked(self, missing: Missing | None, error: BaseException | None) -> None:
        if self._node.is_stopping:
            return
        if missing is None:
            if error is not None:
                logger.warning("what is on the broker cannot be seen: %s", error, extra={"action": "look_failed"})
            if not self._missed:  # the next look is in a minute
                return
            missing = Missing()
        lost = missing.messages if self._node.app.topology.longest_delay else None
        # More lost than at the last look: a binding may be gone, of which the broker says nothing.
        declare = self._missed or bool(missing) or (lost or 0) > self._lost
        self._lost = lost or 0
        if not (declare or lost):
            self.mending.trouble = None
        elif self.mending.soon(missing, declare=declare):
            self._missed = False
        else:
            self.soon()


def _belonging(queue: QueueSettings) -> Iterator[str]:
    """The queues that were made for this one; itself is noticed by its consumer."""
    yield from queue.generated
    if queue.dead_letter is not None:
        yield queue.dead_letter
