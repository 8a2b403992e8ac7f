"""`amqptasks inspect`: ask workers what they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from amqptasks.cli.support import asking
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.control.client import SELF
from amqptasks.errors import ConnectionBlocked
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from amqptasks.control.answers import ActiveQueue, HeldTask, Pong, Revoked, Stats

HELP = """\b
Examples:
  amqptasks inspect ping                          who is there, and consumes?
  amqptasks inspect ping -d self                  a probe: the workers of this container
  amqptasks inspect active --json | jq '.answers'
  amqptasks inspect query_task 0199a1b2-...       who has this task?
  amqptasks inspect scheduled                     how many tasks wait for their time

\b
Exit status: 0 all answered; 5 nobody did, or one that is there did not, or (ping) one is not ready;
             1 one could not do it; 3 no broker.
"""

PING_HELP = asking.example_help(
    "inspect ping",
    "inspect ping --self           a probe: the workers of this container",
    "inspect ping -d 'web1:*' --json | jq .answers",
    status="""\b
Exit status: 0 all answered and are ready; 5 nobody did, or one that is there did not, or one is not ready;
             1 one could not do it; 3 no broker.
""",
)

SCHEDULED_HELP = asking.example_help(
    "inspect scheduled",
    "inspect scheduled --json | jq 'map(.count) | add'",
    status="""\b
Exit status: 0 it was told, whether or not a task waits; 3 no broker.
""",
)


@click.group(name="inspect", epilog=HELP)
def command() -> None:
    """Ask workers what they do: all of them, or those of --destination."""


@command.command("ping", epilog=PING_HELP)
@click.option("--self", "own", is_flag=True, help="As `-d self`: the workers of this machine or container.")
@asking.asking_options
@pass_target
def ping(target: Target, own: bool, destination: str | None, timeout: float, as_json: bool) -> None:
    """Who is there, and consumes its queues?"""
    is_probe = own or destination == SELF
    try:
        with asking.control_of(target) as control:
            found = control.ping(SELF if own else asking.names(destination), timeout)
    except ConnectionBlocked as error:
        if not is_probe:
            raise
        # A probe that failed here would have every worker started again, which ends no alarm.
        said = f"no worker can be asked, and none is ended for that: {error}"
        click.echo(json.dumps({"blocked": str(error)}) if as_json else said)
        return
    asking.show(found, as_json, _pong, bad=lambda pong: not pong.ready)


@command.command("query_task", epilog=asking.example_help("inspect query_task 0199a1b2-... 0199a1b3-..."))
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@asking.asking_options
@pass_target
def query_task(target: Target, ids: tuple[str, ...], destination: str | None, timeout: float, as_json: bool) -> None:
    """Where are these tasks? Workers answer with those they hold."""
    with asking.control_of(target) as control:
        found = control.query(*ids, destination=asking.names(destination), timeout=timeout)
    asking.show(found, as_json, _tasks)


@command.command("scheduled", epilog=SCHEDULED_HELP)
@click.option("-j", "--json", "as_json", is_flag=True, help="Print one JSON list.")
@pass_target
def scheduled(target: Target, as_json: bool) -> None:
    """How many tasks wait for their time, by when they are due."""
    with asking.control_of(target) as control:
        found = control.scheduled()
    if as_json:
        click.echo(json.dumps(asking.plain(found)))
        return
    for one in found:
        click.echo(f"{one.count:>8} due within {_span(one.within)}")
    if not found:
        click.echo("No task waits for its time.")


def _add(name: str, lines: Callable[[Any], list[str]], words: str, *examples: str) -> None:
    @command.command(name, help=words, epilog=asking.example_help(f"inspect {name}", *examples))
    @asking.asking_options
    @pass_target
    def ask(target: Target, destination: str | None, timeout: float, as_json: bool) -> None:
        with asking.control_of(target) as control:
            found = getattr(control, name)(asking.names(destination), timeout)
        asking.show(found, as_json, lines)


def _pong(pong: Pong) -> list[str]:
    state = "ready" if pong.ready else f"not ready{': ' + pong.trouble if pong.trouble else ''}"
    told = [wait for wait in pong.waits if wait.get("detail") != pong.trouble]
    return [f"{state}, up {_span(pong.uptime)}", *asking.waits(told)]


def _stats(stats: Stats) -> list[str]:
    return [f"{name}: {value}" for name, value in asking.plain(stats).items() if value is not None]


def _settings(conf: dict[str, Any]) -> list[str]:
    return [f"{name}: {value}" for name, value in conf.items()]


def _tasks(tasks: tuple[HeldTask, ...]) -> list[str]:
    return [_task(task) for task in tasks]


def _task(task: HeldTask) -> str:
    shown = task.args or ""
    if task.kwargs and task.kwargs != "{}":
        shown = f"{shown} {task.kwargs}".strip()
    running = "" if task.runtime is None else f", runs for {_span(task.runtime)} in {task.pool}"
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    return f"{task.id} {task.name} {shown} of {task.queue}{again}{running}"


def _queues(queues: tuple[ActiveQueue, ...]) -> list[str]:
    return [
        f"{queue.name} ({queue.type}): {_state(queue)}, prefetch {queue.prefetch}, {queue.held} held"
        for queue in queues
    ]


def _state(queue: ActiveQueue) -> str:
    return "paused" if queue.paused else "consumed" if queue.consuming else "not consumed now"


def _revoked(revoked: Revoked) -> list[str]:
    lines = [counted(revoked.count, "id"), *revoked.ids]
    lines += [f"tasks {pattern}" for pattern in revoked.tasks]
    return lines + [f"headers {dict(headers)}" for headers in revoked.headers]


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:g} s"


_add("stats", _stats, "Counts, pools, memory, versions.", "inspect stats --json | jq '.answers[].counts'")
_add("active", _tasks, "The tasks that run.", "inspect active -d 'web1:*'")
_add("reserved", _tasks, "The tasks that a worker holds and has not begun.", "inspect reserved -d web1:4711")
_add("active_queues", _queues, "The queues that are consumed.", "inspect active_queues -d self")
_add("registered", list, "The tasks that each worker knows.", "inspect registered --json | jq '.answers[]'")
_add("revoked", _revoked, "What each worker refuses to run.", "inspect revoked -d web1:4711")
_add("conf", _settings, "How each worker is configured.", "inspect conf -d self")
_add("report", str.splitlines, "Versions and settings, for a bug report.", "inspect report -d self > report.txt")
