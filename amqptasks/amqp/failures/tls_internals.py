"""The one place that leans on a private part of CPython's `ssl`, and why it is needed.

A broker that wants a certificate of its clients says so while TLS is agreed on. A client that shows none hears of it
later, or not at all: with TLS 1.3 its side of the agreement is complete by then, and some brokers just close the
connection. Whether a certificate was asked for tells such an end from a broker that breaks off for any other reason.
`ssl` has no public way to see it; `SSLContext._msg_callback`, which it has for its own tests, does.
`tests/unit/amqp/test_tls_internals.py` fails when CPython changes it.
"""

from __future__ import annotations

import ssl
from typing import Any, cast


class CertificateRequest:
    """Whether the other side asks for a certificate: `seen`, from now until `end`. It costs time with each record, so
    it is for one try to connect, after one that failed."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.seen = False
        self._context = cast(Any, context)
        # None where nobody looks. Somebody else who does goes on.
        self._watches = getattr(self._context, "_msg_callback", self) is None
        if self._watches:
            self._context._msg_callback = self._hear

    def end(self) -> None:
        """Look no longer."""
        if self._watches:
            self._context._msg_callback = None

    def _hear(self, *said: object) -> None:
        """Connection, direction, version, kind of record, kind of message, bytes."""
        direction, message = said[1], said[4]
        if direction == "read" and getattr(message, "name", "") == "CERTIFICATE_REQUEST":
            self.seen = True
