"""Users of the broker and what they may do. A password never stands in a file: only the name of the environment
variable that holds it."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import Bound, Expression, Text
from amqptasks.transport.entities import Limit, Permission, TopicPermission, User

#: The tags that mean something to RabbitMQ (https://www.rabbitmq.com/docs/management#permissions); others are kept.
TAGS = ("administrator", "monitoring", "policymaker", "management", "impersonator")


#: What a shell takes for a variable's name.
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"


def _variable(value: object) -> object:
    # The problem does not begin with "is", so that no message shows what may be the password itself.
    if not isinstance(value, str) or not re.fullmatch(_VARIABLE, value):
        raise Wrong("must be the name of an environment variable", "Write `password_from: SHOP_PASSWORD`, without ${ }")
    return value


def _tag(value: object) -> object:
    if isinstance(value, str) and value not in TAGS:
        close = get_close_matches(value.lower(), TAGS, 1, cutoff=0.8)
        if close:  # a misspelt tag gives no right, silently
            raise Wrong("is no tag of RabbitMQ's", f"did you mean `{close[0]}`?")
    return value


class PermissionsPart(Part):
    """Regular expressions over names; the empty text allows nothing."""

    configure: Expression = ""
    """What the user may create and delete."""
    write: Expression = ""
    """What the user may publish to, and bind."""
    read: Expression = ""
    """What the user may consume, and bind from."""


class TopicPermissionPart(Part):
    """Regular expressions over routing keys; the empty text allows nothing."""

    write: Expression = ""
    """Routing keys that the user may publish with."""
    read: Expression = ""
    """Routing keys that the user may bind with."""


class UserLimitsPart(Part):
    max_connections: Bound | None = None
    """Connections at a time; 0 is none."""
    max_channels: Bound | None = None
    """Channels at a time; 0 is none."""


class UserPart(Part):
    password_from: (
        Annotated[
            str,
            BeforeValidator(_variable),
            WithJsonSchema({"type": "string", "pattern": f"^{_VARIABLE}$|\\$\\{{", "examples": ["SHOP_PASSWORD"]}),
        ]
        | None
    ) = None
    """The environment variable that holds the password; it never stands in a file."""
    tags: list[Annotated[Text, BeforeValidator(_tag)]] = []
    """monitoring, management, policymaker, administrator, or labels of your own."""
    role: Literal["publisher", "worker", "beat", "viewer", "operator", "declarer"] | None = None
    """What the user is there for, in place of permissions."""
    permissions: PermissionsPart | None = None
    """Regular expressions over the names of queues and exchanges."""
    topic_permissions: dict[str, TopicPermissionPart] = {}
    """For each topic exchange, regular expressions over routing keys."""
    limits: UserLimitsPart = UserLimitsPart()
    """Bounds."""
    for_each: list[Text] | None = None
    """One user for each of these, in place of `{each}`."""

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, value: object) -> object:
        if isinstance(value, dict) and "password" in value:
            hint = "Write `password_from: SHOP_PASSWORD` and set that environment variable"
            raise Wrong("a password does not belong into a file", hint, ("password",))
        return value

    @model_validator(mode="after")
    def _one_source_of_rights(self) -> UserPart:
        if self.role is not None and (self.permissions is not None or self.topic_permissions):
            key = "permissions" if self.permissions is not None else "topic_permissions"
            raise Wrong("has a `role`, which gives the permissions", "Keep one of them", (key,))
        return self

    def user(self, name: str) -> User:
        return User(name, tuple(self.tags), self.password_from)

    def permission(self, name: str) -> Permission | None:
        given = self.permissions
        return None if given is None else Permission(name, given.configure, given.write, given.read)

    def topics(self, name: str) -> tuple[TopicPermission, ...]:
        return tuple(
            TopicPermission(name, exchange, part.write, part.read) for exchange, part in self.topic_permissions.items()
        )

    def bounds(self, name: str) -> tuple[Limit, ...]:
        named = {"max-connections": self.limits.max_connections, "max-channels": self.limits.max_channels}
        return tuple(Limit(limit, value, name) for limit, value in named.items() if value is not None)
