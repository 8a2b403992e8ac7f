"""Exchanges that lead nowhere, that nobody fills, or that do not stay."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.topology.advice.advice import Advice, Subject
from amqptasks.topology.topology import Topology


def exchanges_that_lead_nowhere(subject: Subject) -> Iterator[Advice]:
    topology = subject.topology
    for exchange in topology.exchanges.values():
        if exchange.name not in topology.bound_from and exchange.alternate_exchange is None:
            problem = "nobody binds from it: whatever is published to it comes back as unroutable, or is gone"
            fix = "Bind a queue or an exchange to it, give it an `alternate_exchange`, or remove it"
            yield Advice("warning", "exchange-leads-nowhere", ("exchanges", exchange.name), problem, fix)


def exchanges_that_nobody_fills(subject: Subject) -> Iterator[Advice]:
    """Other programs may publish to it, which this file cannot know."""
    filled = _filled(subject.topology)
    for name in subject.topology.exchanges:
        if name not in filled:
            problem = "no route, no binding and no alternate leads to it"
            yield Advice("note", "exchange-not-filled", ("exchanges", name), problem, "Add a route, or remove it")


def alternates_in_a_circle(subject: Subject) -> Iterator[Advice]:
    exchanges = subject.topology.exchanges
    for exchange in exchanges.values():
        seen, name = [exchange.name], exchange.alternate_exchange
        while name is not None and name in exchanges and name not in seen:
            seen.append(name)
            name = exchanges[name].alternate_exchange
        if name == exchange.name:
            problem = f"its alternates lead back to it: {' -> '.join([*seen, name])}"
            where = ("exchanges", exchange.name, "alternate_exchange")
            yield Advice("warning", "alternate-circle", where, problem, "Let the last of them lead to a queue")


def exchanges_that_do_not_stay(subject: Subject) -> Iterator[Advice]:
    for exchange in subject.topology.exchanges.values():
        where = ("exchanges", exchange.name)
        if not exchange.durable:
            problem = "it is gone when the broker restarts, with its bindings; the queues stay, and get nothing"
            yield Advice("warning", "exchange-not-durable", (*where, "durable"), problem, "Remove `durable: false`")
        if exchange.auto_delete:
            problem = "it is gone with its last binding, and publishing to it fails then"
            yield Advice("warning", "exchange-auto-delete", (*where, "auto_delete"), problem, "Remove `auto_delete`")


def _filled(topology: Topology) -> set[str]:
    filled = {route.exchange for route in topology.routes if route.exchange is not None}
    filled |= {one.alternate_exchange for one in topology.exchanges.values() if one.alternate_exchange is not None}
    filled |= {exchange.name for exchange in topology.exchanges.values() if exchange.bindings}
    of_queues = [queue.arguments for queue in topology.queues.values()]
    of_exchanges = [exchange.arguments for exchange in topology.exchanges.values()]
    for said in (*of_queues, *of_exchanges):
        filled |= {str(said.get(key)) for key in ("x-dead-letter-exchange", "alternate-exchange")}
    for policy in topology.policies:
        filled |= {str(policy.definition.get(key)) for key in ("dead-letter-exchange", "alternate-exchange")}
    return filled
