"""The broker itself goes, politely or not, and comes back: so does the worker, with every task."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import StartedBroker
from tests.harness.vhost import new_vhost
from tests.harness.wait import wait_for
from tests.integration.recovery import place


@pytest.mark.parametrize("how", [pytest.param("stop", marks=pytest.mark.long), "kill"])
def test_after_the_broker_was_gone(own_broker: StartedBroker, tmp_path: Path, how: str) -> None:
    with new_vhost(own_broker) as vhost, place(vhost, tmp_path) as here:
        words = [f"word-{number}" for number in range(12)]
        for word in words:
            here.send("hold", word)
        here.send("fail_once", "retried")
        wait_for(lambda: len(here.begun) == 2)
        declared = time.monotonic()
        # 3.10 writes the registry of quorum queues twice a second: killed before that, the queue comes back empty.
        wait_for(lambda: time.monotonic() - declared > 1)
        getattr(own_broker.node, how)()
        here.wait_lost()
        here.barrier.set()
        own_broker.node.start()
        here.prove_consuming()
        wait_for(lambda: {*words, "retried"} <= set(here.ran), 30, lambda: str(here.ran))
        here.prove_settled()
