"""Which exit status stands for which error; every command's `--help` speaks of these."""

from __future__ import annotations

from amqptasks.errors import AmqptasksError, BrokerError, DeclarationConflict, StoreUnavailable

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
