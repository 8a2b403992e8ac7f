"""Where followers and replies of a message may go, and what a follower may say, when nobody signed for it.

A follower (`link`, `link_error`, a step of a chain) is published by a worker, with the worker's rights. So whoever may
publish to one queue could reach every queue of the broker through it, and the same way a reply reaches any queue that
its caller names. Without a signature of the app, both are held to what the app itself leads to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from amqptasks.errors import ConfigurationError
from amqptasks.messages.properties import REPLY_TO
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds
from amqptasks.untrusted.printable import short

#: Options of a follower that hold followers of its own.
NESTED = ("link", "link_error", "chain")

#: Option of a follower, and header of a task: the names of its stamps, and the stamps themselves. Celery's words.
STAMPED, STAMPS = "stamped_headers", "stamps"

#: Options that Celery writes into a signature and that mean nothing where a worker publishes: the connection, the way a
#: publish is tried again, what every task here has anyway, and the bookkeeping of groups, which needs a result backend.
WITHOUT_EFFECT = frozenset(
    {
        "add_to_parent", "confirm_timeout", "connection", "delivery_mode", "group_id", "group_index", "immediate",
        "mandatory", "producer", "replaced_task_nesting", "resultrepr_maxsize", "retry", "retry_policy", "send_events",
        "timeout", "trail",
    }
)  # fmt: skip

#: Names under which amqptasks keeps objects of its own. A reply into one of their queues would be taken for a token, a
#: claim, a delayed task, the broker's time.
_OWN = re.compile(
    r"amqptasks\.(beat|claims|clock|control|delay|due|events|joins|migrations|nodes|queues|results|revoked|schedules"
    r"|tokens|unique)(\..*)?",
    re.DOTALL,
)

#: The reply queues of Celery's `rpc://` clients.
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Reach:
    """`queues` are those that a route or the topology of the app leads to, asked for when they are needed. With
    `followers_anywhere` a follower may say everything. `replies` are names and patterns of more reply queues."""

    def __init__(
        self,
        queues: Callable[[], Collection[str]] = tuple,
        followers_anywhere: bool = False,
        replies: Iterable[str] = (),
    ) -> None:
        self._queues = queues
        self._followers_anywhere = followers_anywhere
        self._replies = tuple(replies)

    def may_reply_to(self, address: str) -> bool:
        """Whether an unsigned message may ask for a reply to this queue."""
        if address.startswith(REPLY_TO):
            return True
        if any(fnmatchcase(address, pattern) for pattern in self._replies):
            return True
        if address.startswith("amqptasks."):
            return _OWN.fullmatch(address) is None
        return _UUID.fullmatch(address) is not None

    def reply_problem(self, address: str) -> str | None:
        """Why a reply may not go to this queue; None where it may."""
        if self.may_reply_to(address):
            return None
        return (
            f"it asks for its reply in the queue {short(address)}: sign the messages, or name that queue in"
            f" App(replies=[...])"
        )

    def problem(self, *followers: Iterable[Any] | None, trusted: bool, read: bool = True) -> str | None:
        """Why these followers, and those inside them, cannot be published; None where they can. `trusted`: the app
        signed for them. With `read`, every option is also held to its type and its bounds, as those of a message from
        outside are."""
        try:
            for given in followers:
                if given is not None and len(list(given)) > bounds.MOST_FOLLOWERS:
                    return f"it has more than {bounds.MOST_FOLLOWERS} followers of one kind"
            for follower in _all(followers):
                self._check(follower, free=trusted or self._followers_anywhere, read=read)
        except OutOfBounds as refusal:
            return str(refusal)
        return None

    def _check(self, follower: Any, free: bool, read: bool) -> None:
        task, options = _parts(follower)
        if read:
            _read(task, options)
        if free:
            return
        queue, address = options.get("queue"), options.get("reply_to")
        if queue is not None and queue not in self._queues():
            raise OutOfBounds(
                f"the follower {short(task)} names the queue {short(queue)}, to which neither a route nor the topology"
                f" of this app leads: {_WAYS}"
            )
        for name in ("exchange", "routing_key"):
            if options.get(name) is not None:
                raise OutOfBounds(f"the follower {short(task)} names {name}={short(options[name])}: {_WAYS}")
        if set(options.get("headers") or ()) - {STAMPED, STAMPS}:
            raise OutOfBounds(f"the follower {short(task)} has headers of its own: {_WAYS}")
        if isinstance(address, str) and not self.may_reply_to(address):
            raise OutOfBounds(
                f"the follower {short(task)} asks for its reply in the queue {short(address)}: sign the messages, or"
                f" name that queue in App(replies=[...])"
            )


#: No rule at all.
EVERYWHERE = Reach(tuple, True, ("*",))


def reach(queues: Callable[[], Collection[str]], followers: str, replies: Iterable[str]) -> Reach:
    """From the options of `App`. Raises `ConfigurationError`."""
    if followers not in ("own", "any"):
        raise ConfigurationError(f"App(followers={followers!r}): write 'own' or 'any'")
    return Reach(queues, followers == "any", [replies] if isinstance(replies, str) else replies)


_WAYS = 'route the task there, sign the messages (App(signing=...)), or say App(followers="any")'


def stamps_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that carry the stamps of a follower; none where it has none."""
    names = options.get(STAMPED)
    if not names:
        return {}
    return {STAMPED: list(names), STAMPS: {name: options.get(name) for name in names}}


def _all(followers: Iterable[Iterable[Any] | None]) -> Iterator[Any]:
    """Each of them, and each inside another. Raises `OutOfBounds` for too many, or too deep ones."""
    waiting = [(one, 1) for given in followers for one in given or ()]
    count = 0
    while waiting:
        follower, depth = waiting.pop()
        count += 1
        if count > bounds.MOST_NESTED_FOLLOWERS or depth > bounds.DEEPEST_FOLLOWER:
            raise OutOfBounds(
                f"it has more than {bounds.MOST_NESTED_FOLLOWERS} followers, or followers of followers deeper than"
                f" {bounds.DEEPEST_FOLLOWER}"
            )
        yield follower
        options = _parts(follower)[1]
        for name in NESTED:
            inner = options.get(name)
            if inner:
                several = inner if isinstance(inner, list | tuple) else [inner]
                waiting += [(one, depth + 1) for one in several]


def _parts(follower: Any) -> tuple[str, Mapping[str, Any]]:
    """Task and options. Raises `OutOfBounds` for what is no signature."""
    if not isinstance(follower, Mapping):
        raise OutOfBounds(f"a follower is {short(follower)}, not a signature")
    task, options = follower.get("task"), follower.get("options") or {}
    if not isinstance(task, str) or not task:
        raise OutOfBounds(f"a signature names no task, but {short(task)}")
    if not isinstance(options, Mapping):
        raise OutOfBounds(f"the signature of {short(task)} has args, kwargs or options of the wrong type")
    return task, options


def _read(task: str, options: Mapping[str, Any]) -> None:
    try:
        bounds.name(task)
    except OutOfBounds as refusal:
        raise OutOfBounds(f"the name of a follower {refusal}") from None
    stamps = _stamp_names(task, options)
    for name, value in options.items():
        if value is None or name in WITHOUT_EFFECT or name in NESTED:
            continue
        reader = _READERS.get(name)  # first: a stamp of an option's name takes effect as that option
        if reader is None and name in stamps:
            continue
        if reader is None:
            raise OutOfBounds(f"the follower {short(task)} has an option {short(name)}, which is not known here")
        try:
            reader(value)
        except OutOfBounds as refusal:
            raise OutOfBounds(f"option {name!r} of the follower {short(task)} {refusal}") from None


def _stamp_names(task: str, options: Mapping[str, Any]) -> Collection[str]:
    try:
        names = _stamps(options.get(STAMPED), options)
        headers = bounds.mapping(options.get("headers") or {})  # a signature that was sent before has them there
        _stamps(headers.get(STAMPED), {})
        stamps = bounds.mapping(headers.get(STAMPS) or {}, MOST_STAMPS)
        _stamps(list(stamps), stamps)
    except OutOfBounds as refusal:
        raise OutOfBounds(f"the stamps of the follower {short(task)} are wrong: a stamp {refusal}") from None
    return {STAMPED, *names}


def _stamps(given: object, stamps: Mapping[str, Any]) -> list[str]:
    """The names of stamps, each with a value that may be part of a header."""
    names = bounds.names(list(given) if isinstance(given, tuple) else given or [], MOST_STAMPS)
    for name in names:
        value = stamps.get(name)
        if isinstance(value, list) and len(value) > MOST_STAMPS:
            raise OutOfBounds(f"is a list of more than {MOST_STAMPS}")
        for one in value if isinstance(value, list) else [value]:
            if one is not None and not isinstance(one, bool | float):
                bounds.text(one) if isinstance(one, str) else bounds.whole(one)
    return names


#: Stamps of one follower. Each becomes part of a header.
MOST_STAMPS = 100


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise OutOfBounds(f"is {short(value)}, neither true nor false")
    return value


def _flag_or_text(value: object) -> object:
    return bounds.text(value) if isinstance(value, str) else _flag(value)


def _when(value: object) -> object:
    """Seconds from now, or a moment."""
    if isinstance(value, int | float):
        return bounds.seconds(value, least=-bounds.LONGEST_DURATION)
    return bounds.iso_moment(value)


def _identifier(value: object) -> str:
    return bounds.text(value, bounds.LONGEST_ID, 1)


_READERS: dict[str, Callable[[object], object]] = {
    "chord": lambda value: value,  # refused where it would have to run: see `Signature.read`
    "compression": bounds.name,
    "countdown": lambda value: bounds.seconds(value, least=-bounds.LONGEST_DURATION),
    "eta": bounds.iso_moment,
    "exchange": lambda value: bounds.text(value, bounds.LONGEST_NAME),
    "expires": _when,
    "headers": bounds.mapping,
    "ignore_result": _flag,
    "parent_id": _identifier,
    "priority": lambda value: bounds.whole(value, bounds.HIGHEST_PRIORITY),
    "queue": bounds.name,
    "reply_to": bounds.name,
    "root_id": _identifier,
    "routing_key": lambda value: bounds.text(value, bounds.LONGEST_NAME),
    "serializer": bounds.name,
    "shadow": bounds.text,
    "soft_time_limit": bounds.seconds,
    "task_id": _identifier,
    "time_limit": bounds.seconds,
    "unique": _flag_or_text,
    "unique_for": bounds.seconds,
}
