"""Declaring again what is missing on the broker, on a thread of its own: it may block."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from amqptasks.errors import AmqptasksError
from amqptasks.log_queue import get_logger

if TYPE_CHECKING:
    from amqptasks.app import App

logger = get_logger(__name__)

#: Seconds between two tries to declare what is missing.
DECLARE_PAUSE = 2.0


class Declaring:
    """For one worker."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._running = threading.Lock()

    def soon(self) -> None:
        """Something that we need is not on the broker. Returns at once; does nothing while a try is under way."""
        if self._running.acquire(blocking=False):
            threading.Thread(target=self._declare, name="amqptasks-declare", daemon=True).start()

    def _declare(self) -> None:
        """A queue is gone: make it again, so that the subscription, which tries by itself, finds it."""
        try:
            time.sleep(DECLARE_PAUSE)  # it may be about to be made anew by whoever deleted it
            self._app.declare()
        except AmqptasksError as error:
            logger.error("declaring again failed: %s", error, extra={"action": "declare_failed"})  # noqa: TRY400
        finally:
            self._running.release()
