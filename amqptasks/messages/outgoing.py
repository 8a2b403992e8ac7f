"""A message on its way to the broker."""

from __future__ import annotations

from dataclasses import dataclass

from amqptasks.messages.properties import Properties

#: A direct exchange to which every declared queue is bound under its own name; `queue=` goes through it. The default
#: exchange would do the same, but rights on it are all or nothing.
QUEUES_EXCHANGE = "amqptasks.queues"


@dataclass(slots=True)
class Outgoing:
    """A message on its way to the broker. `mandatory`: it must reach a queue, or `Unroutable` is the outcome."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Properties
    mandatory: bool = True


@dataclass(eq=False, slots=True)
class Template:
    """What messages have in common that differ in nothing but their body and their id, which is their header `id` and
    their correlation id. A transport encodes the rest once. `properties` hold the id of some other message."""

    exchange: str
    routing_key: str
    properties: Properties
    mandatory: bool = True


class Templated(Outgoing):
    """A message of a template. `identity` is a UUID in its usual 36 characters. Its `properties` are made when somebody
    asks for them: on the way to the broker nobody does."""

    __slots__ = ("identity", "template")

    def __init__(self, template: Template, identity: str, body: bytes) -> None:
        self.template = template
        self.identity = identity
        self.exchange = template.exchange
        self.routing_key = template.routing_key
        self.body = body
        self.mandatory = template.mandatory

    def __getattr__(self, name: str) -> Properties:
        if name != "properties":
            raise AttributeError(name)
        self.properties = self.template.properties.identified(self.identity)
        return self.properties
