"""`amqptasks -A MODULE call NAME ARGS...`: one task, from the shell."""

from __future__ import annotations

import re
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from amqptasks import dial
from amqptasks.cli.support import parameters
from amqptasks.cli.support.failures import FAILED
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.errors import ConfigurationError, UnknownTask
from amqptasks.options import CallOptions
from amqptasks.runtime.clock import monotonic

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.results.result import AsyncResult

HELP = """\b
An argument is JSON where it parses, else text: 5 is a number, true a truth value, [1,2] a list, ada a text,
and so is '"5"'. A negative number needs no special care.

\b
Examples:
  amqptasks -A hello call hello.add 2 3 --wait               prints 5
  amqptasks -A shop call shop.email.send ada@example.org --kwargs '{"subject": "Hello"}'
  amqptasks -A shop call shop.report.monthly 2026-05 --countdown 60 --priority 5

\b
Without --wait it prints the task's id once the broker has stored the task. With --wait it prints the result in JSON,
a plain text as it is; what the task raised goes to standard error, with its traceback.

\b
Exit status: 0 the broker has the task, and with --wait the task returned; 1 it failed, no result came in time, or
             no such task or route; 2 wrong use; 3 no broker, or it did not take the task.
"""

#: A negative number is an argument; anything else that begins with a dash is an option that does not exist.
_NEGATIVE = re.compile(r"-(\d|\.\d)")


@click.command(epilog=HELP, context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("--kwargs", metavar="JSON", type=parameters.json_object, help="Keyword arguments, as an object.")
@click.option("--wait", is_flag=True, help="Wait for the result and print it.")
@click.option("--timeout", metavar="S", type=click.FloatRange(0), help="Seconds for --wait.  [default: for ever]")
@click.option(
    "--countdown",
    metavar="S",
    type=parameters.OptionOfCall("countdown", parameters.number),
    help="Run it in so many seconds.",
)
@click.option("--eta", metavar="TIME", type=parameters.iso_moment, help="Run it at this time: 2026-05-01T12:00 (UTC).")
@click.option(
    "--expires",
    metavar="WHEN",
    type=parameters.OptionOfCall("expires", parameters.seconds_or_moment),
    help="Too late after: 90, 2h, or a time.",
)
@click.option(
    "--queue", metavar="NAME", type=parameters.OptionOfCall("queue"), help="To this queue, whatever the routes say."
)
@click.option("--priority", type=click.IntRange(0, 255), help="Before those of lower priority.")
@click.option(
    "--task-id", metavar="ID", type=parameters.OptionOfCall("task_id"), help="The task's id.  [default: a new one]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: id, task, and with --wait the outcome.")
@pass_target
def command(
    target: Target,
    name: str,
    args: tuple[str, ...],
    kwargs: dict[str, Any] | None,
    wait: bool,
    timeout: float | None,
    countdown: float | None,
    eta: datetime | None,
    expires: float | datetime | None,
    queue: str | None,
    priority: int | None,
    task_id: str | None,
    as_json: bool,
) -> None:
    """Send one task, and wait for its result if you like."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait: add it, or leave --timeout out")
    _refuse_unknown_options((name, *args))
    app = _app(target)
    _refuse_unknown_task(app, name, queue)
    wanted: dict[str, Any] = {
        "countdown": countdown,
        "eta": eta,
        "expires": expires,
        "queue": queue,
        "priority": priority,
        "task_id": task_id,
    }
    given = {option: value for option, value in wanted.items() if value is not None}
    options = CallOptions(ignore_result=not wait and app.results is None, **given)  # type: ignore[typeddict-item]
    began = monotonic()
    try:
        try:
            result = app.send_task(name, [parameters.json_or_text(arg) for arg in args], kwargs, **options)
        except TypeError as error:  # arguments that do not fit the function
            raise ConfigurationError(str(error)) from error
        if wait:
            _show_outcome(result, timeout, began, as_json)
        else:
            click.echo(_json({"id": result.id, "task": name}) if as_json else result.id)
    finally:
        app.close()


def _show_outcome(result: AsyncResult[Any], timeout: float | None, began: float, as_json: bool) -> None:
    value = result.get(timeout, propagate=False)
    failed = isinstance(value, Exception)
    if as_json:
        told: dict[str, Any] = {"id": result.id, "task": result.task_name, "status": result.status}
        if isinstance(value, Exception):
            told |= {"exception": _kind(value), "message": _words(value), "traceback": result.traceback}
        else:
            told["result"] = value
        click.echo(_json({**told, "seconds": round(monotonic() - began, 3)}))
    elif isinstance(value, Exception):
        where = f"\n\n{result.traceback.rstrip()}" if result.traceback else ""
        click.secho(f"{_kind(value)}: {_words(value)}{where}", fg="red", err=True)
    else:
        click.echo(value if isinstance(value, str) else _json(value))
    if failed:
        raise click.exceptions.Exit(FAILED)


def _app(target: Target) -> App:
    app = target.load_app()
    if dial.is_memory(app.broker):
        raise ConfigurationError("memory:// ends with this process, and nobody would run the task: name a --broker")
    app.import_tasks()
    return app


def _refuse_unknown_task(app: App, name: str, queue: str | None) -> None:
    """The default queue would take anything, a misspelt name too, and it would end as a dead letter."""
    if name in app.tasks or queue is not None or app.router.route(name) is not None:
        return
    close = get_close_matches(name, app.tasks, 1)
    known = f"it knows {', '.join(sorted(app.tasks))}" if app.tasks else "it knows none; does it import them?"
    hint = f"Did you mean `{close[0]}`?" if close else f"The app {app.name!r}: {known}."
    raise UnknownTask(f"there is no task {name!r}, and no route for it. {hint} A task of another program: add --queue")


def _refuse_unknown_options(words: tuple[str, ...]) -> None:
    for word in words:
        if word.startswith("-") and len(word) > 1 and not _NEGATIVE.match(word):
            known = [option for parameter in command.params for option in parameter.opts if option.startswith("-")]
            close = get_close_matches(word.partition("=")[0], known, 1)
            hint = f"Did you mean {close[0]}?" if close else "As an argument, write it as JSON: '\"-x\"'"
            raise click.UsageError(f"no such option: {word}. {hint}")


def _kind(error: Exception) -> str:
    from amqptasks.errors import RemoteError

    return error.exception_type if isinstance(error, RemoteError) else type(error).__name__


def _words(error: Exception) -> str:
    from amqptasks.errors import RemoteError

    return error.exception_message if isinstance(error, RemoteError) else str(error)


def _json(value: object) -> str:
    from amqptasks.serializers import json

    return json.encode(value).decode()
