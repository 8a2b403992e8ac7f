"""The fixtures themselves: a broken harness makes every other test lie."""

from __future__ import annotations

import socket
import time

import pika
import pytest
from pika import exceptions

from amqptasks.dev.brokers.private_node import PrivateNode
from tests.conftest import StartedBroker
from tests.harness.management import Management
from tests.harness.nodes import new_node
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for

DURABLE = pika.BasicProperties(delivery_mode=2)


def connect(url: str) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(url))


def test_a_vhost_is_empty_and_gone_after_its_test(broker) -> None:
    with new_vhost(broker) as vhost, connect(vhost.url) as connection:
        connection.channel().queue_declare("left", durable=True)
        assert [queue["name"] for queue in vhost.management.queues()] == ["left"]
        connection.close()
    root = Management(broker.url, broker.management_url)
    assert vhost.name not in [other["name"] for other in root.request("GET", "vhosts")]
    with pytest.raises(exceptions.ProbableAccessDeniedError):
        connect(vhost.url)


def test_depth_counts_unacked_messages_and_ready_does_not(vhost: Vhost, management: Management) -> None:
    with connect(vhost.url) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish("", "q", b"x", DURABLE)
        assert channel.basic_get("q")[0] is not None
        assert management.ready("q") == 2
        wait_for(
            lambda: (depth := management.depth("q")) and (depth.ready, depth.unacked, depth.total) == (2, 1, 3),
            message=lambda: str(management.depth("q")),
        )
    assert management.ready("absent") == -1


def test_the_broker_closes_connections_on_demand(vhost: Vhost, management: Management) -> None:
    with connect(vhost.url) as connection:
        wait_for(management.connections, message="the connection shows in the management API")
        assert management.close_connections("we want it") == 1
        with pytest.raises(exceptions.ConnectionClosedByBroker, match="we want it"):
            connection.process_data_events(10)


def test_the_proxy_cuts_every_connection_and_takes_new_ones(proxy: Proxy) -> None:
    connection = connect(proxy.url)
    assert proxy.connections == 1
    assert proxy.cut() == 1
    with pytest.raises(exceptions.AMQPConnectionError):
        connection.process_data_events(10)
    assert proxy.connections == 0
    with connect(proxy.url) as again:
        assert again.is_open


def test_a_paused_proxy_keeps_the_connection_and_loses_nothing(proxy: Proxy, management: Management) -> None:
    with connect(proxy.url) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        proxy.pause()
        channel.basic_publish("", "q", b"x", DURABLE)
        connection.process_data_events(0.3)
        assert management.ready("q") == 0
        proxy.resume()
        wait_for(lambda: management.ready("q") == 1, message="the message came through")


def test_a_refusing_proxy_lets_nobody_in_until_it_accepts(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    proxy.accept()
    with connect(proxy.url) as connection:
        assert connection.is_open


def test_wait_for_says_what_did_not_come() -> None:
    started = time.monotonic()
    with pytest.raises(AssertionError, match="three blind mice"):
        wait_for(lambda: False, timeout=0.1, message="three blind mice")
    assert time.monotonic() - started < 5


@pytest.mark.long
def test_a_killed_broker_comes_back_on_its_ports_with_its_durable_messages(own_broker: StartedBroker) -> None:
    node, url = own_broker.node, own_broker.url
    with new_vhost(own_broker) as vhost:
        with connect(vhost.url) as connection:
            channel = connection.channel()
            channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
            channel.confirm_delivery()
            declared = time.monotonic()
            for _ in range(10):
                channel.basic_publish("", "q", b"x", DURABLE)
            # 3.10 writes the registry of quorum queues twice a second: killed before that, the queue comes back empty.
            wait_for(lambda: time.monotonic() - declared > 1)
            node.kill()
            assert not node.running
            with pytest.raises(exceptions.AMQPConnectionError):
                connection.process_data_events(10)
        node.start()
        assert own_broker.url == url
        wait_for(
            lambda: vhost.management.ready("q") == 10, message=lambda: f"{vhost.management.ready('q')} of 10 are there"
        )


@pytest.mark.long
@pytest.mark.kills_broker
def test_a_destroyed_node_leaves_neither_process_nor_folder(broker) -> None:
    if not isinstance(getattr(broker, "node", None), PrivateNode):
        pytest.skip("the broker of this session is no private node")
    node = new_node("brief")
    assert isinstance(node, PrivateNode)
    node.start()
    taken = (node.ports.amqp, node.ports.management, node.ports.distribution, node.ports.epmd)
    node.destroy()
    assert not node.folder.exists()
    for port in taken:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.long
def test_a_stopped_broker_refuses_connections(own_broker: StartedBroker) -> None:
    own_broker.node.stop()
    with pytest.raises(exceptions.AMQPConnectionError):
        connect(own_broker.url)
    own_broker.node.start()
    with connect(own_broker.url) as connection:
        assert connection.is_open
