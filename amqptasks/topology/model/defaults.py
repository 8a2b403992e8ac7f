"""What holds for all queues or exchanges of the files that say nothing else."""

from __future__ import annotations

from amqptasks.topology.model.exchange import ExchangeDefaultsPart
from amqptasks.topology.model.part import Part
from amqptasks.topology.model.queue import TemplatePart


class DefaultsPart(Part):
    queue: TemplatePart | None = None
    """For every queue; what its type cannot have is left out."""
    exchange: ExchangeDefaultsPart | None = None
    """For every exchange."""
