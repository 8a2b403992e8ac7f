"""Headers that are like an earlier one but for the id come out as if each were decoded by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from amqptasks.amqp.wire.content_header import decode_properties
from amqptasks.amqp.wire.familiar_headers import KEPT, FamiliarHeaders
from amqptasks.amqp.wire.tables import encode_properties
from amqptasks.messages.properties import Properties

ONE, TWO, THREE = (f"01a20539-3176-73c1-95de-8ad01776570{number}" for number in range(3))


def properties(identity: str, **others: Any) -> Properties:
    headers = {"task": "shop.send", "id": identity, **others.pop("headers", {})}
    return replace(
        Properties(content_type="application/json", headers=headers, correlation_id=identity, reply_to="me"), **others
    )


def test_each_has_its_own_id_and_headers_of_its_own() -> None:
    familiar = FamiliarHeaders()
    found = [familiar.decode(encode_properties(properties(identity))) for identity in (ONE, TWO, THREE)]
    assert found == [properties(identity) for identity in (ONE, TWO, THREE)]
    assert found[1].headers is not None
    found[1].headers["task"] = "changed"
    assert familiar.decode(encode_properties(properties(ONE))) == properties(ONE)


@pytest.mark.parametrize(
    "later",
    [
        properties(TWO, reply_to="he"),
        properties(TWO, headers={"task": "shop.need"}),
        properties(TWO, correlation_id=THREE),
        properties(TWO, headers={"id": THREE}),
        properties(TWO, content_type="application/yaml"),
        properties("ü" * 18),
    ],
    ids=repr,
)
def test_one_of_the_same_length_that_differs_elsewhere_is_decoded(later: Properties) -> None:
    familiar = FamiliarHeaders()
    familiar.decode(encode_properties(properties(ONE)))
    data = encode_properties(later)
    assert familiar.decode(data) == decode_properties(data) == later


def test_what_a_task_could_change_is_not_shared() -> None:
    familiar = FamiliarHeaders()
    one, two = (
        familiar.decode(encode_properties(properties(name, headers={"stamps": {"a": [1]}}))) for name in (ONE, TWO)
    )
    assert one.headers is not None
    assert two.headers is not None
    assert one.headers["stamps"] == two.headers["stamps"]
    assert one.headers["stamps"] is not two.headers["stamps"]


def test_bytes_that_are_no_text_in_place_of_the_id_stay_what_they_are() -> None:
    familiar = FamiliarHeaders()
    familiar.decode(encode_properties(properties(ONE)))
    data = encode_properties(properties(TWO)).replace(TWO.encode(), b"\xff" * 36)
    assert familiar.decode(data) == decode_properties(data)


def test_memory_is_bounded() -> None:
    familiar = FamiliarHeaders()
    for length in range(3 * KEPT):
        familiar.decode(encode_properties(properties(ONE, headers={"padding": "p" * length})))
    assert len(familiar._by_length) <= KEPT


@given(
    st.lists(
        st.builds(
            properties,
            st.sampled_from([ONE, TWO, THREE, ONE + ONE, "", "short"]),
            headers=st.dictionaries(
                st.sampled_from(["task", "n", ONE]), st.sampled_from([1, "1", ONE, None, 1.5, [1]])
            ),
            reply_to=st.sampled_from([None, "q", ONE]),
            priority=st.sampled_from([None, 1, 2]),
        ),
        max_size=6,
    )
)
def test_any_order_of_headers_comes_out_as_decoded_alone(messages: list[Properties]) -> None:
    familiar = FamiliarHeaders()
    for message in messages:
        data = encode_properties(message)
        assert familiar.decode(data) == decode_properties(data)
