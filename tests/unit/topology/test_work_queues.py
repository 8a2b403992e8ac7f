"""Which queues a worker consumes."""

from __future__ import annotations

from typing import Any

import pytest

from amqptasks.errors import TopologyError
from amqptasks.topology.expand.permissions import permissions_for
from amqptasks.topology.read.loader import from_mapping
from amqptasks.topology.topology import Topology


def of(**queues: dict[str, Any] | None) -> Topology:
    return from_mapping({"version": 1, "exchanges": {"orders": {"type": "fanout"}}, "queues": queues})


SHOP = of(
    payments={"dead_letter": {"queue": "trouble"}},
    orders={"dead_letter": {"queue": "trouble"}},
    slow={"dead_letter": {"queue": "again"}},
    trouble=None,
    again={"dead_letter": {"ttl": "14d"}},
    log={"type": "stream", "bindings": [{"exchange": "orders"}], "max_age": "7d"},
)


def test_a_worker_that_is_not_told_leaves_streams_and_dead_letters_alone() -> None:
    assert SHOP.work_queues == ("payments", "orders", "slow")


def test_dead_letters_with_dead_letters_of_their_own_may_be_worked_on_by_who_asks() -> None:
    assert SHOP.workable == ("payments", "orders", "slow", "again")
    assert SHOP.work_queue("again").name == "again"


@pytest.mark.parametrize(
    ("name", "why", "hint"),
    [
        ("trouble", "holds the dead letters of payments, orders", "amqptasks dead replay payments"),
        ("log", "is a stream", "bind a queue to the exchange"),
        ("paymens", "there is no queue 'paymens'", "did you mean `payments`?"),
    ],
)
def test_others_are_refused_with_what_to_do(name: str, why: str, hint: str) -> None:
    with pytest.raises(TopologyError, match=why) as caught:
        SHOP.work_queue(name)
    assert hint in str(caught.value)


def test_the_role_of_a_worker_reads_what_it_can_work_on() -> None:
    read = permissions_for(SHOP, "worker").read
    assert "payments" in read
    assert "again" in read
    assert "trouble" not in read
    assert "log" not in read.replace("amqptasks", "")
