"""The lines that mend, as a shell takes them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping

from amqptasks.topology.topology import DEAD
from amqptasks.transport.entities import Policy


def rabbitmqctl(verb: str, *arguments: str, vhost: str | None = None) -> str:
    """To be run on a node of the broker, as its administrator."""
    within = () if vhost is None else ("-p", vhost)
    return shlex.join(("rabbitmqctl", verb, *within, *arguments))


def set_policy(
    vhost: str, queue: str, purpose: str, definition: Mapping[str, object], current: Policy | None = None
) -> str:
    """For one queue. Of several policies that fit one counts: so it says what `current`, which counts now, says
    otherwise, and has a higher priority."""
    text = json.dumps({**(current.definition if current is not None else {}), **definition})
    priority = str((current.priority if current is not None else 0) + 1)
    name, pattern = f"{queue}-{purpose}", f"^{re.escape(queue)}$"
    return rabbitmqctl("set_policy", "--priority", priority, "--apply-to", "queues", name, pattern, text, vhost=vhost)


def amqptasks(app: str | None, *arguments: str) -> str:
    """`app` None: the reader knows which."""
    return shlex.join(("amqptasks", "-A", app or "MODULE", *arguments))


def dead_list(app: str | None, queue: str, others: Collection[str] = ()) -> str:
    """The dead letters in the queue `queue`, among the queues `others`. What is not called `NAME.dead` is only known by
    the app's topology, or where no queue is called so after it."""
    work = queue.removesuffix(DEAD)
    if work != queue or (app is None and f"{queue}{DEAD}" not in others):
        return shlex.join(("amqptasks", "dead", "list", work))
    return amqptasks(app, "dead", "list", queue)
