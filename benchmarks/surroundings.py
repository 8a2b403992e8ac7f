"""Where and with what was measured, in words."""

from __future__ import annotations

import platform
import resource
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmarks.broker import Broker
from benchmarks.clocks import cpu_time

PACKAGES = (
    *("amqptasks", "pika", "celery", "kombu", "dramatiq", "taskiq", "taskiq-aio-pika", "aio-pika", "aiormq", "uvloop"),
    "orjson",
)


def surroundings(broker: Broker, date: str) -> dict[str, str]:
    where = "on the same processors" if broker.process is not None else "on another machine"
    return {
        "date": date,
        "machine": f"{psutil.cpu_count()} processors ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{_system()}, Python {platform.python_version()}",
        "broker": f"RabbitMQ {broker.version} ({broker.kind}) {where}, loopback TCP without TLS",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


class Others:
    """What other work used of this machine's processors since this value was made."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker.process
        self._start = time.monotonic()
        self._before = self._foreign()

    def share(self) -> float:
        """From 0 to 1. Above a tenth or so, rates are too low, and CPU time a message too high."""
        took = (time.monotonic() - self._start) * (psutil.cpu_count() or 1)
        return max(0.0, self._foreign() - self._before) / took

    def _foreign(self) -> float:
        """CPU seconds of all processes but ours, our children's and the broker's."""
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice  # guests are in user, too
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        broker = cpu_time(self._broker) if self._broker is not None else 0.0
        return busy - broker - sum(used.ru_utime + used.ru_stime for used in own)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
