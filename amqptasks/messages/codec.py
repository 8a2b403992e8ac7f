"""How an app writes its messages, and which it reads: serializer, compression and signature, over `protocol`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from amqptasks import serializers
from amqptasks.errors import ConfigurationError
from amqptasks.messages import compression as compressions, protocol
from amqptasks.messages.body import JSON_ONLY, Reader, reader
from amqptasks.messages.delivery import Alike, Delivery
from amqptasks.messages.headers import Wrong
from amqptasks.messages.own_headers import SIGNATURE
from amqptasks.messages.properties import Properties
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.reach import EVERYWHERE, Reach
from amqptasks.messages.request import Request
from amqptasks.messages.signing import Keys, Signing
from amqptasks.serializers import Serializer, json
from amqptasks.untrusted.masks import PLAIN as PLAIN_MASK, Mask
from amqptasks.untrusted.printable import short


class Codec:
    """Options as of `App`. `reader` is for what else comes to this app: replies.

    Raises `ConfigurationError` for a name that does not exist, a library that is not installed, and a `serializer`
    that is not in `accept_content`: its own workers, made alike, would refuse what it sends.
    """

    def __init__(
        self,
        *,
        serializer: str = "json",
        accept_content: Sequence[str] = ("json",),
        result_serializer: str | None = None,
        compression: str | None = None,
        compression_min_size: int = compressions.MIN_SIZE,
        largest_body: int | None = None,
        signing: Signing | Keys | None = None,
        reach: Reach | None = None,
        mask: Mask = PLAIN_MASK,
    ) -> None:
        names = (accept_content,) if isinstance(accept_content, str) else tuple(accept_content)
        self.reader: Reader = JSON_ONLY if names == ("json",) and largest_body is None else reader(names, largest_body)
        if "application/x-python-serialize" in self.reader.accept:
            warnings.warn(
                "accept_content has pickle: whoever can publish to a queue of this app, or to where its replies come,"
                " can run any code in it. Use it among trusted services only, and with signing=",
                stacklevel=4,  # whoever makes the App: above this, its `__init__` and the check of its options
            )
        #: Where followers and replies of unsigned messages may go. An app gives its own rule.
        self.reach = reach or EVERYWHERE
        #: Hides secrets wherever arguments are shown.
        self.mask = mask
        self.signing = signing if isinstance(signing, Signing) or signing is None else Signing(signing)
        self._looking = JSON_ONLY if largest_body is None else reader(("json",), largest_body)
        self._min_size = compression_min_size
        self._serializer = self._accepted(serializer)
        self._result_serializer = None if result_serializer is None else self._accepted(result_serializer)
        self._compression = None if compression is None else compressions.find(compression)
        #: True where messages are JSON, neither compressed nor signed, unless a call says otherwise.
        self.is_plain = self._serializer is json.SERIALIZER and self._compression is None and self.signing is None

    def encode(
        self, request: Request, serializer: str | None = None, compression: str | None = None, *, sign: bool = True
    ) -> tuple[bytes, Properties]:
        """Body and properties to publish; `serializer` and `compression` instead of the app's, `sign` False for what
        nobody of this app asked for. Raises `ConfigurationError` naming what cannot be sent."""
        if self.is_plain and serializer is None and compression is None:
            return protocol.encode(request)
        properties = protocol.encode_properties(request)
        body = self._write(
            request,
            properties,
            self._serializer if serializer is None else self._accepted(serializer),
            self._compression if compression is None else compressions.find(compression),
        )
        if self.signing is not None and sign:
            self.signing.sign(properties, body)
        return body, properties

    def decode(self, properties: Properties, body: bytes) -> Request | Malformed:
        """The request in a message, or why it must not run. Never raises, whatever was sent."""
        if self.signing is None:
            return protocol.decode(properties, body, self.reader)
        # First of all: what was not signed is neither unpacked nor read.
        try:
            verified = self.signing.verify(properties, body)
        except Wrong as wrong:
            return Malformed(wrong.reason, wrong.detail)
        if not verified and properties.content_type in _UNSAFE:
            return Malformed("unsigned", f"a body of {short(properties.content_type)} is only read with a signature")
        found = protocol.decode(properties, body, self.reader)
        if isinstance(found, Request):
            found.verified = verified
            found.signature = (properties.headers or {}).get(SIGNATURE)
        return found

    def decode_delivery(self, delivery: Delivery) -> Request | Malformed:
        """As `decode`; quicker where many like it came before."""
        if type(delivery) is Alike and self.signing is None:
            return protocol.decode_alike(delivery, self.reader)
        return self.decode(delivery.properties, delivery.body)

    def decode_unverified(self, properties: Properties, body: bytes) -> Request | Malformed:
        """As `decode`, for looking only: a message without a signature that is right is read as well, but as JSON at
        most. A pickle would run its code here, with the rights of whoever looks."""
        try:
            verified = self.signing is not None and self.signing.verify(properties, body)
        except Wrong:
            verified = False
        found = protocol.decode(properties, body, self.reader if verified else self._looking)
        if isinstance(found, Request):
            found.verified = verified
        return found

    def rewrite(self, request: Request, properties: Properties) -> bytes:
        """A new body for a message that has these properties, in the serializer and compression that it had; the
        properties are made to fit. Raises as `encode`."""
        headers = properties.headers = {} if properties.headers is None else properties.headers
        packed = headers.pop("compression", None)
        kind = compressions.find(packed) if isinstance(packed, str) and compressions.is_known(packed) else None
        return self._write(request, properties, self._of(properties) or json.SERIALIZER, kind)

    def sign_again(self, properties: Properties, body: bytes, verified: bool = True) -> None:
        """After a change to a message: a signature of ours if it was `verified`, else none."""
        if self.signing is not None and verified:
            self.signing.sign(properties, body)
        elif properties.headers:
            properties.headers.pop(SIGNATURE, None)

    def sign_reply(self, properties: Properties, body: bytes, request: Request | None) -> None:
        """Sign the reply to a request whose signature was right, with the same key. Any other reply stays unsigned: a
        stranger may have chosen its id and its value."""
        if self.signing is not None and request is not None and request.verified:
            self.signing.sign(properties, body, like=request.signature)

    def sign_like(self, properties: Properties, body: bytes, like: object) -> None:
        """Sign with the key of the signature `like`; not at all where that is None."""
        if self.signing is not None and like is not None:
            self.signing.sign(properties, body, like=like)

    def for_reply(self, properties: Properties) -> Serializer:
        """How the reply to this message is written: as the app says, else as the message was, else in JSON."""
        return self._result_serializer or self._of(properties) or json.SERIALIZER

    def _of(self, properties: Properties) -> Serializer | None:
        return self.reader.accept.get(properties.content_type)

    def _write(
        self,
        request: Request,
        properties: Properties,
        serializer: Serializer,
        compression: compressions.Compression | None,
    ) -> bytes:
        body = protocol.encode_body(request, serializer)
        properties.content_type = serializer.content_type
        properties.content_encoding = serializer.content_encoding
        if compression is not None and len(body) >= self._min_size:
            packed = compression.shrink(body)
            if len(packed) < len(body):
                assert properties.headers is not None
                properties.headers["compression"] = compression.content_type
                return packed
        return body

    def _accepted(self, name: str) -> Serializer:
        found = serializers.find(name)
        if found.content_type not in self.reader.accept:
            accepted = ", ".join(sorted({known.name for known in self.reader.accept.values()}))
            raise ConfigurationError(
                f"serializer {name!r} is not in accept_content ({accepted}): a worker of this app would refuse it."
                f" Add it there: App(..., accept_content=[..., {name!r}])"
            )
        return found


#: Content types whose reading runs code, or takes long enough to hold a worker up.
_UNSAFE = frozenset({"application/x-python-serialize", "application/x-yaml"})

#: JSON, plain and unsigned.
PLAIN = Codec()
