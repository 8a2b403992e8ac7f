"""`amqptasks control`: tell workers what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amqptasks.cli.support import asking, parameters
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from amqptasks.control.client import Control

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

HELP = (
    """\b
Examples:
  amqptasks control revoke 0199a1b2-...           also one that waits for its time
  amqptasks control revoke 0199a1b2-... --terminate
  amqptasks control revoke --task 'shop.email.*'  all that were sent before now
  amqptasks control pause emails                  take nothing more from it
  amqptasks control pool_grow 4 -d 'web1:*'
  amqptasks control autoscale 8 2                 two to eight processes, by demand
  amqptasks control rate_limit shop.send 100/m
  amqptasks control shutdown -d web1:4711

"""
    + asking.EXIT_STATUS
)

#: Where no worker is there, nobody need answer: the broker keeps it.
KEPT = """\b
Exit status: 0 all answered, or no worker is there now (with --json that is 5); 5 one that is there did not;
             1 one could not do it; 3 no broker.
"""

REVOKE_HELP = asking.example_help(
    "control revoke 0199a1b2-...",
    "control revoke 0199a1b2-... --terminate --signal KILL",
    "control revoke --task 'shop.email.*'",
    """control revoke --headers '{"tenant": "acme"}'""",
    status=KEPT,
)
RESTORE_HELP = asking.example_help("control restore 0199a1b2-...", "control restore --task 'shop.email.*'", status=KEPT)
TIME_LIMIT_HELP = asking.example_help(
    "control time_limit shop.report.monthly 600        ended by force after ten minutes",
    "control time_limit shop.report.monthly 600 540    told to end a minute before that",
)
RATE_LIMIT_HELP = asking.example_help(
    "control rate_limit shop.send 100/m", "control rate_limit shop.send 0          as often as it can"
)
AUTOSCALE_HELP = asking.example_help("control autoscale 8 2", "control autoscale 8 -d 'web1:*'")
LOG_LEVEL_HELP = asking.example_help("control log_level debug -d web1:4711", "control log_level info")


@click.group(name="control", epilog=HELP)
def command() -> None:
    """Tell workers what to do: all of them, or those of --destination."""


def revocation_options(decorated: Decorated) -> Decorated:
    """IDs, `--task` and `--headers`, as `ids`, `task` and `headers`."""
    for option in reversed(
        [
            click.argument("ids", metavar="[ID]...", nargs=-1),
            click.option("--task", metavar="GLOB", multiple=True, help="Tasks of these names, sent before now."),
            click.option(
                "--headers", metavar="JSON", type=parameters.json_object, help="Tasks with these headers, as --task."
            ),
        ]
    ):
        decorated = option(decorated)
    return decorated


@command.command("revoke", epilog=REVOKE_HELP)
@revocation_options
@click.option("--terminate", is_flag=True, help="End those that run, too.")
@click.option(
    "--signal",
    type=click.Choice(["TERM", "KILL"], case_sensitive=False),
    default="TERM",
    show_default=True,
    help="TERM raises Terminated in the task, which may tidy up; KILL ends it by force (prefork).",
)
@asking.asking_options
@pass_target
def revoke(
    target: Target,
    ids: tuple[str, ...],
    task: tuple[str, ...],
    headers: dict[str, Any] | None,
    terminate: bool,
    signal: str,
    destination: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Let tasks not run, wherever they wait; kept on the broker, for workers that start later."""
    from amqptasks.control.revocation import signal_named

    with asking.control_of(target) as control:
        found = control.revoke(
            ids,
            task=task,
            headers=headers,
            terminate=terminate,
            signal=signal_named(signal),
            destination=asking.names(destination),
            timeout=timeout,
        )
    if not (found or found.errors or found.missing) and not as_json:
        click.echo(
            "Recorded: no worker is there now. A worker that starts later drops the tasks when their turn comes."
        )
        return
    asking.show(found, as_json, lambda done: [f"{done['dropped']} dropped, {done['terminated']} terminated"])
    if not as_json:
        met = sum(done["dropped"] + done["terminated"] for done in found.values())
        click.echo(
            f"Recorded: {counted(met, 'task')} met now. Tasks that still wait on the broker will be dropped when their"
            " turn comes; workers that start later know it, too."
        )


@command.command("restore", epilog=RESTORE_HELP)
@revocation_options
@asking.asking_options
@pass_target
def restore(
    target: Target,
    ids: tuple[str, ...],
    task: tuple[str, ...],
    headers: dict[str, Any] | None,
    destination: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Undo `revoke`, for the same ids, patterns or headers."""
    with asking.control_of(target) as control:
        found = control.restore(ids, task=task, headers=headers, destination=asking.names(destination), timeout=timeout)
    if not (found or found.errors or found.missing) and not as_json:
        click.echo("Restored: no worker is there now, and those that start later will honour it.")
        return
    asking.show(found, as_json, lambda _: ["restored"])


@command.command("time_limit", epilog=TIME_LIMIT_HELP)
@click.argument("task")
@click.argument("hard", type=click.FloatRange(0, min_open=True))
@click.argument("soft", type=click.FloatRange(0, min_open=True), required=False)
@asking.asking_options
@pass_target
def time_limit(
    target: Target,
    task: str,
    hard: float,
    soft: float | None,
    destination: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Other time limits in seconds for a task, until the worker stops."""
    _tell(target, lambda control: control.time_limit(task, hard, soft, asking.names(destination), timeout), as_json)


@command.command("rate_limit", epilog=RATE_LIMIT_HELP)
@click.argument("task")
@click.argument("rate")
@asking.asking_options
@pass_target
def rate_limit(target: Target, task: str, rate: str, destination: str | None, timeout: float, as_json: bool) -> None:
    """How often each worker starts a task: 10/s, 100/m, 2/h; 0 for as often as it can. Until the worker stops."""
    _tell(target, lambda control: control.rate_limit(task, rate, asking.names(destination), timeout), as_json)


def _add_queue_command(name: str, words: str) -> None:
    @command.command(
        name, help=words, epilog=asking.example_help(f"control {name} emails", f"control {name} emails -d 'web1:*'")
    )
    @click.argument("queue")
    @asking.asking_options
    @pass_target
    def tell(target: Target, queue: str, destination: str | None, timeout: float, as_json: bool) -> None:
        wanted = {"destination": asking.names(destination), "timeout": timeout}
        _tell(target, lambda control: getattr(control, name)(queue, **wanted), as_json)


def _add_pool_command(name: str, words: str) -> None:
    @command.command(
        name, help=words, epilog=asking.example_help(f"control {name} 4", f"control {name} 4 -d web1:4711")
    )
    @click.argument("number", type=click.IntRange(1), default=1)
    @asking.asking_options
    @pass_target
    def tell(target: Target, number: int, destination: str | None, timeout: float, as_json: bool) -> None:
        _tell(
            target,
            lambda control: getattr(control, name)(number, asking.names(destination), timeout),
            as_json,
            lambda size: [f"{size} at once"],
        )


def _add_command(name: str, words: str) -> None:
    @command.command(name, help=words, epilog=asking.example_help(f"control {name}", f"control {name} -d web1:4711"))
    @asking.asking_options
    @pass_target
    def tell(target: Target, destination: str | None, timeout: float, as_json: bool) -> None:
        _tell(target, lambda control: getattr(control, name)(asking.names(destination), timeout), as_json)


@command.command("autoscale", epilog=AUTOSCALE_HELP)
@click.argument("most", metavar="MAX", type=click.IntRange(1))
@click.argument("least", metavar="MIN", type=click.IntRange(1), default=1)
@asking.asking_options
@pass_target
def autoscale(target: Target, most: int, least: int, destination: str | None, timeout: float, as_json: bool) -> None:
    """Let the number of processes follow the demand between these, until the worker stops."""
    _tell(target, lambda control: control.autoscale(most, least, asking.names(destination), timeout), as_json)


@command.command("log_level", epilog=LOG_LEVEL_HELP)
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False))
@asking.asking_options
@pass_target
def log_level(target: Target, level: str, destination: str | None, timeout: float, as_json: bool) -> None:
    """Log from this level on, until the worker stops."""
    _tell(target, lambda control: control.log_level(level, asking.names(destination), timeout), as_json)


def _tell(
    target: Target,
    tell: Callable[[Control], Any],
    as_json: bool,
    lines: Callable[[Any], list[str]] = lambda done: [str(done)],
) -> None:
    with asking.control_of(target) as control:
        found = tell(control)
    asking.show(found, as_json, lines)


_add_queue_command("add_consumer", "Consume one more queue.")
_add_queue_command("cancel_consumer", "Consume a queue no more.")
_add_queue_command("pause", "Take nothing more from a queue, until `resume`.")
_add_queue_command("resume", "Undo `pause`.")
_add_pool_command("pool_grow", "Run more plain functions at once.")
_add_pool_command("pool_shrink", "Run fewer plain functions at once.")
_add_command("pool_restart", "Fresh processes for what comes from now on.")
_add_command("enable_events", "Send events, until the worker stops.")
_add_command("disable_events", "Send no events.")
_add_command("shutdown", "A warm stop.")
