"""A watch over an event loop: says when a task blocks it, which one, and where."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from amqptasks.runtime.clock import pause
from amqptasks.runtime.log_queue import get_logger
from amqptasks.runtime.thread_stacks import formatted, thread_stacks

logger = get_logger(__name__)

#: Seconds that the loop may be busy with one step of one task: nobody's `await` should take the others so long.
PATIENCE = 1.0

#: Seconds after which a loop that is still blocked is named again; doubled each time.
AGAIN = 10.0

#: Frames of the stack that are shown: the innermost ones tell what it waits for.
SHOWN = 12


class Watch:
    """Asks the loop for a sign of life while `busy()`; the thread sleeps while nothing runs. `name` says what a task of
    the loop is doing."""

    def __init__(self, busy: Callable[[], bool], name: Callable[[asyncio.Task[Any]], str]) -> None:
        self._busy = busy
        self._name = name
        self._wanted = threading.Event()
        self._alive = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: threading.Thread | None = None
        self._stopped = False

    def start(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        """Watch `loop`, which runs in `thread`; again, once it runs in another."""
        begins = self._loop is None
        self._loop, self._watched = loop, thread
        if begins:
            threading.Thread(target=self._run, name="amqptasks-watch", daemon=True).start()

    def look(self) -> None:
        """Something runs from now on."""
        if not self._wanted.is_set():
            self._wanted.set()

    def stop(self) -> None:
        self._stopped = True
        self._wanted.set()

    def _run(self) -> None:
        assert self._loop is not None
        while not self._stopped:
            self._wanted.wait()
            self._alive.clear()
            try:
                self._loop.call_soon_threadsafe(self._alive.set)
            except RuntimeError:  # it is closed: the worker has stopped
                return
            patience = PATIENCE
            waited = 0.0
            while not self._alive.wait(patience) and not self._stopped:
                waited += patience
                self._tell(waited)
                patience = AGAIN if waited == PATIENCE else patience * 2
            if not self._busy() and not self._stopped:
                self._wanted.clear()
            elif not self._stopped:
                pause(PATIENCE / 2)

    def _tell(self, seconds: float) -> None:
        assert self._loop is not None
        assert self._watched is not None
        task = asyncio.current_task(self._loop)
        stack = formatted(thread_stacks().get(self._watched.ident or 0, []), SHOWN)
        name = self._name(task) if task is not None else "a callback"
        logger.warning(
            "the event loop has been blocked for %.0f s by %s: the other async tasks wait for it\n%s",
            seconds,
            name,
            stack,
            extra={"action": "loop_blocked", "task": name},
        )
