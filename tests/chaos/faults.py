"""Fault points: the steps of a delivery at which a process of a worker kills itself, or one that answers for it.

`install()` in an app's module wraps the steps. Each asks in a folder (environment: FAULTS) for a ticket `STEP.WHO`; who
finds one takes it away, notes what it is about to do, and sends SIGKILL to WHO: child, node or supervisor. Processes
that have it installed also show what they are doing (`tests.harness.whereabouts`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.harness.whereabouts import shows_itself

#: The steps in a child, in their order. Between `sent` and the next `decode` it runs nothing.
IN_CHILD = ("decode", "resolve", "admit", "run", "plan", "tell", "encoded", "sent")

#: Those in the node: what came from the broker, what a child sent back, what is published, what is acked.
IN_NODE = ("received", "submitted", "results", "settle", "published", "ack", "acked")

PLACE = "FAULTS"

#: The node: it imports the app, and its children are copies of it.
_node = os.getpid()

#: What runs in it, once it is prepared.
_nodes: list[Any] = []


def install() -> None:
    """Wrap the steps; once, in the app's module."""
    from amqptasks.worker.consume.dispatcher import Dispatcher
    from amqptasks.worker.execute.executor import Executor
    from amqptasks.worker.node import Node
    from amqptasks.worker.pools.prefork import wire
    from amqptasks.worker.pools.prefork.child import Child
    from amqptasks.worker.pools.prefork.pool import PreforkPool
    from amqptasks.worker.settle import Settler

    shows_itself(lambda: "\n".join(map(_view, _nodes)) or "a node that is not prepared yet")
    _noting(Node, "prepare")
    for name in ("decode", "resolve", "admit", "run", "plan", "tell"):
        _before(Executor, name, name, in_child=True)
    _before(wire, "encode_result", "encoded", in_child=True)
    _before(Child, "_receive", "sent", in_child=True)
    _before(Dispatcher, "deliveries", "received")
    _before(PreforkPool, "submit", "submitted")
    _before(PreforkPool, "_take_results", "results")
    _before(Settler, "settle", "settle")
    _before(Settler, "published", "published")
    _before(Settler, "finish", "ack")
    _after(Settler, "finish", "acked")


def place(folder: Path, step: str, who: str) -> Path:
    """Put a ticket there: it is gone once somebody has taken it."""
    ticket = folder / f"{step}.{who}"
    ticket.touch()
    return ticket


def _before(owner: Any, name: str, step: str, *, in_child: bool = False) -> None:
    wrapped: Callable[..., Any] = getattr(owner, name)

    @wraps(wrapped)
    def call(*args: Any, **kwargs: Any) -> Any:
        _fault(step, args, in_child=in_child)
        return wrapped(*args, **kwargs)

    setattr(owner, name, call)


def _after(owner: Any, name: str, step: str) -> None:
    wrapped: Callable[..., Any] = getattr(owner, name)

    @wraps(wrapped)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        _fault(step, args, in_child=False)
        return result

    setattr(owner, name, call)


def _noting(owner: Any, name: str) -> None:
    wrapped: Callable[..., Any] = getattr(owner, name)

    @wraps(wrapped)
    def call(self: Any) -> Any:
        _nodes.append(self)
        return wrapped(self)

    setattr(owner, name, call)


def _view(node: Any) -> str:
    """What a node holds, read from its main thread while the link's thread goes on: good enough to find what hangs."""
    settler, completions = node._settler, node.completions
    lines = [
        f"node {node.name}: started {node.started}, ready {node.ready}, stopping {node.is_stopping}, trouble"
        f" {node.link.trouble}, {len(completions._finished)} finished"
        f" ({'being' if completions._settling else 'not'} settled),"
        f" {settler.pending} publishing, {len(settler._blocked)} of them blocked, {dict(settler.counts)}"
    ]
    for queue in node.queues.values():
        subscription = queue.subscription
        lease = getattr(subscription, "_lease", None)
        lines.append(
            f"  {queue.name}: {len(queue.held)} held, paused {queue.paused}, {len(queue._blocking)} in the way,"
            f" {queue.recounting} being recounted, consuming {queue.consuming}, opening"
            f" {getattr(subscription, '_opening', None)}, {getattr(lease, 'unsettled', None)} unsettled"
        )
    for pool in node.pools:
        lines.append(
            f"  {type(pool).__name__}: {len(pool._backlog._waiting)} waiting,"
            f" failed starts {pool._children._failed_starts}"
        )
        lines += [
            f"    child {child.number}, process {child.pid}: {list(child.outstanding)} outstanding, runs"
            f" {pool._slots.runs(child.slot)}, {child.given} given, {child.done} done, leaving {child.leaving}, gone"
            f" {child.gone}"
            for child in list(pool._children.values())
        ]
    return "\n".join(lines)


def _fault(step: str, args: tuple[Any, ...], *, in_child: bool) -> None:
    folder = os.environ.get(PLACE)
    if folder is None or in_child == (os.getpid() == _node):
        return
    for who in ("child", "node", "supervisor"):
        try:
            os.unlink(f"{folder}/{step}.{who}")
        except FileNotFoundError:
            continue
        _note(folder, f"{step} {who} {_task(args)}")
        victim = {"child": os.getpid(), "node": _node, "supervisor": _supervisor()}[who]
        os.kill(victim, signal.SIGKILL)


def _task(args: tuple[Any, ...]) -> str:
    """The id of the task whose step it is, as far as it is known there."""
    for value in args:
        delivery = getattr(value, "delivery", None)
        if delivery is not None:
            return str((delivery.properties.headers or {}).get("id", "-"))
    return "-"


def _supervisor() -> int:
    """The node's parent."""
    with open(f"/proc/{_node}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def _note(folder: str, line: str) -> None:
    descriptor = os.open(f"{folder}/taken.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)
