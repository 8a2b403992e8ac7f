"""The broker that everything is measured on: a private node with its default settings, or AMQPTASKS_TEST_URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from amqptasks.dev.brokers import probe
from amqptasks.dev.brokers.private_node import PrivateNode
from amqptasks.errors import ConfigurationError
from tests.harness.nodes import GivenBroker, StartedBroker, new_node
from tests.harness.vhost import new_vhost


@dataclass(frozen=True, slots=True)
class Broker:
    """`url` leads to a virtual host of this run's own; `process` is the Erlang VM, None where it is not here."""

    url: str
    version: str
    process: int | None
    kind: str


@contextmanager
def to_measure_on() -> Iterator[Broker]:
    """Started and destroyed, or borrowed. Raises `NoBroker`, `ConfigurationError`."""
    url = os.environ.get("AMQPTASKS_TEST_URL")
    if url:
        management = os.environ.get("AMQPTASKS_TEST_MANAGEMENT_URL") or probe.management_url(url)
        if management is None:
            raise ConfigurationError("AMQPTASKS_TEST_URL is set: set AMQPTASKS_TEST_MANAGEMENT_URL too")
        with _vhost(GivenBroker(url, management.rstrip("/"), probe.version(url)), "given") as found:
            yield found
        return
    node = new_node("bench")
    # Tests have their nodes count often and log their ticks twice a second; what is measured here must not pay for it.
    node.configuration = {}
    if isinstance(node, PrivateNode):
        node.advanced = "[]"
    try:
        node.start()
        with _vhost(StartedBroker(node), "private node") as found:
            yield found
    finally:
        node.destroy()


@contextmanager
def _vhost(broker: GivenBroker | StartedBroker, kind: str) -> Iterator[Broker]:
    with new_vhost(broker) as vhost:
        yield Broker(vhost.url, broker.version, _erlang(broker.url), kind)


def _erlang(url: str) -> int | None:
    """The Erlang VM that listens on the port of `url` on this machine."""
    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return None
    port = (parts.port or 5672,)
    for connection in psutil.net_connections("tcp"):
        process = connection.pid
        if process is None or connection.status != psutil.CONN_LISTEN or connection.laddr[1:2] != port:
            continue
        if psutil.Process(process).name().startswith("beam"):
            return process
    return None
