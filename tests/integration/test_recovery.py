"""A worker that lost its consumer knows it, and consumes again by itself; asked is the broker."""

from __future__ import annotations

from pathlib import Path

import pika
import pytest

from tests.harness.management import Management
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.integration.recovery import Place, place


def raw(url: str, queue: str, type: str) -> None:
    """Somebody else declares this queue, in another form than ours."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_declare(queue, durable=True, arguments={"x-queue-type": type})


def hold_and_prefetch(here: Place, count: int = 6) -> list[str]:
    """Two tasks run, two wait in the prefetch, the others in the queue."""
    words = [f"word-{number}" for number in range(count)]
    for word in words:
        here.send("hold", word)
    wait_for(lambda: len(here.begun) == 2, message="two tasks run")
    rest = max(0, count - here.node.queues["default"].prefetch)
    wait_for(lambda: here.management.ready("default") == rest, message="as much as may be is prefetched")
    return words


def test_after_a_cut_connection(vhost: Vhost, proxy: Proxy, tmp_path: Path) -> None:
    with place(vhost, tmp_path, proxy.url) as here:
        words = hold_and_prefetch(here)
        assert proxy.cut() >= 1
        here.wait_lost()
        here.barrier.set()
        here.prove_consuming()
        wait_for(lambda: set(words) <= set(here.ran), message=lambda: str(here.ran))
        here.prove_settled()
        assert here.node.counts["Lost"] >= 2, "what ran while the wire was cut was not settled"


def test_after_cuts_in_quick_succession(vhost: Vhost, proxy: Proxy, tmp_path: Path) -> None:
    with place(vhost, tmp_path, proxy.url) as here:
        for number in range(100):
            here.send("note", f"word-{number}", 0.01)
            if number % 20 == 10:
                proxy.cut()
        wait_for(lambda: len(here.ran) == 100, 30, lambda: f"{len(here.ran)} ran")
        here.prove_consuming()


def test_after_the_broker_closed_the_connection(vhost: Vhost, tmp_path: Path) -> None:
    with place(vhost, tmp_path) as here:
        words = hold_and_prefetch(here)
        wait_for(vhost.management.connections, message="the management API knows the connections")
        wait_for(lambda: vhost.management.close_connections() and not here.node.ready, message="the worker's is closed")
        here.barrier.set()
        here.prove_consuming()
        wait_for(lambda: set(words) <= set(here.ran), message=lambda: str(here.ran))
        here.prove_settled()


@pytest.mark.long
def test_after_a_connection_was_half_open(vhost: Vhost, proxy: Proxy, tmp_path: Path) -> None:
    """Nothing arrives any more, and nothing says so: heartbeats find out."""
    with place(vhost, tmp_path, f"{proxy.url}?heartbeat=1&connection_timeout=2000") as here:
        words = hold_and_prefetch(here)
        proxy.pause()
        here.barrier.set()
        here.wait_lost()
        wait_for(lambda: not here.consumes(), 20, "the broker gives the consumer up too")
        proxy.resume()
        here.prove_consuming()
        wait_for(lambda: set(words) <= set(here.ran), message=lambda: str(here.ran))
        here.prove_settled()


def test_a_stall_shorter_than_the_heartbeat_costs_nothing(vhost: Vhost, proxy: Proxy, tmp_path: Path) -> None:
    with place(vhost, tmp_path, f"{proxy.url}?heartbeat=10") as here:
        words = hold_and_prefetch(here, 3)
        proxy.pause()
        here.barrier.set()
        wait_for(lambda: sum(here.ran.values()) >= 2)
        assert here.consumes()
        proxy.resume()
        here.prove_consuming()
        assert {word: here.ran[word] for word in words} == dict.fromkeys(words, 1), "each ran once"


def test_after_its_queue_was_deleted_and_nobody_makes_it_again(vhost: Vhost, tmp_path: Path) -> None:
    with place(vhost, tmp_path) as here:
        here.send("hold", "running")
        wait_for(lambda: here.begun["running"])
        vhost.management.delete_queue("default")
        here.wait_lost()
        here.barrier.set()
        here.prove_consuming()
        found = vhost.management.queue("default")
        assert found is not None
        assert found["arguments"]["x-queue-type"] == "quorum"


@pytest.mark.parametrize("type", ["quorum", "classic"])
def test_after_its_queue_was_deleted_and_made_again_by_somebody_else(vhost: Vhost, tmp_path: Path, type: str) -> None:
    """Also in a form that we would not have chosen: it is there, so it is consumed."""
    with place(vhost, tmp_path, patient=True) as here:
        vhost.management.delete_queue("default")
        wait_for(lambda: vhost.management.ready("default") == -1, message="it is gone; we make it again in two seconds")
        if vhost.management.release() < (4, 0, 0):
            # 3.10 forgets to cancel a consumer whose quorum queue comes back within 0.1 s, and gives its messages to
            # nobody; it says all the while that the consumer is there.
            here.wait_lost()
        raw(vhost.url, "default", type)
        wait_for(lambda: here.consumes() and here.node.ready, 30, "it is consumed again")
        with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
            properties = pika.BasicProperties(headers={"task": "note", "id": "1"}, content_type="application/json")
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("", "default", b'[["proof"], {}, {}]', properties, mandatory=True)
        wait_for(lambda: here.ran["proof"])


def test_one_of_two_queues_deleted_leaves_the_other_alone(vhost: Vhost, tmp_path: Path) -> None:
    with place(vhost, tmp_path, topology="queues: {red: {}, blue: {}}\n") as here:
        here.send("hold", "red", queue="red")
        here.send("hold", "blue", queue="blue")
        wait_for(lambda: len(here.begun) == 2)
        vhost.management.delete_queue("red")
        here.wait_lost("red")
        assert here.node.queues["blue"].consuming
        here.barrier.set()
        here.prove_consuming("red")
        here.prove_consuming("blue")
        assert here.ran["blue"] == 1, "it kept its lease"


def test_after_its_virtual_host_was_deleted_and_made_again(vhost: Vhost, tmp_path: Path) -> None:
    with place(vhost, tmp_path) as here:
        here.send("hold", "running")
        wait_for(lambda: here.begun["running"])
        vhost.management.request("DELETE", "vhosts", vhost.name)
        here.wait_lost()
        here.barrier.set()
        vhost.management.request("PUT", "vhosts", vhost.name)
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        vhost.management.request("PUT", "permissions", vhost.name, vhost.management.user, body=rights)
        wait_for(lambda: here.consumes() and here.node.ready, 60, "the worker declared its queue and consumes it")
        here.prove_consuming()


@pytest.mark.parametrize("way", ["topology", "policy"])
def test_after_the_broker_timed_its_consumer_out(vhost: Vhost, tmp_path: Path, way: str) -> None:
    """4.3 cancels the consumer and keeps it as a zombie, which takes messages that nobody hears of: with an ack for an
    old delivery it would wake."""
    if vhost.management.release() < (4, 3, 0):
        pytest.skip("before 4.3 the broker looks once a minute: see the test below")
    timeout = "{consumer_timeout: 1s}" if way == "topology" else "{}"
    if way == "policy":
        vhost.management.set_policy("impatient", "^default$", "quorum_queues", consumer_timeout=1000)
    with place(vhost, tmp_path, topology=f"queues: {{default: {timeout}}}\n", concurrency=1) as here:
        for number in range(3):
            here.send("slow_at_first", f"word-{number}", 4.0)
        wait_for(lambda: here.node.counts["Lost"], 20, lambda: f"the first loses its lease: {here.node.counts}")
        for number in range(3):
            wait_for(lambda number=number: here.ran[f"word-{number}"], 20, lambda: str(here.ran))
        here.prove_consuming()
        # Another prefetch takes another consumer: for a moment there is none.
        wait_for(lambda: len(vhost.management.consumers("default")) == 1, 20, "one consumer, and no zombie beside it")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_after_the_broker_closed_its_channel_over_a_timeout(vhost: Vhost, tmp_path: Path) -> None:
    """From 3.12 to 4.2 a policy may set a time, and all that the channel held goes back."""
    if not (3, 12, 0) <= vhost.management.release() < (4, 3, 0):
        pytest.skip("3.10 knows one time for all queues, and 4.3 another way")
    vhost.management.set_policy("impatient", "^default$", consumer_timeout=2000)
    with place(vhost, tmp_path) as here:
        here.send("slow_at_first", "word", 150.0)
        wait_for(lambda: here.begun["word"] == 2, 140, "somebody gets it again")
        wait_for(lambda: here.ran["word"], 20)
        here.send("note", "after")
        wait_for(lambda: here.ran["after"], 20)
        assert here.consumes()
        emptied = {"ready": 0, "unacked": 0}
        wait_for(
            lambda: (
                (depth := vhost.management.depth("default"))
                and {"ready": depth.ready, "unacked": depth.unacked} == emptied
            ),
            20,
        )
        here.node.stop_now()  # the first attempt still sleeps


def test_dead_letters_wait_for_their_queue_to_be_made_again(vhost: Vhost, tmp_path: Path) -> None:
    """The worker makes it again itself: else every failure would stop its queue for ever."""
    with place(vhost, tmp_path) as here:
        vhost.management.delete_queue("default.dead")
        here.send("fail", "now")
        wait_for(lambda: vhost.management.ready("default.dead") == 1, 20, "the letter is there")
        here.send("note", "after")
        wait_for(lambda: here.ran["after"], 20, "the queue is not paused any more")
        wait_for(lambda: (depth := vhost.management.depth("default")) and depth.total == 0)
        assert vhost.management.ready("default.dead") == 1


def test_a_retry_waits_for_the_ladder_to_be_made_again(vhost: Vhost, management: Management, tmp_path: Path) -> None:
    with place(vhost, tmp_path) as here:
        for exchange in management.exchanges():
            if exchange["name"].startswith("amqptasks.delay."):
                management.request("DELETE", "exchanges", vhost.name, exchange["name"])
        here.send("fail_once", "word")
        wait_for(lambda: here.ran["word"], 40, "it ran again")
        assert here.begun["word"] == 2
        here.prove_settled()
