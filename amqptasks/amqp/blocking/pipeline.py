"""Declaring many objects without waiting for each: several channels, and one answer for many requests.

A broker takes a few milliseconds for a queue, and works for one channel at a time on one request; it works for several
channels at the same time. So the requests go without the wish for an answer (`no-wait`) to a few channels, and each
channel is asked something harmless now and then: its answer comes after all that went before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from pika import exceptions, spec
from pika.adapters.blocking_connection import BlockingChannel

from amqptasks.amqp.blocking.blocking_connection import BoundedConnection, ask_all, channel_below
from amqptasks.transport.entities import Binding, Exchange, Queue

#: Channels at work. With 4 the broker makes about three times as many queues a second as in a loop, on two cores; 8 did
#: no better.
CHANNELS = 4

#: Objects between two answers: enough that waiting for the slowest channel costs little.
WINDOW = 64

#: Seconds for the answer to a whole window. A busy broker makes a handful of quorum queues a second.
WINDOW_WITHIN = 60.0

#: Untyped in pika.
_methods: Any = spec

#: Seconds for the answer to all that is declared in order: an app's own objects, and a ladder of thirty quorum queues.
IN_ORDER_WITHIN = 15.0

Declared = Exchange | Queue | Binding


def declare_all(
    connection: BoundedConnection, objects: Iterable[Declared], progress: Callable[[Declared], None]
) -> None:
    """Make them, in no order among each other; `progress` hears of each that is there for certain.

    Raises pika's `ChannelClosedByBroker` for the first that is refused; others of its window may be made or not.
    """
    usual, connection.seconds = connection.seconds, max(connection.seconds, WINDOW_WITHIN)
    channels: list[BlockingChannel] = []
    reasons: list[Exception] = []
    try:
        for _ in range(CHANNELS):
            channels.append(connection.channel())
            channel_below(channels[-1]).add_on_close_callback(lambda _, reason: reasons.append(reason))
        waiting = iter(objects)
        while window := list(islice(waiting, WINDOW)):
            for number, one in enumerate(window):
                _send(channels[number % CHANNELS], one)
            for channel in channels:
                channel.basic_qos(prefetch_count=1)
            for one in window:
                progress(one)
    except exceptions.ChannelWrongStateError as error:
        # The broker closed one while another's answer was waited for: then pika says no more than that it is closed.
        raise [*reasons, error][0] from None
    finally:
        connection.seconds = usual
        for channel in channels:
            if channel.is_open:
                with suppress(exceptions.AMQPError):  # what counts has been said already
                    channel.close()


def declare_in_order(connection: BoundedConnection, objects: Iterable[Declared], retired: Iterable[Binding]) -> None:
    """Make them one after the other, and then remove the bindings `retired` of queues, over one channel, without
    waiting for an answer before the next: two round trips, however many there are.

    Raises pika's `ChannelClosedByBroker` for the first that is refused; those before it are made, those after it not.
    """
    usual, connection.seconds = connection.seconds, max(connection.seconds, IN_ORDER_WITHIN)
    try:
        channel = connection.channel()
        requests = [*map(_request, objects), *map(_removal, retired)]
        ask_all(channel, requests)  # it stays open: to close it is a round trip
    finally:
        connection.seconds = usual


def _request(one: Declared) -> Any:
    arguments = dict(one.arguments)
    if isinstance(one, Exchange):
        return _methods.Exchange.Declare(
            exchange=one.name,
            type=one.type,
            durable=one.durable,
            auto_delete=one.auto_delete,
            internal=one.internal,
            arguments=arguments,
        )
    if isinstance(one, Queue):
        return _methods.Queue.Declare(
            queue=one.name,
            durable=one.durable,
            exclusive=one.exclusive,
            auto_delete=one.auto_delete,
            arguments=arguments,
        )
    if one.destination_type == "queue":
        return _methods.Queue.Bind(
            queue=one.destination, exchange=one.source, routing_key=one.routing_key, arguments=arguments
        )
    return _methods.Exchange.Bind(
        destination=one.destination, source=one.source, routing_key=one.routing_key, arguments=arguments
    )


def _removal(one: Binding) -> Any:
    return _methods.Queue.Unbind(
        queue=one.destination, exchange=one.source, routing_key=one.routing_key, arguments=dict(one.arguments)
    )


def _send(channel: BlockingChannel, one: Declared) -> None:
    """pika's blocking channel always waits; the channel below it does not where it gets no callback."""
    below = channel_below(channel)
    arguments = dict(one.arguments)
    if isinstance(one, Exchange):
        below.exchange_declare(
            one.name, one.type, False, one.durable, one.auto_delete, one.internal, arguments, callback=None
        )
    elif isinstance(one, Queue):
        below.queue_declare(one.name, False, one.durable, one.exclusive, one.auto_delete, arguments, callback=None)
    elif one.destination_type == "queue":
        below.queue_bind(one.destination, one.source, one.routing_key, arguments, callback=None)
    else:
        below.exchange_bind(one.destination, one.source, one.routing_key, arguments, callback=None)
