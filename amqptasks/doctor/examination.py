"""Reading what the chosen checks need, and letting them look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from amqptasks.doctor.abilities import abilities
from amqptasks.doctor.check import CHECKS, Check
from amqptasks.doctor.checks.dead_letters import waiting
from amqptasks.doctor.checks.policies import without_overriding
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.reading import management as reading
from amqptasks.doctor.reading.objects import present
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.doctor.values import Section, Unread
from amqptasks.management.client import Management, Unanswered
from amqptasks.topology.ask.time_limits import TimeLimit
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.topology import Topology
from amqptasks.transport import Session
from amqptasks.transport.capabilities import Capabilities

#: Lists that are asked for at the same time.
_AT_A_TIME = 4

#: What to do where the management API is not there.
_NEEDED = "rabbitmq-plugins enable rabbitmq_management, and name it with --management http://HOST:15672"


@dataclass(frozen=True, slots=True)
class Patient:
    """Whom the doctor looks at. `app` is how the command line names the app, `time_limits` has by queue the task that
    may run longest, `broker_timeout` is rabbitmq.conf's `consumer_timeout` in seconds, None where nobody knows;
    `no_management` is why there is no management API."""

    session: Session
    vhost: str = "/"
    management: Management | None = None
    topology: Topology | None = None
    app: str | None = None
    time_limits: Mapping[str, TimeLimit] = field(default_factory=dict)
    broker_timeout: float | None = None
    no_management: str = "nobody named it"


@dataclass(frozen=True, slots=True)
class Examination:
    """`abilities` has a need and how it is met, `figures` what was counted; `objects` is how many exchanges and queues
    of the topology were looked at. `left_out` has by check why it could not look, or not at everything."""

    capabilities: Capabilities
    abilities: Mapping[str, str]
    figures: Mapping[str, int]
    objects: int
    findings: tuple[Finding, ...]
    left_out: Mapping[str, str]

    @property
    def wrong(self) -> Sequence[Finding]:
        return [finding for finding in self.findings if finding.level == "wrong"]


def examine(patient: Patient, checks: Sequence[Check] = CHECKS) -> Examination:
    """Look at the broker, and where a topology is given at what it wants. Raises `BrokerError` where the broker cannot
    be reached or refuses us."""
    topology = patient.topology
    fitting = [check for check in checks if topology is not None or not check.of_app]
    sections = {section for check in fitting for section in check.reads}
    seen = _over_amqp(patient, sections)
    seen = _by_management(patient, seen, sections)
    calm = without_overriding(seen) if any(check.name == "policies" for check in fitting) else seen
    left_out: dict[str, str] = {}
    findings: list[Finding] = []
    for check in fitting:
        missing = [seen.unread[section] for section in check.reads if section in seen.unread]
        if missing:
            left_out[check.name] = missing[0].why
        if not any(section in seen.unread for section in check.needs):
            look_at = seen if check.name == "policies" else calm
            findings += (finding.of(check.name) for finding in check.look(look_at))
    if left_out:
        findings.append(_left_out(seen, left_out))
    count = len(seen.wanted.exchanges) + len(seen.wanted.queues)
    return Examination(
        seen.capabilities, abilities(seen.capabilities), _figures(seen, sections), count, tuple(findings), left_out
    )


def _left_out(seen: Snapshot, checks: Mapping[str, str]) -> Finding:
    unread = next((one for one in seen.unread.values() if not one.forbidden), next(iter(seen.unread.values())))
    fix = "ask as a user who may" if unread.forbidden else _NEEDED
    problem = f"{unread.why}: {', '.join(checks)} not looked at, or not at everything"
    return Finding("note", "management API", problem, fix, "management")


def _over_amqp(patient: Patient, sections: set[Section]) -> Snapshot:
    can = patient.session.capabilities
    topology = patient.topology
    seen = Snapshot(
        can,
        patient.vhost,
        patient.app,
        topology,
        time_limits=patient.time_limits,
        broker_timeout=patient.broker_timeout,
    )
    if topology is None:
        return seen
    wanted = expand(topology, can) + ladder_objects(topology, can)
    if "objects" not in sections:
        return replace(seen, wanted=wanted)
    found = present(wanted, patient.session)
    return replace(
        seen,
        wanted=wanted,
        absent=found.absent,
        conflicts=found.conflicts,
        older=found.older,
        refused=found.refused,
        states=found.states,
    )


def _by_management(patient: Patient, seen: Snapshot, sections: set[Section]) -> Snapshot:
    management = patient.management
    wanted = [section for section in reading.READERS if section in sections]
    if management is None:
        gone = Unread(patient.no_management)
        unread: dict[Section, Unread] = {section: gone for section in (*wanted, "lengths") if section in sections}
        return replace(seen, unread=unread)
    unread = {}
    values: dict[Section, Any] = {}
    with ThreadPoolExecutor(_AT_A_TIME) as readers:
        answers = {section: readers.submit(reading.READERS[section], management) for section in wanted}
        for section, answer in answers.items():
            try:
                values[section] = answer.result()
            except Unanswered as unanswered:
                unread[section] = _unread(unanswered)
    fields = {_FIELDS.get(section, section): value for section, value in values.items()}
    found = replace(seen, unread=unread, **fields)
    if "lengths" not in sections or "virtual host" in unread:
        return found
    try:
        return replace(found, lengths=reading.lengths(management, _telling(found)))
    except Unanswered as unanswered:
        return replace(found, unread={**unread, "lengths": _unread(unanswered)})


def _unread(unanswered: Unanswered) -> Unread:
    return Unread(str(unanswered), unanswered.status in (401, 403))


#: What the field of `Snapshot` is called that holds a section, where that is another name.
_FIELDS: Mapping[Section, str] = {
    "feature flags": "flags_off",
    "deprecated features": "deprecated",
    "virtual host": "observed",
    "limits": "most_connections",
}


def _telling(seen: Snapshot) -> list[str]:
    """Queues of whose length more is to be known: those of dead letters and those where messages wait, if any are
    there; the fullest first."""
    full = {name: messages for name, messages in waiting(seen).items() if messages}
    full |= {queue.name: queue.messages for queue in seen.queues if queue.messages and seen.waits(queue)}
    return sorted(full, key=lambda name: -full[name])


def _figures(seen: Snapshot, sections: set[Section]) -> dict[str, int]:
    """Of what was read."""
    read = sections - seen.unread.keys()
    found: dict[str, int] = {}
    if "nodes" in read:
        found["nodes"] = len(seen.nodes)
    if seen.observed is not None:
        found["queues"] = len(seen.observed.queues)
        found["messages"] = sum(queue.messages or 0 for queue in seen.observed.queues.values())
    if "consumers" in read:
        found["consumers"] = sum(one.count for one in seen.consumers.values())
    if "connections" in read:
        found["connections"] = len(seen.connections)
        found["channels"] = sum(one.channels for one in seen.connections)
    return found
