"""How a simulated task behaves, and what its workers do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from amqptasks.options.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Script:
    """`fail`: so many first attempts raise. `kill`: so many first deliveries kill their worker. `expire`: no worker
    takes it at all. Each queue that gets a copy begins anew."""

    fail: int = 0
    kill: int = 0
    expire: bool = False


class ScriptedTask:
    """Raises as often as the script says, what its policy retries after, then returns None. `queue` and `policy` are
    set before each run."""

    def __init__(self, fail: int) -> None:
        self._fail = fail
        self._failed: Counter[str] = Counter()
        self.queue = ""
        self.policy: RetryPolicy | None = None

    def __call__(self, *_args: Any, **_kwargs: Any) -> None:
        if self._failed[self.queue] < self._fail:
            self._failed[self.queue] += 1
            raise _failure(self.policy)(f"simulated failure {self._failed[self.queue]} of {self._fail}")


def _failure(policy: RetryPolicy | None) -> type[Exception]:
    """A kind of the first exception that the policy retries after; any other where it names none."""
    kinds = [kind for kind in (policy.autoretry_for if policy else ()) if issubclass(kind, Exception)]

    def initialise(self: Exception, text: str) -> None:  # whatever arguments its base wants
        Exception.__init__(self, text)

    return type("SimulatedFailure", tuple(kinds[:1]) or (Exception,), {"__init__": initialise, "__str__": _text})


def _text(self: Exception) -> str:
    return str(self.args[0]) if self.args else ""
