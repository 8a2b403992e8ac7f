"""Where one object of the broker differs from what the topology says of it, and what can be done about it."""

from __future__ import annotations

import shlex
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import md5, sha256, sha512

from amqptasks.topology import durations
from amqptasks.topology.broker.identity import spelled, without_undefined
from amqptasks.topology.broker.observed import ObservedQueue, ObservedUser
from amqptasks.topology.broker.steps import Difference
from amqptasks.transport.entities import (
    Exchange,
    Limit,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    User,
    VirtualHost,
)

#: Arguments that a policy can set as well, under the name without `x-`, with the sense in which the stricter of two
#: numbers counts. https://www.rabbitmq.com/docs/policies
SMALLER_COUNTS = frozenset(
    {"max-length", "max-length-bytes", "message-ttl", "expires", "delivery-limit", "consumer-timeout"}
)
POLICY_KEYS = SMALLER_COUNTS | {
    "overflow",
    "dead-letter-exchange",
    "dead-letter-routing-key",
    "dead-letter-strategy",
    "queue-leader-locator",
    "alternate-exchange",
}

#: What a policy says of a stream counts, whatever its arguments say (rabbit_stream_queue.erl, `policy_precedence`).
OF_STREAMS = frozenset({"max-age", "max-length-bytes", "stream-max-segment-size-bytes", "stream-filter-size-bytes"})

#: How RabbitMQ keeps passwords: base64 of four random bytes and the hash of these and the password.
#: https://www.rabbitmq.com/docs/passwords
_HASHES = {
    "rabbit_password_hashing_sha256": sha256,
    "rabbit_password_hashing_sha512": sha512,
    "rabbit_password_hashing_md5": md5,
}
_SALT = 4

#: Of these, two of one type differ where Python says so.
_PLAIN = (str, int, type(None))


def of_exchange(wanted: Exchange, current: Exchange) -> tuple[Difference, ...]:
    properties = (
        ("type", wanted.type, current.type),
        ("durable", wanted.durable, current.durable),
        ("auto_delete", wanted.auto_delete, current.auto_delete),
        ("internal", wanted.internal, current.internal),
    )
    return (*_differing(properties), *_of_arguments(wanted.arguments, current.arguments))


def of_queue(wanted: Queue, current: ObservedQueue) -> tuple[Difference, ...]:
    """A queue declared without a type has one all the same: 3.10 does not write it into the arguments, and takes the
    type for equal."""
    properties = (
        ("durable", wanted.durable, current.queue.durable),
        ("exclusive", wanted.exclusive, current.queue.exclusive),
        ("auto_delete", wanted.auto_delete, current.queue.auto_delete),
    )
    arguments = {"x-queue-type": current.type, **current.queue.arguments}
    asked = {"x-queue-type": current.type, **wanted.arguments}
    return (*_differing(properties), *_of_arguments(asked, arguments))


def of_policy(wanted: Policy, current: Policy) -> tuple[Difference, ...]:
    properties = (
        ("pattern", wanted.pattern, current.pattern),
        ("apply-to", wanted.apply_to, current.apply_to),
        ("priority", wanted.priority, current.priority),
    )
    found = _of_arguments(wanted.definition, current.definition)
    return (*_differing(properties), *(one for one in found if not same_setting(one.key, one.wanted, one.current)))


def same_setting(key: str, one: object, other: object) -> bool:
    """Whether the broker does the same for two values of a policy's key: it takes `7D` for `604800s`."""
    if key == "max-age" and isinstance(one, str) and isinstance(other, str):
        seconds = durations.age(one)
        return one == other or (seconds is not None and seconds == durations.age(other))
    return one == other and type(one) is type(other)


def of_user(wanted: User, current: ObservedUser, password: str | None) -> tuple[Difference, ...]:
    """`password` None: it is not known here, and not compared."""
    found = list(_differing((("tags", sorted(wanted.tags), sorted(current.user.tags)),)))
    if password is not None and not same_password(password, current):
        found.append(Difference("password", f"as the variable {wanted.password} has it", "another one"))
    return tuple(found)


def same_password(password: str, user: ObservedUser) -> bool:
    """Whether the broker's hash is this password's; true where it hashes in a way that is not known here."""
    hashing = _HASHES.get(user.hashing_algorithm)
    if hashing is None:
        return True
    salt = b64decode(user.password_hash)[:_SALT]
    return b64encode(salt + hashing(salt + password.encode()).digest()).decode() == user.password_hash


def of_permission(
    wanted: Permission | TopicPermission, current: Permission | TopicPermission
) -> tuple[Difference, ...]:
    keys = [key for key in ("configure", "write", "read") if hasattr(wanted, key)]
    return tuple(_differing((key, getattr(wanted, key), getattr(current, key)) for key in keys))


def of_limit(wanted: Limit, current: Limit) -> tuple[Difference, ...]:
    return tuple(_differing(((wanted.name, wanted.value, current.value),)))


def of_vhost(wanted: VirtualHost, current: VirtualHost) -> tuple[Difference, ...]:
    """Only of what the file says."""
    properties: list[tuple[str, object, object]] = []
    if wanted.description is not None:
        properties.append(("description", wanted.description, current.description))
    if wanted.tags:
        properties.append(("tags", sorted(wanted.tags), sorted(current.tags)))
    if wanted.default_queue_type is not None:
        properties.append(("default_queue_type", wanted.default_queue_type, current.default_queue_type))
    return tuple(_differing(properties))


def migrate_command(queue: str) -> str:
    """The command that replaces a queue, for a shell."""
    return shlex.join(("amqptasks", "migrate", queue))


def ways_out_of_queue(
    queue: ObservedQueue, differences: Iterable[Difference], migrate: Callable[[str], str] = migrate_command
) -> tuple[str, ...]:
    """What can be done about a queue that cannot be changed in place: the best way first. A stream is never migrated:
    what is in it cannot be taken out. `migrate` gives the command for a queue."""
    differences = tuple(differences)
    stream = queue.type == "stream" or any(one.key == "x-queue-type" and one.wanted == "stream" for one in differences)
    ways = [] if stream else [f"{migrate(queue.name)}: replaces the queue, keeps its messages"]
    if all(_by_policy(queue.type, difference) for difference in differences):
        definition = {_file_key(one.key): _file_value(one.key, one.wanted) for one in differences}
        ways.append(
            f"a policy instead: take {_listed(differences)} out of the file, and set {spelled(definition)} for it"
            f" under `policies:`; that can be changed at any time"
        )
    ways.append("keep what is there: write the broker's value into the file")
    return tuple(ways)


def ways_out_of_exchange(exchange: Exchange, differences: Iterable[Difference]) -> tuple[str, ...]:
    differences = tuple(differences)
    ways = []
    if all(difference.key == "alternate-exchange" and difference.current is None for difference in differences):
        ways.append(
            f"a policy instead: take `alternate_exchange` out of the file, and set"
            f" {spelled({'alternate_exchange': differences[0].wanted})} for it under `policies:`"
        )
    ways.append(
        f"delete and declare it anew: rabbitmqadmin delete exchange name={exchange.name}, then amqptasks declare;"
        f" in between its bindings are gone, and what is published to it is refused (404), not stored"
    )
    ways.append("keep what is there: write the broker's value into the file")
    return tuple(ways)


def _by_policy(queue_type: str, difference: Difference) -> bool:
    """Whether a policy would have the wanted effect, whatever the argument on the broker says. For `overflow` the
    policy beats the argument of a quorum queue; elsewhere the argument beats the policy."""
    key = difference.key.removeprefix("x-")
    if queue_type == "stream":
        return key in OF_STREAMS and difference.wanted is not None
    if not difference.key.startswith("x-") or key not in POLICY_KEYS or difference.wanted is None:
        return False
    if difference.current is None or (key == "overflow" and queue_type == "quorum"):
        return True
    numbers = isinstance(difference.wanted, int) and isinstance(difference.current, int)
    return numbers and key in SMALLER_COUNTS and difference.wanted < difference.current  # type: ignore[operator]


def _file_key(argument: str) -> str:
    """As a policy of a topology file spells it."""
    key = argument.removeprefix("x-")
    return _FILE_KEYS.get(key, key.replace("-", "_"))


_FILE_KEYS = {"stream-max-segment-size-bytes": "max_segment_size", "stream-filter-size-bytes": "filter_size"}


def _file_value(argument: str, value: object) -> object:
    """Times are written with their unit."""
    key = argument.removeprefix("x-")
    seconds: float | None = durations.age(value) if key == "max-age" and isinstance(value, str) else None
    if key in _MILLISECONDS and isinstance(value, int):
        seconds = value / 1000
    return value if seconds is None else durations.exact(seconds)


_MILLISECONDS = frozenset({"message-ttl", "expires", "consumer-timeout"})


def _listed(differences: Iterable[Difference]) -> str:
    return " and ".join(f"`{difference.key}`" for difference in differences)


def _of_arguments(wanted: Mapping[str, object], current: Mapping[str, object]) -> Iterator[Difference]:
    asked, there = without_undefined(wanted), without_undefined(current)
    return _differing((key, asked.get(key), there.get(key)) for key in sorted({*asked, *there}))


def _differing(properties: Iterable[tuple[str, object, object]]) -> Iterator[Difference]:
    """Types count: true is not 1 to the broker. Most values are text and equal, and need not be spelled."""
    for key, wanted, current in properties:
        plain = type(wanted) is type(current) and isinstance(wanted, _PLAIN)
        if wanted != current if plain else spelled(wanted) != spelled(current):
            yield Difference(key, wanted, current)
