"""Where somebody tries what the password of a role allows."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: Seconds for an effect that is expected.
SOON = 15.0

#: Seconds for an effect of what the broker took. Others of the same kind come within some milliseconds.
SHORTLY = 1.0

#: The result store of the workers.
RESULTS = "stream://?partitions=1"


class Refused(Exception):
    """The broker refused, or nothing came of it."""


@dataclass
class Place:
    """A virtual host with the topology of `shop.yaml`, its users, and a worker that runs `default` and `orders`.
    `ran` has what its tasks were called with, `result` is the id of a task whose result is stored."""

    vhost: Vhost
    folder: Path
    app: App
    ran: list[str] = field(default_factory=list)
    result: str = ""

    def url(self, role: str) -> str:
        return self.vhost.url.replace("guest:guest", f"{self.vhost.name}-{role}:hunter2")

    def as_role(self, role: str, **options: Any) -> App:
        return App("shop", self.url(role), topology=str(self.folder / "shop.yaml"), **options)

    def admin(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.vhost.url))

    def wait_ran(self, word: str) -> None:
        wait_for(lambda: word in self.ran, SOON, lambda: f"{word} runs: {self.ran}")


def new_word() -> str:
    return uuid.uuid4().hex
