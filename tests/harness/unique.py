"""Calls of which one waits, and the others are told."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from amqptasks.errors import AlreadyQueued
from tests.harness.wait import wait_for


def refused(call: Any, *args: Any, **kwargs: Any) -> AlreadyQueued:
    with pytest.raises(AlreadyQueued) as caught:
        call(*args, **kwargs)
    return caught.value


def gets_in(call: Any, *args: Any, **kwargs: Any) -> bool:
    try:
        call(*args, **kwargs)
    except AlreadyQueued:
        return False
    return True


class RevocationBarrier:
    """A task that begins, says so, and ends when it may."""

    def __init__(self) -> None:
        self.began: list[object] = []
        self.may_end = threading.Event()

    def work(self, word: str = "") -> None:
        self.began.append(word)
        self.may_end.wait(20)

    def wait(self, count: int) -> None:
        wait_for(lambda: len(self.began) >= count, 20.0, lambda: f"{count} begin, not {self.began}")
