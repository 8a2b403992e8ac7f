"""`amqptasks result ID`: how a task ended, from the result store."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from amqptasks.cli.support.failures import FAILED
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.errors import ConfigurationError
from amqptasks.results.details import children_of
from amqptasks.results.reply import FINAL_STATES
from amqptasks.results.result import AsyncResult
from amqptasks.runtime.clock import monotonic
from amqptasks.serializers import json
from amqptasks.untrusted.printable import printable, printable_lines

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.results.backend import Backend

HELP = """\b
Examples:
  amqptasks -A shop result 01a22f12-84a6-7149-9ef6-b09715d54fe3
  amqptasks result ID --backend sqlite:///results.db      without an app: plain JSON results are read
  amqptasks -A shop result ID --watch --timeout 60        each state, until the task has ended
  amqptasks -A shop result ID --json | jq .result

\b
The store is that of --backend, of AMQPTASKS_RESULT_BACKEND, or of the app. With --json it prints one object; with
--watch too, one line for each state. What the task raised is shown with its traceback.

\b
Exit status: 0 the task has succeeded, or goes on; 1 it has not, or there is no store; 2 wrong use; 3 the store does
             not answer; 5 nothing is known of this id, or with --watch, the task has not ended within --timeout.
"""

#: Seconds between two questions of `--watch`.
LOOK_EVERY = 0.5

#: Exit status where nothing is known.
UNKNOWN = 5

#: Columns for the names of fields.
_WIDTH = 11


@click.command(epilog=HELP)
@click.argument("task_id", metavar="ID")
@click.option("--watch", is_flag=True, help="Show each state, until the task has ended.")
@click.option("--timeout", metavar="S", type=click.FloatRange(0), help="Seconds for --watch.  [default: for ever]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@pass_target
def command(target: Target, task_id: str, watch: bool, timeout: float | None, as_json: bool) -> None:
    """Say how a task ended, or how far it is, by its id."""
    if timeout is not None and not watch:
        raise click.UsageError("--timeout is for --watch: add it, or leave --timeout out")
    app = _app(target)
    try:
        app.AsyncResult(task_id)  # raises where there is no store
        assert app.results is not None
        for told in _states(app.results, task_id, timeout) if watch else iter([_told(app.results, task_id)]):
            click.echo(_json(told) if as_json else _shown(told))
            ended = told["state"]
    finally:
        app.close()
    if ended == "PENDING" or (watch and ended not in FINAL_STATES):
        raise click.exceptions.Exit(UNKNOWN)
    if ended in FINAL_STATES - {"SUCCESS", "IGNORED"}:
        raise click.exceptions.Exit(FAILED)


def _app(target: Target) -> App:
    from amqptasks.app.app import App
    from amqptasks.results.address import MEMORY

    app = target.load_app() if target.app else App("result")
    if app.backend.scheme == MEMORY:
        raise ConfigurationError("backend memory:// lives within one process, and this is another: nothing is there")
    return app


def _states(results: Backend, task_id: str, timeout: float | None) -> Iterator[dict[str, Any]]:
    """Each state that is seen, the last one final unless time is up."""
    until = None if timeout is None else monotonic() + timeout
    last: dict[str, Any] | None = None
    while True:
        told = _told(results, task_id)
        if told != last:
            yield told
        last = told
        if told["state"] in FINAL_STATES or (until is not None and monotonic() >= until):
            return
        time.sleep(LOOK_EVERY if until is None else min(LOOK_EVERY, max(0.01, until - monotonic())))


def _told(results: Backend, task_id: str) -> dict[str, Any]:
    """As it is now, by one question."""
    outcome = results.find([task_id]).get(task_id)
    if outcome is None:
        return {"id": task_id, "state": "PENDING"}
    result: AsyncResult[Any] = AsyncResult(task_id)
    result.resolve(outcome)
    value = result.result
    told: dict[str, Any] = {
        "id": task_id,
        "state": result.state,
        "task": result.name,
        "result": value,
        "date_done": None if result.date_done is None else result.date_done.isoformat(),
        "worker": result.worker,
        "queue": result.queue,
        "retries": result.retries,
        "args": result.args,
        "kwargs": result.kwargs,
        "children": children_of(outcome.fields),
    }
    if isinstance(value, Exception):
        kind = type(value)
        told["result"] = None
        told["exception"] = getattr(value, "exception_type", f"{kind.__module__}.{kind.__qualname__}")
        told["message"] = getattr(value, "exception_message", None) or str(value)
        told["reason"] = result.reason
        told["traceback"] = result.traceback
    return told


def _shown(told: dict[str, Any]) -> str:
    if told["state"] == "PENDING":
        return f"PENDING    nothing is known of {printable(told['id'])}: it waits, or there is no such call"
    lines = [f"{told['state']:{_WIDTH}}{told['task']}"]
    for name, value in told.items():
        if name not in ("id", "state", "task", "traceback") and value not in (None, [], {}):
            text = value if isinstance(value, str) else _json(value)
            lines += _line(name, printable(text))
    if told.get("traceback"):
        lines += ["", printable_lines(told["traceback"], "").rstrip()]
    return "\n".join(lines)


def _line(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, 80, initial_indent=f"{name.replace('date_done', 'at'):{_WIDTH}}", subsequent_indent=" " * _WIDTH
    ) or [name]


def _json(value: Any) -> str:
    return json.encode(value).decode()
