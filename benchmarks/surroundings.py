"""Where and with what was measured, in words."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.broker import Broker

PACKAGES = ("amqptasks", "pika", "celery", "kombu", "dramatiq")


def surroundings(broker: Broker, date: str) -> dict[str, str]:
    where = "on the same processors" if broker.process is not None else "on another machine"
    return {
        "date": date,
        "machine": f"{psutil.cpu_count()} processors ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{_system()}, Python {platform.python_version()}",
        "broker": f"RabbitMQ {broker.version} ({broker.kind}) {where}, loopback TCP without TLS, quorum queues",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
