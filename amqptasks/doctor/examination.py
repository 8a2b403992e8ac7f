"""Asking everything that can be asked, in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amqptasks.amqp.management import Management, Unanswered
from amqptasks.capabilities import Capabilities
from amqptasks.doctor import abilities, objects
from amqptasks.doctor.alarms import alarms, missing_bindings
from amqptasks.doctor.finding import Finding
from amqptasks.topology.expand import Objects, expand
from amqptasks.topology.ladder import ladder_objects
from amqptasks.topology.topology import Topology
from amqptasks.transport import Session


@dataclass(frozen=True, slots=True)
class Examination:
    """`abilities` has a need and how it is met; `objects` is how many exchanges and queues were looked at."""

    capabilities: Capabilities
    abilities: dict[str, str]
    objects: int
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> Sequence[Finding]:
        return [finding for finding in self.findings if finding.level == "wrong"]


def examine(session: Session, topology: Topology | None, management: Management | None) -> Examination:
    """Look at the broker, and where a topology is given at what it wants. Raises `BrokerError` where the broker cannot
    be reached or refuses us."""
    can = session.capabilities
    findings = list(abilities.of_version(can))
    wanted = Objects()
    if topology is not None:
        wanted = expand(topology, can) + ladder_objects(topology, can)
        findings += objects.missing_or_different(wanted, session)
        findings += objects.of_queues(topology, session)
    findings += _by_management(management, wanted)
    count = len(wanted.exchanges) + len(wanted.queues)
    return Examination(can, abilities.abilities(can), count, tuple(findings))


def _by_management(management: Management | None, wanted: Objects) -> list[Finding]:
    mend = "rabbitmq-plugins enable rabbitmq_management, and name it with --management http://HOST:15672"
    if management is None:
        problem = "it is not at its usual port: alarms and bindings were not looked at"
        return [Finding("note", "management API", problem, mend)]
    try:
        return [*alarms(management), *missing_bindings(management, wanted)]
    except Unanswered as unanswered:
        return [Finding("note", "management API", f"{unanswered}: alarms and bindings were not looked at", mend)]
