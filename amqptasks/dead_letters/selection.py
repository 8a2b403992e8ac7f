"""Which letters of a queue are meant."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from amqptasks.dead_letters.dead_letter import PUBLISHED, DeadLetter


@dataclass(frozen=True, slots=True)
class Selection:
    """All that is given must fit; nothing given means every letter.

    `task`, `exception` and `reason` are glob patterns (`shop.email.*`); an exception fits with its module or without
    (`ValueError`, `builtins.ValueError`). `since` and `until` bound the time of death, in seconds since 1970. `queue`
    is the one that they came from, where several share a dead-letter queue. `died`: not what was only published there.
    """

    ids: frozenset[str] = frozenset()
    task: str | None = None
    exception: str | None = None
    reason: str | None = None
    since: float | None = None
    until: float | None = None
    queue: str | None = None
    died: bool = False

    def fits(self, letter: DeadLetter) -> bool:
        return (
            (not self.ids or letter.id in self.ids)
            and (self.queue is None or letter.queue == self.queue)
            and not (self.died and letter.reason == PUBLISHED)
            and _fits(self.task, letter.task)
            and _fits(self.reason, letter.reason)
            and (_fits(self.exception, letter.exception) or _fits(self.exception, _without_module(letter.exception)))
            and (self.since is None or (letter.last_time is not None and letter.last_time >= self.since))
            and (self.until is None or (letter.last_time is not None and letter.last_time <= self.until))
        )


EVERY = Selection()


def _fits(pattern: str | None, text: str | None) -> bool:
    return pattern is None or (text is not None and fnmatchcase(text, pattern))


def _without_module(exception: str | None) -> str | None:
    return None if exception is None else exception.rpartition(".")[2]
