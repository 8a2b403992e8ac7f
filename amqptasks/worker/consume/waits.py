"""Why a worker waits, in one place: each wait has a name and a sentence. `ready`, `inspect` and `status` read it, and
the watchdog (`standstill.py`) never ends a worker that waits for something with a name.

Whoever makes a worker wait registers that here, as long as it lasts:

    node.waits.begin(ALARM, "the broker is low on disk and blocks publishers", ready=True)
    node.waits.end(ALARM)

What can be read from the state of the node's parts is not registered a second time: `Waits.ask` adds who tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from amqptasks.runtime.clock import monotonic
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

#: The broker blocks publishers: it is low on disk or memory.
ALARM: Final = "alarm"

#: There is no connection to the broker.
NO_CONNECTION: Final = "no-connection"

#: A result store does not take what is to be stored.
STORE_DOWN: Final = "store-down"

#: A dead-letter queue, or a rung of the delay ladder, refuses: it is full.
FULL_QUEUE: Final = "full-queue"

#: Somebody paused a queue.
PAUSED: Final = "paused"

#: A limit of a task (rate, so many at once) lets nothing run now.
LIMIT: Final = "limit"

#: The revocations are not all read, so nothing begins.
REVOCATIONS: Final = "revocations"

#: A pool has no process yet that could run something.
POOL_STARTS: Final = "pool-starts"

#: A message that came back from deaths of its process runs alone, or waits for what runs.
RUNS_ALONE: Final = "runs-alone"

#: Messages are read before their tasks run, because their limits or their end ask for it.
READS: Final = "reads-messages"


@dataclass(frozen=True, slots=True)
class Wait:
    """`name` is one of the constants above, `detail` a sentence. `ready` says that the worker counts as ready all the
    same. `since` is on the monotonic clock; None where that is not known."""

    name: str
    detail: str
    ready: bool = False
    since: float | None = None

    def told(self) -> dict[str, Any]:
        """As JSON has it: `seconds` is how long it lasts."""
        seconds = None if self.since is None else round(monotonic() - self.since, 1)
        return {"name": self.name, "detail": self.detail, "ready": self.ready, "seconds": seconds}


class Waits:
    """What one worker waits for. `begin` and `end` may be called from any thread, `current` on the link's alone."""

    def __init__(self) -> None:
        self._waits: dict[tuple[str, Hashable], Wait] = {}
        self._asked: list[Callable[[], Iterable[Wait]]] = []

    def begin(self, name: str, detail: str, *, key: Hashable = None, ready: bool = False) -> None:
        """It waits from now on. `key` tells several of one name apart, say by their queue. One that lasts already keeps
        its time, and gets the new sentence."""
        known = self._waits.get((name, key))
        since = monotonic() if known is None else known.since
        self._waits[name, key] = Wait(name, detail, ready, since)

    def end(self, name: str, *, key: Hashable = None) -> None:
        """It waits no more; nothing where it did not."""
        self._waits.pop((name, key), None)

    def ask(self, who: Callable[[], Iterable[Wait]]) -> None:
        """`who` is asked on the link's thread, each time that somebody wants to know."""
        self._asked.append(who)

    def current(self) -> list[Wait]:
        """All of them, the longest first."""
        found = [*self._waits.values(), *(wait for ask in self._asked for wait in ask())]
        return sorted(found, key=lambda wait: wait.since or 0.0)


def of_parts(node: Node) -> Iterator[Wait]:
    """The waits that the parts of `node` know of themselves. Link thread only."""
    if (trouble := node.link.trouble) is not None:
        yield Wait(NO_CONNECTION, trouble)
    for queue in node.queues.values():
        if queue.paused:
            yield Wait(PAUSED, f"queue {queue.name} is paused", ready=True)
        if (why := queue.blocked_by) is not None:
            yield Wait(FULL_QUEUE, f"queue {queue.name} is paused: a message cannot be moved on: {why}")
        if queue.waiting:
            few = f"the worker keeps {counted(queue.waiting, 'task')} of queue {queue.name} that must run later"
            yield Wait(FULL_QUEUE, f"{few}: a delay queue does not take them", ready=True)
    if (why := node.control.revocations.wait) is not None:
        yield Wait(REVOCATIONS, why)
    if (job := node.dispatcher.alone.job) is not None:
        yield Wait(RUNS_ALONE, f"{job.task_name}[{job.task_id}] may kill its process, and runs alone", ready=True)
    if (reading := node.decisions.reading) is not None:
        count, since = reading
        yield Wait(READS, f"{counted(count, 'message')} must be read before their tasks run", True, since)
    for kind, pool in node.pools.items():
        if pool.begins:
            yield Wait(POOL_STARTS, f"the {kind} pool has no process yet that has begun", ready=True)
