"""The command line. Each command lives in a module of its own, imported when it is asked for, not before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from amqptasks.cli.support.failures import exit_code, tell
from amqptasks.cli.support.lazy import LazyGroup
from amqptasks.cli.support.target import Target, target_options

#: Name and one line for each command. `amqptasks.cli.NAME` exports it as `command`.
COMMANDS = {
    "plan": "Say what would change on the broker to be as a topology says.",
    "declare": "Bring a topology to the broker: exchanges, queues, bindings, delays.",
    "migrate": "Replace a queue whose arguments cannot be changed in place, with its messages.",
    "topology": "Look at a topology, ask it questions, hand it on.",
    "worker": "Run tasks from one or more queues.",
    "call": "Send one task, and wait for its result if you like.",
    "result": "Say how a task ended, or how far it is, by its id.",
    "status": "The workers that are there, and what they do, a line each.",
    "inspect": "Ask workers what they do.",
    "control": "Tell workers what to do.",
    "events": "Follow what happens to tasks and workers, live or from the past.",
    "dead": "List, show, replay and purge dead-lettered tasks.",
    "broker": "Find or start a RabbitMQ for those who have none.",
    "dev": "A broker if there is none, and a worker that follows your changes.",
    "demo": "See tasks flow, fail, come back and be dead-lettered.",
    "doctor": "Say what the broker can do, what is wrong, and how to mend it.",
}

EXAMPLES = """\b
Examples:
  amqptasks broker start --install          a RabbitMQ, if you have none
  amqptasks -A hello worker -Q default -c 4  run the tasks of hello.py
  amqptasks -A hello call hello.add 2 3 --wait
  amqptasks dead list default --broker amqp://guest:guest@localhost/

\b
Exit status:
  0  done            1  something you wrote cannot work     2  wrong use of the command line
  3  no broker, or it refused                               4  an object exists with other properties
  5  no worker answered, or one did not                     6  a worker stood still, and ended
"""


class Commands(LazyGroup):
    """Turns our errors into a line and an exit status."""

    package = "amqptasks.cli.commands"
    summaries = COMMANDS

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """Also settles the surroundings of the process, where it is one of its own: without `args`."""
        if args is not None:
            return super().main(args, *more, **options)
        from amqptasks.cli.support import pid_one, surroundings
        from amqptasks.runtime.clock import command_start

        command_start.begin()
        pid_one.take_over()
        surroundings.settle()
        try:
            return super().main(args, *more, **options)
        except SystemExit as leaving:
            from amqptasks.worker.process import leftovers

            leftovers.watch(leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None))
            raise

    def invoke(self, ctx: click.Context) -> object:
        from amqptasks.errors import AmqptasksError

        try:
            return super().invoke(ctx)
        except AmqptasksError as error:
            tell(error)
            ctx.exit(exit_code(error))


@click.command(cls=Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@target_options
@click.version_option(package_name="amqptasks")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Tasks on RabbitMQ: declared topology, confirmed publishing, workers that lose nothing.

    -A and --broker may stand before or after the command's name.
    """
    ctx.ensure_object(Target)
