"""The streams that hold results: `amqptasks.results.KK.NN`, KK of them, NN by a hash of the task's id.

KK stands in the name, so that two programs that disagree about it do not mix, and that can be seen. Records come
through an exchange that only workers may write to; probes, which anybody may write who looks a result up, come through
another one. The broker names the exchange of each record, so nobody can forge a result with a probe.
"""

from __future__ import annotations

from zlib import crc32

from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Queue

PREFIX = "amqptasks.results"

#: What workers write to. Its keys are `KK.NN`.
RECORDS = Exchange(PREFIX, "direct")

#: What whoever looks a result up writes to.
PROBES = Exchange(f"{PREFIX}.probe", "direct")

#: Header with the value that RabbitMQ's filter knows a record by, and the argument of a consumer that asks for some.
#: https://www.rabbitmq.com/docs/streams#filtering
FILTER_VALUE = "x-stream-filter-value"

#: Streams where the broker has filters, and where it has none: there a look-up reads all of one.
WITH_FILTERS, WITHOUT_FILTERS = 16, 64

#: Streams at most: each takes 130 to 400 kB of the broker's memory.
MOST = 1024

#: How long results are kept at most, in RabbitMQ's words and in seconds.
MAX_AGE, KEPT_FOR = "7D", 7 * 86_400.0

#: Bytes of all streams together, and files that each of them has at least: retention drops whole files only.
MAX_BYTES, FILES = 4_000_000_000, 8

#: Bytes of the filter of a chunk: the most that RabbitMQ takes. With the default of 16, a look-up among 60,000 results
#: reads 2,800 of them, with 255 some 20.
FILTER_BYTES = 255


def usual(capabilities: Capabilities) -> int:
    """How many streams there are where nobody says otherwise."""
    return WITH_FILTERS if capabilities.stream_filters else WITHOUT_FILTERS


def key_of(task_id: str, count: int) -> str:
    """The routing key of a task's results, of `count` streams."""
    return _key(crc32(task_id.encode()) % count, count)


def name_of(key: str) -> str:
    """The stream behind a routing key."""
    return f"{PREFIX}.{key}"


def keys(count: int) -> list[str]:
    """Of all streams."""
    return [_key(number, count) for number in range(count)]


def exchanges() -> tuple[Exchange, ...]:
    """Both exchanges."""
    return RECORDS, PROBES


def queue(key: str, count: int, capabilities: Capabilities) -> Queue:
    """One of `count` streams."""
    most = MAX_BYTES // count
    arguments: dict[str, object] = {
        "x-queue-type": "stream",
        "x-max-age": MAX_AGE,
        "x-max-length-bytes": most,
        "x-stream-max-segment-size-bytes": most // FILES,
        "x-queue-leader-locator": "balanced",
    }
    if capabilities.stream_filters:
        arguments["x-stream-filter-size-bytes"] = FILTER_BYTES
    return Queue(name_of(key), arguments=arguments)


def bindings(key: str) -> tuple[Binding, ...]:
    """Of one stream, to both exchanges."""
    return tuple(Binding(exchange.name, name_of(key), key) for exchange in exchanges())


def _key(number: int, count: int) -> str:
    return f"{count:02d}.{number:02d}"
