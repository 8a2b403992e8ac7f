"""What a broker can do, by name, from the version it gave when we connected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Seconds that RabbitMQ waits for an acknowledgement where nobody says otherwise.
#: https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
CONSUMER_TIMEOUT = 1800.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """RabbitMQ's version as (major, minor, patch), and the questions that the rest of the code asks of it."""

    product: str = "RabbitMQ"
    version: tuple[int, int, int] = (4, 3, 0)

    @property
    def quorum_priorities(self) -> bool:
        """Quorum queues order by priority, 0 to 31, without an argument."""
        return self.version >= (4, 3, 0)

    @property
    def two_priority_classes(self) -> bool:
        """4.0 to 4.2: a quorum queue knows 0-4 and 5 and up, and the upper class holds back the expiry of the lower."""
        return (4, 0, 0) <= self.version < (4, 3, 0)

    @property
    def consumer_timeout_argument(self) -> bool:
        """A consumer may bring its own `x-consumer-timeout` (quorum queues)."""
        return self.version >= (4, 3, 0)

    @property
    def consumer_timeout_of_queues(self) -> bool:
        """A queue, or a policy for it, may bring its own `x-consumer-timeout`."""
        return self.version >= (3, 12, 0)

    @property
    def delivery_limit_off(self) -> bool:
        """From 4.0 quorum queues have a delivery limit of 20 unless `x-delivery-limit: -1` turns it off."""
        return self.version >= (4, 0, 0)

    @property
    def nack_is_free(self) -> bool:
        """`basic.nack(requeue)` does not count as a failed delivery."""
        return self.version >= (4, 3, 0)

    @property
    def policies_by_queue_type(self) -> bool:
        """A policy may apply to one queue type (`apply-to: quorum_queues`)."""
        return self.version >= (3, 12, 0)

    @property
    def delayed_retry(self) -> bool:
        """A quorum queue itself can hold a failed message back (`x-delayed-retry-type`)."""
        return self.version >= (4, 3, 0) and self.product == "RabbitMQ"

    @property
    def stream_filters(self) -> bool:
        """A stream keeps a filter of its records' values, and a consumer may ask for some of them."""
        return self.version >= (3, 13, 0)

    @property
    def classic_leader_locator(self) -> bool:
        """Classic queues take `x-queue-leader-locator`; 3.x knows it there as `x-queue-master-locator`."""
        return self.version >= (4, 0, 0)

    @property
    def default_queue_types(self) -> bool:
        """A virtual host may say of what type a queue is that names none; before, it takes the word and forgets it."""
        return self.version >= (3, 11, 0)

    @property
    def maximum_message_size(self) -> int:
        """Bytes of body that the broker takes with its default configuration."""
        return 16 * 1024 * 1024 if self.version >= (4, 0, 0) else 128 * 1024 * 1024


def from_server_properties(properties: Mapping[str, object]) -> Capabilities:
    """Read `connection.start`'s server properties (keys and values may be bytes or text)."""
    named = {_text(key): value for key, value in properties.items()}
    return Capabilities(_text(named.get("product", "RabbitMQ")), _version(_text(named.get("version", "0"))))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _version(text: str) -> tuple[int, int, int]:
    """`4.3.6`, `4.3.0-rc.1`, `3.10.8+1.gabc`: the leading numbers; what is missing counts as 0."""
    numbers: list[int] = []
    for part in text.split(".")[:3]:
        digits = ""
        for character in part:
            if not character.isdigit():
                break
            digits += character
        numbers.append(int(digits or 0))
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch
