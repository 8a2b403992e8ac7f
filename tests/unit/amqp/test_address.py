"""The broker's address, and that no password gets out."""

from __future__ import annotations

import pytest

from amqptasks.amqp import address
from amqptasks.errors import ConfigurationError, UnknownOption
from amqptasks.untrusted.masks import masked_address


def test_an_address_without_anything_means_guest_on_localhost():
    found = address.parameters("amqp://")
    assert (found.host, found.port, found.virtual_host) == ("localhost", 5672, "/")
    assert (found.credentials.username, found.credentials.password) == ("guest", "guest")
    assert found.heartbeat == 30
    assert found.blocked_connection_timeout is None


def test_every_part_is_percent_decoded():
    found = address.parameters("amqp://an%40n:s%2Fcret%23@broker.example:5673/team%2Fone?heartbeat=7")
    assert (found.host, found.port, found.virtual_host) == ("broker.example", 5673, "team/one")
    assert (found.credentials.username, found.credentials.password) == ("an@n", "s/cret#")
    assert found.heartbeat == 7


def test_a_trailing_slash_means_the_default_virtual_host():
    assert address.parameters("amqp://guest:guest@localhost:5672/").virtual_host == "/"
    assert address.parameters("amqp://guest:guest@localhost:5672/%2F").virtual_host == "/"


def test_an_ipv6_host_and_tls_port():
    found = address.parameters("amqps://[::1]")
    assert (found.host, found.port) == ("::1", 5671)
    assert found.ssl_options is not None


def test_the_connection_names_its_process():
    properties = address.parameters("amqp://localhost").client_properties
    assert properties["product"] == "amqptasks"
    assert properties["connection_name"].startswith("amqptasks@")


@pytest.mark.parametrize(
    "url",
    [
        "amqp://ann:hunter#2@localhost/",
        "amqp://ann:hunter/2@localhost/",
        "amqp://ann:hunter?2@localhost/",
        "amqp://ann:hunter2@localhost:port/",
        "amqp://ann:hunter2@[::1/",
        "http://ann:hunter2@localhost/",
        "ann:hunter2@localhost",
        "hunter2",
        "amqp://ann:hunter2@localhost/a/b",
        "amqp://ann:hunter2@localhost/?heartbeat=soon",
        "amqp://ann:hunter2@localhost/?heartbeat=99999999",
        "amqp://ann:hunter2@localhost/?frame_max=1",
        "amqps://ann:hunter2@localhost/?cacertfile=/nowhere/ca.pem",
        "amqps://ann:hunter2@localhost/?verify=maybe",
    ],
)
def test_a_malformed_address_is_refused_without_its_password(url: str):
    with pytest.raises(ConfigurationError) as caught:
        address.parameters(url)
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None or "hunter" not in str(caught.value.__cause__)


def test_an_unknown_option_is_refused_with_the_likely_one():
    with pytest.raises(UnknownOption, match="did you mean `heartbeat`"):
        address.parameters("amqp://localhost/?heartbeats=5")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://ann:secret@host:5672/v", "amqp://ann:***@host:5672/v"),
        ("amqp://ann@host/v", "amqp://ann@host/v"),
        ("amqp://host", "amqp://host"),
        ("amqp://ann:a@b:c@host/v?x=secret", "amqp://ann:***@host/v"),
        ("amqps://:secret@host", "amqps://:***@host"),
    ],
)
def test_a_masked_address_has_no_password_and_no_query(url: str, shown: str):
    assert masked_address(url) == shown


def test_a_virtual_host_from_a_topology_fills_an_address_without_one():
    assert address.with_vhost("amqp://host", None) == "amqp://host"
    assert (
        address.with_vhost("amqp://a:b@host:1/?heartbeat=5", "team/one") == "amqp://a:b@host:1/team%2Fone?heartbeat=5"
    )
    assert address.with_vhost("amqp://host/shop", "shop") == "amqp://host/shop"
    with pytest.raises(ConfigurationError, match="names 'other'"):
        address.with_vhost("amqp://host/other", "shop")
