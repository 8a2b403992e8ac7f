"""A check, and all of them in the order in which their findings are told: the broker, its objects, what is in them, the
clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from amqptasks.doctor.checks.alarms import alarms
from amqptasks.doctor.checks.clock import clock
from amqptasks.doctor.checks.connections import connections
from amqptasks.doctor.checks.consumer_timeouts import consumer_timeouts
from amqptasks.doctor.checks.consumers import consumers
from amqptasks.doctor.checks.dead_letter_targets import dead_letter_targets
from amqptasks.doctor.checks.dead_lettering import dead_lettering
from amqptasks.doctor.checks.dead_letters import dead_letters
from amqptasks.doctor.checks.delays import delays
from amqptasks.doctor.checks.feature_flags import deprecated_features, feature_flags
from amqptasks.doctor.checks.members import members
from amqptasks.doctor.checks.nodes import nodes
from amqptasks.doctor.checks.objects import bindings, objects
from amqptasks.doctor.checks.policies import policies
from amqptasks.doctor.checks.priorities import priorities
from amqptasks.doctor.checks.streams import streams
from amqptasks.doctor.checks.version import version
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.doctor.values import Section


@dataclass(frozen=True, slots=True)
class Check:
    """`look` says what is wrong, from `needs` (without any of which it would say nothing) and from `uses` (without
    which it says less). `of_app`: it looks at what an app or topology wants."""

    name: str
    look: Callable[[Snapshot], Iterator[Finding]]
    needs: tuple[Section, ...] = ()
    uses: tuple[Section, ...] = ()
    of_app: bool = False

    @property
    def reads(self) -> tuple[Section, ...]:
        return (*self.needs, *self.uses)


CHECKS: tuple[Check, ...] = (
    Check("version", version),
    Check("alarms", alarms, ("alarms",)),
    Check("nodes", nodes, ("nodes",), ("alarms",)),
    Check("feature-flags", feature_flags, ("feature flags",)),
    Check("deprecated-features", deprecated_features, ("deprecated features",)),
    Check("clock", clock, ("clock",)),
    Check("objects", objects, ("objects",), of_app=True),
    Check("bindings", bindings, ("virtual host",), ("objects",), of_app=True),
    Check("policies", policies, ("virtual host",)),
    Check("priorities", priorities, ("virtual host",), ("objects",)),
    Check("members", members, ("members", "nodes")),
    Check("streams", streams, ("virtual host",)),
    Check("dead-letter-targets", dead_letter_targets, ("virtual host",)),
    Check("dead-lettering", dead_lettering, ("virtual host",)),
    Check("dead-letters", dead_letters, (), ("objects", "virtual host", "lengths")),
    Check("delays", delays, (), ("objects", "virtual host", "lengths")),
    Check("consumers", consumers, (), ("objects", "virtual host", "consumers")),
    Check("consumer-timeouts", consumer_timeouts, (), ("virtual host", "consumers"), of_app=True),
    Check("connections", connections, ("connections",), ("limits",)),
)


def chosen(only: Iterable[str] = (), without: Iterable[str] = ()) -> tuple[Check, ...]:
    """Of the checks those named by `only` (none: all), less those of `without`."""
    wanted, left = frozenset(only), frozenset(without)
    return tuple(one for one in CHECKS if (not wanted or one.name in wanted) and one.name not in left)
