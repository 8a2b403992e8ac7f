"""A cluster of three RabbitMQ nodes for tests: kill one, freeze it, cut it off from the others, heal the cut.

Each node is a `PrivateNode` of its own, on loopback. They share one port mapper (epmd) and one cookie, and find each
other by their configuration. A cut is made inside Erlang: the node takes another cookie towards the others, and drops
its connections to them. So it goes on serving its clients, as a node behind a broken switch does.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from amqptasks.dev.brokers.private_node import PrivateNode
from tests.harness.erlang import evaluate
from tests.harness.management import Management
from tests.harness.nodes import NoBroker, StartedBroker, new_node
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for

#: Nodes of a cluster: the fewest of which one may be lost.
SIZE = 3

#: Seconds for all to find each other. The first serves after 10, the others join one after the other.
JOINS_WITHIN = 240.0

#: Seconds for the others to notice that a node is gone or back.
NOTICES_WITHIN = 90.0

#: Erlang's tick, in seconds: a lost node is noticed within 5/4 of it.
TICK = 8

#: Towards every other node of the cluster, and not towards rabbitmqctl's own: another cookie, and no connection. A list
#: of what was done comes back, which nobody needs.
CUT = """[begin erlang:set_cookie(N, wrong), erlang:disconnect_node(N) end || N <- nodes(),
  nomatch == string:find(atom_to_list(N), "rabbitmqcli")]."""
HEAL = """[begin erlang:set_cookie(N, erlang:get_cookie()), net_kernel:connect_node(N) end
  || N <- rabbit_nodes:list_members(), N /= node()]."""


class Cluster:
    """`nodes` are its members. All that is done to a node is undone by `whole`, so that tests can share a cluster."""

    def __init__(self, nodes: list[PrivateNode]) -> None:
        self.nodes = [StartedBroker(node) for node in nodes]
        self._private = nodes
        self._cut: set[str] = set()
        self._frozen: set[str] = set()

    def url(self, vhost: Vhost, number: int) -> str:
        """The address of a virtual host over this node."""
        return self.nodes[number].url.rstrip("/") + f"/{vhost.name}"

    def kill(self, number: int) -> None:
        """SIGKILL: a crash, a lost machine. `start` brings it back with its data."""
        self.nodes[number].node.kill()

    def start(self, number: int) -> None:
        self.nodes[number].node.start(JOINS_WITHIN)

    def freeze(self, number: int) -> None:
        """SIGSTOP: a machine that pauses."""
        self.nodes[number].node.freeze()
        self._frozen.add(self.nodes[number].node.name)

    def thaw(self, number: int) -> None:
        self.nodes[number].node.thaw()
        self._frozen.discard(self.nodes[number].node.name)

    def cut(self, number: int) -> None:
        """Cut a node off from the others; its clients stay connected."""
        evaluate(self._private[number], CUT)
        self._cut.add(self.nodes[number].node.name)

    def heal(self, number: int) -> None:
        """Undo `cut`: it joins the others again, and waits until they know."""
        evaluate(self._private[number], HEAL)
        self._cut.discard(self.nodes[number].node.name)

    def running(self, seen_from: int = 0) -> int:
        """How many members one of them takes for running."""
        member = self.nodes[seen_from]
        found = Management(member.url, member.management_url, "/").request("GET", "nodes") or []
        return sum(bool(one.get("running")) for one in found)

    def whole(self) -> None:
        """Thaw, heal and start what is not well, and wait until each node sees all others."""
        for number, member in enumerate(self.nodes):
            if member.node.name in self._frozen:
                self.thaw(number)
            if not member.node.running:
                self.start(number)
            if member.node.name in self._cut:
                self.heal(number)
        for number in range(len(self.nodes)):
            wait_for(lambda number=number: self.running(number) == SIZE, NOTICES_WITHIN, "the cluster is whole", 0.5)


@contextmanager
def new_cluster(purpose: str = "cluster") -> Iterator[Cluster]:
    """Three nodes that have joined; destroyed at the end. Raises `NoBroker` where none can be had, or only Docker's."""
    nodes: list[PrivateNode] = []
    try:
        for number in range(SIZE):
            node = new_node(f"{purpose}{number}")
            if not isinstance(node, PrivateNode):
                raise NoBroker("a cluster needs an installed rabbitmq-server: Docker's nodes do not know each other")
            nodes.append(node)
        _acquaint(nodes)
        with ThreadPoolExecutor(SIZE) as together:  # the first waits for the others before it serves
            for started in [together.submit(node.start, JOINS_WITHIN) for node in nodes]:
                started.result()
        cluster = Cluster(nodes)
        wait_for(lambda: cluster.running() == SIZE, JOINS_WITHIN, "all nodes have joined", 0.5)
        yield cluster
    finally:
        for node in nodes:
            node.thaw()
            node.destroy()


@contextmanager
def clustered_vhost(cluster: Cluster) -> Iterator[Vhost]:
    """A virtual host in the cluster, known to all of its nodes."""
    with new_vhost(cluster.nodes[0], "cluster") as vhost:
        for member in cluster.nodes:
            seen = Management(member.url, member.management_url, vhost.name)
            wait_for(lambda seen=seen: seen.request("GET", "vhosts", vhost.name) is not None, NOTICES_WITHIN)
        yield vhost


def _acquaint(nodes: list[PrivateNode]) -> None:
    """Give them one port mapper, one cookie, and each other's names."""
    first = nodes[0]
    names = {f"cluster_formation.classic_config.nodes.{place}": node.name for place, node in enumerate(nodes, start=1)}
    home = first.folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    cookie = home / ".erlang.cookie"
    cookie.touch(mode=0o600)
    cookie.write_text(first.folder.name.encode().hex())
    cookie.chmod(0o400)
    for node in nodes:
        node.ports = replace(node.ports, epmd=first.ports.epmd)
        node.configuration |= {
            "cluster_formation.peer_discovery_backend": "classic_config",
            "cluster_formation.target_cluster_size_hint": str(SIZE),
            "net_ticktime": str(TICK),
            **names,
        }
        if not node.version.startswith("4.3"):  # which knows no other way
            node.configuration["cluster_partition_handling"] = "pause_minority"
        if node is not first:
            _copy(cookie, node.folder / "home")


def _copy(cookie: Path, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy2(cookie, home / cookie.name)
