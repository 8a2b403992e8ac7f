"""A virtual host for one test: nothing of another test can be in it, and it leaves nothing behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from tests.harness.management import Management


class Broker(Protocol):
    """What a test needs to know of a broker: an address without a virtual host, and its management API."""

    @property
    def url(self) -> str: ...

    @property
    def management_url(self) -> str: ...

    @property
    def version(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Vhost:
    """`url` leads to it with AMQP; `management` is the management API seen from it."""

    name: str
    url: str
    management: Management


@contextmanager
def new_vhost(broker: Broker, kind: str = "test") -> Iterator[Vhost]:
    """Create a virtual host with all rights for the user of `broker.url`; delete it at the end, whatever is in it. Its
    name begins with `kind`."""
    name = f"{kind}-{uuid.uuid4().hex[:12]}"
    management = Management(broker.url, broker.management_url, name)
    management.request("PUT", "vhosts", name)
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    management.request("PUT", "permissions", name, management.user, body=rights)
    try:
        yield Vhost(name, urlsplit(broker.url)._replace(path=f"/{name}").geturl(), management)
    finally:
        management.request("DELETE", "vhosts", name)
