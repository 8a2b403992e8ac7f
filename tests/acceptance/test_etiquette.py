"""What a worker and a publisher do to the broker itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from tests.acceptance.shop import Shop, said
from tests.conftest import StartedBroker
from tests.harness.wait import wait_for

#: Confirmed messages a second that `publish_many` must reach here. Celery, waiting for each confirm, reached 1,282 on
#: a machine like this one; a tenth of what we reach is left as room for machines that are busy with other things.
RATE = 1000

#: How a broker logs that whoever declares asks whether a queue is being migrated: AMQP has no question whose No is not
#: an error to it.
QUESTION = re.compile(r".*Channel error on connection.*\n.*no exchange 'amqptasks\.migrations' in vhost.*\n")


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_worker_limits_each_consumer_and_never_its_channels(
    open_shop: Callable[[str], Shop], queue_type: str
) -> None:
    """Global QoS is deprecated: 4.0 ignores changes of it, 4.3 denies it and says so in its log alone."""
    shop = open_shop(f"queues: {{first: {{type: {queue_type}}}, second: {{type: {queue_type}}}}}\n")
    shop.worker("-Q", "first:7,second:3")

    def limits() -> dict[str, int]:
        consumers = [one for one in shop.management.consumers() if one["queue"]["name"] in ("first", "second")]
        return {one["queue"]["name"]: one["prefetch_count"] for one in consumers}

    wait_for(lambda: limits() == {"first": 7, "second": 3}, message=lambda: f"prefetch by queue: {limits()}")

    def channels() -> list[dict[str, int]]:
        found = shop.management.request("GET", "vhosts", shop.management.vhost, "channels") or []
        return [one for one in found if one.get("consumer_count")]

    wait_for(lambda: len(channels()) >= 2, message="the channels have figures")
    assert not any(one.get("global_prefetch_count") for one in channels())  # RabbitMQ 4 leaves it out


def test_the_brokers_log_has_no_complaint_about_us(open_shop: Callable[[str], Shop], broker: StartedBroker) -> None:
    """Nothing deprecated, no connection dropped without a goodbye, no channel closed for a mistake of ours."""
    if broker.node is None or not hasattr(broker.node, "folder"):
        pytest.skip("the log of this broker is not ours to read")
    log = broker.node.folder / "log" / "rabbit.log"
    shop = open_shop("queues: {default: {retry: {delays: [200ms]}}}\n")

    def about_us(begin: int = 0) -> list[str]:
        text = QUESTION.sub("", log.read_bytes()[begin:].decode(errors="replace"))
        return [line for line in text.splitlines() if shop.management.vhost in line]

    # Both ask for what is not there yet, which the broker logs as errors.
    shop.app.declare()
    assert shop.worker().terminate() == 0
    wait_for(lambda: any("closing AMQP connection" in line for line in about_us()), message="that is in the log")
    before = log.stat().st_size
    worker = shop.worker()
    shop.send("fragile", "failing")
    shop.send("note", "delayed", countdown=0.5)
    said(worker, "ran", "delayed")
    assert worker.terminate() == 0
    shop.app.close()
    wait_for(
        lambda: sum("closing AMQP connection" in line for line in about_us(before)) >= 2,
        message="the worker's goodbye is in the log",
    )
    assert [line for line in about_us(before) if re.search(r"\[(error|warning)\]", line)] == []
    assert re.search(r"deprecated|global_qos", log.read_bytes()[before:].decode(errors="replace")) is None


def test_publish_many_confirms_more_than_a_thousand_a_second(open_shop: Callable[[str], Shop]) -> None:
    """A sanity check, no benchmark: `make bench` measures."""
    shop = open_shop("queues: {default: {}}\n")
    note = shop.app.task(name="shop.note")(lambda word: None)
    note.delay("warm")
    began = time.monotonic()
    results = note.publish_many((f"call-{number}",) for number in range(3 * RATE))
    seconds = time.monotonic() - began
    assert len({result.id for result in results}) == 3 * RATE
    assert shop.management.ready("default") == 3 * RATE + 1
    assert seconds < 3.0, f"{3 * RATE / seconds:.0f} confirmed a second"
