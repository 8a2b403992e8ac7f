"""Lines of queues that take turns."""

from __future__ import annotations

import threading

import pytest

from amqptasks.worker.job.turns import Turns


def taken(turns: Turns[int]) -> list[int]:
    found = []
    while turns:
        found.append(turns.take()[1])
    return found


def test_a_queue_that_comes_late_waits_for_one_item_of_each_other_queue() -> None:
    turns: Turns[int] = Turns()
    turns.add(("full", number) for number in range(1000))
    turns.add([("small", -1), ("small", -2)])
    assert [turns.take() for _ in range(4)] == [("full", 0), ("small", -1), ("full", 1), ("small", -2)]
    assert taken(turns) == list(range(2, 1000))


def test_each_queue_keeps_its_order() -> None:
    turns: Turns[int] = Turns()
    turns.add([("a", 1), ("b", 10), ("a", 2), ("b", 20), ("a", 3)])
    assert taken(turns) == [1, 10, 2, 20, 3]


def test_what_is_put_back_comes_first_of_its_queue_and_takes_no_turn_from_others() -> None:
    turns: Turns[int] = Turns()
    turns.add([("a", 1), ("a", 2), ("b", 10)])
    turns.put_back(*turns.take())
    assert taken(turns) == [10, 1, 2]


def test_a_turn_that_could_not_be_used_is_kept() -> None:
    turns: Turns[int] = Turns()
    turns.add([("a", 1), ("b", 10), ("a", 2)])
    turns.put_back(*turns.take(), its_turn=True)
    assert taken(turns) == [1, 10, 2]


def test_items_can_be_taken_out_of_their_line() -> None:
    turns: Turns[int] = Turns()
    turns.add([("a", 1), ("a", 2), ("b", 10)])
    assert turns.remove("a", lambda item: item == 2)
    assert not turns.remove("a", lambda item: item == 10)
    assert not turns.remove("nobody's", lambda _: True)
    assert turns.remove("b", lambda item: item == 10)
    assert (len(turns), turns.items(), turns.take_all()) == (1, [1], [1])
    assert not turns
    with pytest.raises(IndexError):
        turns.take()


def test_several_threads_take_each_item_once() -> None:
    turns: Turns[int] = Turns()
    turns.add((f"queue-{number % 7}", number) for number in range(5000))
    found: list[int] = []

    def work() -> None:
        while True:
            try:
                found.append(turns.take()[1])
            except IndexError:
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(5000))
