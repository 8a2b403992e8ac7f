"""The instrument that holds the link's thread to its rule in every test: see `amqptasks.transport.turns`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from amqptasks.transport.turns import FILE


def install() -> Path:
    """Have this process, and each that a test starts, write down the callbacks that take too long; the file."""
    descriptor, name = tempfile.mkstemp(prefix="amqptasks-link-turns-")
    os.close(descriptor)
    os.environ[FILE] = name
    return Path(name)


def told_since(file: Path, size: int) -> str:
    """What was written after the first `size` bytes."""
    with file.open("rb") as opened:
        opened.seek(size)
        return opened.read().decode(errors="replace")
