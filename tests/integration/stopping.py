"""What tests of stopping workers send, and what they find in the queues afterwards."""

from __future__ import annotations

from typing import Any

import pika

from amqptasks import App


def send(sender: App, task: str, *args: Any, **options: Any) -> None:
    sender.send_task(task, args, **options)


def waiting(url: str, queue: str = "default") -> list[dict[str, Any]]:
    """The headers of all messages in a queue, which is empty afterwards."""
    found = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(got[1].headers or {})
    return found
