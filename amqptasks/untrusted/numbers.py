"""Numbers of things, in words."""

from __future__ import annotations


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """`1 queue`, `2 queues`, `1,234 queues`; `plural` where it is more than an `s`: `1 task waits`, `2 tasks wait`."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
