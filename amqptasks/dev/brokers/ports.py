"""The name and the ports of a private node: chosen once, kept in its folder, so that a restart finds them again."""

from __future__ import annotations

import json
import random
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from amqptasks.errors import ConfigurationError

#: Below Linux's range for outgoing connections (32768 up): while a node is down, nobody is given its port by chance.
LOWEST, HIGHEST = 21000, 31900

#: Tries to find a free block; with thousands to choose from, the first one almost always is.
TRIES = 100


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1, all four next to each other, and the name the node goes by."""

    amqp: int
    management: int
    distribution: int
    epmd: int
    node_name: str


def load_or_choose(folder: Path) -> Ports:
    """What `folder` remembers; else four free ports, written there (the folder is made for its owner only)."""
    file = folder / "node.json"
    try:
        return Ports(**json.loads(file.read_text()))
    except FileNotFoundError:
        pass
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{file} is damaged ({error}): delete the folder {folder}, and its data") from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    chosen = choose()
    file.write_text(json.dumps(asdict(chosen), indent=2) + "\n")
    return chosen


def choose() -> Ports:
    """Four free ports of 127.0.0.1 next to each other. Raises `ConfigurationError` where there are none."""
    for _ in range(TRIES):
        first = random.randrange(LOWEST, HIGHEST, 4)
        if all(_free(port) for port in range(first, first + 4)):
            return Ports(first, first + 1, first + 2, first + 3, f"amqptasks-{first}@localhost")
    raise ConfigurationError(f"no four free ports next to each other between {LOWEST} and {HIGHEST} on 127.0.0.1")


def _free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
