"""What a command has taken for its imports is no longer waited for."""

from __future__ import annotations

import pytest

from amqptasks.runtime.clock import command_start, monotonic


@pytest.mark.parametrize(("taken", "left"), [(0.0, 2.0), (0.5, 1.5), (1.5, 1.0), (3.0, 1.0), (10.0, 2.0)])
def test_left_of_counts_from_the_start_of_a_command_as_long_as_it_begins(
    taken: float, left: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(command_start, "_began", monotonic() - taken)
    assert command_start.left_of(2.0) == pytest.approx(left, abs=0.1)


def test_left_of_is_all_of_it_in_a_program(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command_start, "_began", None)
    assert command_start.left_of(2.0) == 2.0
