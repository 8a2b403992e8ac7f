"""A client of RabbitMQ's management API, for the little that AMQP cannot tell or do.

https://www.rabbitmq.com/docs/http-api-reference
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any
from urllib.parse import quote

from amqptasks.amqp.address import parameters

#: Seconds for an answer; listing the bindings of a large virtual host takes some.
ANSWER_WITHIN = 10.0


class Unanswered(Exception):
    """The management API did not say; the message tells why."""


class Management:
    """The API at `base` (`http://HOST:15672`), as the user and for the virtual host of the broker's address `url`."""

    def __init__(self, base: str, url: str) -> None:
        wanted = parameters(url)
        self.user, password = (str(getattr(wanted.credentials, name)) for name in ("username", "password"))
        self._authorization = b64encode(f"{self.user}:{password}".encode()).decode()
        self.base = base.rstrip("/")
        self.vhost = str(wanted.virtual_host)

    def request(self, method: str, *path: str, body: object = None) -> Any:
        """The decoded answer. An error status that carries JSON (503 of a health check) is an answer too. Raises
        `Unanswered`."""
        address = "/".join((f"{self.base}/api", *(quote(part, safe="") for part in path)))
        request = urllib.request.Request(  # noqa: S310 - the scheme is the user's choice
            address,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {self._authorization}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN) as response:  # noqa: S310
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 503:
                    raise Unanswered(f"{method} /api/{'/'.join(path)}: {error.code} {error.reason}") from None
                text = error.read()
        except OSError as error:
            raise Unanswered(f"{self.base}: {error}") from None
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise Unanswered(f"{self.base} answers, but not in JSON: is it RabbitMQ's management API?") from None
