"""What an error of a publish says about trying again."""

from __future__ import annotations

from amqptasks.errors import MessageTooLarge, PublishRejected, Unroutable


def is_lasting(error: BaseException) -> bool:
    """True for what trying again does not mend."""
    return isinstance(error, Unroutable | PublishRejected | MessageTooLarge)


def is_about_the_bytes(error: BaseException) -> bool:
    """True where these very bytes will never be taken, at whatever time: unless the broker said what is missing, an
    exchange (404) or a right (403)."""
    if isinstance(error, PublishRejected):
        return not error.reason.startswith(("403", "404"))
    return isinstance(error, MessageTooLarge)


def is_the_body(error: BaseException) -> bool:
    """True where leaving out headers does not help: the body is too large, by our own measure or by the broker's, which
    may be set lower (`max_message_size`)."""
    return "body has" in str(error) or "message size" in str(error)


def is_absence(error: BaseException) -> bool:
    """True where an exchange or a queue is missing that the message needs."""
    return isinstance(error, Unroutable) or (isinstance(error, PublishRejected) and error.reason.startswith("404"))
