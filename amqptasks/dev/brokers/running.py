"""What the ways to a broker hand back: a broker that runs, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from amqptasks.untrusted.masks import masked_address

#: RabbitMQ's own first user. The server lets it in from this machine only, so its password is no secret.
#: https://www.rabbitmq.com/docs/access-control#loopback-users
GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Running:
    """A RabbitMQ that speaks AMQP and lets us in.

    `kind` is how it was had: `given`, `localhost`, `private node` or `docker`. `url` may carry a password: print
    `shown(url)`. `management_url` is None where the management API was not found. `started` is True when amqptasks
    started it, and so may stop it. `folder` is where a private node keeps its data.
    """

    kind: str
    url: str
    management_url: str | None
    version: str
    started: bool = False
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """This way leads to no broker, and why, in words that fit after its name and a colon."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. `url` names one broker and nothing else will do; `folder` is where a private node keeps its
    data (made when missing); `install` allows a package to be installed."""

    folder: Path
    url: str | None = None
    install: bool = False


def shown(url: str) -> str:
    """The address for people: whole where it carries guest's password, which everybody knows, else `***` for it."""
    return url if f"://{GUEST}:{GUEST}@" in url else masked_address(url)
