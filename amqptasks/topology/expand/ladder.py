"""The AMQP objects of the delay ladder. How a message travels it: `delays.py`.

    publisher -> rung 29 -> rung 28 -> ... -> rung 00 -> end -> twin of the target exchange -> room -> queue
                                                          |            |
                                                          +--- lost ---+

A rung has 32 slots for messages on their way to the next place, and asks a place that refuses again only after 180
seconds. So nothing at the foot of the ladder may ever refuse: a target that is gone leads to `amqptasks.delay.lost`,
and before each queue there is an unbounded one, its room. Any queue can be full, because a policy may bound it at any
time, and a client sees no policies. A full queue holds up its own room only, which has 32 slots of its own.

A rung passes on by its alternate exchange what needs not wait there, and what would have to wait there while its queue
is missing: nothing that is under way gets stuck. The worker sees by `x-death` which rungs a message skipped, and puts
it back (`delays.skipped`). A message that enters is bound to a dead end besides, which keeps the alternate exchange out
of it: while the rung's queue is missing, the publisher gets the message back as unroutable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.own_headers import ENTERED, TO
from amqptasks.topology.delays import CLOCK, DEAD_END, END, LOST, ROOM_OF, TICK, bit, due, entered_at, rung, rungs_for
from amqptasks.topology.expand.expand import SAFE, Objects, unlimited_queue
from amqptasks.topology.topology import Topology
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange
from amqptasks.transport.exchange_types import LOCAL_RANDOM

#: How the names ended of the queues that held back delayed messages for a full queue in earlier releases.
RETIRED = ".due"


def ladder_objects(topology: Topology, capabilities: Capabilities) -> Objects:
    """The rungs up to the topology's longest delay, the foot, and the twins of all exchanges it can lead to; nothing
    where the topology has no delays.

    From 4.0 to 4.2 there are two ladders: on a quorum queue of these releases, a message of priority 5 and up holds
    back the expiry of those below.
    """
    if not topology.longest_delay:
        return Objects()
    found = _foot(topology) + Objects(retired=tuple(_retired(topology)))
    for upper in (False, True) if capabilities.two_priority_classes else (False,):
        for number in range(rungs_for(topology.longest_delay)):
            found += _rung(number, upper)
    return found


@dataclass(frozen=True, slots=True)
class Names:
    """Of exchanges and queues."""

    exchanges: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()


def ladder_names(topology: Topology, capabilities: Capabilities) -> Names:
    """The names of `ladder_objects`, without the rooms of queues; `amqptasks.delay.lost` is the last queue."""
    if not topology.longest_delay:
        return Names()
    classes = (False, True) if capabilities.two_priority_classes else (False,)
    rungs = [rung(number, upper) for upper in classes for number in range(rungs_for(topology.longest_delay))]
    twins = [due(target) for target in sorted(topology.delay_targets)]
    return Names((END, DEAD_END, CLOCK, LOST, *rungs, *twins), (*rungs, LOST))


def _rung(number: int, upper: bool) -> Objects:
    name = rung(number, upper)
    below = rung(number - 1, upper) if number else END
    arguments = {"x-message-ttl": TICK << number, "x-dead-letter-exchange": below, **SAFE}
    return Objects(
        (Exchange(name, "headers", arguments={"alternate-exchange": below}),),
        (unlimited_queue(name, arguments),),
        # all-with-x: plain `all` passes over headers that begin with x-.
        (
            Binding(name, name, arguments={"x-match": "all-with-x", bit(number): True}),
            Binding(name, DEAD_END, "", "exchange", {"x-match": "all-with-x", ENTERED: entered_at(number)}),
        ),
    )


def _foot(topology: Topology) -> Objects:
    lost = Objects(
        (
            Exchange(LOST, "fanout"),
            Exchange(END, "headers", arguments={"alternate-exchange": LOST}),
            Exchange(DEAD_END, "fanout"),
            Exchange(CLOCK, "direct", arguments={"alternate-exchange": LOST}),
        ),
        (unlimited_queue(LOST, {}),),
        (Binding(LOST, LOST), Binding(END, CLOCK, "", "exchange", {"x-match": "all-with-x", TO: CLOCK})),
    )
    twins = tuple(_twin(topology, target) for target in sorted(topology.twinned))
    ends = tuple(end(target) for target in sorted(topology.delay_targets))
    rooms = Objects()
    for settings in topology.queues.values():
        if settings.room is not None:
            rooms += _room(settings.room, settings.name)
    return lost + Objects(twins) + rooms + Objects(bindings=(*_twin_bindings(topology), *ends))


def _room(name: str, queue: str) -> Objects:
    """It hands on at once what it gets, and keeps what the queue does not take. The exchange behind it is a fanout, so
    that the routing key stays, and leads to lost while the queue is gone."""
    arguments = {"x-message-ttl": 0, "x-dead-letter-exchange": name, ROOM_OF: queue, **SAFE}
    behind = Exchange(name, "fanout", arguments={"alternate-exchange": LOST})
    return Objects((behind,), (unlimited_queue(name, arguments),), (Binding(name, queue),))


def end(target: str) -> Binding:
    """What hands a message for `target` over to its twin."""
    return Binding(END, due(target), "", "exchange", {"x-match": "all-with-x", TO: target})


def _twin(topology: Topology, target: str) -> Exchange:
    """Same type as the target, but for one that leads to queues near the publisher: the rungs publish, wherever their
    leaders are, and the room of a queue is none that it takes. What finds no queue goes where the
    target's own alternate leads, in the end to lost."""
    if target == QUEUES_EXCHANGE:
        return Exchange(due(target), "direct", arguments={"alternate-exchange": LOST})
    declared = topology.exchanges.get(target)
    alternate = declared.alternate_exchange if declared else None
    kind = topology.exchange_type(target) or "direct"
    return Exchange(
        due(target),
        "fanout" if kind == LOCAL_RANDOM else kind,
        arguments={
            **(declared.arguments if declared else {}),
            "alternate-exchange": due(alternate) if alternate in topology.twinned else LOST,
        },
    )


def _twin_bindings(topology: Topology) -> Iterator[Binding]:
    for settings in topology.queues.values():
        yield Binding(due(QUEUES_EXCHANGE), settings.room or settings.name, settings.name)
    for exchange, bound in topology.bound_from.items():
        if exchange == QUEUES_EXCHANGE or exchange not in topology.twinned:  # every queue is there already
            continue
        # One of these leads to one of its queues, whichever: a twin that led to all of them would multiply tasks.
        first_alone = topology.exchange_type(exchange) == LOCAL_RANDOM
        for kind, name, source in bound[:1] if first_alone else bound:
            destination = due(name) if kind == "exchange" else topology.queues[name].room or name
            yield Binding(due(exchange), destination, source.routing_key, kind, source.arguments)


def _retired(topology: Topology) -> Iterator[Binding]:
    """The twins of earlier releases led to the queues themselves, or to a queue `NAME.due`. With that binding and ours
    a message would come twice."""
    by_room = {settings.room: settings for settings in topology.queues.values() if settings.room is not None}
    for binding in _twin_bindings(topology):
        settings = by_room.get(binding.destination)
        if settings is not None:
            yield replace(binding, destination=settings.name)
            if settings.refuses:
                yield replace(binding, destination=f"{settings.name}{RETIRED}")
