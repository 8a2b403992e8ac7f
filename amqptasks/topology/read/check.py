"""What a topology must keep as a whole: names, references, and that every route reaches a queue."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from amqptasks.errors import TopologyError
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology.ask.reach import queues_reached
from amqptasks.topology.delays import due
from amqptasks.topology.read.document import Where
from amqptasks.topology.topology import BUILT_IN, DEAD, ExchangeType, QueueSettings, Source, Topology, did_you_mean
from amqptasks.transport.exchange_types import LOCAL_RANDOM
from amqptasks.untrusted.bounds import LONGEST_NAME

#: From 4.3.5 on RabbitMQ refuses topic binding keys with more `#`.
MOST_HASHES = 2

#: How a headers exchange may compare (https://www.rabbitmq.com/docs/exchanges#headers).
HEADERS_MATCHES = ("all", "any", "all-with-x", "any-with-x")

#: Beginnings of names that are somebody's: ours, and AMQP's, where the broker refuses (403).
RESERVED = ("amqptasks.", "amq.")

#: What a binding gives in place of a routing key.
Given = Literal["nothing", "weight"]

#: Makes the error for a problem at a place, with a hint.
Fail = Callable[[str, Where, str | None], TopologyError]


def check(topology: Topology, keys: Mapping[Where, Given], fail: Fail) -> list[TopologyError]:
    """All problems found, each once. `keys` names the bindings that give no routing key, or a share instead."""
    found = {(problem, where): fail(problem, where, hint) for problem, where, hint in _problems(topology, keys)}
    return list(found.values())


def is_known(topology: Topology, exchange: str) -> bool:
    return exchange in topology.exchanges or exchange in BUILT_IN


_Problem = tuple[str, Where, str | None]


def _problems(topology: Topology, keys: Mapping[Where, Given]) -> Iterator[_Problem]:
    for name in topology.exchanges:
        yield from _name(name, ("exchanges", name), due(name))
    for queue in topology.queues.values():
        longest = max([queue.name, *queue.generated], key=len)
        yield from _name(queue.name, ("queues", queue.name), longest)
    yield from _collisions(topology)
    for exchange in topology.exchanges.values():
        where: Where = ("exchanges", exchange.name)
        yield from _bindings(topology, exchange.bindings, where, keys)
        alternate = exchange.alternate_exchange
        if alternate is not None and not is_known(topology, alternate):
            yield _no_exchange(topology, alternate, (*where, "alternate_exchange"))
    for queue in topology.queues.values():
        yield from _bindings(topology, queue.bindings, ("queues", queue.name), keys, queue)
        yield from _dead_letter(topology, queue)
        if queue.retry_queues and queue.name not in topology.reached_by_name:
            yield _not_by_name(queue.name, ("queues", queue.name, "retry"))
        if _longest_delay(queue) > topology.longest_delay:
            hint = "Raise `delays: {max: ...}`" if topology.longest_delay else "Remove `delays: false`"
            yield "waits longer than `delays.max` allows", ("queues", queue.name, "retry"), hint
    default = topology.default_queue
    if default is not None:
        yield from _queue(topology, default, ("default_queue",))
    yield from _routes(topology)


def _longest_delay(queue: QueueSettings) -> float:
    """Of its own retries in the ladder, in seconds."""
    if queue.retry is None or queue.retry.kind == "queues":
        return 0.0
    return max(*queue.retry.delays, queue.retry.max or 0.0, 0.0)


def _name(name: str, where: Where, longest: str) -> Iterator[_Problem]:
    if not name:
        yield "a name must not be empty", where, "Give it a name"
    if "\n" in name or "\r" in name:
        yield "a name must not hold a line end: RabbitMQ takes it out", where, "Write a space, or `|-` for `|`"
    for prefix in RESERVED:
        if name.startswith(prefix):
            owner = "amqptasks" if prefix == "amqptasks." else "the AMQP standard"
            yield f"names that begin with `{prefix}` belong to {owner}", where, "Choose another name"
    if len(longest.encode()) > LONGEST_NAME:
        generated = f", and `{longest[:20]}...` is generated from it" if longest != name else ""
        yield f"the name is too long: AMQP's limit is {LONGEST_NAME} bytes{generated}", where, "Choose a shorter name"


def _collisions(topology: Topology) -> Iterator[_Problem]:
    generated: dict[str, str] = {}
    for queue in topology.queues.values():
        generated |= dict.fromkeys(queue.generated, queue.name)
    for name in topology.queues:
        if name in generated:
            whose = generated[name]
            letters = f"`dead_letter: {{queue: {name}}}` in the queue `{whose}`, which then uses this one"
            hint = f"Write {letters}; or rename it" if name == f"{whose}{DEAD}" else "Rename it"
            problem = f"a queue of this name is generated for the queue `{generated[name]}`"
            yield problem, ("queues", name), hint


def _bindings(
    topology: Topology,
    bindings: tuple[Source, ...],
    owner: Where,
    keys: Mapping[Where, Given],
    queue: QueueSettings | None = None,
) -> Iterator[_Problem]:
    for index, binding in enumerate(bindings):
        where = (*owner, "bindings", index)
        if binding.exchange == QUEUES_EXCHANGE:
            if queue is not None and queue.exact:
                continue
            hint = "Remove the binding: `queue:` in a route is enough"
            yield "every queue is bound there under its own name", (*where, "exchange"), hint
        kind = topology.exchange_type(binding.exchange)
        if kind is None:
            yield _no_exchange(topology, binding.exchange, (*where, "exchange"))
            continue
        if kind == LOCAL_RANDOM:
            yield from _local_random(binding, where, queue)
        yield from _routing_key(kind, binding, where, keys.get(where))
        compared = binding.arguments.get("x-match", "all")
        if kind == "headers" and compared not in HEADERS_MATCHES:
            yield "must be all, any, all-with-x or any-with-x", (*where, "arguments", "x-match"), "Write `x-match: all`"


def _dead_letter(topology: Topology, queue: QueueSettings) -> Iterator[_Problem]:
    if queue.dead_letters is None or queue.dead_letters.queue is None:
        return
    where: Where = ("queues", queue.name, "dead_letter", "queue")
    yield from _queue(topology, queue.dead_letters.queue, where)
    seen = [queue.name]
    following: str | None = queue.dead_letters.queue
    while following is not None and following in topology.queues:
        if following in seen:
            circle = seen[seen.index(following) :]
            if queue.name != next(name for name in topology.queues if name in circle):
                return  # it is told of the first of them
            hint = "One of them needs `dead_letter: false`, or a dead-letter queue of its own"
            yield f"dead letters would go round in a circle: {' -> '.join([*seen, following])}", where, hint
            return
        seen.append(following)
        letters = topology.queues[following].dead_letters
        following = letters.queue if letters is not None else None


def _not_by_name(name: str, where: Where) -> _Problem:
    hint = f"Add the binding `{{exchange: {QUEUES_EXCHANGE}}}` to it"
    return f"the exact queue `{name}` is not bound to `{QUEUES_EXCHANGE}`, so no task reaches it by name", where, hint


def _local_random(binding: Source, where: Where, queue: QueueSettings | None) -> Iterator[_Problem]:
    """The broker refuses others (406), when what comes before is declared already."""
    near = f"`{binding.exchange}`, which is of type {LOCAL_RANDOM}"
    if queue is None:
        hint = "Bind queues to it, or give it another type"
        yield f"no exchange can be bound to {near}", (*where, "exchange"), hint
    elif queue.type != "classic":
        problem = f"{near}, takes classic queues only, and `{queue.name}` is a {queue.type} queue"
        yield problem, (*where, "exchange"), "Write `type: classic` in the queue, or give the exchange another type"


def _routing_key(kind: ExchangeType, binding: Source, where: Where, given: Given | None) -> Iterator[_Problem]:
    missing = given == "nothing"
    if given == "weight" and kind != "x-consistent-hash":
        hint = "Write `routing_key:`"
        yield f"the {kind} exchange `{binding.exchange}` knows no shares", (*where, "weight"), hint
    if missing and kind in ("direct", "topic"):
        hint = 'Add `routing_key:`; for the empty key write "", and quote "#", which begins a comment otherwise'
        yield f"a binding to the {kind} exchange `{binding.exchange}` needs a `routing_key`", where, hint
    if len(binding.routing_key.encode()) > LONGEST_NAME:
        yield f"is too long: AMQP's limit is {LONGEST_NAME} bytes", (*where, "routing_key"), "Write a shorter one"
    if kind == "x-consistent-hash" and not re.fullmatch(r"[1-9][0-9]*", binding.routing_key):
        problem = f"a binding to `{binding.exchange}`, which is of type x-consistent-hash, needs a share"
        yield problem, where if missing else (*where, "routing_key"), "Write `weight: 1`"
    if kind == LOCAL_RANDOM and binding.routing_key:
        problem = f"a binding to `{binding.exchange}`, which is of type x-local-random, has no key"
        yield problem, (*where, "routing_key"), "Remove it: RabbitMQ refuses any but the empty one"
    if kind == "topic" and binding.routing_key.split(".").count("#") > MOST_HASHES:
        hint = "RabbitMQ 4.3 refuses it; two suffice for any pattern that one queue needs"
        yield "has more than two `#`", (*where, "routing_key"), hint


def _routes(topology: Topology) -> Iterator[_Problem]:
    for route in topology.routes:
        text = f"/{route.pattern}/" if route.kind == "regex" else route.pattern
        where: Where = ("routes", text)
        if not route.pattern:
            yield "a task name or pattern must not be empty", where, 'Write "*" for all tasks'
        if route.kind == "regex":
            yield from _regular_expression(route.pattern, where)
        if route.queue is not None:
            yield from _queue(topology, route.queue, (*where, "queue"))
        elif route.exchange is None:
            if topology.default_queue is None:
                yield "leads nowhere: there is no default queue", where, "Add `queue:`, or `default_queue:` at the top"
        else:
            key = route.pattern if route.routing_key is None and route.kind == "exact" else route.routing_key
            yield from _reaches(topology, route.exchange, key, where)


def _reaches(topology: Topology, exchange: str, routing_key: str | None, where: Where) -> Iterator[_Problem]:
    if exchange == QUEUES_EXCHANGE:
        yield "is used through `queue:`", (*where, "exchange"), "Write `queue: NAME`"
    if not is_known(topology, exchange):
        yield _no_exchange(topology, exchange, (*where, "exchange"))
        return
    declared = topology.exchanges.get(exchange)
    if declared is not None and declared.internal:
        problem = f"the exchange `{exchange}` is internal: nobody can publish to it"
        yield problem, (*where, "exchange"), "Route to the exchange it is bound to, or remove `internal: true`"
    if len((routing_key or "").encode()) > LONGEST_NAME:
        yield f"is too long: AMQP's limit is {LONGEST_NAME} bytes", (*where, "routing_key"), "Write a shorter one"
    if not queues_reached(topology, exchange, routing_key):
        keys = [source.routing_key for _, _, source in topology.bound_from.get(exchange, ())]
        bound = f"Bound there: {', '.join(repr(key) for key in keys)}" if keys else "Nothing is bound there"
        with_key = "" if routing_key is None else f" with routing key `{routing_key}`"
        yield (
            f"reaches no queue: exchange `{exchange}`{with_key}",
            where,
            did_you_mean(routing_key or "", tuple(keys), bound),
        )


def _regular_expression(pattern: str, where: Where) -> Iterator[_Problem]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"is no regular expression: {error}", where, "A pattern without special meaning needs no slashes"


def _queue(topology: Topology, name: str, where: Where) -> Iterator[_Problem]:
    if name not in topology.queues:
        hint = did_you_mean(name, topology.queues, "Declare it under `queues:`")
        yield f"there is no queue `{name}`", where, hint
    elif topology.queues[name].type == "stream":
        yield f"`{name}` is a stream, and tasks need a queue", where, "Remove `type: stream` from it, or name another"
    elif name not in topology.reached_by_name:
        yield _not_by_name(name, where)


def _no_exchange(topology: Topology, name: str, where: Where) -> _Problem:
    known = (*topology.exchanges, *BUILT_IN)
    return f"there is no exchange `{name}`", where, did_you_mean(name, known, "Declare it under `exchanges:`")
