"""Which task a record comes from."""

from __future__ import annotations

import logging

from amqptasks.messages.request import current_request


class TaskContext(logging.Filter):
    """Lets every record through, and adds the fields of the task that this thread, or asyncio task, is running. Fields
    that a record has already, such as those of the line on a task's end, stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "task_id"):
            request = current_request.get()
            record.task_name = None if request is None else request.task
            record.task_id = None if request is None else request.id
            record.queue = getattr(record, "queue", None if request is None else request.queue)
            record.attempt = None if request is None else request.retries + 1
        return True
