"""A message that is like an earlier one is read as if it were the first."""

from __future__ import annotations

import pytest

from amqptasks.messages import protocol
from amqptasks.messages.codec import PLAIN
from amqptasks.messages.delivery import SETTLED, Alike, Delivery, Likeness
from amqptasks.messages.properties import Properties
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.request import Request

ONE, TWO = "01a20539-3176-73c1-95de-8ad017765701", "01a20539-3176-73c1-95de-8ad017765702"


def both(body: bytes, properties: Properties) -> tuple[Request | Malformed, Request | Malformed]:
    """Read by itself, and as one of many."""
    likeness = Likeness(properties.identified(ONE))
    PLAIN.decode_delivery(Alike("q", 1, "", "q", False, likeness, ONE, body, SETTLED))
    alike = Alike("q", 2, "", "q", False, likeness, TWO, body, SETTLED)
    alone = Delivery("q", 2, "", "q", False, properties.identified(TWO), body, SETTLED)
    return PLAIN.decode_delivery(alone), PLAIN.decode_delivery(alike)


PLAIN_BODY = protocol.encode_arguments("t", (1, {"a": [None]}), {"k": "v"})
KNOWN = Properties("application/json", "utf-8", {"task": "t", "mine": "x"}, reply_to="me", priority=3)


@pytest.mark.parametrize(
    "body",
    [
        PLAIN_BODY,
        b"[[], {}, null]",
        b'[[1], {}, {"callbacks": [{"task": "u"}], "errbacks": null, "chain": null, "chord": null}]',
        b"[" + PLAIN_BODY[PLAIN_BODY.index(b',{"callbacks"') :],
        b"[[1]" + PLAIN_BODY[PLAIN_BODY.index(b',{"callbacks"') :],
        b"[{},[]" + PLAIN_BODY[PLAIN_BODY.index(b',{"callbacks"') :],
        b'[[{"__type__": "decimal", "__value__": "1.5"}],{}' + PLAIN_BODY[PLAIN_BODY.index(b',{"callbacks"') :],
        b"\xff" + PLAIN_BODY,
        b"",
    ],
    ids=range(9),
)
@pytest.mark.parametrize(
    "properties",
    [
        KNOWN,
        Properties("application/x-yaml", "utf-8", {"task": "t"}),
        Properties("application/json", "utf-8", {"task": "t", "root_id": ONE, "retries": 2, "eta": "2026-01-01T00:00"}),
        Properties("application/json", "utf-8", {"task": "t", "retries": -1}),
        Properties("application/json", "utf-8", {"mine": "x"}),
    ],
    ids=range(5),
)
def test_it_is_read_as_by_itself(body: bytes, properties: Properties) -> None:
    alone, alike = both(body, properties)
    assert alike == alone


def test_each_request_has_arguments_and_headers_of_its_own() -> None:
    likeness = Likeness(KNOWN.identified(ONE))
    first, second = (
        PLAIN.decode_delivery(Alike("q", 1, "", "q", False, likeness, name, PLAIN_BODY, SETTLED)) for name in (ONE, TWO)
    )
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    first.headers["mine"] = "changed"
    first.kwargs["k"] = "changed"
    assert second.headers == {"mine": "x"}
    assert second.kwargs == {"k": "v"}
    assert (first.id, second.id, second.root_id, second.correlation_id) == (ONE, TWO, TWO, TWO)


def test_properties_are_made_when_somebody_asks() -> None:
    alike = Alike("q", 1, "", "q", False, Likeness(KNOWN.identified(ONE)), TWO, b"", SETTLED)
    assert alike.properties == KNOWN.identified(TWO)
    assert alike.properties is alike.properties
