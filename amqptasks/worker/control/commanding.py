"""The commands that change something. Each takes the service and the arguments, and returns what JSON can carry.

Raises `ConfigurationError`, which goes to whoever asked, for arguments that make no sense here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from amqptasks import logs, rate
from amqptasks.control import revocation
from amqptasks.errors import ConfigurationError
from amqptasks.options import checked
from amqptasks.options.workers import LOG_LEVELS, MOST_PROCESSES, WORKER
from amqptasks.worker.control.inspecting import Arguments, CarryOut
from amqptasks.worker.limits.time_limits import TimeLimits

if TYPE_CHECKING:
    from amqptasks.worker.control.service import ControlService
    from amqptasks.worker.pools.prefork.pool import PreforkPool

#: Tasks at once that a worker can be told to run; more is a slip of the finger.
MOST_CONCURRENCY = 10_000


def revoke(service: ControlService, arguments: Arguments) -> dict[str, int]:
    """What waits here is dropped at once, what runs is ended where that was asked for."""
    found = revocation.read(arguments.get("revocation"))
    terminate, signal = bool(arguments.get("terminate")), revocation.signal_named(arguments.get("signal", "TERM"))
    return service.on_link(
        lambda: service.revocations.sweep.command(found, terminate=terminate, force=signal == "KILL")
    )


def time_limit(service: ControlService, arguments: Arguments) -> str:
    task = str(arguments.get("task"))
    if task not in service.node.app.tasks:
        raise ConfigurationError(f"this worker has no task {task!r}")
    hard, soft = (_seconds(arguments, name) for name in ("hard", "soft"))

    def change() -> None:
        service.node.limits.own[task] = TimeLimits(hard, soft)

    service.on_link(change)
    return f"{task}: hard {_shown(hard)}, soft {_shown(soft)}"


def rate_limit(service: ControlService, arguments: Arguments) -> str:
    task = str(arguments.get("task"))
    if task not in service.node.app.tasks:
        raise ConfigurationError(f"this worker has no task {task!r}")
    wanted = rate.parse(arguments.get("rate"))
    service.on_link(lambda: service.node.intake.throttle.set_rate(task, wanted))
    return f"{task}: {wanted.written if wanted is not None else 'no rate limit'}"


def pool_grow(service: ControlService, arguments: Arguments) -> int:
    return _resize(service, _number(arguments))


def pool_shrink(service: ControlService, arguments: Arguments) -> int:
    return _resize(service, -_number(arguments))


def autoscale(service: ControlService, arguments: Arguments) -> str:
    most, least = (arguments.get(name) for name in ("max", "min"))
    if not (type(most) is int and type(least) is int and 1 <= least <= most <= MOST_PROCESSES):
        raise ConfigurationError(f"from MIN to MAX processes, both from 1 to {MOST_PROCESSES}: not {least} to {most}")
    pool = service.node.pools.named("prefork")
    if pool is None:
        raise ConfigurationError("processes follow the demand, and this worker has none: start it with -P prefork")
    service.on_link(lambda: service.node.autoscale(cast("PreforkPool", pool), most, least))
    return f"{least} to {most} processes"


def pool_restart(service: ControlService, arguments: Arguments) -> str:  # noqa: ARG001 - takes none
    service.on_link(service.node.restart_pools)
    return "restarted"


def add_consumer(service: ControlService, arguments: Arguments) -> str:
    queue, prefetch = _queue(arguments), arguments.get("prefetch")
    prefetch = checked({"prefetch": prefetch}, WORKER, "add_consumer")["prefetch"]
    service.on_link(lambda: service.node.consumption.add(queue, prefetch))
    return f"consumes {queue}"


def cancel_consumer(service: ControlService, arguments: Arguments) -> str:
    queue = _consumed(service, arguments)
    service.on_link(lambda: service.node.consumption.cancel(queue))
    return f"no longer consumes {queue}"


def pause(service: ControlService, arguments: Arguments) -> str:
    queue = _consumed(service, arguments)
    service.on_link(lambda: service.node.consumption.pause(queue))
    return f"paused {queue}"


def resume(service: ControlService, arguments: Arguments) -> str:
    queue = _consumed(service, arguments)
    service.on_link(lambda: service.node.consumption.resume(queue))
    return f"resumed {queue}"


def enable_events(service: ControlService, arguments: Arguments) -> str:  # noqa: ARG001
    service.on_link(service.node.send_events)
    return "sends events"


def disable_events(service: ControlService, arguments: Arguments) -> str:  # noqa: ARG001
    def disable() -> None:
        if service.node.events is not None:
            service.node.events.emitter.is_on = False

    service.on_link(disable)
    return "sends no events"


def shutdown(service: ControlService, arguments: Arguments) -> str:  # noqa: ARG001
    service.node.stop()
    return "stopping"


def log_level(service: ControlService, arguments: Arguments) -> str:
    level = str(arguments.get("level", "")).lower()
    if level not in LOG_LEVELS:
        raise ConfigurationError(f"there is no level {level!r}: choose one of {', '.join(LOG_LEVELS)}")
    before = logging.getLevelName(logs.current_level()).lower()
    wanted = logging.getLevelNamesMapping()[level.upper()]
    logs.change_level(wanted)
    pool = service.node.pools.named("prefork")
    if pool is not None:
        cast("PreforkPool", pool).log_from(wanted)
    return f"{level}, before {before}"


CONTROL: dict[str, CarryOut] = {
    "revoke": revoke,
    "time_limit": time_limit,
    "rate_limit": rate_limit,
    "pool_grow": pool_grow,
    "pool_shrink": pool_shrink,
    "autoscale": autoscale,
    "pool_restart": pool_restart,
    "add_consumer": add_consumer,
    "cancel_consumer": cancel_consumer,
    "pause": pause,
    "resume": resume,
    "enable_events": enable_events,
    "disable_events": disable_events,
    "shutdown": shutdown,
    "log_level": log_level,
}


def _resize(service: ControlService, change: int) -> int:
    node = service.node
    wanted = node.pools.default.size + change
    most = MOST_CONCURRENCY if node.pools.default is not node.pools.named("prefork") else MOST_PROCESSES
    if not 1 <= wanted <= most:
        raise ConfigurationError(f"from 1 to {most} tasks run at once, not {wanted}")
    service.on_link(lambda: node.resize(wanted))
    return node.concurrency


def _number(arguments: Arguments) -> int:
    number = arguments.get("number", 1)
    if not isinstance(number, int) or number < 1:
        raise ConfigurationError(f"{number!r} is no number of tasks from 1 up")
    return number


def _queue(arguments: Arguments) -> str:
    queue = arguments.get("queue")
    if not isinstance(queue, str) or not queue:
        raise ConfigurationError("which queue?")
    return queue


def _consumed(service: ControlService, arguments: Arguments) -> str:
    queue = _queue(arguments)
    known = service.node.queues.get(queue)
    if known is None or known.cancelled:
        raise ConfigurationError(f"this worker does not consume {queue!r}")
    return queue


def _seconds(arguments: Arguments, name: str) -> float | None:
    value: Any = arguments.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise ConfigurationError(f"{name}: {value!r} is no number of seconds above 0")
    return float(value)


def _shown(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:g} s"
