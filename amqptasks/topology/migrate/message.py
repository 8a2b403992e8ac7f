"""A message on its way from one queue to another, as it is: same bytes, same id, same reply address. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import TRACE_PREFIXES, WAITING, carried
from amqptasks.messages.properties import Headers, Properties

Fit = Callable[[Delivery], Outgoing]


def outward(exchange: str, user: str, keep_deaths: bool) -> Fit:
    """To the shadow. There a message's own `expiration` does not run by itself: what is over is seen on the way back,
    and ends where it would have ended in the queue."""

    def fit(delivery: Delivery) -> Outgoing:
        outgoing = _moved(delivery, exchange, user, keep_deaths)
        given = outgoing.properties
        if given.expiration is not None:
            headers: Headers = {**(given.headers or {}), WAITING: f"{given.expiration} {time.time()}"}
            outgoing.properties = replace(given, expiration=None, headers=headers)
        return outgoing

    return fit


def homeward(exchange: str, user: str, keep_deaths: bool) -> Fit:
    """Back to the queue, with what is left of its `expiration`."""

    def fit(delivery: Delivery) -> Outgoing:
        outgoing = _moved(delivery, exchange, user, keep_deaths)
        given = outgoing.properties
        if given.headers and WAITING in given.headers:
            headers = dict(given.headers)
            expiration = _remaining(headers.pop(WAITING), time.time())
            outgoing.properties = replace(given, expiration=expiration, headers=headers)
        return outgoing

    return fit


def _moved(delivery: Delivery, exchange: str, user: str, keep_deaths: bool) -> Outgoing:
    """`keep_deaths` for a queue from which nothing is dead-lettered: there the broker's record of a death is what
    people look for; anywhere else RabbitMQ up to 3.13 would take the message for one that goes round in a circle."""
    given = delivery.properties
    headers = given.headers
    if headers is not None:
        kept = {name: headers[name] for name in headers if keep_deaths and _of_death(name)}
        headers = carried(headers, "back") | kept
    properties: Properties = replace(
        given,
        headers=headers,
        user_id=given.user_id if given.user_id == user else None,  # the broker refuses another's (406)
    )
    return Outgoing(exchange, delivery.routing_key, delivery.body, properties)


def _of_death(name: str) -> bool:
    return name == "x-death" or name.startswith(TRACE_PREFIXES)


def _remaining(waiting: object, now: float) -> str | None:
    """What is left, as `expiration` wants it; None for a header that is not ours."""
    try:
        expiration, since = str(waiting).split(" ")
        return str(max(0, round(int(expiration) - (now - float(since)) * 1000)))
    except ValueError:
        return None
