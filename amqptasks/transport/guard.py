"""What every callback of a link's thread runs in: a raise in one loses no other, and is logged without another raise.

The rule for that thread is in docs/internals.md ("The link's thread").
"""

from __future__ import annotations

import os
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport.turns import FILE, Turns, shared_turns
from amqptasks.untrusted.numbers import counted

logger = get_logger(__name__)

#: Tracebacks that are logged within `PERIOD` seconds: enough to see what is wrong, and a fault that comes with each
#: message does not fill a disk.
MOST_TRACEBACKS = 10

#: Failures within `PERIOD` seconds after which the thread gives up: it would go round and round for ever.
MOST_FAILURES = 2_000

#: Seconds that failures are counted together for.
PERIOD = 60.0

#: Frames of a traceback that are logged: the innermost ones say what failed.
SHOWN = 12

#: Characters of an exception's text that are logged.
LONGEST_TEXT = 1_000

#: Types whose `str` and `repr` run no code of a user.
_PLAIN = (str, int, float, bool, bytes, type(None))


class LinkBroken(Exception):
    """The thread cannot go on; the text says why."""


class Guard:
    """Of one link. Every method runs on the link's thread and raises nothing, but for what it says."""

    def __init__(self, thread_name: str = "amqptasks-link") -> None:
        self._failed: deque[float] = deque(maxlen=MOST_FAILURES)
        self._logged: deque[float] = deque(maxlen=MOST_TRACEBACKS)
        self._unsaid = 0
        self._name = thread_name
        turns = shared_turns() if os.environ.get(FILE) else None
        #: Runs a callback with its arguments; True when it did not raise.
        self.call: Callable[..., bool] = self._call if turns is None else self._measured(turns)

    def wrapped(self, callback: Callable[..., object]) -> Callable[..., Any]:
        """`callback`, to be called by others who lose something when it raises, as pika does; True when it did not."""
        return partial(self._call, callback)

    def protected(self, callback: Callable[[], object], instead: Callable[[], object]) -> Callable[[], None]:
        """`callback`, after a raise of which `instead` is called: it begins anew what is left half done."""

        def protect() -> None:
            try:
                callback()
            except BaseException as error:
                self.failed("a callback of a connection", error)
                self._call(instead)

        return protect

    def check(self) -> None:
        """Raises `LinkBroken` when callbacks fail again and again. Once a turn."""
        failed = self._failed
        if len(failed) == MOST_FAILURES and monotonic() - failed[0] < PERIOD:
            raise LinkBroken(f"{MOST_FAILURES} of its callbacks failed within {PERIOD:.0f} s")

    def failed(self, what: str, error: BaseException) -> None:
        """Count a raise and log it, unless there were too many of late."""
        try:
            now = monotonic()
            self._failed.append(now)
            logged = self._logged
            if len(logged) == MOST_TRACEBACKS and now - logged[0] < PERIOD:
                self._unsaid += 1
                return
            logged.append(now)
            unsaid, self._unsaid = self._unsaid, 0
            more = f" ({counted(unsaid, 'more failure')} since the last such line)" if unsaid else ""
            logger.error("%s failed; going on%s\n%s", what, more, described(error), extra={"action": "link_callback"})
        except BaseException:  # a handler of the user's, or no memory: nothing is left to say it with
            return

    def _call(self, callback: Callable[..., object], *arguments: object) -> bool:
        try:
            callback(*arguments)
        except BaseException as error:
            self.failed("a callback of the link", error)
            return False
        return True

    def _measured(self, turns: Turns) -> Callable[..., bool]:
        call = self._call

        def measured(callback: Callable[..., object], *arguments: object) -> bool:
            began = turns.begin(callback)
            try:
                return call(callback, *arguments)
            finally:
                turns.end(callback, began)

        return measured


def described(error: BaseException) -> str:
    """The innermost frames of its traceback, its class, and its text where making that runs no code of a user."""
    lines = traceback.StackSummary.from_list(traceback.extract_tb(error.__traceback__, limit=-SHOWN)).format()
    kind = type(error)
    text = ""
    if kind.__str__ in _SAFE_TEXTS and all(type(argument) in _PLAIN for argument in error.args):
        text = str(error)[:LONGEST_TEXT]
    return "".join(lines) + f"{kind.__module__}.{kind.__qualname__}" + (f": {text}" if text else "")


#: Methods of Python's own exceptions that make their text.
_SAFE_TEXTS = frozenset({BaseException.__str__, OSError.__str__, KeyError.__str__, UnicodeEncodeError.__str__})
