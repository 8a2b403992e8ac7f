"""Tasks on RabbitMQ: declared topology, confirmed publishing, workers that lose nothing."""

from amqptasks.app import App
from amqptasks.errors import (
    AmqptasksError,
    BrokerError,
    ConfigurationError,
    Ignore,
    PublishError,
    Reject,
    RemoteError,
    ResultTimeout,
    Retry,
)
from amqptasks.request import Request
from amqptasks.task import Task

__version__ = "0.1.0"

__all__ = [
    "AmqptasksError",
    "App",
    "BrokerError",
    "ConfigurationError",
    "Ignore",
    "PublishError",
    "Reject",
    "RemoteError",
    "Request",
    "ResultTimeout",
    "Retry",
    "Task",
]
