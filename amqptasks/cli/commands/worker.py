"""`amqptasks -A MODULE worker`: run tasks until a signal ends it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amqptasks import dial, logs
from amqptasks.cli.support import parameters
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.errors import ConfigurationError
from amqptasks.runtime import log_queue
from amqptasks.worker.node.name import expanded
from amqptasks.worker.node.shutdown_stages import FINISH_WITHIN, TIDY_WITHIN, Beginning, StopPlan

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.worker.pools.prefork.settings import StartMethod

EXAMPLES = """\b
Examples:
  amqptasks -A shop worker                         every queue of the topology
  amqptasks -A shop worker -Q emails,reports -c 8   two queues, eight processes
  amqptasks -A shop worker -P threads -c 20         tasks that wait for others
  amqptasks -A shop worker --autoscale 8,2          two to eight processes, by demand
  amqptasks -A shop worker -Q emails:100,reports:2  with a prefetch for each
  amqptasks -A shop worker --processes 4            four processes, started again when they die
  amqptasks -A shop worker --watch                  started again when a file changes

\b
Signals:
  TERM, INT    stop: what has not begun goes back to its queue, what runs may end (see --on-shutdown)
  again, QUIT  cold stop: what runs goes back too, at once; no attempt is counted
  HUP          try the new code; if it can begin, stop as TERM does and begin anew
  USR1         write the stacks of all threads to the log

\b
Exit status: 0 it was told to stop, and has; 1 the app or an option cannot work; 2 wrong use; 3 the broker refused,
             or was not there for --connect-for; 4 something exists with other properties; 6 it stood still for a
             minute, or its connections lost their thread: start it again. A worker waits for a broker that is not
             there yet, or that goes away. With --processes: that of a node that cannot start; with --watch: that of
             the last worker.
"""


def mistyped(app: App, queues: Iterable[str] | None) -> list[str]:
    """A line for each queue that no task of the app names, and that is called almost like one. It is made all the same:
    callers may name it."""
    from amqptasks.topology.topology import did_you_mean

    if not queues:
        return []
    known = tuple(app.topology.queues)
    hints = {name: did_you_mean(name, known) for name in queues if name not in known}
    return [f"no task of this app goes to the queue {name}: {hint}" for name, hint in hints.items() if hint]


@click.command(epilog=EXAMPLES)
@parameters.worker_option("-Q", "--queues", metavar="NAME[:PREFETCH],...")
@parameters.worker_option("-c", "--concurrency")
@parameters.worker_option("-P", "--pool", default="prefork")
@parameters.worker_option("--pool-for", multiple=True, metavar="QUEUE=POOL")
@parameters.worker_option("--async-concurrency")
@parameters.worker_option("--autoscale", metavar="MAX,MIN")
@parameters.worker_option("--max-tasks-per-child")
@parameters.worker_option("--max-memory-per-child", metavar="KIB")
@parameters.worker_option("--start-method", default="fork")
@parameters.worker_option("--time-limit")
@parameters.worker_option("--soft-time-limit")
@parameters.worker_option("--on-shutdown", default="finish")
@parameters.worker_option("--stop-timeout", default=FINISH_WITHIN)
@parameters.worker_option("--tidy-timeout", default=TIDY_WITHIN)
@parameters.worker_option("--prefetch")
@parameters.worker_option("-n", "--name")
@parameters.worker_option("--connect-for")
@parameters.worker_option("--processes", default=1)
@parameters.worker_option("-E", "--events")
@parameters.worker_option("--no-control")
@parameters.worker_option("--health-port", metavar="PORT")
@parameters.worker_option("--health-host", metavar="ADDRESS", default="127.0.0.1")
@parameters.worker_option("-l", "--log-level", "--loglevel", default="info")
@parameters.worker_option("--log-format", default="plain")
@parameters.worker_option("--watch")
@click.option("--supervisor", type=int, hidden=True)  # what `--processes` adds: the process that answers for this one,
@click.option("--number", type=int, hidden=True)  # and which of them it is
@pass_target
def command(
    target: Target,
    queues: Mapping[str, int | None] | None,
    concurrency: int | None,
    pool: str,
    pool_for: tuple[tuple[str, str], ...],
    async_concurrency: int | None,
    autoscale: tuple[int, int] | None,
    max_tasks_per_child: int | None,
    max_memory_per_child: int | None,
    start_method: StartMethod,
    time_limit: float | None,
    soft_time_limit: float | None,
    on_shutdown: Beginning,
    stop_timeout: float,
    tidy_timeout: float,
    prefetch: int | None,
    name: str | None,
    connect_for: float | None,
    processes: int,
    events: bool,
    no_control: bool,
    health_port: int | None,
    health_host: str,
    log_level: str,
    log_format: logs.Form,
    watch: bool,
    supervisor: int | None,
    number: int | None,
) -> None:
    """Run the tasks of the app that -A names."""
    if name is not None:
        name = expanded(name, socket.gethostname(), number)
    if processes > 1 and health_port:
        raise click.UsageError("--health-port is for one process: leave --processes out, or probe with `inspect ping`")
    if watch:
        logs.configure(log_level, log_format)
        log_queue.begin()
        sys.exit(_watch())
    if processes > 1:
        logs.configure(log_level, log_format)
        log_queue.begin()
        sys.exit(_supervise(processes))
    from amqptasks.results import address
    from amqptasks.worker.process import restart
    from amqptasks.worker.process.leaving import Leaving

    is_trial = restart.is_trial()
    leaving = Leaving()  # before the app is imported: HUP must not end a worker that begins anew
    app = target.load_app()
    logs.configure(log_level, log_format)  # behind the app: handlers of its own are left alone
    if dial.is_memory(app.broker):
        raise ConfigurationError(
            "memory:// lives within one process, and this would be another:"
            " use `with app.worker(): ...` in the program that publishes"
        )
    if app.backend.scheme == address.MEMORY:
        raise ConfigurationError(
            "backend memory:// lives within one process, and this would be another: nobody could read its results. Name"
            " one that others reach, as --backend sqlite:///results.db"
        )
    for line in mistyped(app, queues):
        click.secho(f"amqptasks: {line}", fg="yellow", err=True)
    from amqptasks.worker.node import Node
    from amqptasks.worker.pools.prefork.settings import PreforkSettings
    from amqptasks.worker.pools.time_limits import TimeLimits
    from amqptasks.worker.process import allocator, garbage
    from amqptasks.worker.process.failing import end_process
    from amqptasks.worker.process.processors import available

    least = 4 if pool == "threads" else 1
    node = Node(
        app,
        queues,
        concurrency=autoscale[1] if autoscale else concurrency or max(least, available()),
        async_concurrency=async_concurrency,
        pool=pool,
        pools=dict(pool_for),
        prefetch=prefetch,
        limits=TimeLimits(time_limit, soft_time_limit),
        prefork=PreforkSettings(
            max_tasks_per_child,
            max_memory_per_child,
            start_method,
            most=autoscale[0] if autoscale else None,
            least=autoscale[1] if autoscale else concurrency or 1,
            logs=logs.Setup(log_level, log_format),
        ),
        stopping=StopPlan(on_shutdown, stop_timeout, tidy_timeout),
        name=name,
        events=events or None,
        connect_for=connect_for,
        control=not no_control,
    )
    node.on_failure = end_process
    if is_trial:
        node.app.import_tasks()
        os._exit(0)  # whatever threads the app has begun
    leaving.of(node)
    if supervisor is not None:
        from amqptasks.worker.process.supervisor import stop_with

        stop_with(supervisor)
    allocator.return_large_blocks()
    node.prepare()  # before any thread: processes are forked from here
    leaving.begin()
    if health_port is not None:
        from amqptasks.worker.probes.health import HealthServer

        HealthServer(node, health_port, health_host).start()
    garbage.leave_alone()
    node.start()
    leaving.run()


def _watch() -> int:
    """The same command line without `--watch`, again and again."""
    from amqptasks.dev.watch import Watcher

    arguments = [argument for argument in sys.argv[1:] if argument != "--watch"]
    return Watcher([sys.executable, "-m", "amqptasks", *arguments], [Path.cwd()]).run()


def _supervise(processes: int) -> int:
    """The same command line once for each process, without `--processes`."""
    from amqptasks.worker.process.supervisor import Supervisor

    arguments: list[str] = []
    skip = False
    for argument in sys.argv[1:]:
        if skip:
            skip = False
        elif argument == "--processes":
            skip = True
        elif not argument.startswith("--processes="):
            arguments.append(argument)
    command = [sys.executable, "-m", "amqptasks", *arguments, "--supervisor", str(os.getpid())]
    return Supervisor([[*command, "--number", str(number)] for number in range(processes)]).run()
