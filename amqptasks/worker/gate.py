"""A gate before the pools, shut while the worker may not know yet what must not run. Link thread only."""

from __future__ import annotations

from collections.abc import Callable

from amqptasks.incoming import Delivery
from amqptasks.log_queue import get_logger
from amqptasks.transport import Link, Timer

logger = get_logger(__name__)


class Gate:
    """`deliver` gets what was held, in order, once the gate opens; what died with its channel meanwhile is left out."""

    def __init__(self, link: Link, deliver: Callable[[list[Delivery]], None]) -> None:
        self._link = link
        self._deliver = deliver
        self.is_shut = False
        self._within = 0.0
        self._held: list[list[Delivery]] = []
        self._timer: Timer | None = None

    @property
    def holds(self) -> bool:
        """True while something waits before it."""
        return bool(self._held)

    def shut(self, within: float) -> None:
        """Hold what comes, none of it longer than `within` seconds."""
        self.is_shut = True
        self._within = within
        self._held = [batch for batch in self._held if batch[0].lease.alive]  # a batch is of one channel
        if not self._held:  # the time is counted from the first that waits
            self._cancel()

    def hold(self, batch: list[Delivery]) -> None:
        """While it is shut."""
        if self._timer is None:
            self._timer = self._link.call_later(self._within, self._open_late)
        self._held.append(batch)

    def open(self) -> None:
        """Let all of it go on."""
        self.is_shut = False
        self._cancel()
        held, self._held = self._held, []
        for batch in held:
            if batch[0].lease.alive:
                self._deliver(batch)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _open_late(self) -> None:
        self._timer = None
        logger.warning(
            "the revocations are not all read yet: going on without the rest", extra={"action": "revocations_late"}
        )
        self.open()
