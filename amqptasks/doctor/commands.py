"""The lines that mend, as a shell takes them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping

from amqptasks.entities import Policy


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


def dead_list(queue: str) -> str:
    """The dead letters of a queue."""
    return shlex.join(("amqptasks", "dead", "list", queue))
