"""What is on a broker: one virtual host, read through the management API into the entities that a topology makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from amqptasks.management.client import Management, Unanswered
from amqptasks.topology.broker.identity import BindingKey, binding_key
from amqptasks.transport.capabilities import Capabilities, from_server_properties
from amqptasks.transport.entities import (
    Binding,
    Destination,
    Exchange,
    Limit,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    User,
    VirtualHost,
)

#: What can be read besides exchanges, queues and bindings. Users, permissions and limits take an administrator.
Section = Literal["policies", "users", "permissions", "limits", "parameters"]

EVERYTHING: frozenset[Section] = frozenset(get_args(Section))

#: Without statistics, which on a large broker take many times as long, but with the numbers of messages.
_WITHOUT_STATISTICS = {"disable_stats": "true", "enable_queue_totals": "true"}

#: Of a queue only what is looked at: a third less for a broker to write, of thousands of queues.
_COLUMNS = {"columns": "name,type,durable,exclusive,auto_delete,arguments,messages,state,internal"}

#: Lists that are asked for at the same time. A broker works on each with one core; the two long ones, queues and
#: bindings, then take as long as the longer of them, and the short ones nothing.
_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class ObservedQueue:
    """A queue as it was declared, and what has become of it.

    `type` is classic, quorum or stream, also where no argument says so; `messages` counts ready and unacked ones, None
    where the broker does not tell (streams); `exclusive` queues belong to one connection, `internal` ones to the
    broker.
    """

    queue: Queue
    type: str
    messages: int | None = None
    state: str = "running"
    internal: bool = False

    @property
    def name(self) -> str:
        return self.queue.name

    @property
    def temporary(self) -> bool:
        """A client's own, which goes away by itself."""
        return self.queue.exclusive or self.queue.auto_delete or self.name.startswith("amq.")


@dataclass(frozen=True, slots=True)
class ObservedUser:
    """A user, and what the broker keeps in place of the password: never printed, only compared and handed back."""

    user: User
    password_hash: str = field(default="", repr=False)
    hashing_algorithm: str = ""


@dataclass(frozen=True)
class Observed:
    """A virtual host as it is. Users and their limits are the whole broker's; the rest is this virtual host's.

    `sections` says what was read besides exchanges, queues and bindings; of the rest nothing is known. `user` is who
    looked, `exchange_types` are those that the node asked has (none: it did not say). `hidden`: this user does not see
    it, and cannot see whether there is one. `parameters` are those of plugins: component (`shovel`,
    `federation-upstream`) and name. The default exchange and its
    bindings, which nobody can change, are left out; the other built-in exchanges are not.
    """

    vhost: str
    capabilities: Capabilities
    settings: VirtualHost | None = None
    exchanges: Mapping[str, Exchange] = field(default_factory=dict)
    queues: Mapping[str, ObservedQueue] = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()
    policies: tuple[Policy, ...] = ()
    users: Mapping[str, ObservedUser] = field(default_factory=dict)
    permissions: tuple[Permission, ...] = ()
    topic_permissions: tuple[TopicPermission, ...] = ()
    limits: tuple[Limit, ...] = ()
    sections: frozenset[Section] = EVERYTHING
    user: str = ""
    exchange_types: frozenset[str] = frozenset()
    hidden: bool = False
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def exists(self) -> bool:
        """Whether there is such a virtual host at all."""
        return self.settings is not None

    @cached_property
    def binding_keys(self) -> Mapping[BindingKey, Binding]:
        return {binding_key(binding): binding for binding in self.bindings}


def observe(management: Management, sections: Collection[Section] = EVERYTHING) -> Observed:
    """Read the virtual host of `management`. Raises `Unanswered` where the API cannot be had, or refuses this user."""
    vhost = management.vhost
    overview = management.overview("exchange_types")
    capabilities = _capabilities(overview)
    types = frozenset(str(row["name"]) for row in overview.get("exchange_types") or () if row.get("enabled", True))
    settings, hidden = _virtual_host(management)
    if settings is None:
        users = _users(management) if "users" in sections else {}
        return Observed(
            vhost,
            capabilities,
            users=users,
            sections=frozenset(sections),
            user=management.user,
            exchange_types=types,
            hidden=hidden,
        )
    nothing: tuple[Any, ...] = ()
    with ThreadPoolExecutor(_AT_A_TIME) as readers:

        def read(reader: Callable[[Management], Any], section: Section | None = None) -> Callable[[], Any]:
            wanted = section is None or section in sections
            return readers.submit(reader, management).result if wanted else lambda: nothing

        queues, bindings, exchanges = read(_queues), read(_bindings), read(_exchanges)
        policies, accounts, limits = read(_policies, "policies"), read(_users, "users"), read(_limits, "limits")
        parameters = read(_parameters, "parameters")
        permissions, topics = read(_permissions, "permissions"), read(_topic_permissions, "permissions")
        return Observed(
            vhost,
            capabilities,
            _settings(settings),
            exchanges(),
            queues(),
            bindings(),
            policies(),
            dict(accounts()),
            permissions(),
            topics(),
            limits(),
            frozenset(sections),
            management.user,
            types,
            parameters=parameters(),
        )


def observe_queue(management: Management, name: str) -> ObservedQueue | None:
    """One queue; None where there is none of this name. Raises `Unanswered`."""
    row = management.find("queues", management.vhost, name, query=_WITHOUT_STATISTICS)
    return None if row is None else _queue(row)


def observe_bindings(management: Management, destination: str, kind: Destination = "queue") -> tuple[Binding, ...]:
    """What is bound to a queue or exchange, without the default exchange. Raises `Unanswered`."""
    path: tuple[str, ...] = ("queues", management.vhost, destination, "bindings")
    if kind == "exchange":
        path = ("exchanges", management.vhost, destination, "bindings", "destination")
    rows = management.find(*path) or []
    return tuple(binding_of(row) for row in rows if row["source"] and row["destination"] == destination)


def capabilities_of(management: Management) -> Capabilities:
    """What the broker can do. Raises `Unanswered`."""
    return _capabilities(management.overview())


def _capabilities(overview: Mapping[str, Any]) -> Capabilities:
    return from_server_properties({"version": str(overview["rabbitmq_version"])})


def _virtual_host(management: Management) -> tuple[Mapping[str, Any] | None, bool]:
    """None where it does not exist, with whether this user cannot know that: by its name only an administrator may ask,
    others list those that they may enter."""
    try:
        return management.find("vhosts", management.vhost), False
    except Unanswered as unanswered:
        if unanswered.status not in (401, 403):
            raise
    rows = management.request("GET", "vhosts")
    found = next((row for row in rows if row["name"] == management.vhost), None)
    return found, found is None


def _settings(row: Mapping[str, Any]) -> VirtualHost:
    """3.10 says `undefined` of a default queue type, and has none."""
    default = row.get("default_queue_type")
    return VirtualHost(
        row.get("description") or None, tuple(row.get("tags") or ()), None if default == "undefined" else default
    )


def _exchanges(management: Management) -> dict[str, Exchange]:
    rows = management.request("GET", "exchanges", management.vhost)
    return {row["name"]: _exchange(row) for row in rows if row["name"]}


def _queues(management: Management) -> dict[str, ObservedQueue]:
    rows = management.request("GET", "queues", management.vhost, query=_WITHOUT_STATISTICS | _COLUMNS)
    return {row["name"]: _queue(row) for row in rows}


def _bindings(management: Management) -> tuple[Binding, ...]:
    return tuple(binding_of(row) for row in management.request("GET", "bindings", management.vhost) if row["source"])


def _exchange(row: Mapping[str, Any]) -> Exchange:
    return Exchange(
        row["name"], row["type"], row["durable"], row["auto_delete"], row["internal"], _arguments(row["arguments"])
    )


def _queue(row: Mapping[str, Any]) -> ObservedQueue:
    """Quorum queues and streams are said to be `exclusive: null`."""
    return ObservedQueue(
        Queue(
            row["name"], row["durable"], row.get("exclusive") is True, row["auto_delete"], _arguments(row["arguments"])
        ),
        _queue_type(row),
        row.get("messages"),
        str(row.get("state", "running")),
        row.get("internal") is True,
    )


def _queue_type(row: Mapping[str, Any]) -> str:
    """Some releases spell out the module's name: `rabbit_quorum_queue`."""
    found = str(row.get("type") or row["arguments"].get("x-queue-type") or "classic")
    return re.sub(r"^rabbit_(\w+)_queue$", r"\1", found)


def binding_of(row: Mapping[str, Any]) -> Binding:
    """A binding as the API lists it."""
    return Binding(
        row["source"], row["destination"], row["routing_key"], row["destination_type"], _arguments(row["arguments"])
    )


def _arguments(found: object) -> dict[str, object]:
    """An empty table comes as an empty list from some releases."""
    return dict(found) if isinstance(found, Mapping) else {}


def _policies(management: Management) -> tuple[Policy, ...]:
    kinds = (("policies", False), ("operator-policies", True))
    return tuple(
        Policy(row["name"], row["pattern"], row["definition"], row["apply-to"], row["priority"], operator)
        for kind, operator in kinds
        for row in management.request("GET", kind, management.vhost)
    )


def _users(management: Management) -> dict[str, ObservedUser]:
    return {
        row["name"]: ObservedUser(
            User(row["name"], _tags(row["tags"])), row.get("password_hash") or "", row.get("hashing_algorithm") or ""
        )
        for row in management.request("GET", "users")
    }


def _tags(found: object) -> tuple[str, ...]:
    """A list; before 3.9, and in old definitions, text with commas."""
    tags = found.split(",") if isinstance(found, str) else found if isinstance(found, list) else []
    return tuple(str(tag).strip() for tag in tags if str(tag).strip())


def _permissions(management: Management) -> tuple[Permission, ...]:
    rows = management.request("GET", "vhosts", management.vhost, "permissions")
    return tuple(Permission(row["user"], row["configure"], row["write"], row["read"]) for row in rows)


def _topic_permissions(management: Management) -> tuple[TopicPermission, ...]:
    rows = management.request("GET", "vhosts", management.vhost, "topic-permissions")
    return tuple(TopicPermission(row["user"], row["exchange"], row["write"], row["read"]) for row in rows)


#: Parameters that have a section of their own.
_TOLD_ELSEWHERE = frozenset({"policy", "operator_policy", "vhost-limits"})


def _parameters(management: Management) -> tuple[tuple[str, str], ...]:
    rows = management.request("GET", "parameters")
    return tuple(
        (str(row["component"]), str(row["name"]))
        for row in rows
        if row.get("vhost") == management.vhost and row["component"] not in _TOLD_ELSEWHERE
    )


def _limits(management: Management) -> tuple[Limit, ...]:
    of_vhost = management.request("GET", "vhost-limits", management.vhost)
    of_users = management.request("GET", "user-limits")
    return tuple(
        Limit(name, value, row.get("user")) for row in (*of_vhost, *of_users) for name, value in row["value"].items()
    )
