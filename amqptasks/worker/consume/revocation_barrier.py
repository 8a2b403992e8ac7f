"""A gate before the pools, shut while the worker may not know yet what must not run. Link thread only."""

from __future__ import annotations

from collections.abc import Callable

from amqptasks.messages.delivery import Delivery
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Link, Timer
from amqptasks.untrusted.numbers import counted

logger = get_logger(__name__)

#: Seconds that a delivery waits here before the log says so, and between two such lines.
TELL_AFTER, TELL_EVERY = 15.0, 60.0


class RevocationBarrier:
    """`deliver` gets what was held, in order, once the gate opens; what died with its channel meanwhile is left out.
    `why` says what it waits for, in the log."""

    def __init__(self, link: Link, deliver: Callable[[list[Delivery]], None], why: Callable[[], str]) -> None:
        self._link = link
        self._deliver = deliver
        self._why = why
        self.is_shut = False
        self._held: list[list[Delivery]] = []
        self._timer: Timer | None = None

    @property
    def holds(self) -> bool:
        """True while something waits before it."""
        return bool(self._held)

    def shut(self) -> None:
        """Hold what comes, until `open`."""
        self.is_shut = True
        self._held = [batch for batch in self._held if batch[0].lease.alive]  # a batch is of one channel

    def hold(self, batch: list[Delivery]) -> None:
        """While it is shut."""
        if self._timer is None:
            self._timer = self._link.call_later(TELL_AFTER, self._tell)
        self._held.append(batch)

    def open(self) -> None:
        """Let all of it go on."""
        self.is_shut = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held = self._held, []
        for batch in held:
            if batch[0].lease.alive:
                self._deliver(batch)

    def _tell(self) -> None:
        self._timer = self._link.call_later(TELL_EVERY, self._tell)
        count = sum(len(batch) for batch in self._held if batch[0].lease.alive)
        logger.error(
            "nothing begins, and %s here: %s",
            counted(count, "task waits", "tasks wait"),
            self._why(),
            extra={"action": "revocations_late"},
        )
