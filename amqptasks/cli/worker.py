"""`amqptasks -A MODULE worker`: run tasks until a signal ends it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

import click

from amqptasks import dial, logs
from amqptasks.cli.target import Target, pass_target
from amqptasks.errors import ConfigurationError

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

LEVELS = ("debug", "info", "warning", "error", "critical")

EXAMPLES = """\b
Examples:
  amqptasks -A shop worker                         every queue of the topology
  amqptasks -A shop worker -Q emails,reports -c 8  two queues, eight threads
  amqptasks -A shop worker -Q emails:100,reports:2 with a prefetch for each
  amqptasks -A shop worker --processes 4           four processes, started again when they die

\b
Signals:
  TERM, INT    warm stop: what runs is finished and settled, the rest goes back to its queue
  again, QUIT  cold stop: what runs goes back too, at once; no attempt is counted
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "-Q", "--queues", metavar="NAME[:PREFETCH],...", help="Queues to consume.  [default: all of the topology]"
)
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(1),
    help="Plain functions that run at once.  [default: processors, at least 4]",
)
@click.option(
    "-P",
    "--pool",
    type=click.Choice(["prefork", "threads", "solo"]),
    default="threads",
    show_default=True,
    help="Where they run.",
)
@click.option(
    "--prefetch",
    type=click.IntRange(1, 65535),
    help="Deliveries held from each queue, and async tasks run at once.  [default: twice the concurrency, at least 4]",
)
@click.option("-n", "--name", help="The worker's name in logs and dead letters.  [default: HOST:PID]")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="Worker processes.")
@click.option("-E", "--events", is_flag=True, help="Send events of tasks and of this worker.")
@click.option(
    "--health-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Probes by HTTP: /live and /ready.  [default: none; 0: any free port]",
)
@click.option(
    "-l",
    "--log-level",
    "--loglevel",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    help="What is logged, to stderr: this and worse.",
)
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMS),
    default="plain",
    show_default=True,
    help="Lines for people, or a JSON object a line.",
)
@pass_target
def command(
    target: Target,
    queues: str | None,
    concurrency: int | None,
    pool: str,
    prefetch: int | None,
    name: str | None,
    processes: int,
    events: bool,
    health_port: int | None,
    log_level: str,
    log_format: logs.Form,
) -> None:
    """Run the tasks of the app that -A names."""
    if processes > 1 and health_port:
        raise click.UsageError("--health-port is for one process: leave --processes out, or probe with `inspect ping`")
    if processes > 1:
        logs.configure(log_level, log_format)
        sys.exit(_supervise(processes))
    app = target.load_app()
    logs.configure(log_level, log_format)  # behind the app: handlers of its own are left alone
    if dial.is_memory(app.broker):
        raise ConfigurationError(
            "memory:// lives within one process, and this would be another:"
            " use `with app.worker(): ...` in the program that publishes"
        )
    from amqptasks.worker.node import Node

    node = Node(
        app,
        _prefetches(queues) if queues is not None else None,
        concurrency=concurrency or max(4, os.cpu_count() or 1),
        pool=pool,
        prefetch=prefetch,
        name=name,
        events=events or None,
    )
    _obey_signals(node)
    if health_port is not None:
        from amqptasks.worker.health import HealthServer

        HealthServer(node, health_port).start()
    node.start()
    node.wait()
    if node.cold:
        _abandon()


def _leave(node: Node) -> None:
    node.leave()
    _abandon()


def _abandon() -> NoReturn:
    """End at once: tasks may still be running in threads, and nobody waits for them."""
    logging.shutdown()
    os._exit(0)


def _prefetches(text: str) -> Mapping[str, int | None]:
    """`emails:100,reports` as {"emails": 100, "reports": None}."""
    found: dict[str, int | None] = {}
    for part in text.split(","):
        name, colon, number = part.strip().rpartition(":")
        if colon and number.isdecimal():
            if not 1 <= int(number) <= 65535:
                raise click.BadParameter(f"a prefetch is from 1 to 65535, not {number}", param_hint="-Q")
            found[name] = int(number)
        elif part.strip():
            found[part.strip()] = None
    if not found:
        raise click.BadParameter("name at least one queue", param_hint="-Q")
    return found


def _obey_signals(node: Node) -> None:
    asked = False

    def warm(_signum: int, _frame: object) -> None:
        nonlocal asked
        if not node.started:
            raise SystemExit(0)
        if asked:
            leave()
        else:
            asked = True
            node.stop()

    def cold(_signum: int, _frame: object) -> None:
        if not node.started:
            raise SystemExit(0)
        leave()

    def leave() -> None:
        node.stop_now()
        # In a thread: with `-P solo` a task has the main one.
        threading.Thread(target=_leave, args=(node,), name="amqptasks-leave", daemon=True).start()

    signal.signal(signal.SIGTERM, warm)
    signal.signal(signal.SIGINT, warm)
    signal.signal(signal.SIGQUIT, cold)


def _supervise(processes: int) -> int:
    """The same command line once for each process, without `--processes`."""
    from amqptasks.worker.supervisor import Supervisor

    arguments: list[str] = []
    skip = False
    for argument in sys.argv[1:]:
        if skip:
            skip = False
        elif argument == "--processes":
            skip = True
        elif not argument.startswith("--processes="):
            arguments.append(argument)
    return Supervisor([[sys.executable, "-m", "amqptasks", *arguments]] * processes).run()
