"""The commands that change something. Each takes the service and the arguments, and returns what JSON can carry.

Raises `ConfigurationError`, which goes to whoever asked, for arguments that make no sense here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from amqptasks import logs
from amqptasks.control import revocation
from amqptasks.errors import ConfigurationError
from amqptasks.options import checked, rates
from amqptasks.options.workers import LOG_LEVELS, MOST_PROCESSES, WORKER
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds
from amqptasks.untrusted.printable import short
from amqptasks.worker.control.inspecting import Arguments, CarryOut
from amqptasks.worker.pools.time_limits import TimeLimits

if TYPE_CHECKING:
    from amqptasks.worker.control.service import ControlService
    from amqptasks.worker.pools.prefork.pool import PreforkPool

#: Seconds of the shortest time limit. No task ends within less, so that less would fail them all.
SHORTEST_LIMIT = 0.001


def revoke(service: ControlService, arguments: Arguments) -> dict[str, int]:
    """What waits here is dropped at once, what runs is ended where that was asked for."""
    found = revocation.read(arguments.get("revocation"))
    terminate, signal = bool(arguments.get("terminate")), revocation.signal_named(arguments.get("signal", "TERM"))
    return service.on_link(
        lambda: service.revocations.sweep.command(found, terminate=terminate, force=signal == "KILL")
    )


def time_limit(service: ControlService, arguments: Arguments) -> str:
    task = _task(service, arguments)
    hard, soft = (_seconds(arguments, name) for name in ("hard", "soft"))

    def change() -> None:
        service.node.limits.own[task] = TimeLimits(hard, soft)

    service.on_link(change)
    return f"{task}: hard {_shown(hard)}, soft {_shown(soft)}"


def rate_limit(service: ControlService, arguments: Arguments) -> str:
    task = _task(service, arguments)
    wanted = rates.parse(_rate(arguments))
    service.on_link(lambda: service.node.dispatcher.throttle.set_rate(task, wanted))
    return f"{task}: {wanted.written if wanted is not None else 'no rate limit'}"


def pool_grow(service: ControlService, arguments: Arguments) -> int:
    return _resize(service, _number(arguments))


def pool_shrink(service: ControlService, arguments: Arguments) -> int:
    return _resize(service, -_number(arguments))


def autoscale(service: ControlService, arguments: Arguments) -> str:
    most, least = (_whole(arguments, name, MOST_PROCESSES) for name in ("max", "min"))
    if least > most:
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
    service.on_link(lambda: service.node.consumers.add(queue, prefetch))
    return f"consumes {queue}"


def cancel_consumer(service: ControlService, arguments: Arguments) -> str:
    queue = _consumed(service, arguments)
    service.on_link(lambda: service.node.consumers.cancel(queue))
    return f"no longer consumes {queue}"


def pause(service: ControlService, arguments: Arguments) -> str:
    queue = _consumed(service, arguments)
    service.on_link(lambda: service.node.consumers.pause(queue))
    return f"paused {queue}"


def resume(service: ControlService, arguments: Arguments) -> str:
    queue = _consumed(service, arguments)
    service.on_link(lambda: service.node.consumers.resume(queue))
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
    given = arguments.get("level")
    level = given.lower() if isinstance(given, str) else ""
    if level not in LOG_LEVELS:
        raise ConfigurationError(f"there is no level {short(given)}: choose one of {', '.join(LOG_LEVELS)}")
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
    most = bounds.LARGEST_POOL if node.pools.default is not node.pools.named("prefork") else MOST_PROCESSES
    if not 1 <= wanted <= most:
        raise ConfigurationError(f"from 1 to {most} tasks run at once, not {wanted}")
    service.on_link(lambda: node.resize(wanted))
    return node.concurrency


def _number(arguments: Arguments) -> int:
    return 1 if arguments.get("number") is None else _whole(arguments, "number", bounds.LARGEST_POOL)


def _whole(arguments: Arguments, name: str, most: int) -> int:
    try:
        return bounds.whole(arguments.get(name), most, 1)
    except OutOfBounds as refusal:
        raise ConfigurationError(f"{name} {refusal}") from None


def _task(service: ControlService, arguments: Arguments) -> str:
    task = arguments.get("task")
    if not isinstance(task, str) or task not in service.node.app.tasks:
        raise ConfigurationError(f"this worker has no task {short(task)}")
    return task


def _rate(arguments: Arguments) -> object:
    """A text or a number, which `rate.parse` looks at further."""
    given = arguments.get("rate")
    try:
        return bounds.name(given) if isinstance(given, str) else given and bounds.seconds(given, bounds.LARGEST_NUMBER)
    except OutOfBounds as refusal:
        raise ConfigurationError(f"rate {refusal}") from None


def _queue(arguments: Arguments) -> str:
    try:
        return bounds.name(arguments.get("queue"))
    except OutOfBounds as refusal:
        raise ConfigurationError(f"which queue? The name {refusal}") from None


def _consumed(service: ControlService, arguments: Arguments) -> str:
    queue = _queue(arguments)
    known = service.node.queues.get(queue)
    if known is None or known.cancelled:
        raise ConfigurationError(f"this worker does not consume {queue!r}")
    return queue


def _seconds(arguments: Arguments, name: str) -> float | None:
    value = arguments.get(name)
    if value is None:
        return None
    try:
        return bounds.seconds(value, least=SHORTEST_LIMIT)
    except OutOfBounds as refusal:
        raise ConfigurationError(f"{name} {refusal}") from None


def _shown(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:g} s"
