"""Tasks on RabbitMQ: declared topology, confirmed publishing, workers that lose nothing."""

from amqptasks.app.app import App
from amqptasks.app.registry import shared_task
from amqptasks.canvas.signature import Signature
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
    Snooze,
)
from amqptasks.messages.middleware import Middleware
from amqptasks.messages.request import Request
from amqptasks.messages.signing import Signing
from amqptasks.results.group_result import GroupResult
from amqptasks.results.result_set import ResultSet
from amqptasks.tasks.resources import resource
from amqptasks.tasks.task import Task

__version__ = "0.1.0"

__all__ = [
    "AmqptasksError",
    "App",
    "BrokerError",
    "ConfigurationError",
    "GroupResult",
    "Ignore",
    "Middleware",
    "PublishError",
    "Reject",
    "RemoteError",
    "Request",
    "ResultSet",
    "ResultTimeout",
    "Retry",
    "Signature",
    "Signing",
    "Snooze",
    "Task",
    "resource",
    "shared_task",
]
