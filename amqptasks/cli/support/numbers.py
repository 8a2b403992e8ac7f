"""Numbers of things, in words."""

from __future__ import annotations


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """`1 queue`, `2 queues`, `0 queues`; `plural` where it is no `s`."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
