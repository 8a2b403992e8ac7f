"""`rabbitmq-server` of this machine, started as a private node (see `private_node`)."""

from __future__ import annotations

from amqptasks.dev.brokers.installation import find_installation
from amqptasks.dev.brokers.private_node import PrivateNode
from amqptasks.dev.brokers.running import Absent, Running, Wish
from amqptasks.errors import BrokerError

KIND = "private node"


def find(wish: Wish) -> Running | Absent:
    """Start the node of `wish.folder`, with the data that is there."""
    if find_installation() is None:
        return Absent(KIND, "there is no rabbitmq-server on PATH")
    node = PrivateNode(wish.folder)
    try:
        node.start()
    except BrokerError as error:
        return Absent(KIND, str(error))
    return Running(KIND, node.url, node.management_url, node.version, started=True, folder=node.folder)


def stop(running: Running) -> None:
    """Stop it cleanly; its folder stays."""
    if running.folder is not None:
        PrivateNode(running.folder).stop()
