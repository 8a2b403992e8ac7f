"""A client of RabbitMQ's management API, for what AMQP cannot tell or do.

https://www.rabbitmq.com/docs/http-api-reference
"""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, IncompleteRead
from typing import IO, Any
from urllib.parse import quote, urlencode

import orjson

from amqptasks.amqp.address import parameters
from amqptasks.errors import BrokerError
from amqptasks.management.credentials import opener
from amqptasks.runtime.clock import monotonic
from amqptasks.untrusted.bounds import ANSWER_WITHIN, LARGEST_ANSWER

#: Bytes that are read of an answer at once.
_PIECE = 65_536

#: Characters of an answer that nobody understands, for a message.
LARGEST_QUOTE = 120


class Unanswered(BrokerError):
    """The management API did not say; the message tells why. `status` is the answer's HTTP status, None where there
    was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class Management:
    """The API at `base` (`http://HOST:15672`), as the user and for the virtual host of the broker's address `url`.

    `tls` is used where `base` is https; by default what the address says of TLS, and the system's authorities where it
    says nothing. `timeout` is in seconds, for each answer. The password goes to `base` and nowhere else: redirects are
    not followed, and the environment's proxies are not used.
    """

    def __init__(self, base: str, url: str, tls: ssl.SSLContext | None = None, timeout: float = ANSWER_WITHIN) -> None:
        wanted = parameters(url)
        self.user, password = (str(getattr(wanted.credentials, name)) for name in ("username", "password"))
        self._authorization = b64encode(f"{self.user}:{password}".encode()).decode()
        if tls is None and wanted.ssl_options is not None:
            tls = wanted.ssl_options.context
        self._opener = opener(base, tls)
        self._timeout = timeout
        self.base = base.rstrip("/")
        #: The broker's address, with its password.
        self.url = url
        self.vhost = str(wanted.virtual_host)

    def version(self) -> str:
        """The broker's release (`4.3.0`). Raises as `overview` does."""
        return str(self.overview()["rabbitmq_version"])

    def overview(self, *columns: str) -> Mapping[str, Any]:
        """The broker's release as `rabbitmq_version`, and these columns of the API's overview. Raises `Unanswered`,
        also where something else than the API answers."""
        said = self.request("GET", "overview", query={"columns": ",".join(("rabbitmq_version", *columns))})
        if not isinstance(said, dict) or "rabbitmq_version" not in said:
            raise Unanswered(
                f"{self.base} answers, but does not say which RabbitMQ it is: is it RabbitMQ's management API?"
            )
        return said

    def time(self) -> float:
        """The broker's clock, in seconds since 1970, without their fraction. Raises `Unanswered`."""
        said = self._answer("GET", ("whoami",))[1]
        try:
            return parsedate_to_datetime(said or "").timestamp()
        except ValueError:
            raise Unanswered(f"{self.base} does not say what time it is") from None

    def find(self, *path: str, query: dict[str, str] | None = None) -> Any:
        """What is there, decoded; None where nothing is (404). Raises `Unanswered`."""
        try:
            return self.request("GET", *path, query=query)
        except Unanswered as unanswered:
            if unanswered.status == 404:
                return None
            raise

    def put(self, *path: str, body: object = None) -> None:
        """Make it so. Raises `Unanswered`."""
        self.request("PUT", *path, body={} if body is None else body)

    def delete(self, *path: str, query: dict[str, str] | None = None) -> bool:
        """False where nothing was there. Raises `Unanswered`, with status 400 where a condition of `query` (`if-empty`,
        `if-unused`) is not met."""
        try:
            self.request("DELETE", *path, query=query)
        except Unanswered as unanswered:
            if unanswered.status == 404:
                return False
            raise
        return True

    def request(self, method: str, *path: str, body: object = None, query: dict[str, str] | None = None) -> Any:
        """The decoded answer. An error status that carries JSON (503 of a health check) is an answer too. Raises
        `Unanswered`."""
        return self._answer(method, path, body, query)[0]

    def _answer(
        self, method: str, path: tuple[str, ...], body: object = None, query: dict[str, str] | None = None
    ) -> tuple[Any, str | None]:
        """Decoded, and when that was by the broker's clock."""
        what = f"{method} /api/{'/'.join(path)}"
        address = "/".join((f"{self.base}/api", *(quote(part, safe="") for part in path)))
        request = urllib.request.Request(  # noqa: S310 - the scheme is the user's choice
            f"{address}?{urlencode(query)}" if query else address,
            method=method,
            data=None if body is None else orjson.dumps(body),
            headers={"Authorization": f"Basic {self._authorization}", "Content-Type": "application/json"},
        )
        text, headers = self._sent(request, what)
        try:
            return orjson.loads(text) if text else None, headers["Date"]
        except ValueError:
            raise Unanswered(f"{self.base} answers, but not in JSON: is it RabbitMQ's management API?") from None

    def _sent(self, request: urllib.request.Request, what: str) -> tuple[bytes, Message]:
        try:
            try:
                deadline = monotonic() + self._timeout
                with self._opener.open(request, timeout=self._timeout) as response:
                    return self._whole(response, deadline), response.headers
            except urllib.error.HTTPError as error:
                with error:
                    text = self._whole(error, deadline)
                if error.code == 503:
                    return text, error.headers
                raise Unanswered(f"{what}: {self._reason(error, text)}", error.code) from None
        except OSError as error:
            raise Unanswered(f"{self.base}: {getattr(error, 'reason', None) or error}") from None
        except (HTTPException, ValueError) as error:  # ValueError: a host's name that cannot be one
            said = repr(error)[:LARGEST_QUOTE]
            raise Unanswered(
                f"{self.base} gives no answer in HTTP ({said}): is it RabbitMQ's management API?"
            ) from None

    def _whole(self, response: IO[bytes], deadline: float) -> bytes:
        """All that it says. Raises `Unanswered` for an answer that is too large, or takes too long as a whole: a byte
        every few seconds never is too slow for a socket."""
        found: list[bytes] = []
        size = 0
        read = getattr(response, "read1", response.read)  # what is there, without waiting for more
        while piece := read(_PIECE):
            found.append(piece)
            size += len(piece)
            if size > LARGEST_ANSWER:
                raise Unanswered(f"{self.base} answers with more than {LARGEST_ANSWER} bytes: is it RabbitMQ's?")
            if monotonic() > deadline:
                raise Unanswered(f"{self.base} has not ended its answer within {self._timeout:g} s")
        missing = getattr(response, "length", None)  # `read1` does not tell that the answer broke off
        if missing:
            raise IncompleteRead(b"".join(found), missing)
        return b"".join(found)

    def _reason(self, error: urllib.error.HTTPError, text: bytes) -> str:
        """The broker's own words, and for a refusal what the user lacks."""
        try:
            said = str(orjson.loads(text)["reason"])
        except (ValueError, KeyError, TypeError):
            said = error.reason
        if 300 <= error.code < 400:
            place = error.headers.get("Location", "another address")
            return f"{error.code}: {self.base} leads to {place}, where the password does not go along: name that one"
        if error.code == 401 and not re.match("not .* user", said.lower()):  # `Not monitor user` is a lack of tags
            return f"{error.code} {said}: the password of the user {self.user!r} is wrong, or there is no such user"
        if error.code in (401, 403):
            tags = "its tags decide: `management` to look, `policymaker` for policies, `administrator` for the rest"
            return f"{error.code} {said}: the user {self.user!r} may not do this ({tags})"
        return f"{error.code} {said}"
