"""Where every thread of this process is: what SIGUSR1 asks a worker for."""

from __future__ import annotations

import logging
import threading

from amqptasks.runtime.log_queue import get_logger
from amqptasks.runtime.thread_stacks import formatted, thread_stacks

logger = get_logger(__name__)

#: Frames that are shown of each thread, the innermost ones: they tell where it is.
SHOWN = 40


def stacks() -> list[tuple[str, str]]:
    """The name and the stack of each thread, the one that asks last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    me = threading.get_ident()
    return [
        (names.get(identity, f"number {identity}"), formatted(stack, SHOWN))
        for identity, stack in sorted(thread_stacks().items(), key=lambda item: item[0] == me)
    ]


def log_stacks() -> None:
    """A record for each thread: its name, and its stack as a traceback has it."""
    for name, stack in stacks():
        record = logger.makeRecord(
            logger.name,
            logging.WARNING,
            __file__,
            0,
            "the stack of the thread %s:",
            (name,),
            None,
            extra={"action": "stacks"},
        )
        record.exc_text = stack
        logger.handle(record)


def text() -> bytes:
    """All of them, for a process that has no log yet."""
    return "\n".join(f"the stack of the thread {name}:\n{stack}\n" for name, stack in stacks()).encode(errors="replace")


def place_of(thread: threading.Thread) -> str:
    """The thread's name and the line of code where it is, for a sentence."""
    stack = thread_stacks().get(thread.ident or 0)
    where = f" ({stack[-1].filename}:{stack[-1].lineno} in {stack[-1].name})" if stack else ""
    return f"{thread.name!r}{where}"
