"""The end of a task that succeeded, as values: a busy worker logs thousands of them a second."""

from __future__ import annotations

from collections.abc import Mapping

#: When it was settled (seconds since 1970), the thread that settled it, the headers that its message shares with
#: others, its id, its queue, its runtime in seconds.
SuccessLine = tuple[float, str, Mapping[str, object], str, str, float]


def name_and_attempt(headers: Mapping[str, object]) -> tuple[object, int]:
    """The task's name and the number of its attempt."""
    retries = headers.get("retries", 0)
    return headers.get("task"), retries + 1 if isinstance(retries, int) else 1
