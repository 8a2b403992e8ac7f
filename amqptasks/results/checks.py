"""Which questions about results are refused, and with what words."""

from __future__ import annotations

from amqptasks.errors import ConfigurationError
from amqptasks.messages.request import current_request
from amqptasks.untrusted import bounds

#: Said to who asks by id where results are kept nowhere.
NOT_KEPT_HERE = (
    "results are kept nowhere (backend rpc://): each goes to the process that called, as long as that holds it. To ask"
    ' by id from any process, name a store for the service and its workers: App(backend="stream://") keeps results on'
    ' RabbitMQ, App(backend="sqlite:///results.db") in a file'
)


def refuse_to_wait_in_a_task() -> None:
    """Raise `ConfigurationError` in a task that a worker runs."""
    request = current_request.get()
    if request is not None and not request.is_eager:
        raise ConfigurationError(
            "get() in a task waits for another task, and keeps a place in the pool from it: enough such tasks wait for"
            " each other for ever. Have the next step called with the value (link=, or a chain), or await the result in"
            " an `async def` task. Where others run what is waited for: get(disable_sync_subtasks=False)"
        )


def checked_id(task_id: object) -> str:
    """The id of a task. Raises `ConfigurationError` for what is none."""
    try:
        return bounds.text(task_id, bounds.LONGEST_ID, 1)
    except bounds.OutOfBounds as error:
        raise ConfigurationError(f"a task id {error}") from None
