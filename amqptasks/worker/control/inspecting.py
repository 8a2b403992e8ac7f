"""The commands that ask. Each takes the service and the arguments, and returns what JSON can carry."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from amqptasks.dial import is_memory
from amqptasks.messages import protocol
from amqptasks.messages.delivery import Delivery
from amqptasks.runtime import log_queue
from amqptasks.runtime.clock import broker_time, monotonic
from amqptasks.untrusted import bounds
from amqptasks.untrusted.masks import HIDDEN, masked_address
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.job.job import Job

if TYPE_CHECKING:
    from amqptasks.worker.control.service import ControlService
    from amqptasks.worker.node import Node

Arguments = Mapping[str, Any]

#: A task as an answer has it, and the delivery that it came in.
Told = tuple[dict[str, Any], Delivery]

#: What carries a command out.
CarryOut = Callable[["ControlService", Arguments], object]

#: Characters of the `repr` of a task's arguments in an answer: enough to know it again.
ARGUMENTS_SHOWN = 1024

#: Bytes of a body that is read only to show what is in it: the node of a pool of processes has no other use for it.
LARGEST_READ = 16 * 1024

#: Tasks in one answer; a worker with a larger prefetch shows those that it has had longest.
TASKS_SHOWN = 2000


def ping(service: ControlService, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    node = service.node
    ready, trouble, waits = service.on_link(lambda: (node.ready, node.trouble, node.waits.current()))
    return {
        "ready": ready,
        "host": service.host,
        "pid": os.getpid(),
        "uptime": _uptime(service),
        "trouble": trouble,
        "waits": [wait.told() for wait in waits],
    }


def stats(service: ControlService, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001
    node = service.node
    told = service.on_link(lambda: _worker_stats(node))
    return {
        **told,
        "version": version("amqptasks"),
        "host": service.host,
        "pid": os.getpid(),
        "uptime": _uptime(service),
        "broker": "; ".join(_brokers(node)),
        "revoked": len(service.revocations.known),
        "memory": _resident(),
        "rusage": {"self": _usage(resource.RUSAGE_SELF), "children": _usage(resource.RUSAGE_CHILDREN)},
    }


def active(service: ControlService, arguments: Arguments) -> list[dict[str, Any]]:  # noqa: ARG001
    node = service.node
    return _shown(service, service.on_link(lambda: [_running(node, job) for job in node.current[:TASKS_SHOWN]]))


def reserved(service: ControlService, arguments: Arguments) -> list[dict[str, Any]]:  # noqa: ARG001
    node = service.node

    def waiting() -> list[Told]:
        running = set(node.current)
        held = [job for job in node.held if job not in running]
        return [_held(job) for job in held[:TASKS_SHOWN]]

    return _shown(service, service.on_link(waiting))


def query_task(service: ControlService, arguments: Arguments) -> list[dict[str, Any]]:
    node, wanted = service.node, set(bounds.names(arguments.get("ids", [])))

    def found() -> list[Told]:
        running = set(node.current)
        held = {*node.held, *running}
        return [_running(node, job) if job in running else _held(job) for job in held if job.task_id in wanted]

    return _shown(service, service.on_link(found))


def active_queues(service: ControlService, arguments: Arguments) -> list[dict[str, Any]]:  # noqa: ARG001
    node = service.node

    def told() -> list[dict[str, Any]]:
        return [
            {
                "name": queue.name,
                "consuming": queue.consuming,
                "paused": queue.paused,
                "prefetch": queue.prefetch,
                "held": len(queue.held),
                "type": queue.settings.type,
                "dead_letter": queue.settings.dead_letter,
            }
            for queue in node.queues.values()
            if not queue.cancelled
        ]

    return service.on_link(told)


def registered(service: ControlService, arguments: Arguments) -> list[str]:  # noqa: ARG001
    return sorted(service.node.app.tasks)


def revoked(service: ControlService, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001
    return service.on_link(service.revocations.known.told)


def conf(service: ControlService, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001
    node = service.node
    app = node.app
    return {
        "app": app.name,
        "broker": _brokers(node),
        "include": list(app.include),
        "ignore_result": app.ignore_result,
        "publish_timeout": app.publish_timeout,
        "queues": list(app.topology.queue_names),
        "default_queue": app.topology.default_queue,
        "longest_delay": app.topology.longest_delay,
        "concurrency": node.concurrency,
        "prefetch": {name: queue.prefetch for name, queue in node.queues.items()},
        "routes": [route.pattern for route in app.topology.routes],
    }


def report(service: ControlService, arguments: Arguments) -> str:
    capabilities = service.node.link.capabilities
    broker = "not connected yet"
    if capabilities is not None:
        broker = f"{capabilities.product} {'.'.join(map(str, capabilities.version))}"
    lines = [
        f"amqptasks {version('amqptasks')} on Python {platform.python_version()} ({sys.implementation.name})",
        f"{platform.platform()}, {counted(os.cpu_count() or 1, 'processor')}",
        f"broker: {broker}",
    ]
    lines += [f"{name} {version(name)}" for name in ("pika", "orjson")]
    lines += [f"{name}: {value}" for name, value in conf(service, arguments).items()]
    return "\n".join(lines)


INSPECT: dict[str, CarryOut] = {
    "ping": ping,
    "stats": stats,
    "active": active,
    "reserved": reserved,
    "query_task": query_task,
    "active_queues": active_queues,
    "registered": registered,
    "revoked": revoked,
    "conf": conf,
    "report": report,
}


def _worker_stats(node: Node) -> dict[str, Any]:
    capabilities = node.link.capabilities
    return {
        "ready": node.ready,
        "trouble": node.trouble,
        "waits": [wait.told() for wait in node.waits.current()],
        "counts": dict(node.counts),
        "pools": {kind: {"size": pool.size, "running": pool.running} for kind, pool in node.pools.items()},
        "prefetch": {name: queue.prefetch for name, queue in node.queues.items()},
        "held": len(node.held),
        "running": len(node.current),
        "second_runs_saved": node.lost_runs.saved,
        "events": _events(node),
        "log_lines_dropped": log_queue.dropped(),
        "mended": [*node.upkeep.mending.mended, *filter(None, [node.upkeep.mending.trouble])],
        "broker_version": "" if capabilities is None else ".".join(map(str, capabilities.version)),
    }


def _events(node: Node) -> dict[str, int] | None:
    if node.events is None:
        return None
    emitter = node.events.emitter
    return {"sent": emitter.sent, "dropped": emitter.dropped}


def _running(node: Node, job: Job) -> Told:
    told, delivery = _held(job)
    for kind, pool in node.pools.items():
        began = pool.started(job)
        if began:
            runtime = monotonic() - began
            told |= {"started": broker_time.now() - runtime, "runtime": runtime, "pool": kind, "pid": pool.pid(job)}
            break
    return told, delivery


def _held(job: Job) -> Told:
    headers = job.delivery.properties.headers or {}
    request = job.request
    retries = request.retries if request is not None else headers.get("retries", 0)
    told: dict[str, Any] = {
        "id": job.task_id,
        "name": job.task_name,
        "queue": job.delivery.queue,
        "args": request.args if request is not None else _text(headers.get("argsrepr")),
        "kwargs": request.kwargs if request is not None else _text(headers.get("kwargsrepr")),
        "attempt": retries + 1 if isinstance(retries, int) else 1,
        "redelivered": job.delivery.redelivered,
    }
    return told, job.delivery


def _shown(service: ControlService, found: Iterable[Told]) -> list[dict[str, Any]]:
    """With what is in the bodies of those that nobody has read here; without any arguments for a command that may not
    see them. On control's thread: the link has better to do."""
    shown, mask = [], service.node.app.codec.mask
    for told, delivery in found:
        if not service.shows_arguments:
            told.update(args=HIDDEN, kwargs=HIDDEN)
        elif told["args"] is None and told["kwargs"] is None:
            told.update(_read(delivery))
        for name in ("args", "kwargs"):
            value = told[name]
            told[name] = value if value is None else _repr(mask.masked(value))
        shown.append(told)
    return shown


def _read(delivery: Delivery) -> dict[str, Any]:
    """Of a body that is short and our own JSON, so that no code of the user's runs here. To look at: a signature is not
    asked for."""
    properties, body = delivery.properties, delivery.body
    if len(body) > LARGEST_READ or (properties.headers or {}).get("compression"):
        return {}
    request = protocol.decode(properties, body)
    if isinstance(request, protocol.Malformed):
        return {}
    return {"args": request.args, "kwargs": request.kwargs}


def _repr(value: object) -> str:
    # JSON's own types only: no code of the user's runs here.
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= ARGUMENTS_SHOWN else f"{text[: ARGUMENTS_SHOWN - 3]}..."


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _uptime(service: ControlService) -> float:
    return round(monotonic() - service.started_at, 3)


def _brokers(node: Node) -> list[str]:
    urls = node.app.broker
    if is_memory(urls):
        return list(urls)
    return [masked_address(url) for url in urls]


def _usage(who: int) -> dict[str, float]:
    """https://docs.python.org/3/library/resource.html#resource-usage; `maxrss` in bytes."""
    found = resource.getrusage(who)
    return {
        "utime": found.ru_utime,
        "stime": found.ru_stime,
        "maxrss": found.ru_maxrss * 1024,
        "minflt": found.ru_minflt,
        "majflt": found.ru_majflt,
        "nvcsw": found.ru_nvcsw,
        "nivcsw": found.ru_nivcsw,
    }


def _resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not tell (no /proc)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
