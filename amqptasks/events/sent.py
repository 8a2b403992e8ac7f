"""The event of a call that its caller published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqptasks.messages.ids import made_at
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.runtime.clock import broker_time

if TYPE_CHECKING:
    from amqptasks.events.emitter import Emitter
    from amqptasks.messages.outgoing import Outgoing
    from amqptasks.untrusted.masks import Mask


def emit_sent(emitter: Emitter, name: str | None, identity: str, outgoing: Outgoing, mask: Mask) -> None:
    headers = outgoing.properties.headers or {}
    emitter.emit(
        "task-sent",
        timestamp=made_at(identity) or broker_time.now(),  # a worker may have it before we know that the broker has
        uuid=identity,
        name=name,
        args=mask.masked(headers.get("argsrepr", "")),
        kwargs=mask.masked(headers.get("kwargsrepr", "")),
        root_id=headers.get("root_id", identity),
        parent_id=headers.get("parent_id"),
        retries=headers.get("retries", 0),
        eta=headers.get("eta"),
        expires=headers.get("expires"),
        exchange=outgoing.exchange,
        routing_key=outgoing.routing_key,
        queue=outgoing.routing_key if outgoing.exchange == QUEUES_EXCHANGE else None,
    )
