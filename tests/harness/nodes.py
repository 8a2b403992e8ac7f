"""RabbitMQ nodes for tests: of the release asked for, in folders that tell which test session they belong to.

AMQPTASKS_TEST_RELEASE (3.10, 4.0, 4.3) asks for a release that `tests/releases.py install` brought; without it the
machine's own `rabbitmq-server` is taken, else Docker.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from amqptasks.dev.brokers import docker
from amqptasks.dev.brokers.docker import DockerNode
from amqptasks.dev.brokers.installation import find_installation
from amqptasks.dev.brokers.private_node import PrivateNode
from tests import releases

Node = PrivateNode | DockerNode

#: Figures every half second (default 5 s), because tests look at them. Quorum queues and the management plugin have
#: clocks of their own; the plugin's counts in whole seconds: {seconds to keep, seconds between two samples}.
FREQUENT_FIGURES = {"collect_statistics_interval": "500"}
FREQUENT_SAMPLES = """[
  {rabbit, [{quorum_tick_interval, 500}]},
  {rabbitmq_management, [{sample_retention_policies, [
    {global, [{60, 1}]}, {basic, [{60, 1}]}, {detailed, [{60, 1}]}]}]}
]"""


class NoBroker(Exception):
    """No RabbitMQ can be had here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class GivenBroker:
    """The server of AMQPTASKS_TEST_URL: not ours to stop, so `node` is None."""

    url: str
    management_url: str
    version: str
    node: None = None


@dataclass(frozen=True, slots=True)
class StartedBroker:
    """A node that this session started; `node` can stop, kill and start it."""

    node: Node

    @property
    def url(self) -> str:
        return self.node.url

    @property
    def management_url(self) -> str:
        return self.node.management_url

    @property
    def version(self) -> str:
        return self.node.version


def new_node(purpose: str, configuration: dict[str, str] | None = None, advanced: str = FREQUENT_SAMPLES) -> Node:
    """A node that is not started yet; `advanced` is its advanced.config, which Docker's nodes have not. Raises
    `NoBroker`."""
    release = os.environ.get("AMQPTASKS_TEST_RELEASE")
    settings = {**FREQUENT_FIGURES, **(configuration or {})}
    if release:
        try:
            found = releases.locate(release)
        except releases.Missing as error:
            raise NoBroker(str(error)) from None
        if isinstance(found, str):
            return DockerNode(f"amqptasks-test-{os.getpid()}-{purpose}", image=found, configuration=settings)
        return PrivateNode(_folder(purpose, found), root=found, configuration=settings, advanced=advanced)
    if find_installation() is not None:
        return PrivateNode(_folder(purpose, None), configuration=settings, advanced=advanced)
    refusal = docker.unusable()
    if refusal is None:
        return DockerNode(f"amqptasks-test-{os.getpid()}-{purpose}", configuration=settings)
    raise NoBroker(f"no rabbitmq-server on PATH, and {refusal}; `python tests/releases.py install` installs one")


def _folder(purpose: str, root: Path | None) -> Path:
    base = (root / "var/tmp" if root else Path(tempfile.gettempdir())) / f"amqptasks-tests-{os.getuid()}"
    _sweep(base, root)
    return base / f"{os.getpid()}-{purpose}"


def _sweep(base: Path, root: Path | None) -> None:
    """End the nodes of test sessions that were killed before they could do so."""
    for leftover in base.glob("*-*"):
        session = leftover.name.partition("-")[0]
        if session.isdigit() and not Path(f"/proc/{session}").exists():
            PrivateNode(leftover, root=root).destroy()
