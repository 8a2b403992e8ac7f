"""What a command is to bring about: the topology of FILEs or of the app, its objects on a broker, the plan for it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from amqptasks.cli.target import Target
from amqptasks.errors import ConfigurationError

if TYPE_CHECKING:
    from amqptasks.amqp.management import Management
    from amqptasks.capabilities import Capabilities
    from amqptasks.topology.decisions import Decision
    from amqptasks.topology.expand import Objects
    from amqptasks.topology.observed import Observed
    from amqptasks.topology.steps import Plan
    from amqptasks.topology.topology import Topology


@contextmanager
def _all_is_kept() -> Iterator[None]:
    """Python's collector looks through all objects again and again while thousands are made; here none becomes garbage
    in a circle, and a third of the time of a large plan goes."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_all_is_kept()
def topology_of(target: Target, files: Sequence[str]) -> Topology:
    """Of the files, else of the app. Raises `TopologyError` for a file with a mistake, `UsageError` where
    neither is named."""
    if not files:
        if target.app is None:
            raise click.UsageError("Name one or more topology FILEs, or an app with -A.")
        return target.load_app().topology
    from amqptasks.topology.loader import load

    return load(*files)


def objects_of(topology: Topology, capabilities: Capabilities, delays: bool = True) -> Objects:
    """What the topology comes down to on a broker with these capabilities; with the ladder of delays, or without."""
    from amqptasks.topology.expand import expand
    from amqptasks.topology.ladder import ladder_objects

    objects = expand(topology, capabilities)
    return objects + ladder_objects(topology, capabilities) if delays else objects


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it was made of; `decisions` say what the words of the file became on this broker."""

    plan: Plan
    wanted: Objects
    observed: Observed
    decisions: tuple[Decision, ...]

    @property
    def news(self) -> Sequence[Decision]:
        """The decisions about what is to be created, or stands in the way."""
        touched = {step.name for step in self.plan.steps if step.kind == "queue" and step.action != "leave"}
        return [one for one in self.decisions if one.queue is None or one.queue in touched]

    @property
    def heading(self) -> str:
        version = ".".join(map(str, self.observed.capabilities.version))
        return f"RabbitMQ {version}, virtual host {self.observed.vhost}"


@_all_is_kept()
def planned(topology: Topology, management: Management, keep: Sequence[str] = (), delays: bool = True) -> Planned:
    """The plan for the broker of `management`; passwords of users come from the environment, names that fit a glob of
    `keep` belong to others. Raises `Unanswered` where the API refuses."""
    from amqptasks.topology.decisions import decisions
    from amqptasks.topology.drift import keeping
    from amqptasks.topology.observed import capabilities_of, observe
    from amqptasks.topology.plan import plan, sections_for

    capabilities = capabilities_of(management)
    wanted = objects_of(topology, capabilities, delays)
    observed = observe(management, sections_for(wanted))
    if not observed.exists and topology.vhost is None:  # a slip of the pen in the address must not make one
        raise ConfigurationError(
            f"the virtual host {observed.vhost!r} does not exist: correct the broker's address, or name it in the file"
            f" (`vhost: {observed.vhost}`), then `amqptasks declare` makes it"
        )
    made = plan(wanted, observed, os.environ, keeping(keep))
    return Planned(made, wanted, observed, decisions(topology, capabilities))
