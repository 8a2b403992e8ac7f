"""Ways to try an act: with raw AMQP as an outsider with pika does it, and with our own library.

A way returns once its effect was seen. It raises `Refused` where the broker refuses, or where nothing came of it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel

from amqptasks import App
from amqptasks.errors import AccessRefused, BrokerError, StoreUnavailable
from tests.harness.roles.place import Place, Refused

#: How a RabbitMQ tells of a missing right: 403, on a channel or for a connection.
FORBIDDEN = 403

Way = Callable[[Place, str], None]


def raw(act: Callable[[Place, BlockingChannel], None]) -> Way:
    """An act on a channel of the role's, as an outsider with pika does it."""

    def way(place: Place, role: str) -> None:
        try:
            with pika.BlockingConnection(pika.URLParameters(place.url(role))) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                act(place, channel)
        except (exceptions.ChannelClosedByBroker, exceptions.ConnectionClosedByBroker) as error:
            if error.reply_code != FORBIDDEN:
                raise
            raise Refused(str(error)) from None
        except (exceptions.UnroutableError, exceptions.NackError) as error:
            raise Refused(f"nobody took it: {error!r}") from None

    return way


def with_app(act: Callable[[Place, App], None], **options: Any) -> Way:
    """An act with our own library; `options` are those of the app."""

    def way(place: Place, role: str) -> None:
        with closing(place.as_role(role, **options)) as app:
            try:
                act(place, app)
            except (BrokerError, StoreUnavailable) as error:
                if not (isinstance(error, AccessRefused) or "403" in str(error) or "refused" in str(error).lower()):
                    raise
                raise Refused(str(error)) from None

    return way


def publish(
    channel: BlockingChannel, exchange: str, key: str, body: object, headers: dict[str, Any] | None = None, **more: Any
) -> None:
    properties = pika.BasicProperties("application/json", "utf-8", headers, delivery_mode=2, **more)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    channel.basic_publish(exchange, key, data, properties, mandatory=True)


def task(channel: BlockingChannel, exchange: str, key: str, word: str, **embed: Any) -> None:
    """A task `shop.note` as a stranger writes it."""
    headers = {"task": "shop.note", "id": uuid.uuid4().hex}
    publish(channel, exchange, key, [[word], {}, embed], headers)


@contextmanager
def refused_without(effect: str) -> Iterator[None]:
    """What the broker took, and had no effect, is as good as refused."""
    try:
        yield
    except AssertionError:
        raise Refused(f"the broker took it, but not so that {effect}") from None
