"""A whole file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from amqptasks.topology.model.defaults import DefaultsPart
from amqptasks.topology.model.exchange import ExchangePart
from amqptasks.topology.model.part import Part, nothing_means_defaults
from amqptasks.topology.model.policy import OperatorPolicyPart, PolicyPart
from amqptasks.topology.model.queue import QueuePart, TemplatePart
from amqptasks.topology.model.route import DelaysPart, RoutePart, ladder_or_none
from amqptasks.topology.model.user import UserPart
from amqptasks.topology.model.vhost import VhostPart, named

#: The one version of the format so far.
VERSION = 1


class FilePart(Part):
    """A topology file."""

    version: Literal[1]
    """The version of this format."""
    override: bool = False
    """Whether this file changes what the files before it declare; it declares nothing new then."""
    vhost: Annotated[VhostPart | None, BeforeValidator(named)] = None
    """The virtual host that the file is for: its name, or more about it."""
    defaults: DefaultsPart = DefaultsPart()
    """What holds for all queues, or exchanges, that say nothing else."""
    templates: Annotated[dict[str, TemplatePart], BeforeValidator(nothing_means_defaults)] = {}
    """Keys for queues, by a name for `template:`."""
    exchanges: Annotated[dict[str, ExchangePart], BeforeValidator(nothing_means_defaults)] = {}
    """Exchanges by name."""
    queues: Annotated[dict[str, QueuePart], BeforeValidator(nothing_means_defaults)] = {}
    """Queues by name; one with nothing behind it takes all defaults."""
    routes: dict[str, RoutePart] = {}
    """Where tasks go, by name, glob, or /regular expression/."""
    default_queue: str | None = None
    """The queue for what no route takes; the queue `default`, where there is one."""
    delays: Annotated[DelaysPart | None, BeforeValidator(ladder_or_none)] = None
    """The ladder of delay queues; `false`: none."""
    policies: dict[str, PolicyPart] = {}
    """Policies by name."""
    operator_policies: dict[str, OperatorPolicyPart] = {}
    """Operator policies by name."""
    users: Annotated[dict[str, UserPart], BeforeValidator(nothing_means_defaults)] = {}
    """Users by name."""
