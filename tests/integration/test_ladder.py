"""The delay ladder on a real broker: on time, with its routing key, and never blocked by one target."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator

import pika
import pytest

from amqptasks.amqp.address import parameters
from amqptasks.amqp.blocking.session import Session
from amqptasks.errors import Nacked
from amqptasks.management.client import Management
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import TO, carried
from amqptasks.messages.properties import Properties
from amqptasks.topology.broker.declare import declare, declare_or_check
from amqptasks.topology.broker.identity import binding_name
from amqptasks.topology.broker.observed import observe
from amqptasks.topology.delays import LOST, arrived_by_ladder, enter, room
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.plan.plan import plan
from amqptasks.topology.read.loader import from_mapping
from amqptasks.topology.topology import Topology
from amqptasks.transport.entities import Binding, Queue
from tests.harness.vhost import Broker, Vhost
from tests.harness.wait import wait_for

#: Seconds that a message may be late on an idle broker; a rung takes about 2 ms.
LATE = 0.1

#: Seconds that the latest of many may be late on a machine that does other things too; a blocked rung costs 180.
VERY_LATE = 5.0

TOPOLOGY = from_mapping(
    {
        "version": 1,
        "exchanges": {
            "topics": {"type": "topic"},
            "everybody": {"type": "fanout"},
            "behind": {"type": "direct", "bindings": [{"exchange": "topics", "routing_key": "behind.*"}]},
            "matching": {"type": "headers"},
        },
        "queues": {
            "free": {"bindings": [{"exchange": "topics", "routing_key": "free.#"}, {"exchange": "everybody"}]},
            "far": {
                "bindings": [
                    {"exchange": "behind", "routing_key": "behind.you"},
                    {"exchange": "matching", "arguments": {"format": "pdf"}},
                ]
            },
            "full": {"max_length": 1, "bindings": [{"exchange": "topics", "routing_key": "full"}]},
            "gone": {"bindings": [{"exchange": "topics", "routing_key": "gone"}]},
        },
        "delays": {"max": "1m"},
    }
)


class Receiver:
    """Consumes queues and notes when what came."""

    def __init__(self, url: str, *queues: str) -> None:
        self._connection = pika.BlockingConnection(parameters(url))
        self._channel = self._connection.channel()
        self.came: list[tuple[str, str, float, dict]] = []
        for queue in queues:
            self._channel.basic_consume(queue, self._note)

    def wait(self, count: int, timeout: float) -> list[tuple[str, str, float, dict]]:
        """(body, routing key, time, headers) of the first `count` messages."""
        deadline = time.monotonic() + timeout
        while len(self.came) < count and time.monotonic() < deadline:
            self._connection.process_data_events(0.05)
        assert len(self.came) >= count, f"{len(self.came)} of {count} came within {timeout} s"
        return self.came

    def close(self) -> None:
        self._connection.close()

    def _note(self, channel, method, properties, body) -> None:
        self.came.append((body.decode(), method.routing_key, time.time(), properties.headers))
        channel.basic_ack(method.delivery_tag)


@pytest.fixture
def session(vhost: Vhost) -> Iterator[Session]:
    with Session([vhost.url]) as opened:
        _declare(TOPOLOGY, opened)
        yield opened


@pytest.fixture
def receiver(vhost: Vhost, session: Session) -> Iterator[Receiver]:
    created = Receiver(vhost.url, "free", "far")
    yield created
    created.close()


def _declare(topology: Topology, session: Session) -> None:
    declare(expand(topology, session.capabilities) + ladder_objects(topology, session.capabilities), session)


def _send(
    session: Session, delay: float, to: str, key: str, body: str = "", priority: int | None = None, **headers: object
) -> float:
    """Returns the time at which the message is due, counted from before it was published."""
    due = time.time() + delay
    exchange, added = enter(delay, to, session.capabilities, priority, TOPOLOGY.longest_delay)
    properties = Properties(headers={**headers, **added}, priority=priority)
    session.publish(Outgoing(exchange, key, body.encode(), properties))
    return due


@pytest.mark.parametrize(
    ("to", "key", "headers"),
    [
        ("amqptasks.queues", "free", {}),
        ("topics", "free.as.a.bird", {}),
        ("everybody", "whatever", {}),
        ("topics", "behind.you", {}),
        ("behind", "behind.you", {}),
        ("matching", "", {"format": "pdf"}),
    ],
)
def test_a_delayed_message_reaches_every_kind_of_exchange_on_time_with_its_key(
    session: Session, receiver: Receiver, to: str, key: str, headers: dict
):
    dues = [_send(session, delay, to, key, **headers) for delay in (0.01, 0.25, 0.7)]
    for due, (_, came_with, at, held) in zip(dues, receiver.wait(3, timeout=15), strict=True):
        assert came_with == key
        assert arrived_by_ladder(held)
        assert 0 <= at - due < VERY_LATE
    assert min(at - due for due, (_, _, at, _) in zip(dues, receiver.came, strict=True)) < LATE


def test_many_delays_at_once_are_each_on_time_and_none_is_early(session: Session, receiver: Receiver):
    chosen = random.Random(7)
    dues = {str(n): _send(session, chosen.uniform(0.2, 4), "topics", "free.x", str(n)) for n in range(200)}
    came = receiver.wait(200, timeout=30)
    late = sorted(at - dues[body] for body, _, at, _ in came)
    assert len({body for body, *_ in came}) == 200
    assert late[0] >= 0
    assert statistics.median(late) < LATE
    assert late[-1] < VERY_LATE


def test_a_high_priority_does_not_hold_back_what_is_due_before_it(session: Session, receiver: Receiver):
    dues = {}
    for round_number in range(5):
        dues[f"high{round_number}"] = _send(session, 3.0, "topics", "free.x", f"high{round_number}", priority=9)
        dues[f"low{round_number}"] = _send(session, 2.1, "topics", "free.x", f"low{round_number}", priority=0)
    late = [at - dues[body] for body, _, at, _ in receiver.wait(10, timeout=20)]
    assert min(late) >= 0
    # Held back, the lower ones would come 0.9 s late.
    assert sorted(late)[7] < 0.5


def test_a_message_can_go_round_again_and_again(session: Session, receiver: Receiver):
    headers: dict[str, object] = {"task": "a.b"}
    for turn in range(1, 5):
        due = _send(session, 0.2, "amqptasks.queues", "free", str(turn), **headers)
        body, key, at, held = receiver.wait(turn, timeout=15)[-1]
        assert (body, key) == (str(turn), "free")
        assert at >= due
        headers = carried(held, "back")
        assert headers == {"task": "a.b"}


def test_a_full_and_a_deleted_target_delay_nobody_else(session: Session, receiver: Receiver, vhost: Vhost):
    _fill(session)
    session.delete_queue("gone")
    for _ in range(40):  # a rung has 32 slots
        _send(session, 0.3, "amqptasks.queues", "full")
        _send(session, 0.3, "topics", "full")
        _send(session, 0.3, "amqptasks.queues", "gone")
        _send(session, 0.3, "topics", "gone")
        _send(session, 0.3, "nowhere", "gone")
    dues = {str(n): _send(session, 0.2 + n * 0.02, "topics", "free.x", str(n)) for n in range(40)}
    late = [at - dues[body] for body, _, at, _ in receiver.wait(40, timeout=30)]
    assert min(late) >= 0
    assert max(late) < VERY_LATE
    wait_for(lambda: session.queue_state(LOST).messages == 120, 15)  # type: ignore[union-attr]
    # None of those for the full queue is gone: they wait in front of it (in flight, so only the management API counts).
    wait_for(lambda: (depth := vhost.management.depth(room("full"))) is not None and depth.total == 80, 15)


#: Policies that make `slow` full: for it alone; without ^ and $; for many queues by the beginning of their names;
#: by size; of the operator.
BOUNDS = [
    ("^slow$", {"max-length": 3}, "policies"),
    ("slow", {"max-length": 3, "overflow": "reject-publish"}, "policies"),
    ("^s.*", {"max-length": 0}, "policies"),
    ("slow", {"max-length-bytes": 1}, "policies"),
    ("^slow", {"max-length": 1}, "operator-policies"),
]


@pytest.mark.parametrize(("pattern", "definition", "kind"), BOUNDS)
def test_a_queue_that_a_policy_makes_full_delays_nobody_else_and_gets_what_waited_when_there_is_room(
    session: Session, receiver: Receiver, vhost: Vhost, pattern: str, definition: dict, kind: str
):
    topology = from_mapping({"version": 1, "queues": {"slow": {}}})
    _declare(topology, session)
    body = {"pattern": pattern, "definition": definition, "apply-to": "queues"}
    vhost.management.request("PUT", kind, vhost.name, "bound", body=body)
    for _ in range(100):  # a rung has 32 slots, and 32 on their way pass a queue that becomes full by them
        _send(session, 0.3, "amqptasks.queues", "slow", "a task")
    dues = {str(n): _send(session, 0.2 + n * 0.02, "topics", "free.x", str(n)) for n in range(40)}
    late = [at - dues[body] for body, _, at, _ in receiver.wait(40, timeout=30)]
    assert min(late) >= 0
    assert max(late) < VERY_LATE

    def kept() -> bool:
        held, waiting = (vhost.management.depth(name) for name in ("slow", room("slow")))
        return held is not None and waiting is not None and held.total + waiting.total == 100 and waiting.total > 32

    wait_for(kept, 60)  # the management API counts every few seconds, and a busy broker late


def test_a_broker_of_an_earlier_release_leads_delayed_messages_to_the_room_of_their_queue_once_declared(
    session: Session, receiver: Receiver, vhost: Vhost, broker: Broker
):
    old = [
        Binding("amqptasks.due.amqptasks.queues", "free", "free"),
        Binding("amqptasks.due.topics", "free", "free.#"),
        Binding("amqptasks.due.amqptasks.queues", "full.due", "full"),
    ]
    session.declare_queue(Queue("full.due", arguments={"x-queue-type": "quorum"}))
    for binding in old:
        session.bind(binding)
    objects = expand(TOPOLOGY, session.capabilities) + ladder_objects(TOPOLOGY, session.capabilities)
    management = Management(broker.management_url, vhost.url)
    steps = {step.name: step.action for step in plan(objects, observe(management)).steps if step.action != "leave"}
    removed = {binding_name(binding): "remove" for binding in old}
    assert steps == {**removed, "full.due": "drift"}
    assert declare_or_check(objects, session)
    steps = {step.name: step.action for step in plan(objects, observe(management)).steps if step.action != "leave"}
    assert steps == {"full.due": "drift"}
    _send(session, 0.05, "amqptasks.queues", "free", "by name")
    _send(session, 0.15, "topics", "free.x", "by key")
    _send(session, 0.6, "topics", "free.x", "last")
    assert [body for body, *_ in receiver.wait(3, timeout=15)] == ["by name", "by key", "last"]


def test_what_is_lost_says_where_it_was_for(session: Session):
    session.delete_queue("gone")
    _send(session, 0.05, "topics", "gone", "a letter")
    wait_for(lambda: session.queue_state(LOST).messages == 1)  # type: ignore[union-attr]
    (lost,) = session.take(LOST, 10)
    assert (lost.body, lost.routing_key) == (b"a letter", "gone")
    assert lost.properties.headers is not None
    assert lost.properties.headers[TO] == "topics"


def test_a_target_that_is_declared_again_is_reached_again(session: Session, receiver: Receiver):
    session.delete_queue("gone")
    _declare(TOPOLOGY, session)
    _send(session, 0.05, "topics", "gone", "welcome")
    wait_for(lambda: session.queue_state("gone").messages == 1)  # type: ignore[union-attr]


def _fill(session: Session) -> None:
    def refused() -> bool:
        try:
            session.publish(Outgoing("amqptasks.queues", "full", b"", Properties()))
        except Nacked:
            return True
        return False

    wait_for(refused)
