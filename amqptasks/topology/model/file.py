"""A whole file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from amqptasks.topology.model.exchange import ExchangePart
from amqptasks.topology.model.part import Part, nothing_means_defaults
from amqptasks.topology.model.policy import OperatorPolicyPart, PolicyPart
from amqptasks.topology.model.queue import QueuePart
from amqptasks.topology.model.route import DelaysPart, RoutePart
from amqptasks.topology.model.user import UserPart
from amqptasks.topology.model.vhost import VhostPart, named

#: The one version of the format so far.
VERSION = 1


class FilePart(Part):
    """A whole file."""

    version: Literal[1]
    vhost: Annotated[VhostPart | None, BeforeValidator(named)] = None
    exchanges: Annotated[dict[str, ExchangePart], BeforeValidator(nothing_means_defaults)] = {}
    queues: Annotated[dict[str, QueuePart], BeforeValidator(nothing_means_defaults)] = {}
    routes: dict[str, RoutePart] = {}
    default_queue: str | None = None
    delays: DelaysPart | None = None
    policies: dict[str, PolicyPart] = {}
    operator_policies: dict[str, OperatorPolicyPart] = {}
    users: Annotated[dict[str, UserPart], BeforeValidator(nothing_means_defaults)] = {}
