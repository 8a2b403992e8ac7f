"""Has a node evaluate Erlang, by `erl_call` of its own Erlang: that takes a hundredth of a second, where `rabbitmqctl
eval` takes seconds, and a minute beside a node that is cut off."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from amqptasks.dev.brokers import surroundings
from amqptasks.dev.brokers.private_node import PrivateNode

#: Where Debian puts the program, below the root folder of the node's system.
PROGRAM = "usr/bin/erl_call"

#: Seconds for an answer.
ANSWERS_WITHIN = 60.0


def evaluate(node: PrivateNode, code: str) -> str:
    """Evaluate `code`, which ends with a full stop; the value as Erlang writes it."""
    root = node.installation.root
    command = ["chroot", str(root), f"/{PROGRAM}"] if root is not None else [shutil.which("erl_call") or ""]
    if not (root / PROGRAM if root is not None else Path(command[0])).is_file():
        return node.rabbitmqctl("eval", code)
    cookie = (node.folder / "home" / ".erlang.cookie").read_text().strip()
    done = subprocess.run(
        [*command, "-sname", node.name, "-c", cookie, "-e"],
        input=f"{code}\n",
        env=surroundings.environment(node.folder, node.ports, root),
        capture_output=True,
        text=True,
        timeout=ANSWERS_WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{ok"), done.stdout
    return done.stdout
