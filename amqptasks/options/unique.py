"""What a call's options say about others like it that wait: what it is known by, and for how long."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from amqptasks.errors import ConfigurationError
from amqptasks.options.arguments import Arguments
from amqptasks.options.keys import checked_key, text_of
from amqptasks.runtime.clock import broker_time
from amqptasks.serializers.json import encode

#: What the names of all claims begin with.
PREFIX = "amqptasks.unique"

#: Seconds that a call without `expires` keeps others like it out while it waits. A publisher that is killed between the
#: claim and the call leaves the claim behind, and keeps its likes out as long; a queue that is an hour behind takes in
#: one more an hour. The one should be short, the other long.
WAITS_FOR = 3600.0

#: RabbitMQ counts the time of a queue in 32 bits of milliseconds: 49 days.
LONGEST = 4_294_967_295

#: Bytes of the digest that is a claim's name: two different keys never come to the same one, and what the broker says
#: of the claim has room for the id of who has it (see `unique_claims.NOBODY`).
DIGEST = 16

#: A claim's header, exactly: what others may write into it must neither fail to be read nor name any other queue.
_HEADER = re.compile(rf"([0-9]{{1,10}}) ({re.escape(PREFIX)}\.[A-Za-z0-9_-]{{22}})")


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to be the only call of its kind. `name` says of what kind, `identity` is the call's id, `milliseconds`
    how long it lasts at most. `key` is what a person is told; `released` whether the call's begin ends it; `chosen`
    whether the id is the caller's choice, so that an earlier call may have it."""

    name: str
    identity: str
    milliseconds: int
    task: str = ""
    key: str = ""
    released: bool = True
    chosen: bool = False

    @property
    def header(self) -> str:
        """As its message carries it, for the worker that begins the call."""
        return f"{self.milliseconds} {self.name}"


def claim_of(
    name: str,
    arguments: Arguments | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    identity: str,
    delay: float,
    expires: datetime | None,
) -> Claim | None:
    """The claim that a call of task `name` needs by its options; None for one that may have its like. `delay` in
    seconds. Raises `ConfigurationError`."""
    unique, period = options.get("unique"), options.get("unique_for")
    if unique is False or (unique is None and period is None):
        return None
    if unique is None or unique is True:
        key = _all_of(arguments, args, kwargs)
    else:
        by_name = dict(kwargs) if arguments is None else arguments.by_name(args, dict(kwargs))
        key = text_of(checked_key(unique), by_name)
    digest = hashlib.sha256(f"{name}\0{key}".encode("utf-8", "surrogatepass")).digest()[:DIGEST]
    seconds = _waits(delay, expires) if period is None else _seconds(period)
    return Claim(
        f"{PREFIX}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}",
        identity,
        max(1, min(math.ceil(seconds * 1000), LONGEST)),
        name,
        key,
        released=period is None,
        chosen=bool(options.get("task_id")),
    )


def read(header: object, identity: str) -> Claim | None:
    """The claim in a message's header `UNIQUE`; None where there is none of ours."""
    ours = _HEADER.fullmatch(header) if isinstance(header, str) else None
    return None if ours is None else Claim(ours[2], identity, max(1, min(int(ours[1]), LONGEST)))


def _all_of(arguments: Arguments | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The arguments as one text, the same however they are given: by position or by name."""
    given: object = [args, dict(kwargs)] if arguments is None else arguments.by_name(args, dict(kwargs))
    try:
        return json.dumps(json.loads(encode(given)), sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"unique=True compares arguments as JSON, and these are none ({error}): name those that count, as in"
            f' unique="report-{{shop}}"'
        ) from None


def _waits(delay: float, expires: datetime | None) -> float:
    """How long it may wait: what has expired never runs, so that nothing is kept out for it."""
    if expires is not None:
        return max(0.0, (expires - broker_time.utcnow()).total_seconds())
    return delay + WAITS_FOR


def _seconds(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given * 1000 <= LONGEST:
        raise ConfigurationError(f"unique_for is {given!r}: give seconds, above 0 and up to 49 days")
    return float(given)
