"""What only the broker in memory has, and what no link can ask of RabbitMQ."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from amqptasks.errors import BrokerError, ConfigurationError
from amqptasks.memory.broker import Broker
from amqptasks.memory.consumers import Consumer
from amqptasks.memory.dead_letters import SLOTS
from amqptasks.memory.registry import broker_of, forget
from amqptasks.memory.session import MemorySession
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.harness.wait import wait_for

CLOCK = "amqptasks-memory-clock"


@pytest.fixture
def url() -> Iterator[str]:
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    forget(url)


@pytest.fixture
def session(url: str) -> MemorySession:
    return MemorySession(url)


def declare(session: MemorySession, name: str, kind: str = "quorum", **arguments: object) -> None:
    named = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    session.declare_queue(Queue(name, arguments={"x-queue-type": kind, **named}))


def send(session: MemorySession, queue: str, *bodies: str) -> None:
    for body in bodies:
        session.publish(Outgoing("", queue, body.encode(), Properties()))


def drain(session: MemorySession, queue: str) -> list[Delivery]:
    taken = list(session.take(queue, 1000))
    for delivery in taken:
        session.ack(delivery)
    return taken


def bodies(session: MemorySession, queue: str) -> list[str]:
    return [delivery.body.decode() for delivery in drain(session, queue)]


def discard(session: MemorySession, queue: str) -> None:
    """`basic.reject` without requeue of the next message."""
    (delivery,) = session.take(queue, 1)
    assert isinstance(delivery.lease, Consumer)
    delivery.lease.discard(delivery.tag)


def test_one_address_means_one_broker() -> None:
    assert broker_of("memory://") is broker_of("memory://")
    assert broker_of("memory://one") is not broker_of("memory://two")
    first = broker_of("memory://one")
    forget("memory://one")
    assert broker_of("memory://one") is not first
    for name in ("", "one", "two"):
        forget(f"memory://{name}")


def test_another_address_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        broker_of("amqp://guest:secret@host/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("queue", "word"),
    [
        (Queue("q", arguments={"x-queue-type": "stream"}), "streams"),
        (Queue("q", exclusive=True, arguments={"x-queue-type": "classic"}), "exclusive"),
    ],
)
def test_what_memory_has_not_is_refused_by_name(session: MemorySession, queue: Queue, word: str) -> None:
    with pytest.raises(BrokerError, match=word):
        session.declare_queue(queue)


def test_a_rejected_message_says_so_and_may_go_round(session: MemorySession) -> None:
    declare(session, "work", dead_letter_exchange="", dead_letter_routing_key="wait")
    declare(session, "wait", message_ttl=1, dead_letter_exchange="", dead_letter_routing_key="work")
    send(session, "work", "1")
    for _ in range(3):
        discard(session, "work")
        wait_for(lambda: session.queue_state("work").messages == 1)  # type: ignore[union-attr]
    headers = drain(session, "work")[0].properties.headers or {}
    deaths = headers["x-death"]
    assert isinstance(deaths, list)
    assert [(death["queue"], death["reason"], death["count"]) for death in deaths] == [
        ("wait", "expired", 3),
        ("work", "rejected", 3),
    ]
    assert headers["x-delivery-count"] == 3


def test_at_most_once_loses_what_a_full_classic_queue_refuses_and_not_what_a_quorum_queue_does(
    session: MemorySession,
) -> None:
    for kind in ("classic", "quorum"):
        declare(session, f"{kind}-full", kind, max_length=1, overflow="reject-publish")
        declare(session, f"{kind}-work", dead_letter_exchange="", dead_letter_routing_key=f"{kind}-full")
        send(session, f"{kind}-full", "there")
        send(session, f"{kind}-work", "dead")
        discard(session, f"{kind}-work")
    assert bodies(session, "classic-full") == ["there"]
    assert bodies(session, "quorum-full") == ["there", "dead"]


def at_least_once(session: MemorySession, target: str) -> None:
    declare(
        session,
        "work",
        overflow="reject-publish",
        max_length=100,
        dead_letter_strategy="at-least-once",
        dead_letter_exchange="dead",
        dead_letter_routing_key=target,
    )


def test_at_least_once_waits_for_a_target_that_is_not_there_yet(session: MemorySession) -> None:
    at_least_once(session, "k")
    send(session, "work", "1", "2")
    discard(session, "work")
    discard(session, "work")
    session.declare_exchange(Exchange("dead"))
    declare(session, "late")
    session.bind(Binding("dead", "late", "k"))
    wait_for(lambda: session.queue_state("late").messages == 2)  # type: ignore[union-attr]
    assert bodies(session, "late") == ["1", "2"]


def test_at_least_once_gives_no_target_a_second_copy(session: MemorySession) -> None:
    session.declare_exchange(Exchange("dead", "fanout"))
    declare(session, "free")
    declare(session, "full", max_length=1, overflow="reject-publish")
    for target in ("free", "full"):
        session.bind(Binding("dead", target))
    at_least_once(session, "")
    send(session, "full", "there")
    send(session, "work", "1")
    discard(session, "work")
    assert bodies(session, "full") == ["there"]
    wait_for(lambda: session.queue_state("full").messages == 1)  # type: ignore[union-attr]
    assert (bodies(session, "full"), bodies(session, "free")) == (["1"], ["1"])


def test_refused_dead_letters_hold_up_those_behind_them(session: MemorySession) -> None:
    session.declare_exchange(Exchange("dead", "topic"))
    declare(session, "full", max_length=0, overflow="reject-publish")
    declare(session, "free")
    session.bind(Binding("dead", "full", "full"))
    session.bind(Binding("dead", "free", "free"))
    session.declare_exchange(Exchange("in", "fanout"))
    arguments = {
        "x-queue-type": "quorum",
        "x-message-ttl": 1,
        "x-overflow": "reject-publish",
        "x-dead-letter-strategy": "at-least-once",
        "x-dead-letter-exchange": "dead",
    }
    session.declare_queue(Queue("rung", arguments=arguments))
    session.bind(Binding("in", "rung"))
    for number in range(SLOTS):
        key = "free" if number == 0 else "full"
        session.publish(Outgoing("in", key, b"", Properties()))
    wait_for(lambda: session.queue_state("free").messages == 1)  # type: ignore[union-attr]
    session.publish(Outgoing("in", "full", b"", Properties()))  # takes the last slot
    session.publish(Outgoing("in", "free", b"", Properties()))
    wait_for(lambda: session.queue_state("rung").messages == 0)  # type: ignore[union-attr]
    assert session.queue_state("free").messages == 1  # type: ignore[union-attr]
    session.delete_queue("full")
    declare(session, "full")
    session.bind(Binding("dead", "full", "full"))
    wait_for(lambda: session.queue_state("free").messages == 2)  # type: ignore[union-attr]
    assert session.queue_state("full").messages == SLOTS  # type: ignore[union-attr]


def test_dead_letters_that_wait_fill_their_queue(session: MemorySession) -> None:
    at_least_once(session, "nowhere")
    session.delete_queue("work")
    declare(
        session,
        "work",
        overflow="reject-publish",
        max_length=1,
        dead_letter_strategy="at-least-once",
        dead_letter_exchange="dead",
    )
    send(session, "work", "1")
    discard(session, "work")
    with pytest.raises(BrokerError):
        send(session, "work", "2")
    session.purge_queue("work")
    send(session, "work", "3")


def test_a_delivery_limit_of_minus_one_is_none(session: MemorySession) -> None:
    declare(session, "work", delivery_limit=-1)
    send(session, "work", "1")
    for _ in range(30):
        (delivery,) = session.take("work", 1)
        delivery.lease.reject(delivery.tag)
    assert bodies(session, "work") == ["1"]


def test_an_exchange_that_deletes_itself_goes_with_its_last_binding(session: MemorySession) -> None:
    session.declare_exchange(Exchange("e", auto_delete=True))
    declare(session, "q")
    session.bind(Binding("e", "q", "k"))
    session.delete_queue("q")
    assert not session.exchange_exists("e")


def test_nothing_runs_until_there_is_something_to_time() -> None:
    before = set(threading.enumerate())  # those of other tests may still be ending

    def clocks() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in before and thread.name == CLOCK]

    broker = Broker()
    broker.declare_queue(Queue("plain", arguments={"x-queue-type": "quorum"}))
    broker.publish(Outgoing("", "plain", b"", Properties()))
    assert clocks() == []
    broker.declare_queue(Queue("timed", arguments={"x-queue-type": "quorum", "x-message-ttl": 60_000}))
    broker.publish(Outgoing("", "timed", b"", Properties()))
    assert len(clocks()) == 1
    broker.clock.stop()
    wait_for(lambda: clocks() == [])


def test_a_deleted_queue_buries_nothing_any_more(session: MemorySession) -> None:
    declare(session, "dead")
    declare(session, "work", message_ttl=50, dead_letter_exchange="", dead_letter_routing_key="dead")
    send(session, "work", "1")
    session.delete_queue("work")
    declare(session, "clock", message_ttl=150, dead_letter_exchange="", dead_letter_routing_key="dead")
    send(session, "clock", "clock")
    wait_for(lambda: session.queue_state("dead").messages)  # type: ignore[union-attr]
    assert bodies(session, "dead") == ["clock"]
