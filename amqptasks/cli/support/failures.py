"""How an error is told, and which exit status stands for it; every command's `--help` speaks of these."""

from __future__ import annotations

import click

from amqptasks.errors import (
    AmqptasksError,
    BrokerError,
    BrokerUnreachable,
    ConfigurationError,
    DeclarationConflict,
    StoreUnavailable,
)

#: Something that the user wrote cannot work, or a task failed. (2 is click's, for wrong use of the command line.)
FAILED = 1

#: The broker, or the result store, cannot be reached, refused us, or did not take what we sent.
NO_BROKER = 3

#: An object exists on the broker with other properties.
CONFLICT = 4

#: No worker answered, or one that is there did not, or one says that it is not ready.
NO_ANSWER = 5


def exit_code(error: AmqptasksError) -> int:
    if isinstance(error, DeclarationConflict):
        return CONFLICT
    return NO_BROKER if isinstance(error, BrokerError | StoreUnavailable) else FAILED


def tell(error: AmqptasksError) -> None:
    """On standard error. Who started a broker with `amqptasks broker start`, and did not export its address, is told
    of it."""
    click.secho(f"amqptasks: {error}", fg="red", err=True)
    if isinstance(error, BrokerUnreachable):
        from amqptasks.dev.brokers import probe, state
        from amqptasks.dev.brokers.running import shown
        from amqptasks.options.environment import BROKER_URL

        try:
            started = state.recall()
        except ConfigurationError:  # a damaged file; `broker start` says so
            return
        if started is not None and shown(started.url) not in str(error) and probe.answers(started.url):
            line = f"One that amqptasks started runs at another address: export {BROKER_URL}={started.url}"
            click.echo(line, err=True)
