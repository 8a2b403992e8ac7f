"""A whole virtual host to a topology file.

What cannot be said in the file is left out, with the reason, and so nothing of it is planned for: `plan` shows it as
being on the broker but not in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from amqptasks.errors import ConfigurationError, TopologyError
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology import durations
from amqptasks.topology.broker.identity import binding_name, spelled, without_undefined
from amqptasks.topology.broker.observed import Observed, ObservedQueue
from amqptasks.topology.delays import RUNGS, TICK, rung, rungs_for
from amqptasks.topology.expand.ladder import RETIRED, ladder_objects
from amqptasks.topology.expand.permissions import permissions_for
from amqptasks.topology.export import around, queue, writing
from amqptasks.topology.migrate.marks import MIGRATIONS
from amqptasks.topology.plan.drift import OWN, RESERVED
from amqptasks.topology.plan.plan import plan
from amqptasks.topology.read.document import path
from amqptasks.topology.read.loader import from_mapping
from amqptasks.topology.topology import BUILT_IN, Role, Topology
from amqptasks.transport.entities import Binding, Destination, Exchange
from amqptasks.untrusted.printable import printable

#: Lengths of a ladder that people would write, in seconds.
_ROUND = (1, 5, 10, 30, 60, 300, 600, 1800, *(3600 * hours for hours in (1, 6, 12, 24, 168, 336, 720, 2160, 8760)))

#: As many names are listed in one comment.
_NAMED = 5

_BINDING = re.compile(r"\.bindings\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Exported:
    """`text` is the file, `topology` what it says; `left_out` names what it does not say, with the reason, `of_clients`
    what clients made for themselves, which it does not say either, and `notes` what it may say otherwise than it is."""

    text: str
    topology: Topology
    left_out: tuple[str, ...]
    of_clients: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def export(observed: Observed) -> Exported:
    """Of a broker that was read with all that shall be exported. Raises `ConfigurationError` for a virtual host that
    is not there, or that holds nothing."""
    if not observed.exists:
        raise ConfigurationError(f"there is no virtual host {observed.vhost!r}: correct the broker's address")
    rungs = sum(rung(number) in observed.queues for number in range(RUNGS))
    if rungs:
        draft = _Draft(observed, rungs)
        topology = draft.topology()
        if plan(ladder_objects(topology, observed.capabilities), observed).empty:
            return draft.finished(topology)
    draft = _Draft(observed, 0)
    if rungs:
        draft.head.append("`delays: false`, because the ladder on the broker is not the one that amqptasks would make")
        draft.head.append("for these exchanges and queues. Remove that line, and `amqptasks declare` completes it.")
    return draft.finished(draft.topology())


@dataclass
class _Draft:
    """A file in the making; with a ladder of so many `rungs`, or none."""

    observed: Observed
    rungs: int
    head: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    exact: set[str] = field(default_factory=set)
    dropped: set[tuple[str, str]] = field(default_factory=set)
    unbound: set[tuple[str, str, int]] = field(default_factory=set)
    comments: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = self.observed
        to_queues: dict[str, list[Binding]] = {}
        self.to_exchanges: dict[str, list[Binding]] = {}
        for binding in sorted(found.bindings, key=lambda one: (one.source, one.routing_key, repr(one.arguments))):
            ends = to_queues if binding.destination_type == "queue" else self.to_exchanges
            ends.setdefault(binding.destination, []).append(binding)
        self.types = {**BUILT_IN, **{name: one.type for name, one in found.exchanges.items()}}
        bindings = {name: tuple(ones) for name, ones in to_queues.items()}
        self.around = queue.Surroundings(found.capabilities, found.queues, bindings, self.types)

    def topology(self) -> Topology:
        """What the file says by now, once all that it cannot say is out of it."""
        while True:
            mapping = self.mapping()
            try:
                return from_mapping(writing.escaped(mapping), {})
            except TopologyError as error:
                if error.path is None:
                    raise self._nothing(mapping) from None
                self._yield_to(error, mapping)

    def _nothing(self, mapping: Mapping[str, Any]) -> ConfigurationError:
        """The reason may be that nothing of what is there can be written."""
        named = [*self._all_left_out(), *self._of_clients(mapping)]
        more = [f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
        why = "".join(f"\n  left out: {printable(one)}" for one in [*named[:_NAMED], *more])
        return ConfigurationError(f"the virtual host {self.observed.vhost!r} holds nothing to export{why}")

    def _all_left_out(self) -> list[str]:
        plugins = (f"{component} {name}: {_PARAMETER}" for component, name in self.observed.parameters)
        return [*self.left_out, *plugins]

    def finished(self, topology: Topology) -> Exported:
        """With what can be told only now."""
        mapping = self.mapping(self._role(topology))
        topology = from_mapping(writing.escaped(mapping), {})
        head = [*self._said(mapping), *self.head]
        left_out = self._all_left_out()
        notes = tuple(_voids(self.observed))
        if left_out:
            head += ["", "Left out:", *(f"- {one}" for one in left_out)]
        if notes:
            head += ["", *notes]
        of_clients = tuple(self._of_clients(mapping))
        return Exported(writing.text(mapping, head, self.comments), topology, tuple(left_out), of_clients, notes)

    def mapping(self, role: Callable[[str], Role | None] = lambda _: None) -> dict[str, Any]:
        queues = self._queues()
        sections = {
            "exchanges": self._exchanges(),
            "queues": queues,
            "policies": self._policies(operator=False),
            "operator_policies": self._policies(operator=True),
            "users": self._users(role),
        }
        found: dict[str, Any] = {"version": 1} | self._vhost()
        for section, named in sections.items():
            kept = {name: keys for name, keys in named.items() if (section, name) not in self.dropped}
            for name, keys in kept.items():
                self._unbind(section, name, keys)
            found |= {section: kept} if kept else {}
        return found | self._delays()

    def _vhost(self) -> dict[str, Any]:
        keys = around.virtual_host(self.observed)
        limits = {name: value for name, value in keys.pop("limits", {}).items() if value >= 0}  # below 0 is none
        keys |= {"limits": limits} if limits else {}
        if self.observed.vhost != "/":
            keys = {"name": self.observed.vhost, **keys}
        return {"vhost": keys["name"] if [*keys] == ["name"] else keys} if keys else {}

    def _delays(self) -> dict[str, Any]:
        if self.rungs == RUNGS:
            return {}
        if not self.rungs:
            return {"delays": False}
        fitting = [seconds for seconds in _ROUND if rungs_for(seconds) == self.rungs]
        longest = max(fitting, default=((1 << self.rungs) - 1) * TICK / 1000)
        return {"delays": {"max": durations.exact(longest)}}

    def _queues(self) -> dict[str, Any]:
        written = {one.name: self._queue(one) for one in self._permanent()}
        generated = {name for one in written.values() for name in one.generated}
        generated |= {f"{name}{RETIRED}" for name in written if _waited(written[name].keys)}
        found = {name: one.keys for name, one in sorted(written.items()) if name not in generated}
        for name in found:
            if written[name].comments:
                self.comments["queues", name] = list(written[name].comments)
        for shared in {_shared_with(keys) for keys in found.values()}:
            if shared in found:
                _as_dead_letter_queue(found[shared])
        return found

    def _queue(self, one: ObservedQueue) -> queue.Written:
        by_keys = None if one.name in self.exact else queue.by_keys(one, self.around)
        return queue.exactly(one, self.around) if by_keys is None else by_keys

    def _permanent(self) -> Iterator[ObservedQueue]:
        for one in self.observed.queues.values():
            if not (one.temporary or one.internal or one.name.startswith((OWN, RESERVED))):
                yield one

    def _exchanges(self) -> dict[str, Any]:
        queues = {one.name for one in self._permanent()}
        used = {one.source for one in self.observed.bindings if one.destination in queues}
        found = {}
        for name, one in sorted(self.observed.exchanges.items()):
            if name.startswith((OWN, RESERVED)) or (one.auto_delete and name not in used) or _of_plugin(one):
                continue
            leading = [binding for binding in self.to_exchanges.get(name, ()) if not binding.source.startswith(OWN)]
            found[name] = around.exchange(one, leading, self.types)
        return found

    def _policies(self, *, operator: bool) -> dict[str, Any]:
        policies = sorted(self.observed.policies, key=lambda one: one.name)
        return {one.name: around.policy(one) for one in policies if one.operator is operator}

    def _users(self, role: Callable[[str], Role | None]) -> dict[str, Any]:
        """Those who may do something here, without the one who looks."""
        found: dict[str, Any] = {}
        permissions = {one.user: one for one in self.observed.permissions}
        variables = around.variables(self.observed.users)
        for name in sorted(permissions.keys() & self.observed.users.keys() - {self.observed.user}):
            topics = [one for one in self.observed.topic_permissions if one.user == name]
            limits = [one for one in self.observed.limits if one.user == name and one.value >= 0]
            found[name] = around.user(
                self.observed.users[name], variables[name], role(name), permissions[name], topics, limits
            )
        return found

    def _role(self, topology: Topology) -> Callable[[str], Role | None]:
        """Which role, if any, gives a user just the rights that it has."""
        roles: tuple[Role, ...] = get_args(Role)
        rights = {role: permissions_for(topology, role) for role in roles}

        def role(user: str) -> Role | None:
            own = next(one for one in self.observed.permissions if one.user == user)
            topics = {repr(one) for one in self.observed.topic_permissions if one.user == user}
            for name, given in rights.items():
                if given.permission(user) == own and {repr(one) for one in given.topic_permissions(user)} == topics:
                    return name
            return None

        return role

    def _unbind(self, section: str, name: str, keys: dict[str, Any]) -> None:
        if "bindings" in keys:
            gone = {index for part, owner, index in self.unbound if (part, owner) == (section, name)}
            keys["bindings"] = [one for index, one in enumerate(keys["bindings"]) if index not in gone]

    def _yield_to(self, error: TopologyError, mapping: Mapping[str, Any]) -> None:
        """Take out what the error is about: a binding, or the keys of a queue, or the whole object."""
        for section in ("exchanges", "queues", "policies", "operator_policies", "users"):
            for name, keys in mapping.get(section, {}).items():
                place = path((section, name))
                rest = (error.path or "").removeprefix(place)
                if not (error.path or "").startswith(place) or (rest and rest[0] not in ".["):
                    continue
                binding = _BINDING.match(rest)
                if binding and keys.get("bindings"):
                    self._leave_binding(section, name, keys["bindings"], int(binding[1]), error.problem)
                elif section == "queues" and not keys.get("exact"):
                    self.exact.add(name)
                else:
                    self.dropped.add((section, name))
                    key = f"{rest.strip('.')}: " if rest else ""
                    self.left_out.append(f"{_SINGULAR[section]} {name}: {key}{error.problem}")
                    for one in keys.get("bindings", ()):  # they are written below what they lead to
                        gone = f"it leads to the {_SINGULAR[section]} {name}, which is left out"
                        self.left_out.append(f"binding {_bound(section, name, one)}: {gone}")
                return
        raise error

    def _leave_binding(self, section: str, name: str, shown: list[dict[str, Any]], index: int, problem: str) -> None:
        gone = {one for part, owner, one in self.unbound if (part, owner) == (section, name)}
        left = [one for one in range(len(shown) + len(gone)) if one not in gone]
        self.unbound.add((section, name, left[index]))
        self.left_out.append(f"binding {_bound(section, name, shown[index])}: {problem}")

    def _said(self, mapping: Mapping[str, Any]) -> Iterator[str]:
        """The first lines of the file."""
        observed = self.observed
        version = ".".join(map(str, observed.capabilities.version))
        yield f"Exported from the virtual host {observed.vhost} of RabbitMQ {version}."
        yield "A broker does not know the routes of tasks, and shows nothing of retries in the ladder: add them."
        if MIGRATIONS in observed.exchanges:
            yield "A migration was under way: finish it, and export again."
        names = [f"queue {one.name}" for one in observed.queues.values() if one.temporary and not _own(one.name)]
        names += [f"exchange {name}" for name in self._passing(mapping)]
        if names:
            yield f"Not here, because clients make them, and they go with those: {_listed(names)}."
        own = [name for name in (*observed.exchanges, *observed.queues) if name.startswith(OWN)]
        if own:
            yield f"Not here, because amqptasks makes them by itself: {OWN}* ({len(set(own))} names)."
        if "users" not in observed.sections:
            yield "Users, permissions and limits were not looked at: that takes an administrator."
        elif any(permission.user == observed.user for permission in observed.permissions):
            yield f"The user {observed.user}, who looked, is not here, and its rights are never taken for drift."
        if any("password_from" in keys for keys in mapping.get("users", {}).values()):
            yield "Passwords are not here: set the variables that `password_from` names."

    def _of_clients(self, mapping: Mapping[str, Any]) -> Iterator[str]:
        """What clients made for themselves under a name of their choice: the broker's own names say so themselves."""
        why = "auto-delete or exclusive, so whoever uses it makes it, and it goes by itself"
        for one in self.observed.queues.values():
            if one.temporary and not one.name.startswith((OWN, RESERVED)):
                yield f"queue {one.name}: {why}"
        for name in self._passing(mapping):
            if not name.startswith((OWN, RESERVED)):
                yield f"exchange {name}: {why}"

    def _passing(self, mapping: Mapping[str, Any]) -> list[str]:
        exchanges = self.observed.exchanges.values()
        passing = [one for one in exchanges if one.auto_delete or _of_plugin(one)]
        return [one.name for one in passing if one.name not in mapping.get("exchanges", {})]


_SINGULAR = {
    "exchanges": "exchange",
    "queues": "queue",
    "policies": "policy",
    "operator_policies": "operator policy",
    "users": "user",
}


#: Why a shovel or an upstream is left out.
_PARAMETER = "a file cannot say it; rabbitmqctl set_parameter makes it, and `rabbitmqctl list_parameters` shows it"


def _bound(section: str, name: str, keys: Mapping[str, Any]) -> str:
    """What a binding is called that is written below `name`."""
    source = keys["exchange"]
    usual = name if source == QUEUES_EXCHANGE else str(keys.get("weight", ""))
    to: Destination = "exchange" if section == "exchanges" else "queue"
    return binding_name(Binding(source, name, keys.get("routing_key", usual), to, keys.get("arguments", {})))


def _of_plugin(exchange: Exchange) -> bool:
    """Whether a plugin keeps it for itself, as federation does."""
    return "x-internal-purpose" in exchange.arguments


def _voids(observed: Observed) -> Iterator[str]:
    """The management API writes a void as the text "undefined"."""
    for kind, name, arguments in (
        *(("binding", binding_name(one), one.arguments) for one in observed.bindings),
        *(("queue", one.name, one.queue.arguments) for one in observed.queues.values()),
        *(("exchange", one.name, one.arguments) for one in observed.exchanges.values()),
    ):
        for key, value in arguments.items():
            if spelled(without_undefined(value)) != spelled(value):
                yield (
                    f"{kind} {name}: the argument {key} is written as nothing, which matches any value. The API does"
                    f' not tell that from the text "undefined"'
                )


def _waited(keys: Mapping[str, Any]) -> bool:
    """Whether a queue of these keys had one before it in earlier releases, for delayed messages."""
    bounded = "max_length" in keys or "max_length_bytes" in keys
    refuses = keys.get("type") != "stream" and keys.get("overflow") != "drop-head"
    return bounded and refuses and not keys.get("exact")


def _own(name: str) -> bool:
    return name.startswith(OWN)


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _shared_with(keys: Mapping[str, Any]) -> str | None:
    letters = keys.get("dead_letter")
    return letters.get("queue") if isinstance(letters, dict) else None


def _as_dead_letter_queue(keys: dict[str, Any]) -> None:
    """What others name as their dead-letter queue has, unless it says otherwise, none of its own and no limit."""
    if keys.get("exact"):
        return
    for key, usual in (("dead_letter", {}), ("delivery_limit", 20)):
        if keys.get(key) is False:
            del keys[key]
        elif keys.get("type") != "stream" and (key != "delivery_limit" or "type" not in keys):
            keys.setdefault(key, usual)
