"""What a command is to bring about: the topology of FILEs or of the app, its objects on a broker, the plan for it."""

from __future__ import annotations

import gc
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from amqptasks.cli.support.target import Target
from amqptasks.errors import ConfigurationError

if TYPE_CHECKING:
    from amqptasks.management.client import Management
    from amqptasks.results.address import Streams
    from amqptasks.topology.broker.observed import Observed
    from amqptasks.topology.broker.steps import Plan
    from amqptasks.topology.expand.decisions import Decision
    from amqptasks.topology.expand.expand import Objects
    from amqptasks.topology.topology import Topology
    from amqptasks.transport.capabilities import Capabilities


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
    from amqptasks.topology.read.loader import load

    topology = load(*files)
    _warn_of_old_words(topology)
    return topology


def _warn_of_old_words(topology: Topology) -> None:
    """A value that an editor shows otherwise than it is read is worth a line, each time."""
    if not topology.old_words:
        return
    from amqptasks.topology.advice.values import fix_of, problem_of
    from amqptasks.topology.read.document import path

    for where, word in topology.old_words.items():
        place = f"{word.file}:{word.line}: " if word.file is not None else ""
        click.secho(f"{place}warning: {path(where)}: {problem_of(word)}. {fix_of(word)}", fg="yellow", err=True)


def objects_of(
    topology: Topology, capabilities: Capabilities, delays: bool = True, results: Streams | None = None
) -> Objects:
    """What the topology comes down to on a broker with these capabilities; with the ladder of delays, or without, and
    with the streams of `results`."""
    from amqptasks.topology.expand.expand import expand
    from amqptasks.topology.expand.ladder import ladder_objects
    from amqptasks.topology.expand.results import result_objects

    objects = expand(topology, capabilities)
    if results is not None:
        objects += result_objects(results.count, capabilities)
    return objects + ladder_objects(topology, capabilities) if delays else objects


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a command named: the files or the app, and the broker where it was no variable of the environment."""

    files: tuple[str, ...] = ()
    app: str | None = None
    broker: str | None = None

    def migrate(self, queue: str) -> str:
        """The command that migrates a queue, to be pasted. A password is masked: it must be put in again."""
        from amqptasks.untrusted.masks import masked_address

        app = ("-A", self.app) if self.app is not None and not self.files else ()
        broker = ("--broker", masked_address(self.broker)) if self.broker is not None else ()
        return shlex.join(("amqptasks", *app, "migrate", queue, *self.files, *broker))


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it was made of; `decisions` say what the words of the file became on this broker."""

    plan: Plan
    wanted: Objects
    observed: Observed
    decisions: tuple[Decision, ...]

    @property
    def notable(self) -> Sequence[Decision]:
        """The decisions about what is to be created, or stands in the way."""
        touched = {step.name for step in self.plan.steps if step.kind == "queue" and step.action != "leave"}
        return [one for one in self.decisions if one.queue is None or one.queue in touched]

    @property
    def heading(self) -> str:
        version = ".".join(map(str, self.observed.capabilities.version))
        return f"RabbitMQ {version}, virtual host {self.observed.vhost}"


@_all_is_kept()
def planned(
    topology: Topology,
    management: Management,
    keep: Sequence[str] = (),
    delays: bool = True,
    around: CommandLine | None = None,
    results: Streams | None = None,
) -> Planned:
    """The plan for the broker of `management`; passwords of users come from the environment, names that fit a glob of
    `keep` belong to others. `around` is what commands that the plan names need besides, `results` are the streams of
    the result store. Raises `Unanswered` where the API refuses, `ConfigurationError` for a virtual host that is not
    there, and for an empty password."""
    from amqptasks.topology.broker.observed import capabilities_of, observe
    from amqptasks.topology.expand.decisions import decisions
    from amqptasks.topology.plan.drift import keeping
    from amqptasks.topology.plan.plan import plan, sections_for

    capabilities = capabilities_of(management)
    wanted = objects_of(topology, capabilities, delays, results)
    observed = observe(management, sections_for(wanted))
    if observed.hidden:
        raise ConfigurationError(
            f"the user {management.user!r} has no permission in the virtual host {observed.vhost!r}, or there is no"
            " such virtual host. An administrator can say so:"
            f" rabbitmqctl set_permissions -p {shlex.quote(observed.vhost)}"
            f" {shlex.quote(management.user)} '.*' '.*' '.*'; see `amqptasks topology permissions` for less"
        )
    if not observed.exists and topology.vhost is None:  # a slip of the pen in the address must not make one
        raise ConfigurationError(
            f"the virtual host {observed.vhost!r} does not exist: correct the broker's address, or name it in the file"
            f" (`vhost: {observed.vhost}`), then `amqptasks declare` makes it"
        )
    made = plan(wanted, observed, os.environ, keeping(keep), (around or CommandLine()).migrate)
    return Planned(made, wanted, observed, decisions(topology, capabilities))
