"""The blocking session: declaring, looking, taking."""

from __future__ import annotations

import pytest

from amqptasks.errors import AccessRefused, BrokerError, DeclarationConflict
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.conformance.transport import SOON, Transport, texts
from tests.harness.wait import wait_for


def quorum(name: str, **arguments: object) -> Queue:
    return Queue(name, arguments={"x-queue-type": "quorum", **arguments})


def test_what_is_declared_exists(transport: Transport) -> None:
    session = transport.session
    assert not session.exchange_exists("e")
    assert session.queue_state("q") is None
    session.declare_exchange(Exchange("e", "topic"))
    session.declare_queue(quorum("q"))
    assert session.exchange_exists("e")
    state = session.queue_state("q")
    assert state is not None
    assert (state.messages, state.consumers) == (0, 0)


def test_declaring_again_changes_nothing(transport: Transport) -> None:
    queue = transport.queue("q", message_ttl=60_000)
    transport.send(queue, "1")
    transport.queue("q", message_ttl=60_000)
    transport.exchange("topic", name="e")
    transport.exchange("topic", name="e")
    transport.session.declare_queue(Queue("c", arguments={"x-queue-type": "classic"}))
    assert transport.bodies("q") == ["1"]


@pytest.mark.parametrize(
    ("first", "then", "argument", "wanted", "current"),
    [
        (quorum("q", **{"x-max-length": 10}), quorum("q", **{"x-max-length": 11}), "x-max-length", "11", "10"),
        (quorum("q", **{"x-max-length": 10}), quorum("q"), "x-max-length", "none", "10"),
        (quorum("q"), quorum("q", **{"x-message-ttl": 5}), "x-message-ttl", "5", "none"),
        (quorum("q"), Queue("q", arguments={"x-queue-type": "classic"}), "x-queue-type", "classic", "quorum"),
        (
            Queue("q", arguments={"x-queue-type": "classic"}),
            Queue("q", auto_delete=True, arguments={"x-queue-type": "classic"}),
            "auto_delete",
            "true",
            "false",
        ),
    ],
    ids=lambda value: "",
)
def test_a_queue_with_other_arguments_is_a_conflict(
    transport: Transport, first: Queue, then: Queue, argument: str, wanted: str, current: str
) -> None:
    transport.session.declare_queue(first)
    with pytest.raises(DeclarationConflict) as caught:
        transport.session.declare_queue(then)
    error = caught.value
    assert (error.kind, error.name, error.argument) == ("queue", "q", argument)
    assert (error.wanted, error.current) == (wanted, current)
    transport.session.declare_queue(first)  # the session works on


def test_an_exchange_of_another_type_is_a_conflict(transport: Transport) -> None:
    transport.exchange("topic", name="e")
    with pytest.raises(DeclarationConflict) as caught:
        transport.exchange("direct", name="e")
    error = caught.value
    assert (error.kind, error.argument, error.wanted, error.current) == ("exchange", "type", "direct", "topic")
    with pytest.raises(DeclarationConflict):
        transport.exchange("topic", alternate="other", name="e")


@pytest.mark.parametrize(
    "queue",
    [
        quorum("q", **{"x-max-priority": 5}),
        Queue("q", durable=False, arguments={"x-queue-type": "quorum"}),
        Queue("q", auto_delete=True, arguments={"x-queue-type": "quorum"}),
        Queue("q", exclusive=True, arguments={"x-queue-type": "quorum"}),
        Queue("q", arguments={"x-queue-type": "classic", "x-dead-letter-strategy": "at-least-once"}),
        Queue("q", arguments={"x-queue-type": "classic", "x-max-priority": 256}),
        Queue("q", arguments={"x-queue-type": "odd"}),
        quorum("q", **{"x-message-ttl": -1}),
        quorum("q", **{"x-message-ttl": "1000"}),
        quorum("q", **{"x-message-ttl": 10**13}),
        quorum("q", **{"x-expires": 0}),
        quorum("q", **{"x-overflow": "odd"}),
        quorum("q", **{"x-dead-letter-routing-key": "k"}),
    ],
    ids=lambda queue: str(dict(queue.arguments)),
)
def test_a_queue_that_cannot_be_is_refused(transport: Transport, queue: Queue) -> None:
    with pytest.raises(BrokerError) as caught:
        transport.session.declare_queue(queue)
    assert not isinstance(caught.value, DeclarationConflict)
    assert transport.session.queue_state("q") is None


def test_what_belongs_to_the_broker_is_refused(transport: Transport) -> None:
    session = transport.session
    queue = transport.queue()
    with pytest.raises(AccessRefused):
        session.declare_exchange(Exchange("amq.mine", "direct"))
    with pytest.raises(AccessRefused):
        session.declare_queue(quorum("amq.mine"))
    with pytest.raises(AccessRefused):
        session.bind(Binding("", queue, "k"))
    with pytest.raises(AccessRefused):
        session.delete_exchange("amq.topic")


def test_binding_needs_both_ends(transport: Transport) -> None:
    queue, exchange = transport.queue(), transport.exchange("direct")
    for binding in (
        Binding("missing", queue),
        Binding(exchange, "missing"),
        Binding(exchange, "missing", "", "exchange"),
    ):
        with pytest.raises(BrokerError, match="missing"):
            transport.session.bind(binding)


def test_a_headers_binding_needs_a_known_match(transport: Transport) -> None:
    exchange, queue = transport.exchange("headers"), transport.queue()
    with pytest.raises(BrokerError):
        transport.bind(exchange, queue, x_match="some")


def test_deleting_what_is_not_there_is_no_error(transport: Transport) -> None:
    transport.session.delete_queue("missing")
    transport.session.delete_exchange("missing")


def test_a_deleted_queue_takes_its_messages_along(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, "1")
    transport.session.delete_queue(queue)
    transport.queue(queue)
    assert transport.bodies(queue) == []


def test_a_classic_queue_is_deleted_only_if_empty_where_that_is_asked_for(transport: Transport) -> None:
    transport.session.declare_queue(Queue("q", arguments={"x-queue-type": "classic"}))
    transport.send("q", "1")
    assert not transport.session.delete_empty_queue("q")
    assert transport.bodies("q") == ["1"]
    assert transport.session.delete_empty_queue("q")
    assert transport.session.queue_state("q") is None


def test_purging_tells_how_many_went(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue, prefetch=1)
    transport.send(queue, "1", "2", "3")
    held = inbox.next()
    assert transport.session.purge_queue(queue) == 2  # what is held stays
    transport.nack(held)
    assert texts(inbox.take(1)) == ["1"]
    with pytest.raises(BrokerError):
        transport.session.purge_queue("missing")


def test_what_is_taken_is_held_until_it_is_acked_or_given_back(transport: Transport) -> None:
    queue = transport.queue(delivery_limit=20)
    transport.send(queue, "1", "2", "3", "4")
    session = transport.session
    taken = list(session.take(queue, 3))
    assert texts(taken) == ["1", "2", "3"]
    assert transport.ready(queue) == 1
    session.ack(taken[1])
    session.give_back()
    transport.wait_until_ready(queue, 3)
    assert transport.bodies(queue) == ["1", "3", "4"]
    with pytest.raises(BrokerError):
        session.ack(taken[0])


def test_taking_ends_when_nothing_is_ready(transport: Transport) -> None:
    queue = transport.queue()
    assert list(transport.session.take(queue, 10)) == []
    with pytest.raises(BrokerError):
        list(transport.session.take("missing", 10))


def test_an_auto_delete_queue_goes_with_its_last_consumer(transport: Transport) -> None:
    queue = Queue("q", auto_delete=True, arguments={"x-queue-type": "classic"})
    transport.session.declare_queue(queue)
    inbox = transport.subscribe("q")
    transport.on_link(inbox.subscription.close)
    wait_for(lambda: transport.session.queue_state("q") is None, SOON)


def test_a_session_says_what_the_broker_can_do(transport: Transport) -> None:
    transport.send(transport.queue(), "1")
    assert transport.link.capabilities == transport.session.capabilities
    assert transport.link.trouble is None
