"""How many messages of a queue a worker holds: what it can run in some 100 ms, by the measured time of its tasks.

With too few, a worker with short tasks waits for the broker. With too many, long tasks wait here although another
worker is idle. So the number follows the tasks: it begins at twice the concurrency and goes back there when the tasks
are long or few. After a crash it goes back to the concurrency, because each message that is held counts a delivery when
its process dies. Pure: nothing here knows a clock or a broker.
"""

from __future__ import annotations

from amqptasks.untrusted.bounds import LONGEST_NAME
from amqptasks.worker.job.job import Job

#: Seconds of work that are held. An answer of the broker takes a few milliseconds, some hundred on a bad network.
HOLD = 0.1

#: Seconds of work for the link's thread that are held. The messages of all queues come through one connection and one
#: thread: those of other queues wait behind what is on its way of this one.
MOVE = 0.05

#: Messages that are held at the most until it is known what they cost that thread.
FIRST = 64

#: The most messages that are held, however short their tasks are. More than 250 brought little in measurements.
MOST = 1000

#: Messages held for each task that can run at once, at the least: one that runs and one that waits.
LEAST = 2

#: Seconds that a message costs besides its task: to receive, hand over, settle.
OVERHEAD = 50e-6

#: Seconds that each byte of its body costs: to receive, hand over, pass on to a dead-letter queue. It keeps what is
#: held of large messages to `HOLD` times 50 MB a second, for each task that can run at once.
BYTE = 20e-9

#: Of the prefetch: with so many held, the broker may have more. Acks are gathered up to a quarter (see `lease.ENOUGH`).
FULL = 0.7

#: Looks without many held messages after which fewer are asked for.
QUIET_LOOKS = 3

#: Looks in a row that find the tasks longer than thought, before fewer messages are asked for. A busy machine stops a
#: short task for a moment.
LONGER_LOOKS = 3

#: Seconds of a task that is long for certain: fewer messages are asked for at once.
LONG = 0.3

#: Of the prefetch: so many held messages may be there when more are asked for. A new consumer takes as many as it may
#: hold besides what the one before it still holds, so that one has to be done first.
DONE = 1.25

#: Seconds of caution after the last message that came back from a crash.
CAUTIOUS_FOR = 5.0

#: Held messages that take this many times `HOLD` are too many: some go back.
TOO_MUCH = 3.0

#: Task names whose time is remembered.
MOST_NAMES = 1000


class Prefetch:
    """Of one queue. `at_once` is how many tasks run at once. With `priorities`, no long task is held behind others: one
    of a higher priority would have to wait for it."""

    def __init__(self, at_once: int, *, priorities: bool = False) -> None:
        self.at_once = at_once
        self.size = LEAST * at_once
        self.priorities = priorities
        self._means: dict[object, float] = {}
        self._ended: dict[
            object, list[float]
        ] = {}  # by task name: how many have ended since the last look, and their time
        self._cost = 0.0
        self._peak = 0
        self._quiet = 0
        self._longer = 0
        self._cautious_until = 0.0

    def ended(self, job: Job) -> None:
        """A job of this queue has ended."""
        given = job.delivery.shared_headers.get("task")
        name = given if isinstance(given, str) and len(given) <= LONGEST_NAME else None  # of what is no task
        found = self._ended.get(name)
        if found is None:
            if len(self._ended) >= MOST_NAMES:
                return
            found = self._ended[name] = [0.0, 0.0]
        found[0] += 1.0
        found[1] += max(job.runtime, job.took) + BYTE * len(job.delivery.body)

    def held(self, count: int) -> None:
        """So many are held now."""
        self._peak = max(self._peak, count)

    def came_back(self, now: float) -> None:
        """A message came that was delivered before and counted as failed: its process may have died of it."""
        self._cautious_until = now + CAUTIOUS_FOR

    def cost(self, name: object, ran: float) -> float:
        """Seconds that a task of this name takes, where one has run for `ran` seconds and goes on."""
        return max(self._means.get(name, 0.0), ran) + OVERHEAD

    def look(self, now: float, held: int, ran: float, moving: float = OVERHEAD) -> int:
        """How many are to be held from now on. To be asked every 100 ms; `held` are held now, and the task that has run
        longest has run for `ran` seconds. A message costs the link's thread `moving` seconds (0: not known yet)."""
        self._learn()
        peak, self._peak = max(self._peak, held), held
        if now < self._cautious_until:
            self.size = self.at_once
            return self.size
        cost = max(self._cost, ran if ran > LONG else 0.0) + OVERHEAD
        least = self.at_once if self.priorities and cost > HOLD else LEAST * self.at_once
        known = bool(self._cost) or ran > LONG
        ideal = int(self.at_once * HOLD / cost) if known else least
        ideal = max(least, min(ideal, MOST, int(MOVE / moving) if moving else FIRST))
        if peak >= FULL * self.size:
            self._quiet = 0
            self._fit(ideal, least, cost, held)
        else:
            self._quiet += 1
            fewer = max(least, min(ideal, 2 * peak))
            if self._quiet >= QUIET_LOOKS and (fewer * 2 <= self.size or fewer == least):
                self.size = fewer
        return self.size

    def _fit(self, ideal: int, least: int, cost: float, held: int) -> None:
        """Of a worker with full hands."""
        if self.size < least:
            self.size = least
        elif ideal * 2 >= self.size * 3:
            self._longer = 0
            if held <= DONE * self.size:
                self.size = ideal
        elif ideal * 2 <= self.size:
            self._longer += 1
            if cost > LONG or self._longer >= LONGER_LOOKS:
                self._longer = 0
                self.size = ideal
        else:
            self._longer = 0

    def _learn(self) -> None:
        """From what has ended since the last look."""
        if not self._ended:
            return
        count = total = 0.0
        for name, (times, seconds) in self._ended.items():
            mean, before = seconds / times, self._means.get(name)
            if before is not None:
                mean = (mean + before) / 2
            if before is not None or len(self._means) < MOST_NAMES:
                self._means[name] = mean
            count += times
            total += mean * times
        self._cost = total / count + OVERHEAD
        self._ended = {}
