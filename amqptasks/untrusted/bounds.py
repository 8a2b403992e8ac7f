"""Bounds on the numbers, texts and sizes that come from outside: headers, bodies, commands, records of streams, answers
of the management API, topology files.

Every bound stands here, and in the table of docs/bounds.md. A function reads one value: it returns the value in its
proper type, or raises `OutOfBounds`, whatever it was given. The sentence of the error shows the value shortened and
printable.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from amqptasks.untrusted.printable import short

#: Bytes in UTF-8 of a name: a task, a queue, a node, a command. AMQP's short strings, which carry routing keys and
#: names of queues, have no more.
LONGEST_NAME = 255

#: Bytes in UTF-8 of a task id. It becomes the correlation id of the reply, which is a short string of AMQP.
LONGEST_ID = 255

#: Bytes in UTF-8 of a text that describes a task (`shadow`, `origin`, `argsrepr`). A header of a dead letter must fit
#: into 16 KiB together with everything else.
LONGEST_TEXT = 4096

#: Characters of a traceback, or of an error's message, that came from another process. A traceback of 100 frames has
#: some 10,000.
LONGEST_TRACEBACK = 65_536

#: Characters of a value from outside that one line of a log, a table or an error shows.
LONGEST_LINE = 4096

#: Retries and deliveries of one task. One retry a second needs eleven days for so many. The next number must still fit
#: into a header, and a power of two of it into a float.
MOST_RETRIES = 1_000_000

#: Seconds of a time limit, a countdown or a wait: 400 days. The delay ladder ends at 398.
LONGEST_DURATION = 34_560_000.0

#: Seconds since 1970 of the last moment that a `datetime` can hold (the end of the year 9999).
LATEST_MOMENT = 253_402_300_799.0

#: Seconds that a record may be ahead of its reader's clock. Clocks that are kept by NTP differ by less than one; those
#: of badly kept machines by minutes.
CLOCK_AHEAD = 300.0

#: Seconds by which a delayed task may run early, because two clocks differ.
CLOCK_DIFFERENCE = 5.0

#: Priorities that AMQP has: an octet.
HIGHEST_PRIORITY = 255

#: Whole numbers in JSON, in headers and in RabbitMQ's arguments: a signed number of 64 bits.
LARGEST_NUMBER = 2**63 - 1

#: Values (numbers, texts, lists, objects, keys) in one body. A value takes some 90 bytes of memory in Python, though a
#: byte or two may be enough to write it: 90 MB for so many.
MOST_VALUES = 1_000_000

#: Values in one body of YAML, which PyYAML reads at a few thousand a second.
MOST_YAML_VALUES = 10_000

#: Bytes that a compressed body may expand to. RabbitMQ before 4.0 takes messages of 128 MiB.
LARGEST_BODY = 128 * 1024 * 1024

#: Calls that one message may name as its `link`, as its `link_error`, or as steps of its chain.
MOST_FOLLOWERS = 1000

#: Calls inside one message, those inside other calls included.
MOST_NESTED_FOLLOWERS = 10_000

#: Depth of calls inside calls. A step of a chain may have a link that has a link; nobody writes a hundred of them.
DEEPEST_FOLLOWER = 100

#: Bytes of all messages that one task makes at its end. Each link gets the task's value again: 200 links of a value of
#: 1 MB would be 200 MB at once.
LARGEST_FOLLOWERS = 32 * 1024 * 1024

#: Characters, and values, of an argument that is made part of a key (`lock=`, `unique=`). It is one text for a moment.
LARGEST_KEY = 2**20

#: Names in a list of a command or a record: destinations, ids, patterns.
MOST_NAMES = 10_000

#: Processes or threads that a command may ask for. A pool of so many is beyond what one node can hold.
LARGEST_POOL = 10_000

#: Bytes of a command, an answer, an event or a record of a stream. Bigger ones are not read.
LARGEST_RECORD = 16 * 1024 * 1024

#: Bytes of one result in a store. RabbitMQ 4 takes no larger reply either.
LARGEST_RESULT = 16 * 1024 * 1024

#: Bytes of a task's encoded arguments that its result keeps. Longer ones are left out.
LARGEST_KEPT_ARGUMENTS = 4096

#: Children of a task that its result names.
MOST_CHILDREN = 1000

#: Bytes of one answer of the management API: the queues of a broker with 10,000 of them take some 20 MiB.
LARGEST_ANSWER = 64 * 1024 * 1024

#: Seconds for one whole answer of the management API. Listing 10,000 queues takes a busy broker a few.
ANSWER_WITHIN = 25.0

#: Values that a topology file may stand for once its aliases, merge keys and templates are followed.
MOST_TOPOLOGY_VALUES = 200_000

#: Bytes of a request to the port for probes. A probe is one line and a few headers.
LARGEST_PROBE = 8192

#: Probes that are answered at the same time. More wait, or are refused.
MOST_PROBES = 8

#: Seconds that a probe may take from its first byte to its answer.
PROBE_WITHIN = 5.0

#: Bytes of a body that are looked at at once: a fraction of a millisecond. Reading them takes some milliseconds.
PIECE = 2**20

#: Bytes from which on a body is large: reading it takes some 20 ms. JSON of that size is read piece by piece, and large
#: bodies one after the other.
LARGE_BODY = 8 * 2**20

#: What begins a value in JSON, but for the first one. Those inside of texts are counted, too, until it matters.
_JSON_MARKS = (b",", b":", b"[", b"{")

#: Texts that stand as a whole in a piece of JSON, with what is between them. Possessive: to remember each character
#: would take gigabytes.
_WHOLE_TEXTS = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL).match
_JSON_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)

#: Bytes that are looked at for texts at once: there may be a text in every two.
_TEXTS_AT_ONCE = 65_536


class OutOfBounds(ValueError):
    """A value from outside is not of the type, the size or the range that it must have. The message goes on after the
    value's name: `is 'x', not a whole number from 0 to 9`."""


def whole(value: object, most: int = LARGEST_NUMBER, least: int = 0) -> int:
    """A whole number from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise OutOfBounds(f"is {short(value)}, not a whole number from {least} to {most}")
    return value


def seconds(value: object, most: float = LONGEST_DURATION, least: float = 0.0) -> float:
    """A duration from `least` to `most` seconds; whole numbers become floats."""
    number = _number(value)
    if number is None or not least <= number <= most:
        raise OutOfBounds(f"is {short(value)}, not a number of seconds from {least:g} to {most:g}")
    return float(number)


def moment(value: object, ahead_of: float | None = None) -> float:
    """Seconds since 1970. With `ahead_of`, the reader's clock, a moment more than `CLOCK_AHEAD` after it is refused."""
    number = _number(value)
    if number is None or not 0 <= number <= LATEST_MOMENT:
        raise OutOfBounds(f"is {short(value)}, not a moment in seconds since 1970")
    if ahead_of is not None and number > ahead_of + CLOCK_AHEAD:
        raise OutOfBounds(f"is {number - ahead_of:.0f} s in the future: is a clock wrong?")
    return float(number)


def iso_moment(value: object) -> datetime:
    """A time in ISO 8601, or a `datetime`; in UTC, also where it says no zone."""
    if isinstance(value, str) and len(value) > LONGEST_NAME:
        raise OutOfBounds(f"is {short(value)}, not a time in ISO 8601")
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)  # type: ignore[arg-type]
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise OutOfBounds(f"is {short(value)}, not a time in ISO 8601") from None


def text(value: object, most: int = LONGEST_TEXT, least: int = 0) -> str:
    """A text of `least` to `most` bytes in UTF-8. Lone surrogates are refused: nobody can send them on."""
    if not isinstance(value, str) or not least <= len(value) <= most or not _fits(value, most):
        raise OutOfBounds(f"is {short(value)}, not a text of {least} to {most} bytes")
    return value


def name(value: object) -> str:
    """The name of a task, a queue, a node, a command: 1 to `LONGEST_NAME` bytes."""
    return text(value, LONGEST_NAME, 1)


def names(value: object, most: int = MOST_NAMES) -> list[str]:
    """A list of at most `most` names."""
    if not isinstance(value, list) or len(value) > most:
        raise OutOfBounds(f"is {short(value)}, not a list of at most {most} names")
    return [name(one) for one in value]


def mapping(value: object, most: int = MOST_NAMES) -> Mapping[str, Any]:
    """An object of at most `most` fields."""
    if not isinstance(value, dict) or len(value) > most or not all(isinstance(key, str) for key in value):
        raise OutOfBounds(f"is {short(value)}, not an object of at most {most} fields")
    return value


def key(value: object) -> None:
    """Raise `OutOfBounds` for a value whose text would have more than `LARGEST_KEY` characters."""
    left, waiting = LARGEST_KEY, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str | bytes):
            left -= len(one)
        elif isinstance(one, list | tuple | Mapping):
            left -= len(one)
            if left >= 0:
                waiting += [*one.keys(), *one.values()] if isinstance(one, Mapping) else one
        if left < 0:
            raise OutOfBounds(f"has more than {LARGEST_KEY} characters")


def limits(value: object) -> tuple[float | None, float | None]:
    """`[hard, soft]` time limits in seconds, either may be null."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise OutOfBounds(f"is {short(value)}, not [seconds, seconds]")
    hard, soft = value
    for one in value:
        if one is not None:
            seconds(one)
    return hard, soft


def json_values(body: bytes, most: int = MOST_VALUES) -> None:
    """Raise `OutOfBounds` for JSON that holds more than `most` values, before anything is read. Costs nothing for a
    body that is too short for so many."""
    if len(body) <= most or (len(body) < LARGE_BODY and _marks(body) < most):
        return
    count = at = 0
    while 0 <= at < len(body):  # now without what stands in texts, and each text is a value, too
        found = _WHOLE_TEXTS(body, at, min(at + _TEXTS_AT_ONCE, len(body)))
        assert found is not None
        kept = _JSON_TEXT.sub(b'"', body[at : found.end()])
        count += max(_marks(kept), kept.count(b'"'))
        if count >= most:
            raise OutOfBounds(f"has more than {most} values")
        at = found.end() if found.end() > at else end_of_text(body, at)  # no parser reads past one without an end


def end_of_text(body: bytes, quote: int) -> int:
    """The index behind a text of JSON whose opening quote stands at `quote`; -1 where the text does not end."""
    at, end = quote + 1, len(body)
    while at < end:
        limit = min(at + PIECE, end)
        window = body[at:limit]
        if window.find(b"\\") >= 0:
            window = window.replace(b"\\\\", b"--").replace(b'\\"', b"--")
        found = window.find(b'"')
        if found >= 0:
            return at + found + 1
        at = limit - 1 if window.endswith(b"\\") and limit < end else limit  # an escape may go on in the next piece
    return -1


def record(body: bytes) -> bytes:
    """The bytes of a command, an answer, an event or a record of a stream: at most `LARGEST_RECORD`, of few enough
    values."""
    if len(body) > LARGEST_RECORD:
        raise OutOfBounds(f"has {len(body)} bytes, more than {LARGEST_RECORD}")
    json_values(body)
    return body


def _marks(body: bytes) -> int:
    return sum(map(body.count, _JSON_MARKS))


def pieces(body: bytes, overlap: int = 0) -> Iterator[bytes]:
    """Of `PIECE` bytes, each with `overlap` bytes of the next one. To look at a large body at once keeps all other
    threads of a process from the interpreter meanwhile, that of the link, too."""
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE + overlap]


def _number(value: object) -> int | float | None:
    """None for what is no finite number. A whole number of any size may be compared with a float, and not turned into
    one."""
    if type(value) is int:
        return value
    return value if type(value) is float and math.isfinite(value) else None


def _fits(value: str, most: int) -> bool:
    try:
        return value.isascii() or len(value.encode()) <= most
    except UnicodeEncodeError:
        return False
