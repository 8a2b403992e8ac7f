"""When the command of this process began: whoever waits at a terminal waits for its imports, too."""

from __future__ import annotations

from amqptasks.runtime.clock import monotonic

#: Seconds after which a command is no longer beginning: it runs, and its user has seen a word of it.
BEGINS_FOR = 4.0

#: The part of a time-out that is left in any case. On a busy machine the imports may take all of it.
LEAST = 0.5

_began: float | None = None


def begin() -> None:
    """Called once, by the command line of a process of its own."""
    global _began  # noqa: PLW0603 -- there is one command in a process
    _began = monotonic()


def left_of(timeout: float) -> float:
    """Of the seconds that a first answer may take, those that are left to a command that begins; all of them elsewhere,
    and later."""
    if _began is None or (taken := monotonic() - _began) > BEGINS_FOR:
        return timeout
    return max(LEAST * timeout, timeout - taken)
