"""Several processes that use one store at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

from amqptasks.results.stores.base import Store
from tests.stores.conftest import NOW, record

#: Seconds for a process of a few writes, on a busy machine.
ENDS_WITHIN = 60.0


def begin_together(code: str, arguments: Iterable[tuple[str, ...]]) -> list[str]:
    """What each of these processes printed after its line `ready`: then it reads a line, which all get at once."""
    children = [
        subprocess.Popen([sys.executable, "-c", code, *own], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for own in arguments
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    said = [child.communicate(timeout=ENDS_WITHIN)[0] for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    return said


def check_a_fork(store: Store) -> None:
    """Parent and child write, each over a connection of its own."""
    store.write([record("parent")])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.write([record("child")])
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    store.write([record("after")])
    assert len(store.read(["parent", "child", "after"], NOW)) == 3
