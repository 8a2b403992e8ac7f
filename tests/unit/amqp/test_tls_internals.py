"""What we lean on in CPython's `ssl` beyond its documented interface: fails when a release changes it."""

from __future__ import annotations

import ssl
from types import SimpleNamespace

from amqptasks.amqp.failures.tls_failures import tls_failure
from amqptasks.amqp.failures.tls_internals import CertificateRequest


def test_a_context_takes_a_callback_for_its_messages() -> None:
    context = ssl.create_default_context()
    request = CertificateRequest(context)
    assert context._msg_callback is not None  # type: ignore[attr-defined]
    request.end()
    assert context._msg_callback is None  # type: ignore[attr-defined]


def test_certificate_request_is_seen_in_what_the_other_side_says() -> None:
    request = CertificateRequest(ssl.create_default_context())
    asks = SimpleNamespace(name="CERTIFICATE_REQUEST")
    request._hear(None, "write", None, None, asks, b"")
    assert not request.seen
    request._hear(None, "read", None, None, asks, b"")
    assert request.seen


def test_tls_error_has_the_sentence_of_openssl_and_the_option_that_helps() -> None:
    printed = "SSLError(1, '[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:1)')"
    found = tls_failure(Exception(printed), "amqps://h/")
    assert found is not None
    assert "tlsv13 alert certificate required" in str(found)
    assert "certfile=" in str(found)
    plain = tls_failure(Exception("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "amqps://h/")
    assert plain is not None
    assert "amqp://" in str(plain)
    assert tls_failure(Exception("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF (_ssl.c:1)"), "amqps://h/") is None
