"""A plan: what would have to happen for the broker to be as the topology says. `topology/plan/plan.py` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

#: `create` what is missing; `change` what can be changed in place; `remove` a binding that must not be there;
#: `conflict`: it differs, and cannot be changed in place; `leave` what is as wanted; `drift`: it is on the broker, but
#: not in the file.
Action = Literal["create", "change", "remove", "conflict", "leave", "drift"]

Kind = Literal[
    "vhost",
    "exchange",
    "queue",
    "binding",
    "policy",
    "operator policy",
    "user",
    "permission",
    "topic permission",
    "limit",
]


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that differs: `key` is an argument, or what the entity calls it. None: it is not set. A secret is
    never in here, only that it differs."""

    key: str
    wanted: object
    current: object


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one object, or would have to.

    `entity` is the object as wanted; of a `drift`, as it is on the broker. `reason` is a sentence for people,
    `ways_out` are what can be done about a `conflict`, the best one first.
    """

    kind: Kind
    name: str
    action: Action
    entity: object
    differences: tuple[Difference, ...] = ()
    reason: str | None = None
    ways_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Warning:
    """Something that `declare` cannot mend, and that makes the broker behave otherwise than the file says."""

    subject: str
    problem: str
    fix: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in the order in which they can be done; `drift` and `leave` among them, which are not done.
    `clients_own` names what clients keep for themselves, `queue amq.gen-...`, and nobody else should mind."""

    steps: tuple[Step, ...] = ()
    warnings: tuple[Warning, ...] = ()
    clients_own: tuple[str, ...] = ()

    @property
    def changes(self) -> Sequence[Step]:
        """What `declare` does."""
        return self._of("create", "change", "remove")

    @property
    def conflicts(self) -> Sequence[Step]:
        """What stands in the way of `declare`."""
        return self._of("conflict")

    @property
    def drift(self) -> Sequence[Step]:
        """What is on the broker, but not in the file."""
        return self._of("drift")

    @property
    def left(self) -> Sequence[Step]:
        """What is as it should be."""
        return self._of("leave")

    @property
    def empty(self) -> bool:
        """Nothing is to be done. Drift does not count: `declare` leaves it alone unless it is asked to prune."""
        return not self.changes and not self.conflicts

    @property
    def prunable(self) -> Sequence[Step]:
        """What `declare --prune` deletes, as far as it may. Policies, rights and limits are left alone by a file that
        has none of that kind: they are somebody else's business then."""
        spoken_of = {"exchange", "queue", "binding"} | {step.kind for step in self.steps if step.action != "drift"}
        return [step for step in self.drift if step.kind in spoken_of]

    def _of(self, *actions: Action) -> Sequence[Step]:
        return [step for step in self.steps if step.action in actions]
