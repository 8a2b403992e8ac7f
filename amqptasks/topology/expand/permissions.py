"""What each kind of user must be allowed on the broker to do its work, and no more: from the topology itself.

https://www.rabbitmq.com/docs/access-control: three expressions over the names of exchanges and queues alike, and for
topic exchanges two more over routing keys. Tried on 3.10, 4.0 and 4.3 by logging in as each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology.topology import BUILT_IN, Role, Topology
from amqptasks.transport.entities import Permission, TopicPermission, User

#: Expressions over names of our own that no topology names. Who enters the ladder chooses the rung.
_RUNGS = r"amqptasks\.delay\.(high\.)?[0-9]{2}"
_LADDER = r"amqptasks\.(clock|(delay|due)\..+)"

#: The queue in which a process gets the broker's time, and the exchange that it comes through, which has nothing else.
_CLOCK = r"amqptasks\.clock\.[0-9a-f]{32}"
_CLOCKS = r"amqptasks\.clock(\.[0-9a-f]{32})?"

#: Exchange of commands, and the queue that each worker listens on.
_CONTROL = r"amqptasks\.control"
_LISTENER = r"amqptasks\.control\.[0-9a-f]{32}"

#: Streams that workers keep and make where they are missing, and the exchanges that their records come through, one for
#: each kind. Some of them are made by later releases; the rights are the same.
_BOOKS = r"amqptasks\.(claims|events|joins|nodes|results|revoked|schedules)(\.[a-z]+|\.[0-9]+\.[0-9]+)?"

#: The two kinds of record that clients write: the probe of a look-up of a result, and the beginning of a join.
_CLIENT_RECORDS = r"amqptasks\.(results\.probe|joins\.open)"

#: The streams of results, of which a client looks up its own by id.
_RESULTS = r"amqptasks\.results\.[0-9]+\.[0-9]+"

#: What records of results and probes come through: `declare` binds the streams to both. Whoever looks a result up
#: writes probes.
_RESULT_EXCHANGES = r"amqptasks\.results(\.probe)?"
_PROBE = r"amqptasks\.results\.probe"

#: Schedules: a stream with its exchanges, and the lock of whoever leads.
_SCHEDULES = r"amqptasks\.(beat\.lock|schedules(\.[a-z]+)?)"

#: The sets of tokens that hold the tasks of all workers to their limits: made by the worker that needs one first.
_TOKENS = r"amqptasks\.tokens\..+"

#: The claims of calls that are to be the only ones of their kind: who calls makes them, who runs the call deletes them.
#: Each names an exchange that does not exist, which takes write on that and read on the claim.
_CLAIMS = r"amqptasks\.unique(\..+)?"

#: What a viewer reads; and the queue of a viewer that listens.
_LOGS = r"amqptasks\.(events|nodes)"
_WATCHER = r"amqptasks\.events\.[0-9a-f]{32}"

#: What an operator reads besides: which tasks are revoked, which wait for their time, and whose target was gone.
_REVOKED = r"amqptasks\.revoked"
_LOST = r"amqptasks\.delay\.lost"

#: Where an operator writes revocations.
_REVOCATIONS = r"amqptasks\.revoked\.revocation"

#: What `declare` moves, where an earlier release made it: see `topology/plan/retired.py`.
_SOURCES = r"amqptasks\.(events|nodes\.announcement|revoked\.revocation)"
_MOVED = r"amqptasks\.(events|nodes|revoked)"

#: The default exchange, as permissions name it: a reply goes through it to the caller's reply address.
_DEFAULT = r"amq\.default"

#: Matches the empty text alone, and no name or key of anything.
_NOTHING = "^$"


@dataclass(frozen=True, slots=True)
class Rights:
    """Expressions over names; `topics` has, by topic exchange, those over routing keys (write, read). `tags` are what
    the management API asks for."""

    configure: str = _NOTHING
    write: str = _NOTHING
    read: str = _NOTHING
    topics: tuple[tuple[str, str, str], ...] = ()
    tags: tuple[str, ...] = ()

    def permission(self, user: str) -> Permission:
        return Permission(user, self.configure, self.write, self.read)

    def topic_permissions(self, user: str) -> tuple[TopicPermission, ...]:
        return tuple(TopicPermission(user, exchange, write, read) for exchange, write, read in self.topics)


def permissions_for(topology: Topology, role: Role) -> Rights:
    """The rights of a `publisher` (sends tasks and waits for results), a `worker` (runs them, and sends more), `beat`
    (sends tasks when they are due), a `viewer` (events, results, and the management API to look), an `operator` (tells
    workers what to do, looks into dead letters and replays them) or a `declarer` (`amqptasks declare`)."""
    return _BY_ROLE[role](topology)


def of_roles(topology: Topology) -> tuple[tuple[Permission, ...], tuple[TopicPermission, ...]]:
    """The permissions of all users that the file gives a role."""
    rights = {role: permissions_for(topology, role) for role in set(topology.roles.values())}
    given = [(user, rights[role]) for user, role in topology.roles.items()]
    return (
        tuple(one.permission(user) for user, one in given),
        tuple(permission for user, one in given for permission in one.topic_permissions(user)),
    )


def users(topology: Topology) -> tuple[User, ...]:
    """The users; one with a role that names no tags gets those of the role."""
    return tuple(_tagged(user, topology) for user in topology.users)


def _tagged(user: User, topology: Topology) -> User:
    role = topology.roles.get(user.name)
    return user if user.tags or role is None else replace(user, tags=permissions_for(topology, role).tags)


def _publisher(topology: Topology) -> Rights:
    own = [_CLAIMS, _CLOCK]
    write = [*_targets(topology), *own, _CLIENT_RECORDS]
    return Rights(_any(own), _any(write), _any([_CLAIMS, _CLOCKS, _RESULTS]), tuple(_keys(topology)))


def _beat(topology: Topology) -> Rights:
    """A publisher that keeps the table of what is due, and knows by a lock whether it leads."""
    own = [_CLAIMS, _SCHEDULES, _CLOCK]
    write = [*_targets(topology), *own, _CLIENT_RECORDS]
    return Rights(_any(own), _any(write), _any([*own, _CLOCKS, _RESULTS]), tuple(_keys(topology)))


def _worker(topology: Topology) -> Rights:
    """Tasks send tasks, so a worker may publish what a publisher may. It binds its own queue to the control exchange
    and the logs to theirs: that takes write on the one end and read on the other."""
    own = [_CONTROL, _BOOKS, _LISTENER, _TOKENS, _CLAIMS, _CLOCK]
    consumed = sorted(map(re.escape, topology.workable))
    by_name = [re.escape(QUEUES_EXCHANGE)]
    return Rights(
        _any(own),
        _any([*_targets(topology), *by_name, _DEFAULT, *own]),
        _any([*consumed, *by_name, *own, _CLOCKS, _LOST]),
        tuple(_keys(topology)),
    )


def _viewer(topology: Topology) -> Rights:  # noqa: ARG001 - the same for every topology
    return Rights(_any([_WATCHER]), _any([_WATCHER, _PROBE]), _any([_WATCHER, _LOGS, _RESULTS]), tags=("monitoring",))


def _operator(topology: Topology) -> Rights:
    """Letters go back by name, so an operator reaches every queue of the topology, and reads what died in it; of the
    queues of work it may not take anything, nor of the rungs. Delayed messages are counted, which takes some right on
    the rungs: with that to read it could take, copy and purge everybody's delayed tasks, so it is that to write."""
    letters = sorted({re.escape(name) for name in topology.ends})
    return Rights(
        _any([_WATCHER, _CLOCK]),
        _any([*_targets(topology), re.escape(QUEUES_EXCHANGE), _CONTROL, _REVOCATIONS, _WATCHER, _CLOCK, _PROBE]),
        _any([*letters, _LOST, _CLOCKS, _LOGS, _REVOKED, _RESULTS, _WATCHER, _LISTENER]),
        tuple(_keys(topology)),
        ("monitoring",),
    )


def _declarer(topology: Topology) -> Rights:
    """Of its objects all three: it binds both ends, and a dead-letter or alternate exchange takes write on that, and
    read on what leads there. Of the topic exchanges it may bind, but not publish to them."""
    names = [*topology.exchanges, *topology.queues]
    for queue in topology.queues.values():
        names += queue.generated
    own = [*map(re.escape, sorted(set(names))), *([re.escape(QUEUES_EXCHANGE)] if topology.reached_by_name else [])]
    own += [_LADDER] if topology.longest_delay else []
    exchanges = topology.exchanges.values()
    alternates = {one.alternate_exchange for one in exchanges if one.alternate_exchange in BUILT_IN}
    sources = topology.bound_from.keys() & BUILT_IN.keys()
    topics = tuple((name, _NOTHING, ".*") for name, one in topology.exchanges.items() if one.type == "topic")
    tags = ("policymaker",) if topology.policies else ("management",)
    write = [*own, *(re.escape(name) for name in sorted(filter(None, alternates)))]
    read = [*own, _SOURCES, _RESULT_EXCHANGES, *map(re.escape, sorted(sources))]
    configure = [*own, _SOURCES, _RESULT_EXCHANGES, _RESULTS]
    return Rights(_any(configure), _any([*write, _MOVED, _RESULTS]), _any(read), topics, tags)


def _targets(topology: Topology) -> Iterator[str]:
    """The exchanges that tasks are published to."""
    named = [route.exchange for route in topology.routes if route.exchange]
    declared = [exchange.name for exchange in topology.exchanges.values() if not exchange.internal]
    yield from map(re.escape, sorted({*declared, *named}))
    if topology.reached_by_name:
        yield re.escape(QUEUES_EXCHANGE)
    if topology.longest_delay:
        yield _RUNGS


def _keys(topology: Topology) -> Iterator[tuple[str, str, str]]:
    """For the topic exchanges the keys that reach something: others would be returned, and are refused."""
    for exchange in topology.exchanges.values():
        if exchange.type != "topic" or exchange.internal or exchange.alternate_exchange is not None:
            continue
        patterns = [source.routing_key for _, _, source in topology.bound_from.get(exchange.name, ())]
        if "#" not in patterns:
            yield exchange.name, _any(map(_of_topic, sorted(set(patterns)))), _NOTHING


def _of_topic(pattern: str) -> str:
    """A binding's pattern as an expression: `*` is one word, `#` any number of them, also none."""
    found = ""
    given = pattern.split(".")
    words = [word for index, word in enumerate(given) if word != "#" or given[index - 1 : index] != ["#"]]
    for index, word in enumerate(words):
        if word == "#":
            found += (".*" if len(words) == 1 else r"(.*\.)?") if index == 0 else r"(\..*)?"
        else:
            dot = "" if index == 0 or (index == 1 and words[0] == "#") else r"\."
            found += dot + ("[^.]*" if word == "*" else re.escape(word))
    return found


def _any(expressions: Iterable[str]) -> str:
    found = list(expressions)
    if not found:
        return _NOTHING
    return f"^{found[0]}$" if len(found) == 1 else f"^({'|'.join(found)})$"


_BY_ROLE: Mapping[Role, Callable[[Topology], Rights]] = {
    "publisher": _publisher,
    "worker": _worker,
    "beat": _beat,
    "viewer": _viewer,
    "operator": _operator,
    "declarer": _declarer,
}
