"""Which messages make a worker hold few: those that a process may have died of, and not those of a changed prefetch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.properties import Properties
from amqptasks.worker.consume.dispatcher import _note
from amqptasks.worker.consume.prefetch import Prefetch


@pytest.mark.parametrize(
    ("failed", "counted", "cautious"), [(0, 0, False), (1, 0, True), (0, 1, False), (1, 1, False), (2, 1, True)]
)
def test_a_message_that_a_changed_prefetch_counted_is_no_reason_for_caution(
    failed: int, counted: int, cautious: bool
) -> None:
    """Before 4.3 RabbitMQ counts what was on its way to a consumer that a change of the prefetch cancels."""
    resized: list[int] = []
    queue = cast("Any", SimpleNamespace(held=set(), resize=resized.append))
    properties = Properties(headers={"x-delivery-count": failed})
    _note(queue, Prefetch(2), [Delivery("q", 1, "", "q", True, properties, b"", SETTLED)], counted)
    assert resized == ([2] if cautious else [])
