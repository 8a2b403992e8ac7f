"""Names that people will take for each other."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.topology.advice.advice import Advice, Subject


def names_that_differ_by_case_only(subject: Subject) -> Iterator[Advice]:
    for section, names in (("queues", subject.topology.queues), ("exchanges", subject.topology.exchanges)):
        seen: dict[str, str] = {}
        for name in names:
            first = seen.setdefault(name.casefold(), name)
            if first != name:
                problem = f"it differs from `{first}` by upper and lower case only, and is another one to RabbitMQ"
                yield Advice("warning", "names-by-case", (section, name), problem, "Rename one of them")


def names_with_space_at_their_ends(subject: Subject) -> Iterator[Advice]:
    for section, names in (("queues", subject.topology.queues), ("exchanges", subject.topology.exchanges)):
        for name in names:
            if name != name.strip():
                problem = "its name begins or ends with a space, which nobody sees"
                yield Advice("warning", "name-with-space", (section, name), problem, "Remove the space")
