"""From what a topology wants and what a broker has to the steps between them. Pure: nothing is asked or done here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from amqptasks.errors import ConfigurationError
from amqptasks.topology.broker.identity import binding_key, binding_name, limit_name, topic_permission_name
from amqptasks.topology.broker.observed import Observed, Section
from amqptasks.topology.broker.steps import Difference, Kind, Plan, Step, Warning
from amqptasks.topology.expand.expand import Objects
from amqptasks.topology.migrate import marks
from amqptasks.topology.plan import differences, retired
from amqptasks.topology.plan.drift import ALL_IS_OURS, DELAYS, Kept, clients_own, drift
from amqptasks.topology.plan.policies import shadowed
from amqptasks.transport.entities import Binding, Exchange, Queue, User, VirtualHost
from amqptasks.transport.exchange_types import remedy
from amqptasks.untrusted.numbers import counted

Entity = TypeVar("Entity")

#: Said of a queue that fits one of `Objects.older`.
OLDER = "it still is what an older release of RabbitMQ made it; `amqptasks migrate` would renew it"

#: As many names are printed of exchanges whose type the broker lacks.
_NAMED = 3


def sections_for(wanted: Objects) -> frozenset[Section]:
    """What of a broker must be read to plan these objects; policies always, because they override arguments."""
    sections: set[Section] = {"policies"}
    if wanted.users:
        sections.add("users")
    if wanted.permissions or wanted.topic_permissions:
        sections.add("permissions")
    if wanted.limits:
        sections.add("limits")
    return frozenset(sections)


def plan(
    wanted: Objects,
    observed: Observed,
    environment: Mapping[str, str] | None = None,
    kept: Kept = ALL_IS_OURS,
    migrate: Callable[[str], str] = differences.migrate_command,
) -> Plan:
    """The steps from `observed` to `wanted`, in the order in which they can be done.

    `environment` holds the passwords of users under the names that the topology gives; one that is missing is not
    compared. `kept` tells which names belong to others, and are no drift. A queue that is being migrated is left alone.
    `migrate` gives the command that migrates a queue. Raises `ConfigurationError` for a password that is empty.
    """
    variables = environment or {}
    moving = marks.seen(observed)
    removed = tuple(retired.steps(wanted, observed))
    found = _unless_removed(drift(wanted, observed, kept), removed)
    steps = [
        *_vhost(wanted, observed),
        *_limits(wanted, observed),
        *_policies(wanted, observed),
        *(_exchange(exchange, observed) for exchange in wanted.exchanges),
        *(_queue(queue, wanted.older.get(queue.name, ()), observed, moving, migrate) for queue in wanted.queues),
        *_bindings(wanted, observed, moving),
        *(_user(user, observed, variables) for user in wanted.users),
        *_permissions(wanted, observed),
        *removed,
        *_unless_migrated(found, moving),
    ]
    return Plan(tuple(steps), tuple(_warnings(wanted, observed)), clients_own(wanted, observed))


def _vhost(wanted: Objects, observed: Observed) -> Iterator[Step]:
    if observed.settings is None:
        yield Step("vhost", observed.vhost, "create", wanted.vhost or VirtualHost())
    elif wanted.vhost is not None:
        asked = wanted.vhost
        if not observed.capabilities.default_queue_types:
            asked = replace(asked, default_queue_type=None)
        found = differences.of_vhost(asked, observed.settings)
        yield _changeable("vhost", observed.vhost, wanted.vhost, found)


def _exchange(exchange: Exchange, observed: Observed) -> Step:
    there = observed.exchanges.get(exchange.name)
    if there is None:
        return Step("exchange", exchange.name, "create", exchange)
    found = differences.of_exchange(exchange, there)
    if not found:
        return Step("exchange", exchange.name, "leave", exchange)
    ways = differences.ways_out_of_exchange(exchange, found)
    return Step("exchange", exchange.name, "conflict", exchange, found, None, ways)


def _queue(
    queue: Queue,
    older: Iterable[Queue],
    observed: Observed,
    moving: Collection[str],
    migrate: Callable[[str], str],
) -> Step:
    if queue.name in moving:
        return Step("queue", queue.name, "leave", queue, reason=marks.left_alone(queue.name))
    there = observed.queues.get(queue.name)
    if there is None:
        return Step("queue", queue.name, "create", queue)
    found = differences.of_queue(queue, there)
    if not found:
        return Step("queue", queue.name, "leave", queue)
    if any(not differences.of_queue(form, there) for form in older):
        return Step("queue", queue.name, "leave", queue, found, OLDER)
    held = f"it holds {counted(there.messages, 'message')}" if there.messages else None
    ways = differences.ways_out_of_queue(there, found, migrate)
    return Step("queue", queue.name, "conflict", queue, found, held, ways)


def _bindings(wanted: Objects, observed: Observed, moving: Collection[str]) -> Iterator[Step]:
    there = observed.binding_keys
    for binding in wanted.bindings:
        led_around = binding.destination_type == "queue" and binding.destination in moving
        action = "leave" if led_around or binding_key(binding) in there else "create"
        yield Step("binding", binding_name(binding), action, binding)  # type: ignore[arg-type]


def _unless_removed(steps: Iterable[Step], removed: Collection[Step]) -> Iterator[Step]:
    """What goes in any case is no drift besides."""
    names = {step.name for step in removed if step.action == "remove"}
    return (step for step in steps if step.kind != "binding" or step.name not in names)


def _unless_migrated(steps: Iterable[Step], moving: Collection[str]) -> Iterator[Step]:
    """What a migration has made for itself, and what it has bound otherwise, is no drift: pruned, it would be lost."""
    names = frozenset[str]().union(*map(marks.names, moving))
    for step in steps:
        entity = step.entity
        found = {entity.source, entity.destination} if isinstance(entity, Binding) else {step.name}
        if step.kind not in ("queue", "exchange", "binding") or not found & names:
            yield step


def _policies(wanted: Objects, observed: Observed) -> Iterator[Step]:
    there = {(policy.name, policy.operator): policy for policy in observed.policies}
    for policy in wanted.policies:
        kind: Kind = "operator policy" if policy.operator else "policy"
        current = there.get((policy.name, policy.operator))
        yield _step(kind, policy.name, policy, current, differences.of_policy)


def _user(user: User, observed: Observed, environment: Mapping[str, str]) -> Step:
    there = observed.users.get(user.name)
    password = environment.get(user.password) if user.password is not None else None
    unknown = user.password is not None and password is None
    if password == "":
        raise ConfigurationError(
            f"the variable {user.password}, which is to hold the password of the user {user.name!r}, is set, but empty:"
            " set it, or take `password_from` out of the file for a user without a password"
        )
    if there is None:
        reason = f"set the variable {user.password}: it is to hold the password" if unknown else None
        return Step("user", user.name, "create", user, reason=reason)
    found = differences.of_user(user, there, password)
    reason = f"the password was not compared: the variable {user.password} is not set" if unknown else None
    return Step("user", user.name, "change" if found else "leave", user, found, reason)


def _permissions(wanted: Objects, observed: Observed) -> Iterator[Step]:
    there = {permission.user: permission for permission in observed.permissions}
    for permission in wanted.permissions:
        current = there.get(permission.user)
        yield _step("permission", permission.user, permission, current, differences.of_permission)
    topics = {(permission.user, permission.exchange): permission for permission in observed.topic_permissions}
    for topic in wanted.topic_permissions:
        name = topic_permission_name(topic.user, topic.exchange)
        yield _step(
            "topic permission", name, topic, topics.get((topic.user, topic.exchange)), differences.of_permission
        )


def _limits(wanted: Objects, observed: Observed) -> Iterator[Step]:
    there = {(limit.name, limit.user): limit for limit in observed.limits}
    for limit in wanted.limits:
        current = there.get((limit.name, limit.user))
        yield _step("limit", limit_name(limit.name, limit.user), limit, current, differences.of_limit)


def _step(
    kind: Kind,
    name: str,
    wanted: Entity,
    current: Entity | None,
    compare: Callable[[Entity, Entity], tuple[Difference, ...]],
) -> Step:
    """Of something that can be changed in place."""
    if current is None:
        return Step(kind, name, "create", wanted)
    return _changeable(kind, name, wanted, compare(wanted, current))


def _changeable(kind: Kind, name: str, wanted: object, found: tuple[Difference, ...]) -> Step:
    return Step(kind, name, "change" if found else "leave", wanted, found)


def _warnings(wanted: Objects, observed: Observed) -> Iterator[Warning]:
    """Of the policies as they will be, and the queues as they are: a type that cannot be changed stays."""
    if wanted.vhost is not None and wanted.vhost.default_queue_type and not observed.capabilities.default_queue_types:
        problem = "this release has no default queue type: the one in the file has no effect"
        yield Warning(
            f"vhost {observed.vhost}", problem, "upgrade to RabbitMQ 3.11 or newer, or take it out of the file"
        )
    yield from _unknown_types(wanted, observed)
    policies = {(policy.name, policy.operator): policy for policy in (*observed.policies, *wanted.policies)}
    settings = wanted.vhost or VirtualHost()
    default = settings.default_queue_type or (observed.settings or settings).default_queue_type or "classic"
    queues = []
    for queue in wanted.queues:
        there = observed.queues.get(queue.name)
        queues.append((queue, there.type if there else str(queue.arguments.get("x-queue-type", default))))
    yield from shadowed(queues, policies.values(), wanted.policies, observed.vhost)


def _unknown_types(wanted: Objects, observed: Observed) -> Iterator[Warning]:
    """No more than a warning: what the node that was asked lacks, the one that is declared on may have."""
    if not observed.exchange_types:
        return
    own = [exchange for exchange in wanted.exchanges if not exchange.name.startswith(DELAYS)]
    for kind in sorted({exchange.type for exchange in own} - observed.exchange_types):
        names = [exchange.name for exchange in own if exchange.type == kind]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        problem = f"this broker does not have it, and refuses {', '.join(names[:_NAMED])}{more}"
        yield Warning(f"exchange type {kind}", problem, remedy(kind))
