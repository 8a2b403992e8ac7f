"""The forms of a broker's address that people write, and what replaces `memory://`."""

from __future__ import annotations

import pytest

from amqptasks import App, dial


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("amqp://guest:guest@localhost:5672//", "amqp://guest:guest@localhost:5672/%2F"),
        ("pyamqp://u:p@h/shop", "amqp://u:p@h/shop"),
        ("rabbitmq://h", "amqp://h"),
        ("amqp+ssl://h/", "amqps://h/"),
        ("AMQPS://h/", "amqps://h/"),
        ("localhost:5672", "amqp://localhost:5672"),
        ("rabbit/shop", "amqp://rabbit/shop"),
        ("amqp://h//?heartbeat=5", "amqp://h/%2F?heartbeat=5"),
        ("memory://one", "memory://one"),
        ("ftp://h/", "ftp://h/"),
    ],
)
def test_an_address_is_read_in_the_form_that_people_write(written: str, usual: str) -> None:
    assert dial.usual(written) == usual


def test_several_addresses_stand_in_one_text_or_in_a_list() -> None:
    assert dial.listed("amqp://a//; pyamqp://b") == ["amqp://a/%2F", "amqp://b"]
    assert dial.listed(["amqp://a;amqp://b", "amqp://c"]) == ["amqp://a", "amqp://b", "amqp://c"]


def test_memory_in_code_is_not_replaced_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dial.ENVIRONMENT, "amqp://production/")
    assert App("unit", broker="memory://").broker == ["memory://"]
    assert App("unit", broker="amqp://dev/").broker == ["amqp://production/"]
    monkeypatch.setenv(dial.REPLACES, "1")
    assert App("unit", broker="memory://").broker == ["amqp://production/"], "a command was told so by --broker"
