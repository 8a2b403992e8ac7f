"""The Erlang virtual machine of a node, and its port mapper, as processes of this machine (Linux: /proc is read)."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from amqptasks.runtime.clock import monotonic

#: KILL_REQ of Erlang's port mapper protocol, with its length in front. It obeys only when no node is registered.
#: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#kill_req
EPMD_KILL = b"\x00\x01k"

#: Seconds to let it notice that its last node is gone, and between two requests; it takes milliseconds.
MAPPER_STOPS_WITHIN = 5.0
LOOK_EVERY = 0.02


def find(pid_file: Path, node_name: str) -> int | None:
    """The process id of the VM that runs `node_name`; None when it does not run. The id in the file is trusted only
    when that process has the node's name in its environment: ids are used again."""
    try:
        process = int(pid_file.read_text())
        environment = Path(f"/proc/{process}/environ").read_bytes()  # empty for a zombie
    except (OSError, ValueError):
        return None
    return process if f"RABBITMQ_NODENAME={node_name}".encode() in environment.split(b"\0") else None


def alive(process: int) -> bool:
    """Whether this process exists and is more than a zombie (whose files and ports are closed)."""
    try:
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def stop_port_mapper(port: int) -> None:
    """End the port mapper (epmd) on this port, where there is one. It refuses while a node is registered, and a node's
    registration ends a moment after its VM; should it go on refusing, it is left alone: another node needs it."""
    deadline = monotonic() + MAPPER_STOPS_WITHIN
    while monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=MAPPER_STOPS_WITHIN) as connection:
                connection.sendall(EPMD_KILL)
                if connection.recv(2) == b"OK":
                    return
        except OSError:
            return  # it is not there, or gone
        time.sleep(LOOK_EVERY)
