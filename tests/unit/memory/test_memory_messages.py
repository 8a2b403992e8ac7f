"""What dead-lettering writes on a message, and when it calls it a circle."""

from __future__ import annotations

import pytest

from amqptasks.memory.messages import Message, Reason, copied
from amqptasks.messages.properties import Properties


def died(*deaths: tuple[str, Reason]) -> Message:
    """A message that died in these queues, one after the other."""
    message = Message("", "first", b"", Properties())
    for queue, reason in deaths:
        message = message.dead(queue, reason, 0, "dlx", None)
    return message


@pytest.mark.parametrize(
    ("deaths", "queue", "circle"),
    [
        ([], "a", False),
        ([("a", "expired")], "b", False),
        ([("a", "expired")], "a", True),
        ([("a", "expired"), ("b", "expired")], "a", True),
        ([("a", "rejected"), ("b", "expired")], "a", False),
        ([("a", "expired"), ("b", "rejected")], "a", False),
        ([("a", "delivery_limit"), ("b", "expired")], "a", True),
        ([("b", "rejected"), ("a", "expired")], "a", True),  # the rejection came before the round began
    ],
)
def test_a_circle_is_one_that_no_client_had_a_hand_in(
    deaths: list[tuple[str, Reason]], queue: str, circle: bool
) -> None:
    assert died(*deaths).would_cycle(queue) is circle


def test_rounds_are_counted_and_moved_to_the_front() -> None:
    message = died(("work", "rejected"), ("wait", "expired"), ("work", "rejected"))
    assert [(death.queue, death.count) for death in message.deaths] == [("work", 2), ("wait", 1)]
    headers = message.properties.headers or {}
    assert [headers[f"x-{which}-death-queue"] for which in ("first", "last")] == ["work", "work"]


def test_failures_add_up_over_queues() -> None:
    message = Message("", "k", b"", Properties()).dead("a", "rejected", 2, "", None).dead("b", "rejected", 1, "", None)
    headers = message.properties.headers or {}
    assert (headers["x-delivery-count"], headers["x-acquired-count"]) == (3, 3)


def test_a_copy_shares_nothing_that_can_change() -> None:
    original = Properties(headers={"list": [{"a": [1]}]})
    copy = copied(original)
    assert copy == original
    copy.headers["list"][0]["a"].append(2)  # type: ignore[index]
    assert original.headers == {"list": [{"a": [1]}]}
