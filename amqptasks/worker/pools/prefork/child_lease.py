"""The lease of the jobs in a child: the node has the real one, and settles."""

from __future__ import annotations

from amqptasks.messages.delivery import Unwritten
from amqptasks.worker.pools.prefork.slots import Slots


class ChildLease(Unwritten):
    """See `messages.delivery.Lease`. Alive, as far as the child is concerned: what the node cannot settle, it drops."""

    alive = True

    def __init__(self, slots: Slots, slot: int) -> None:
        self._slots = slots
        self._slot = slot

    @property
    def lost(self) -> bool:
        return self._slots.is_lost(self._slot)
