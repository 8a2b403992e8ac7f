"""All lints, in the order in which their advice is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from amqptasks.topology.advice import bindings, exchanges, loops, names, policies, queues, routes, values
from amqptasks.topology.advice.advice import Advice, Subject
from amqptasks.topology.topology import Topology
from amqptasks.transport.capabilities import Capabilities

LINTS: tuple[Callable[[Subject], Iterator[Advice]], ...] = (
    exchanges.exchanges_that_lead_nowhere,
    exchanges.exchanges_that_nobody_fills,
    exchanges.alternates_in_a_circle,
    exchanges.exchanges_that_do_not_stay,
    queues.queues_that_nothing_reaches,
    queues.bindings_that_no_route_uses,
    queues.priorities_that_change_the_type,
    queues.dead_letters_at_most_once,
    queues.queues_that_drop,
    queues.delivery_limits_of_classic_queues,
    queues.timeouts_that_the_release_ignores,
    queues.times_that_never_come,
    queues.streams_without_an_end,
    queues.retries_longer_than_the_task_lives,
    loops.dead_letters_in_a_circle,
    bindings.wildcards_within_words,
    bindings.wildcards_of_direct_exchanges,
    bindings.keys_that_nobody_compares,
    bindings.headers_that_ask_for_nothing,
    bindings.bindings_twice,
    bindings.bindings_within_others,
    routes.routes_never_used,
    routes.routes_by_name_alone,
    routes.priorities_that_nobody_orders_by,
    policies.policies_that_undercut,
    policies.policies_that_fit_nothing,
    names.names_that_differ_by_case_only,
    names.names_with_space_at_their_ends,
    values.words_of_old_yaml,
)


def advise(topology: Topology, capabilities: Capabilities) -> list[Advice]:
    """What all lints say about a topology on a release of RabbitMQ: warnings first."""
    subject = Subject(topology, capabilities)
    found = [advice for lint in LINTS for advice in lint(subject)]
    return sorted(found, key=lambda advice: advice.severity != "warning")
