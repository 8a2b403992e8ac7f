"""Deleting what is on the broker but not in the topology, without losing a message or cutting somebody off."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from amqptasks.amqp.blocking.session import Session
from amqptasks.management.client import Management, Unanswered
from amqptasks.topology.broker.declare import Change, Progress
from amqptasks.topology.broker.observed import Observed, ObservedQueue
from amqptasks.topology.broker.steps import Plan, Step
from amqptasks.topology.broker.unbinding import unbind
from amqptasks.topology.plan.apply import put_topic_permission
from amqptasks.transport.entities import Binding, Exchange, Limit, Permission, Policy, TopicPermission
from amqptasks.untrusted.numbers import counted

#: Ready and unacked messages as they are now, not as of the last statistics.
_TOTALS = {"disable_stats": "true", "enable_queue_totals": "true"}


def prune(
    plan: Plan,
    observed: Observed,
    session: Session,
    management: Management,
    force: Collection[str] = (),
    progress: Progress | None = None,
) -> list[Change]:
    """Delete what `plan.prunable` names; a queue that holds messages or has consumers stays (`kept`), unless `force`
    names it.

    The broker itself sees to that for classic queues. For quorum queues and streams it cannot (540, not implemented):
    such a queue is unbound first, looked at again, bound as before where something has come meanwhile, and deleted.
    What is published to it through the default exchange, or dead-lettered to it, in the milliseconds between that look
    and the deletion is lost.
    """
    done: list[Change] = []
    for step in plan.prunable:
        why_kept = _delete(step, plan, observed, session, management, force)
        change = Change(step.kind, step.name, "deleted" if why_kept is None else "kept", why_kept)
        done.append(change)
        if progress is not None:
            progress(change)
    return done


def _delete(
    step: Step, plan: Plan, observed: Observed, session: Session, management: Management, force: Collection[str]
) -> str | None:
    """Why it was kept, or None."""
    vhost, entity = management.vhost, step.entity
    if isinstance(entity, Binding):
        unbind(entity, session, management)
    elif isinstance(entity, Exchange):
        session.delete_exchange(entity.name)
    elif isinstance(entity, ObservedQueue):
        if entity.name in force:
            session.delete_queue(entity.name)
        elif entity.type == "classic":
            return _delete_classic(entity.name, management)
        else:
            return _delete_when_idle(entity.name, observed, session, management)
    elif isinstance(entity, Policy):
        management.delete("operator-policies" if entity.operator else "policies", vhost, entity.name)
    elif isinstance(entity, Permission):
        management.delete("permissions", vhost, entity.user)
    elif isinstance(entity, TopicPermission):
        management.delete("topic-permissions", vhost, entity.user)
        for wanted in _topic_permissions(plan, entity.user):  # they can only be deleted all together
            put_topic_permission(wanted, management)
    elif isinstance(entity, Limit):
        owner = ("vhost-limits", vhost) if entity.user is None else ("user-limits", entity.user)
        management.delete(*owner, entity.name)
    return None


def _delete_classic(name: str, management: Management) -> str | None:
    try:
        management.delete("queues", management.vhost, name, query={"if-empty": "true", "if-unused": "true"})
    except Unanswered as unanswered:
        if unanswered.status != 400:
            raise
        return "it holds messages, or has consumers"
    return None


def _delete_when_idle(name: str, observed: Observed, session: Session, management: Management) -> str | None:
    busy = _busy(name, session, management)
    if busy is not None:
        return busy
    bindings = [
        binding for binding in observed.bindings if binding.destination == name and binding.destination_type == "queue"
    ]
    for binding in bindings:
        unbind(binding, session, management)
    busy = _busy(name, session, management)
    if busy is None:
        session.delete_queue(name)
        return None
    for binding in bindings:
        session.bind(binding)
    return busy


def _busy(name: str, session: Session, management: Management) -> str | None:
    """Consumers and ready messages from AMQP, which is exact; unacked ones from the API."""
    state = session.queue_state(name)
    if state is None:
        return None
    if state.consumers:
        return f"it has {counted(state.consumers, 'consumer')}"
    row = management.find("queues", management.vhost, name, query=_TOTALS) or {}
    held = max(state.messages, row.get("messages") or 0, row.get("messages_dlx") or 0)
    return f"it holds {counted(held, 'message')}" if held else None


def _topic_permissions(plan: Plan, user: str) -> Iterator[TopicPermission]:
    for step in plan.steps:
        if step.action != "drift" and isinstance(step.entity, TopicPermission) and step.entity.user == user:
            yield step.entity
