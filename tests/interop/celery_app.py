"""A Celery app as a team has it that moves over one service at a time: its queue is the one that our topology declares.

Imported here as a producer, and by a real Celery worker (`celery -A celery_app worker`), which reads the environment.
"""

from __future__ import annotations

import json
import os
from typing import Any

from celery import Celery
from kombu import Exchange, Queue


class OutOfStock(Exception):
    """Known on both sides, as an exception of shared code is."""


def new_app(url: str, queue_arguments: dict[str, Any] | None = None) -> Celery:
    """`queue_arguments` are those that our topology gave the queue: declared again with the same ones, it is left as
    it is. Its tasks are not shared: Celery would give them to every app of this process."""
    app = Celery("shop", broker=url, backend="rpc://", set_as_current=False)
    app.conf.update(
        task_queues=[
            Queue(
                "default",
                Exchange("amqptasks.queues", "direct"),
                routing_key="default",
                queue_arguments=queue_arguments,
                no_declare=queue_arguments is None,
            )
        ],
        task_default_queue="default",
        broker_connection_retry_on_startup=True,
    )

    @app.task(shared=False, name="shop.add")
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(shared=False, name="shop.fail")
    def fail(text: str) -> None:
        raise OutOfStock(text)

    @app.task(shared=False, name="shop.tell", bind=True)
    def tell(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        request = self.request
        return {"id": request.id, "args": list(args), "kwargs": kwargs, "retries": request.retries}

    @app.task(shared=False, name="shop.twice", bind=True, max_retries=3)
    def twice(self: Any, wait: float) -> int:
        if self.request.retries < 2:
            raise self.retry(countdown=wait)
        return int(self.request.retries)

    return app


if "CELERY_SHOP_URL" in os.environ:
    app = new_app(os.environ["CELERY_SHOP_URL"], json.loads(os.environ["CELERY_SHOP_QUEUE"]))
