"""Which broker a `memory://` address means: every link and session of the process finds the same one."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

from amqptasks.errors import ConfigurationError
from amqptasks.memory.broker import Broker

_brokers: dict[str, Broker] = {}
_lock = threading.Lock()


def broker_of(url: str) -> Broker:
    """The broker of `memory://` or `memory://NAME`, made when first asked for. Raises `ConfigurationError`."""
    name = _name(url)
    with _lock:
        if name not in _brokers:
            _brokers[name] = Broker()
        return _brokers[name]


def forget(url: str) -> None:
    """Drop that broker with all it holds; the address means a new, empty one from now on."""
    with _lock:
        broker = _brokers.pop(_name(url), None)
    if broker is not None:
        broker.clock.stop()


def _name(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "memory":
        raise ConfigurationError("this is no address of a broker in memory: write memory:// or memory://NAME")
    return f"{parts.netloc}{parts.path}".strip("/")
