"""amqps: the same over TLS, and a clear refusal where the certificate is not trusted."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from amqptasks import App
from amqptasks.brokers.installation import inside
from amqptasks.brokers.private_node import PrivateNode
from amqptasks.errors import BrokerUnreachable
from tests.harness.nodes import NoBroker, new_node

pytestmark = [pytest.mark.broker, pytest.mark.kills_broker]


@dataclass(frozen=True)
class TlsBroker:
    url: str
    certificate: Path


@pytest.fixture(scope="module")
def tls_broker() -> Iterator[TlsBroker]:
    """A node that also listens for TLS, with a certificate for `localhost` that it signed itself."""
    try:
        node = new_node("tls")
    except NoBroker as error:
        pytest.skip(f"no RabbitMQ: {error}")
    if not isinstance(node, PrivateNode):
        pytest.skip("a broker in Docker has no TLS listener here")
    folder = node.folder / "tls"
    folder.mkdir()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    request += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(request, check=True, capture_output=True, timeout=60)
    key.chmod(0o644)  # whatever user the broker runs as
    port = _free_port()
    node.configuration.update(
        {
            "listeners.ssl.default": f"127.0.0.1:{port}",
            "ssl_options.cacertfile": _seen(certificate, node),
            "ssl_options.certfile": _seen(certificate, node),
            "ssl_options.keyfile": _seen(key, node),
            "ssl_options.verify": "verify_none",
        }
    )
    try:
        node.start()
        yield TlsBroker(f"amqps://guest:guest@localhost:{port}/", certificate)
    finally:
        node.destroy()


def _seen(path: Path, node: PrivateNode) -> str:
    return str(inside(path, node.installation.root))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_calls_and_results_travel_over_tls(tls_broker: TlsBroker) -> None:
    trusted = ssl.create_default_context(cafile=str(tls_broker.certificate))
    app = App("shop", broker=tls_broker.url, tls=trusted)

    @app.task(name="shop.echo")
    def echo(text: str) -> str:
        return text

    with app.worker(["default"]):
        assert echo.delay("x" * 200_000).get(timeout=15) == "x" * 200_000
        assert [result.get(timeout=15) for result in echo.publish_many([(str(n),) for n in range(500)])] == [
            str(n) for n in range(500)
        ]


@pytest.mark.parametrize("connected_by", ["session", "link"])
def test_a_certificate_that_is_not_trusted_is_refused_with_the_reason(
    tls_broker: TlsBroker, connected_by: str, tmp_path: Path
) -> None:
    """Without a context of ours the system's authorities count, and they know nothing of this certificate."""
    topology = tmp_path / "topology.yaml"
    topology.write_text("version: 1\nqueues: {default: {}}\ndefault_queue: default\n")
    app = App(
        "shop",
        broker=tls_broker.url,
        topology=topology if connected_by == "link" else None,
        ignore_result=True,
        publish_timeout=2.0,
    )
    with pytest.raises(BrokerUnreachable, match=r"TLS failed: .*CERTIFICATE_VERIFY_FAILED|TLS failed: .*verify"):
        app.send_task("shop.echo", ("x",))
    app.close()
