"""The root of the tree in `amqptasks.errors`."""

from __future__ import annotations


class AmqptasksError(Exception):
    """The root of all exceptions of this package; catch it to catch them all."""
