"""The first line of a worker, which says what it is, and its last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from amqptasks.untrusted.masks import masked_address
from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

#: Names of tasks that are listed; an app with more is known well enough.
LISTED = 20


def opening(node: Node) -> str:
    """What runs here, before the broker is reached: so that a wrong address is seen at once."""
    from amqptasks import __version__  # not there yet while the package is imported

    tasks = sorted(node.app.tasks)
    more = f" and {len(tasks) - LISTED} more" if len(tasks) > LISTED else ""
    queues = ", ".join(f"{queue.name} (prefetch {queue.prefetch})" for queue in node.queues.values())
    return printable(
        f"worker {node.name}: amqptasks {__version__}, broker {', '.join(map(masked_address, node.app.addresses))};"
        f" queues {queues}; {node.pools.default_kind} pool of {node.concurrency};"
        f" tasks {', '.join(tasks[:LISTED])}{more}"
    )


def closing(name: str, counts: Mapping[str, int]) -> str:
    """What was done, by outcome."""
    done = ", ".join(f"{number:,} {outcome}" for outcome, number in Counter(counts).most_common() if number)
    return printable(f"worker {name} has stopped: {done or 'it ran no task'}")
