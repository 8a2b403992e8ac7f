"""What is on the broker, but not in the topology. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from amqptasks.topology.broker.identity import binding_key, binding_name, limit_name, topic_permission_name
from amqptasks.topology.broker.observed import Observed, ObservedQueue
from amqptasks.topology.broker.steps import Step
from amqptasks.topology.delays import PREFIX, due, room
from amqptasks.topology.expand.expand import Objects
from amqptasks.transport.entities import Binding, Exchange
from amqptasks.untrusted.numbers import counted

#: What all names begin with that amqptasks makes by itself: delays, events, control. Other topologies in the same
#: virtual host share them, so they are no drift.
OWN = "amqptasks."

#: What the names of all that belongs to delayed messages begin with: the ladder, and twins of exchanges.
DELAYS = (PREFIX, due(""))

#: Names of the broker's own exchanges, and of queues that it named.
RESERVED = "amq."

Kept = Callable[[str], bool]


def keeping(patterns: Iterable[str]) -> Kept:
    """Names that fit one of these globs belong to others: neither drift nor pruned."""
    globs = tuple(patterns)
    return lambda name: any(fnmatchcase(name, pattern) for pattern in globs)


#: Keeps nothing.
ALL_IS_OURS = keeping(())


def drift(wanted: Objects, observed: Observed, kept: Kept = ALL_IS_OURS) -> Iterator[Step]:
    """Bindings first, then queues, then exchanges: the order in which they can be deleted. What clients keep for
    themselves (exclusive, auto-delete, internal) is left out with its bindings, and so is what goes away with a deleted
    queue or exchange."""
    queues = {queue.name for queue in wanted.queues}
    exchanges = {exchange.name for exchange in wanted.exchanges}
    gone_queues = {
        name: queue
        for name, queue in observed.queues.items()
        if name not in queues and not queue.temporary and not queue.internal and not _shared(name) and not kept(name)
    }
    gone_exchanges = {
        name: exchange
        for name, exchange in observed.exchanges.items()
        if name not in exchanges and not of_client(exchange) and not _shared(name) and not kept(name)
    }
    for name in _used_by_clients(gone_exchanges, observed, queues, exchanges):
        del gone_exchanges[name]
    for name in list(gone_queues):  # the room for delayed messages goes with its queue
        waiting = room(name)
        if waiting in observed.queues and waiting not in queues:
            gone_queues[waiting] = observed.queues[waiting]
        if waiting in observed.exchanges and waiting not in exchanges:
            gone_exchanges[waiting] = observed.exchanges[waiting]
    for name in list(gone_exchanges):  # the twin for delayed messages goes with its exchange
        twin = due(name)
        if twin in observed.exchanges and twin not in exchanges:
            gone_exchanges[twin] = observed.exchanges[twin]
    wanted_bindings = {binding_key(binding) for binding in wanted.bindings}
    clients_queues, clients_exchanges = _clients(observed, queues, exchanges)
    gone_with_queues = {*gone_queues, *clients_queues}
    for key, binding in observed.binding_keys.items():
        to_queue = binding.destination_type == "queue"
        goes_along = binding.destination in (gone_with_queues if to_queue else gone_exchanges)
        if key in wanted_bindings or goes_along or binding.source in gone_exchanges:
            continue
        if binding.source in clients_exchanges or (not to_queue and binding.destination in clients_exchanges):
            continue
        known_end = binding.destination in (queues if to_queue else exchanges)
        others = kept(binding.source) or kept(binding.destination)
        if not others and _of_topology(binding, known_end, exchanges):
            yield Step("binding", binding_name(binding), "drift", binding)
    for name, queue in gone_queues.items():
        yield Step("queue", name, "drift", queue, reason=_held(queue))
    for name, exchange in gone_exchanges.items():
        yield Step("exchange", name, "drift", exchange)
    yield from _around(wanted, observed, kept)


def clients_own(wanted: Objects, observed: Observed) -> tuple[str, ...]:
    """Queues and exchanges that some client keeps for itself, and that go away with it."""
    queues = {queue.name for queue in wanted.queues}
    exchanges = {exchange.name for exchange in wanted.exchanges}
    return (
        *(f"queue {name}" for name, queue in observed.queues.items() if queue.temporary and name not in queues),
        *(
            f"exchange {name}"
            for name, exchange in observed.exchanges.items()
            if of_client(exchange) and name not in exchanges
        ),
        *(
            f"exchange {name}"
            for name in sorted(_used_by_clients(observed.exchanges, observed, queues, exchanges))
            if name not in exchanges and not _shared(name) and not of_client(observed.exchanges[name])
        ),
    )


def _clients(observed: Observed, queues: set[str], exchanges: set[str]) -> tuple[set[str], set[str]]:
    """The names of queues and of exchanges that clients or plugins keep for themselves."""
    return (
        {name for name, queue in observed.queues.items() if (queue.temporary or queue.internal) and name not in queues},
        {name for name, exchange in observed.exchanges.items() if of_client(exchange) and name not in exchanges},
    )


def _used_by_clients(
    gone: Collection[str], observed: Observed, queues: set[str], exchanges: set[str]
) -> frozenset[str]:
    """Of the exchanges `gone`: those that a client has bound its own queue or exchange to. It would hear nothing more,
    and no error."""
    clients_queues, clients_exchanges = _clients(observed, queues, exchanges)
    return frozenset(
        binding.source
        for binding in observed.bindings
        if binding.source in gone
        and binding.destination in (clients_queues if binding.destination_type == "queue" else clients_exchanges)
    )


def of_client(exchange: Exchange) -> bool:
    """Whether some client, or a plugin as federation, keeps it for itself. A durable internal exchange that no plugin
    made may be part of a topology that was removed; who made it cannot be seen, so it is left alone, too."""
    return exchange.auto_delete or exchange.internal


def _shared(name: str) -> bool:
    return name.startswith((OWN, RESERVED)) or not name


def _of_topology(binding: Binding, known_end: bool, exchanges: set[str]) -> bool:
    """Within the delays, bindings may be another topology's; all others are of whoever owns their ends. A twin of an
    exchange counts only where this topology has that twin, which it has not where delays are left out."""
    if binding.source.startswith(PREFIX) or binding.destination.startswith(PREFIX):
        return False
    if binding.source.startswith(OWN):
        return known_end and binding.source in exchanges
    return known_end or not binding.destination.startswith((OWN, RESERVED))


def _held(queue: ObservedQueue) -> str | None:
    return f"it holds {counted(queue.messages, 'message')}" if queue.messages else None


def _around(wanted: Objects, observed: Observed, kept: Kept) -> Iterator[Step]:
    """Policies always; rights and limits only where the file speaks of such, for every virtual host has some."""
    policies = {(policy.name, policy.operator) for policy in wanted.policies}
    for policy in observed.policies:
        if (policy.name, policy.operator) not in policies and not kept(policy.name):
            yield Step("operator policy" if policy.operator else "policy", policy.name, "drift", policy)
    if wanted.permissions:
        users = {permission.user for permission in wanted.permissions} | {observed.user}
        for permission in observed.permissions:
            if permission.user not in users and not kept(permission.user):
                yield Step("permission", permission.user, "drift", permission)
    if wanted.topic_permissions:
        pairs = {(permission.user, permission.exchange) for permission in wanted.topic_permissions}
        for topic in observed.topic_permissions:
            if (topic.user, topic.exchange) not in pairs and not kept(topic.user):
                yield Step("topic permission", topic_permission_name(topic.user, topic.exchange), "drift", topic)
    users = {user.name for user in wanted.users}
    limits = {(limit.name, limit.user) for limit in wanted.limits}
    for limit in observed.limits if wanted.limits else ():
        if (limit.name, limit.user) not in limits and (limit.user is None or limit.user in users):
            yield Step("limit", limit_name(limit.name, limit.user), "drift", limit)
