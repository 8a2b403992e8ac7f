"""Bindings that take less, or more, than they look like."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.topology.advice.advice import Advice, Subject
from amqptasks.topology.ask.reach import topic_matches
from amqptasks.topology.read.document import Where
from amqptasks.topology.topology import Source


def wildcards_within_words(subject: Subject) -> Iterator[Advice]:
    """`email*` on a topic exchange takes the key `email*` alone."""
    for where, binding in _bindings(subject):
        key = binding.routing_key
        kind = subject.topology.exchange_type(binding.exchange)
        mixed = [word for word in key.split(".") if len(word) > 1 and ("*" in word or "#" in word)]
        if kind == "topic" and mixed:
            problem = f"`{mixed[0]}` in the key `{key}` is no wildcard: `*` and `#` stand for whole words between dots"
            yield Advice(
                "warning", "wildcard-in-word", where, problem, "Write the wildcard as a word of its own: `a.*`"
            )


def wildcards_of_direct_exchanges(subject: Subject) -> Iterator[Advice]:
    for where, binding in _bindings(subject):
        key = binding.routing_key
        if subject.topology.exchange_type(binding.exchange) == "direct" and {"*", "#"} & set(key.split(".")):
            problem = f"`{binding.exchange}` is a direct exchange, which compares: the key `{key}` takes itself alone"
            yield Advice("warning", "wildcard-of-direct", where, problem, "Make the exchange `type: topic`")


def keys_that_nobody_compares(subject: Subject) -> Iterator[Advice]:
    for where, binding in _bindings(subject):
        kind = subject.topology.exchange_type(binding.exchange)
        if kind in ("fanout", "headers") and binding.routing_key:
            problem = f"`{binding.exchange}` is a {kind} exchange: it does not look at the key `{binding.routing_key}`"
            yield Advice("note", "key-not-compared", where, problem, "Remove `routing_key`, or use a topic exchange")


def headers_that_ask_for_nothing(subject: Subject) -> Iterator[Advice]:
    """`x-match: any` of no headers is never true, `all` of none always; and names with x- count only `-with-x`."""
    for where, binding in _bindings(subject):
        if subject.topology.exchange_type(binding.exchange) != "headers":
            continue
        match = str(binding.arguments.get("x-match", "all"))
        asked = [name for name in binding.arguments if name != "x-match"]
        passed_over = [] if match.endswith("-with-x") else [name for name in asked if name.startswith("x-")]
        if passed_over:
            problem = f"x-match `{match}` passes over headers that begin with x-: `{passed_over[0]}` is not compared"
            yield Advice("warning", "headers-passed-over", where, problem, f"Write `x-match: {match}-with-x`")
        elif not asked:
            takes = "nothing" if match.startswith("any") else "every message"
            problem = f"it names no header, and so takes {takes}"
            yield Advice("warning", "headers-of-nothing", where, problem, "Add headers to its `arguments`")


def bindings_twice(subject: Subject) -> Iterator[Advice]:
    for where, bindings in _owners(subject):
        for index, binding in enumerate(bindings):
            if binding in bindings[:index]:
                problem = f"the same binding to `{binding.exchange}` is there twice; RabbitMQ keeps one"
                yield Advice("note", "binding-twice", (*where, "bindings", index), problem, "Remove one")


def bindings_within_others(subject: Subject) -> Iterator[Advice]:
    """A queue gets one copy of a message, however many of its bindings fit."""
    for where, bindings in _owners(subject):
        for index, binding in enumerate(bindings):
            for other in bindings:
                if _is_within(subject, binding, other):
                    problem = f"`{other.routing_key}` takes all that `{binding.routing_key}` takes"
                    yield Advice("note", "binding-within", (*where, "bindings", index), problem, "Remove it")
                    break


def _is_within(subject: Subject, binding: Source, other: Source) -> bool:
    """True only where it is certain. `#` and `*` in the narrower one stand for words that only the like can take."""
    if binding.exchange != other.exchange or binding.routing_key == other.routing_key:
        return False
    if subject.topology.exchange_type(binding.exchange) != "topic" or "#" in binding.routing_key.split("."):
        return other.routing_key == "#" and subject.topology.exchange_type(binding.exchange) == "topic"
    return topic_matches(other.routing_key, binding.routing_key)


def _owners(subject: Subject) -> Iterator[tuple[Where, tuple[Source, ...]]]:
    for queue in subject.topology.queues.values():
        yield ("queues", queue.name), queue.bindings
    for exchange in subject.topology.exchanges.values():
        yield ("exchanges", exchange.name), exchange.bindings


def _bindings(subject: Subject) -> Iterator[tuple[Where, Source]]:
    for where, bindings in _owners(subject):
        for index, binding in enumerate(bindings):
            yield (*where, "bindings", index), binding
