"""Dead letters as JSON."""

from __future__ import annotations

import json

import pytest

from amqptasks.cli import letters


def nested(levels: int) -> list[object]:
    found: list[object] = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize("levels", [10, 1_015, 100_000])
def test_dead_list_writes_json_of_arguments_nested_as_deeply_as_a_sender_likes(levels: int):
    found = json.loads(letters._dumped({"args": nested(levels), "id": "x"}))
    assert found["id"] == "x"
    assert isinstance(found["args"], list)
