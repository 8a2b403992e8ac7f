"""Objects of earlier releases that harm. `declare` takes them away.

Streams that workers keep for themselves were bound to `amqptasks.queues`: who may publish tasks could write records.
They get exchanges of their own. A stream that is not there yet is made by the first worker that needs it, out of reach
from the beginning. And the delay ladder ended at every exchange, also at internal ones and at those of RabbitMQ. The
twins of exchanges led to queues themselves, so that a full queue held up everybody's delays (`Objects.retired`).
"""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.own_headers import TO
from amqptasks.topology.broker.declare import Change
from amqptasks.topology.broker.identity import binding_key, binding_name
from amqptasks.topology.broker.observed import Observed
from amqptasks.topology.broker.steps import Step
from amqptasks.topology.delays import END
from amqptasks.topology.expand.expand import Objects
from amqptasks.transport import Session
from amqptasks.transport.entities import Binding, Exchange

#: By stream, the exchange that its records come through. See `control/places.py` and `events/places.py`.
SOURCES = {
    "amqptasks.revoked": Exchange("amqptasks.revoked.revocation", "fanout"),
    "amqptasks.nodes": Exchange("amqptasks.nodes.announcement", "fanout"),
    "amqptasks.events": Exchange("amqptasks.events", "topic"),
}

#: Said of the bindings that go.
REACHED = "whoever may publish tasks could write records through it"
HELD_UP = "while its queue was full, it held up the delayed tasks of all others"
ENTERED = "whoever may send delayed tasks could publish through it, without the right to"


def steps(wanted: Objects, observed: Observed) -> Iterator[Step]:
    """The steps that close both ways on a broker where they are open; none where that is done."""
    yield from _streams(observed)
    for binding in wanted.retired:
        if binding_key(binding) in observed.binding_keys:
            yield Step("binding", binding_name(binding), "remove", binding, reason=HELD_UP)
    keys = {binding_key(binding) for binding in wanted.bindings}
    for key, binding in observed.binding_keys.items():
        if binding.source == END and key not in keys and _forbidden(binding, observed):
            yield Step("binding", binding_name(binding), "remove", binding, reason=ENTERED)


def _forbidden(binding: Binding, observed: Observed) -> bool:
    target = binding.arguments.get(TO)
    if not isinstance(target, str):
        return False
    exchange = observed.exchanges.get(target)
    return target.startswith("amq.") or (exchange is not None and exchange.internal)


def _streams(observed: Observed) -> Iterator[Step]:
    for stream, exchange in SOURCES.items():
        if stream not in observed.queues:
            continue
        if exchange.name not in observed.exchanges:
            yield Step("exchange", exchange.name, "create", exchange)
        bound, retired = source_of(stream), retired_of(stream)
        if binding_key(bound) not in observed.binding_keys:
            yield Step("binding", binding_name(bound), "create", bound)
        if binding_key(retired) in observed.binding_keys:
            yield Step("binding", binding_name(retired), "remove", retired, reason=REACHED)


def move(session: Session) -> Iterator[Change]:
    """The same over AMQP alone, which cannot tell what is bound."""
    for stream, exchange in SOURCES.items():
        if session.queue_state(stream) is None:
            continue
        was_there = session.exchange_exists(exchange.name)
        session.declare_exchange(exchange)
        yield Change("exchange", exchange.name, "present" if was_there else "created")
        session.bind(source_of(stream))
        yield Change("binding", binding_name(source_of(stream)), "bound")
        if session.exchange_exists(QUEUES_EXCHANGE):
            session.unbind(retired_of(stream))


def source_of(stream: str) -> Binding:
    """How records come into a stream."""
    exchange = SOURCES[stream]
    return Binding(exchange.name, stream, "#" if exchange.type == "topic" else "")


def retired_of(stream: str) -> Binding:
    """How they came on a broker of an earlier release."""
    return Binding(QUEUES_EXCHANGE, stream, stream)
