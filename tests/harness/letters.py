"""Dead letters as a worker leaves them."""

from __future__ import annotations

from amqptasks import App
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.properties import Properties


def publish_letters(app: App, count: int, body: bytes = b'[["x"], {}, null]', queue: str = "default.dead") -> list[str]:
    """Publish so many; their ids."""
    ids = [f"task-{number}" for number in range(count)]
    outgoings = (
        Outgoing(
            QUEUES_EXCHANGE,
            queue,
            body,
            Properties(
                content_type="application/json",
                headers={
                    "task": "shop.ship" if number % 2 else "shop.refund",
                    "id": task_id,
                    "x-amqptasks-reason": "failed",
                    "x-amqptasks-queue": "default",
                    "x-amqptasks-attempts": 1,
                },
            ),
        )
        for number, task_id in enumerate(ids)
    )
    assert app.caller.publisher.publish_many(outgoings, 30.0) == []
    return ids
