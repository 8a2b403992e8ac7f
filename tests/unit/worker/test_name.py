"""What `-n` makes of a name."""

from __future__ import annotations

import pytest

from amqptasks.errors import ConfigurationError
from amqptasks.worker.node.name import expanded

HOST = "web1.shop.example"


@pytest.mark.parametrize(
    ("text", "alone", "third_of_many"),
    [
        ("web", "web", "web-2"),
        ("web@%h", "web@web1.shop.example", "web-2@web1.shop.example"),
        ("w@%n of %d", "w@web1 of shop.example", "w-2@web1 of shop.example"),
        ("w%i@%h", "w0@web1.shop.example", "w2@web1.shop.example"),
        ("w%I@%n", "w@web1", "w-2@web1"),
        ("100%%", "100%", "100%-2"),
        ("%%i", "%i", "%i-2"),
    ],
)
def test_letters_become_the_host_and_the_number_and_no_two_processes_have_one_name(
    text: str, alone: str, third_of_many: str
) -> None:
    assert expanded(text, HOST) == alone
    assert expanded(text, HOST, 2) == third_of_many


def test_a_host_without_a_domain_has_none() -> None:
    assert expanded("%n|%d|%h", "box") == "box||box"


@pytest.mark.parametrize("text", ["web@%x", "web%", "%"])
def test_another_letter_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write %h"):
        expanded(text, HOST)
