"""Secrets are hidden by name, and addresses that cannot be read are not quoted."""

from __future__ import annotations

from typing import Any

import pytest

from amqptasks.untrusted.masks import HIDDEN, PLAIN, UNREADABLE, Mask, masked_address, without_credentials


@pytest.mark.parametrize(
    "name",
    ["password", "Password", "db_password", "PASSWORD_2", "access-token", "client_secret", "Authorization", "API-KEY"],
)  # fmt: skip
def test_mask_hides_the_usual_names_of_secrets(name: str) -> None:
    assert PLAIN.masked({"outer": [{name: "hunter2"}]}) == {"outer": [{name: HIDDEN}]}


def test_mask_hides_names_and_patterns_of_the_app_besides_the_usual_ones() -> None:
    mask = Mask(["card*", "Pin"])
    given = {"card_number": 4111, "pin": "1", "password": "2", "amount": 5, "none": None, "card": None}
    assert mask.masked(given) == {**given, "card_number": HIDDEN, "pin": HIDDEN, "password": HIDDEN}


def test_mask_leaves_other_values_as_they_are_and_survives_deep_ones() -> None:
    assert PLAIN.masked((1, "a", [None, 2.5])) == (1, "a", [None, 2.5])
    deep: Any = {"password": "hunter2"}
    for _ in range(5000):
        deep = [deep]
    assert "hunter2" not in str(PLAIN.masked(deep))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'password': 'hunter2', 'n': 1}", "{'password': ***, 'n': 1}"),
        ("send(token='hunter2', n=1)", "send(token=***, n=1)"),
        ("api-key: hunter2", "api-key: ***"),
        ('{"secret": "a \\" hunter2"}', '{"secret": ***}'),
        ("n=1, when: 12:30", "n=1, when: 12:30"),
        (r'"{\"password\": \"hunter 2\", \"n\": 1}"', r'"{\"password\": ***, \"n\": 1}"'),
        ("a-token: b'hunter2'", "a-token: ***"),
        ("Authorization: Bearer hunter2 sent", "Authorization: *** sent"),
        ("{'password': {'new': 'hunter2'}, 'n': 1}", "{'password': ***, 'n': 1}"),
        ("secrets=['hunter2', ['hunter2']] n=1", "secrets=*** n=1"),
        ("secret=['hunter2", "secret=***"),
        ("url='https://host/?token=hunter2&n=1'", "url='https://host/?token=***'"),
        ("secret='hun\nter2'", "secret=***"),
        ("token: ", "token: "),
    ],
)
def test_mask_hides_secrets_that_a_text_names(text: str, shown: str) -> None:
    assert PLAIN.masked_text(text) == shown


def test_mask_hides_credentials_of_addresses_inside_texts() -> None:
    assert PLAIN.masked(["see amqp://ann:hunter2@host/v now"]) == ["see amqp://ann:***@host/v now"]
    assert without_credentials("https://hunter2@host") == "https://***@host"
    assert without_credentials("redis://:p@ss@host/1") == "redis://:***@host/1"
    assert without_credentials("mail me@host") == "mail me@host"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("amqp://ann:hunter2@host:5672/v", "amqp://ann:***@host:5672/v"),
        ("amqp://ann:a@b:c@[::1]:5672/%2Fv?x=hunter2", "amqp://ann:***@[::1]:5672/%2Fv"),
        ("amqp://ann@host", "amqp://ann@host"),
        ("amqp://", "amqp://"),
        ("https://host:15671/", "https://host:15671/"),
    ],
)
def test_masked_address_hides_the_password_and_the_query(address: str, shown: str) -> None:
    assert masked_address(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "hunter2", "amqp:/ann:hunter2@host", "amqp://ann:hun/ter2@host", "amqp://ann:hun?ter2@host",
        "//ann:hunter2@host",
        "amqp://ann:hun#ter2@host", "amqp://ann:hunter2", "amqp://ann:hunter 2@host", "amqp://ann@hunter2:hunter2@host",
        "ann:hunter2@host", "amqp//ann:hunter2@host", "", None, 5, "amqp://ann:12?34@host", "amqp://x\nhunter2",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_never_quoted(address: object) -> None:
    assert masked_address(address) == UNREADABLE
