"""What a migration makes on the broker beside the queue itself, and how others see that one is under way."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from amqptasks.errors import AccessRefused
from amqptasks.topology.broker.observed import Observed
from amqptasks.topology.expand.expand import Objects, unlimited_queue
from amqptasks.transport import Session
from amqptasks.transport.entities import Binding, Exchange, Queue

#: A fanout exchange that is there while any migration is under way; each binds its gate to it. One question to the
#: broker tells everybody else that there is none, which is so nearly always.
MIGRATIONS = "amqptasks.migrations"

#: What of the new queue's arguments the waiting place has too: an expired message must find its way.
_DEAD_LETTERING = ("x-dead-letter-exchange", "x-dead-letter-routing-key", "x-dead-letter-strategy")


def shadow(queue: str) -> str:
    """The queue in which messages wait meanwhile."""
    return f"{queue}.moving"


def gate(queue: str) -> str:
    """The exchange that stands before the queue: bound to it, it hands over to the queue, else to its alternate."""
    return f"{queue}.moving"


def aside(queue: str) -> str:
    """The gate's alternate, which leads to the shadow."""
    return f"{queue}.moving.aside"


def back(queue: str) -> str:
    """The exchange through which messages come back to the queue, past the gate."""
    return f"{queue}.moving.back"


def lock(queue: str) -> str:
    """The exclusive queue that a running migration holds."""
    return f"{queue}.moving.lock"


def gate_exchange(queue: str) -> Exchange:
    return Exchange(gate(queue), "fanout", arguments={"alternate-exchange": aside(queue)})


def open_gate(queue: str) -> Binding:
    """With it the gate leads to the queue, without it to the shadow. One binding: there is no moment between."""
    return Binding(gate(queue), queue)


def shadow_queue(wanted: Queue) -> Queue:
    """Safe and unbounded, whatever the queue itself is: nothing may be refused or dropped while it waits."""
    found = {name: wanted.arguments[name] for name in _DEAD_LETTERING if name in wanted.arguments}
    if "x-dead-letter-exchange" in found:
        found |= {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    return unlimited_queue(shadow(wanted.name), found)


def under_way(queues: Iterable[str], session: Session) -> frozenset[str]:
    """Which of `queues` are being migrated now, or were when a migration was interrupted."""
    if not _exists(MIGRATIONS, session):
        return frozenset()
    return frozenset(queue for queue in queues if _exists(aside(queue), session))


def seen(observed: Observed) -> frozenset[str]:
    """As `under_way`, of all queues of a virtual host that has been read. Pure."""
    if MIGRATIONS not in observed.exchanges:
        return frozenset()
    return frozenset(name.removesuffix(aside("")) for name in observed.exchanges if name.endswith(aside("")))


def names(queue: str) -> frozenset[str]:
    """Of all that a migration makes for itself, and the queue's own: nobody else's business meanwhile."""
    return frozenset({queue, shadow(queue), gate(queue), aside(queue), back(queue), lock(queue)})


def left_alone(queue: str) -> str:
    """Said by whoever finds the queue in a migration, and leaves it alone."""
    return f"it is being migrated: left alone, with its bindings, until `amqptasks migrate {queue}` has finished"


def without(objects: Objects, queues: Collection[str]) -> Objects:
    """The objects without these queues and what is bound to them: they are a migration's business."""
    if not queues:
        return objects
    return replace(
        objects,
        queues=tuple(queue for queue in objects.queues if queue.name not in queues),
        bindings=tuple(
            binding
            for binding in objects.bindings
            if binding.destination_type != "queue" or binding.destination not in queues
        ),
    )


def settled(objects: Objects, session: Session) -> Objects:
    """The objects without the queues that are being migrated: declared and bound by others meanwhile, messages would
    reach them twice, and the old form could come back."""
    return without(objects, under_way([queue.name for queue in objects.queues], session))


def _exists(exchange: str, session: Session) -> bool:
    try:
        return session.exchange_exists(exchange)
    except AccessRefused:  # 4.3 asks for a right even to look; who has none cannot make the queue either
        return False
