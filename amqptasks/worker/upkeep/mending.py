"""Declares what is missing on the broker, and sends on what was lost: on a thread of its own, for it may block."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from amqptasks.dead_letters.lost import send_on
from amqptasks.errors import AmqptasksError
from amqptasks.runtime.clock import broker_time
from amqptasks.runtime.log_queue import get_logger
from amqptasks.topology.delays import LOST
from amqptasks.transport import Missing
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.upkeep.losses import loss_of_exchange, loss_of_queue

if TYPE_CHECKING:
    from amqptasks.app.app import App

logger = get_logger(__name__)

#: What a worker remembers of what it mended, for `status`: the latest.
REMEMBERED = 50


class Mending:
    """For one worker. `mended` has a line for each object that it declared again; `trouble` says why it could not, None
    where there is nothing to do. Both are read on any thread."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._running = threading.Lock()
        self.mended: tuple[str, ...] = ()
        self.trouble: str | None = None

    def soon(self, missing: Missing, *, declare: bool) -> bool:
        """Declare the topology where `declare`, say what that means of what was `missing`, and empty
        `amqptasks.delay.lost`. Returns at once; False while an earlier one is under way."""
        if not self._running.acquire(blocking=False):
            return False
        threading.Thread(target=self._run, args=(missing, declare), name="amqptasks-declare", daemon=True).start()
        return True

    def _run(self, missing: Missing, declare: bool) -> None:
        try:
            if declare:
                self._declare(missing)
            self._send_on()
            self.trouble = None
        except AmqptasksError as error:
            self._failed(missing, str(error))
        finally:
            self._running.release()

    def _declare(self, missing: Missing) -> None:
        self._app.declare()
        rooms = {queue.room: queue.name for queue in self._app.topology.queues.values()}
        for name in missing.exchanges:
            self._tell("exchange", name, loss_of_exchange(name, rooms.get(name)))
        for name in missing.queues:
            self._tell("queue", name, loss_of_queue(name, rooms.get(name)))

    def _tell(self, kind: str, name: str, loss: str) -> None:
        logger.error(
            "%s %s was missing on the broker, and is declared again: %s",
            kind,
            name,
            loss,
            extra={"action": "declared_again", kind: name},
        )
        line = f"{broker_time.utcnow():%Y-%m-%dT%H:%M:%SZ} {kind} {name} was missing, and is declared again: {loss}"
        self.mended = (*self.mended, line)[-REMEMBERED:]

    def _failed(self, missing: Missing, why: str) -> None:
        names = ", ".join((*missing.exchanges, *missing.queues)) or "what is missing on the broker"
        logger.error("%s cannot be declared again: %s", names, why, extra={"action": "declare_failed"})
        self.trouble = f"{names} cannot be declared again: {why}"

    def _send_on(self) -> None:
        if not self._app.topology.longest_delay:
            return
        with self._app.session() as session:
            state = session.queue_state(LOST)
            if state is None or not state.messages:
                return
            done = send_on(session)
        if done.sent:
            logger.error(
                "%s had found no queue when due: sent on from %s: %s",
                counted(done.sent.total(), "delayed task", "delayed tasks"),
                LOST,
                _counted(done.sent),
                extra={"action": "lost_sent_on"},
            )
        if done.stay:
            logger.warning(
                "%s in %s, because no queue takes them: %s",
                counted(done.stay.total(), "delayed task stays", "delayed tasks stay"),
                LOST,
                _counted(done.stay),
                extra={"action": "lost_stay"},
            )


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} for {name}" for name, count in sorted(counts.items())[:10])
