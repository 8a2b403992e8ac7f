"""A cluster of three nodes, one of which is cut off, killed or frozen: what workers and unique calls make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from amqptasks import App
from amqptasks.amqp.blocking.session import Session
from amqptasks.control.revocation import Revocation
from amqptasks.errors import ClaimUnavailable
from amqptasks.runtime.clock import monotonic
from amqptasks.streams.liveness import Comparing
from amqptasks.worker.node import Node
from tests.conftest import NO_BROKER
from tests.harness.cluster import SIZE, Cluster, clustered_vhost, new_cluster
from tests.harness.nodes import NoBroker
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

pytestmark = [pytest.mark.kills_broker, pytest.mark.long]

#: How often a node is cut off, and for how many seconds: longer than Erlang's tick, so that both sides know.
ROUNDS, CUT_FOR = 20, 10.0

#: Seconds from the heal in which every worker has heard every revocation.
HEARD_WITHIN = 10.0

#: Seconds until RabbitMQ 4.3 makes a replica again on a node that is back, at most: it tries every 10 s, and may wait
#: for an answer of the node for 5 s before that.
REPLICA_WITHIN = 15.0


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[Cluster]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(new_cluster())
        except NoBroker as error:
            pytest.skip(f"{NO_BROKER}: {error}")
        yield made


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """Whole at the start of each test."""
    shared_cluster.whole()
    return shared_cluster


@pytest.fixture
def vhost(cluster: Cluster) -> Iterator[Vhost]:
    with clustered_vhost(cluster) as made:
        yield made
        cluster.whole()


def revoke(url: str, identity: str) -> None:
    with Session([url], timeout=30.0) as session:
        for message in Revocation("revoke", (identity,)).outgoing():
            session.publish(message)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Comparing], list[tuple[float, str]]]:
    """What the looks of a reader found, and when."""
    found: dict[int, list[tuple[float, str]]] = {}
    concluded = Comparing._concluded

    def note(self: Comparing, what: Any) -> None:
        found.setdefault(id(self), []).append((monotonic(), what))
        concluded(self, what)

    def of(liveness: Comparing) -> list[tuple[float, str]]:
        return found.get(id(liveness), [])

    monkeypatch.setattr(Comparing, "_concluded", note)
    return of


def told(node: Node, noted: Callable[[Comparing], list[tuple[float, str]]]) -> str:
    """How its reader does, and what its looks of the last half minute found, for the message of a failure."""
    revocations, now = node.control.revocations, monotonic()
    looks = [f"{at - now:.1f} {what}" for at, what in noted(revocations.liveness) if at > now - 30]
    return f"{len(revocations.known)} known, {revocations.liveness.deaf} times deaf, trouble {node.trouble}: {looks}"


def worker(stack: ExitStack, name: str, urls: list[str]) -> Node:
    app = stack.enter_context(closing(App(name, urls, ignore_result=True)))
    app.task(name="note")(lambda: None)
    return stack.enter_context(app.worker(["default"]))


def knows(node: Node, identity: str) -> bool:
    return node.control.revocations.known.reason("note", identity, {}) is not None


def wait_to_hear(
    who: list[Node], identities: tuple[str, ...], began: float, within: float, failed: Callable[[], str]
) -> float:
    """Seconds from `began` until each of them knows these revocations."""
    wait_for(
        lambda: all(knows(node, identity) for node in who for identity in identities),
        began + within - monotonic(),
        failed,
    )
    return monotonic() - began


@pytest.mark.timeout(2400)
def test_every_worker_hears_every_revocation_after_a_partition(
    cluster: Cluster, vhost: Vhost, noted: Callable[[Comparing], list[tuple[float, str]]]
) -> None:
    """One worker at each node that also knows the others, and one that knows no other: that one can hear nothing before
    its node has a replica again."""
    with ExitStack() as stack:
        own = [cluster.url(vhost, number) for number in range(SIZE)]
        nodes = [worker(stack, f"on-{number}", own[number:] + own[:number]) for number in range(SIZE)]
        lonely = [worker(stack, f"only-on-{number}", own[number : number + 1]) for number in range(SIZE)]
        waits: list[tuple[float, float]] = []
        for turn in range(ROUNDS):
            cut = turn % SIZE
            cluster.cut(cut)
            healed = monotonic() + CUT_FOR
            meanwhile, after = f"meanwhile-{turn}", f"after-{turn}"
            revoke(own[(cut + 1) % SIZE], meanwhile)
            wait_for(lambda healed=healed: monotonic() > healed, CUT_FOR + 5, "it is cut off for a while")
            cluster.heal(cut)
            began = monotonic()
            revoke(own[(cut + 1) % SIZE], after)

            def failed(turn: int = turn) -> str:
                return f"round {turn}: {[told(node, noted) for node in nodes + lonely]}"

            heard = [
                wait_to_hear(who, (meanwhile, after), began, within, failed)
                for who, within in ((nodes, HEARD_WITHIN), (lonely, REPLICA_WITHIN + HEARD_WITHIN))
            ]
            waits.append((heard[0], heard[1]))
            cluster.whole()
        print(f"heard after {[round(one, 1) for one, _ in waits]} s, and where only one node is known")
        print(f"after {[round(one, 1) for _, one in waits]} s")
        everybody = nodes + lonely
        wait_for(lambda: all(node.ready for node in everybody), 60, lambda: str([node.trouble for node in everybody]))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lost", ["kill", "freeze"])
def test_a_unique_call_whose_claim_is_on_a_lost_node_says_so(cluster: Cluster, vhost: Vhost, lost: str) -> None:
    with ExitStack() as stack:

        def app(number: int) -> tuple[App, Any]:
            made = stack.enter_context(closing(App(f"on-{number}", cluster.url(vhost, number), ignore_result=True)))
            return made, made.task(name="only", unique=True)(lambda shop: shop)

        first, only = app(0)
        first.declare()
        only.delay("north")
        other, only = app(1)
        other.declare()
        getattr(cluster, lost)(0)
        wait_for(lambda: cluster.running(1) == SIZE - 1, 90, "the others know that the node is gone", 0.5)
        began = monotonic()
        with pytest.raises(ClaimUnavailable, match="unique=False"):
            only.delay("north")
        assert monotonic() - began < 10, "at once"
        assert only.apply_async(("north",), unique=False).id
        assert only.delay("south").id, "a claim that is nobody's is made on a node that lives"
