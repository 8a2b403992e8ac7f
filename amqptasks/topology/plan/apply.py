"""Doing a plan: what AMQP can make, several at a time; the rest through the management API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from amqptasks.amqp.blocking.session import Session
from amqptasks.errors import ConfigurationError, DeclarationConflict
from amqptasks.management.client import Management
from amqptasks.topology.broker.declare import Change, Progress
from amqptasks.topology.broker.observed import Observed
from amqptasks.topology.broker.steps import Kind, Plan, Step
from amqptasks.topology.plan.plan import OLDER
from amqptasks.transport.entities import (
    Binding,
    Exchange,
    Limit,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    User,
    VirtualHost,
)

#: Exchanges before what is bound to them, all before the bindings; kinds in one group are made side by side.
_BY_AMQP: tuple[Kind, ...] = ("exchange", "queue", "binding")


def apply(
    plan: Plan,
    observed: Observed,
    session: Session,
    management: Management,
    environment: Mapping[str, str],
    progress: Progress | None = None,
) -> list[Change]:
    """Create and change what the plan says, and nothing else; every object of the topology is in the answer.

    Nothing is touched, and `DeclarationConflict` raised, where something cannot be changed in place, and
    `ConfigurationError` where the password of a user is in no variable of `environment`. `session` may be one that has
    not connected yet: the virtual host is made first. What is made stays made where something fails later, and the
    next run goes on from there.
    """
    _refuse(plan, environment)
    done: list[Change] = []

    def tell(change: Change) -> None:
        done.append(change)
        if progress is not None:
            progress(change)

    for step in plan.left:
        tell(_left(step))
    for step in _before(plan):
        _by_management(step, observed, management, environment)
        tell(_change(step))
    for kind in _BY_AMQP:
        steps = {id(step.entity): step for step in plan.changes if step.kind == kind and step.action != "remove"}
        objects = [
            one for one in (step.entity for step in steps.values()) if isinstance(one, Exchange | Queue | Binding)
        ]
        if objects:
            session.declare_all(objects, lambda one, steps=steps: tell(_change(steps[id(one)])))  # type: ignore[misc]
    for step in plan.changes:
        if step.action == "remove" and isinstance(step.entity, Binding):
            session.unbind(step.entity)
            tell(Change(step.kind, step.name, "deleted", step.reason))
    for step in _after(plan):
        _by_management(step, observed, management, environment)
        tell(_change(step))
    return done


def _left(step: Step) -> Change:
    if step.kind == "queue" and step.reason is not None:
        if step.reason == OLDER:
            return Change(step.kind, step.name, "older")
        return Change(step.kind, step.name, "migrating", step.reason)
    return Change(step.kind, step.name, "present")


def _refuse(plan: Plan, environment: Mapping[str, str]) -> None:
    for step in plan.conflicts:
        first = step.differences[0]
        raise DeclarationConflict(step.kind, step.name, first.key, str(first.wanted), str(first.current))
    for step in plan.changes:
        user = step.entity
        if isinstance(user, User) and step.action == "create" and user.password and user.password not in environment:
            raise ConfigurationError(
                f"the user {user.name!r} is to be created, and its password is not there: set {user.password}"
            )


def _before(plan: Plan) -> Iterator[Step]:
    """What must be there before queues are, so that none is without its policy for a moment."""
    return (
        step
        for step in plan.changes
        if step.kind in ("vhost", "policy", "operator policy") or (step.kind == "limit" and not _of_user(step))
    )


def _after(plan: Plan) -> Iterator[Step]:
    """Users, then what is said of them."""
    yield from (step for step in plan.changes if step.kind == "user")
    yield from (step for step in plan.changes if step.kind in ("permission", "topic permission") or _of_user(step))


def _of_user(step: Step) -> bool:
    return isinstance(step.entity, Limit) and step.entity.user is not None


def _change(step: Step) -> Change:
    return Change(step.kind, step.name, "created" if step.action == "create" else "changed")


def _by_management(step: Step, observed: Observed, management: Management, environment: Mapping[str, str]) -> None:
    vhost, entity = management.vhost, step.entity
    if isinstance(entity, VirtualHost):
        management.put("vhosts", vhost, body=_settings(entity, observed.settings or VirtualHost()))
    elif isinstance(entity, Policy):
        management.put(_policies(entity), vhost, entity.name, body=_policy(entity))
    elif isinstance(entity, User):
        management.put("users", entity.name, body=_user(entity, step, observed, environment))
    elif isinstance(entity, Permission):
        rights = {"configure": entity.configure, "write": entity.write, "read": entity.read}
        management.put("permissions", vhost, entity.user, body=rights)
    elif isinstance(entity, TopicPermission):
        put_topic_permission(entity, management)
    elif isinstance(entity, Limit):
        owner = ("vhost-limits", vhost) if entity.user is None else ("user-limits", entity.user)
        management.put(*owner, entity.name, body={"value": entity.value})


def put_topic_permission(permission: TopicPermission, management: Management) -> None:
    rights = {"exchange": permission.exchange, "write": permission.write, "read": permission.read}
    management.put("topic-permissions", management.vhost, permission.user, body=rights)


def _settings(wanted: VirtualHost, current: VirtualHost) -> dict[str, object]:
    """The API replaces all of them together: what the file does not say stays as it is."""
    merged = replace(
        current,
        description=current.description if wanted.description is None else wanted.description,
        tags=wanted.tags or current.tags,
        default_queue_type=wanted.default_queue_type or current.default_queue_type,
    )
    found: dict[str, object] = {"description": merged.description or "", "tags": ",".join(merged.tags)}
    return found | ({"default_queue_type": merged.default_queue_type} if merged.default_queue_type else {})


def _policies(policy: Policy) -> str:
    return "operator-policies" if policy.operator else "policies"


def _policy(policy: Policy) -> dict[str, object]:
    return {
        "pattern": policy.pattern,
        "definition": dict(policy.definition),
        "apply-to": policy.apply_to,
        "priority": policy.priority,
    }


def _user(user: User, step: Step, observed: Observed, environment: Mapping[str, str]) -> dict[str, object]:
    """The API replaces the whole user: a password that stays is handed back as the hash that it is kept as."""
    tags: dict[str, object] = {"tags": ",".join(user.tags)}
    there = observed.users.get(user.name)
    fresh = there is None or any(difference.key == "password" for difference in step.differences)
    if fresh:
        return tags | ({"password": environment[user.password]} if user.password else {"password_hash": ""})
    assert there is not None
    return tags | {"password_hash": there.password_hash, "hashing_algorithm": there.hashing_algorithm}
