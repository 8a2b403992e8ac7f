"""amqps, and https for the management API: the same over TLS, and a clear refusal where the certificate is not
trusted."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from amqptasks import App
from amqptasks.cli import main
from amqptasks.dev.brokers import probe
from amqptasks.dev.brokers.installation import inside
from amqptasks.dev.brokers.private_node import PrivateNode
from amqptasks.errors import BrokerUnreachable
from tests.harness.command import run_command
from tests.harness.impostor import impostor
from tests.harness.nodes import NoBroker, new_node

pytestmark = [pytest.mark.broker, pytest.mark.kills_broker]


@dataclass(frozen=True)
class TlsBroker:
    """`url` names no authority, `management_url` is https."""

    url: str
    management_url: str
    certificate: Path


@pytest.fixture(scope="module")
def tls_broker() -> Iterator[TlsBroker]:
    """A node that also listens for TLS, both for AMQP and for its management API, with a certificate for `localhost`
    that it signed itself."""
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
    port, management_port = _free_port(), _free_port()
    node.configuration.update(
        {
            "listeners.ssl.default": f"127.0.0.1:{port}",
            "ssl_options.cacertfile": _seen(certificate, node),
            "ssl_options.certfile": _seen(certificate, node),
            "ssl_options.keyfile": _seen(key, node),
            "ssl_options.verify": "verify_none",
            "management.ssl.ip": "127.0.0.1",
            "management.ssl.port": str(management_port),
            "management.ssl.cacertfile": _seen(certificate, node),
            "management.ssl.certfile": _seen(certificate, node),
            "management.ssl.keyfile": _seen(key, node),
        }
    )
    try:
        node.start()
        yield TlsBroker(f"amqps://guest:guest@localhost:{port}/", f"https://localhost:{management_port}", certificate)
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
    with pytest.raises(BrokerUnreachable, match=r"TLS failed: self-signed certificate; cacertfile="):
        app.send_task("shop.echo", ("x",))
    app.close()


#: What asks the management API, in an order in which each finds what it needs; and a word of its answer.
COMMANDS = (
    ("declare --no-delays", "5 objects: 5 was there"),
    ("plan --no-delays", "Nothing to do"),
    ("doctor --only policies --json", '"left_out": {}'),
    ("topology export", "default:"),
    ("topology graph --live --format json", '"figures": {'),
    ("migrate default --dry-run", "Nothing to do"),
)

APP = """
import ssl
from amqptasks import App
trusted = ssl.create_default_context(cafile={certificate!r})
app = App("shop", broker={url!r}, topology="topology.yaml", tls=trusted)
"""


@pytest.fixture
def shop(tls_broker: TlsBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an app that trusts the broker's certificate, which its address does not name."""
    monkeypatch.delenv("AMQPTASKS_MANAGEMENT_URL", raising=False)
    (tmp_path / "topology.yaml").write_text("version: 1\nqueues: {default: {}}\ndefault_queue: default\n")
    (tmp_path / "shop.py").write_text(APP.format(certificate=str(tls_broker.certificate), url=tls_broker.url))
    return tmp_path


@pytest.mark.long
def test_every_command_trusts_what_the_app_trusts(tls_broker: TlsBroker, shop: Path) -> None:
    for words, says in COMMANDS:
        ended = run_command(
            "-A", "shop", *words.split(), "--management", tls_broker.management_url, url=None, folder=shop
        )
        assert says in ended.stdout, (words, ended.stdout, ended.stderr)
        assert ended.returncode == 0


def test_without_the_app_the_authority_of_the_address_is_trusted(tls_broker: TlsBroker, shop: Path) -> None:
    arguments = ("plan", "topology.yaml", "--no-delays", "--management", tls_broker.management_url)
    refused = run_command(*arguments, url=tls_broker.url, folder=shop)
    assert refused.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
    trusting = run_command(*arguments, url=f"{tls_broker.url}?cacertfile={tls_broker.certificate}", folder=shop)
    assert trusting.returncode in (0, 2), trusting.stderr
    assert "queue default" in trusting.stdout or "Nothing to do" in trusting.stdout


def test_the_management_api_of_an_encrypted_broker_is_found_by_https_alone(
    tls_broker: TlsBroker, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the port of http somebody listens for passwords."""
    body = b'{"rabbitmq_version": "4.3.0"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    url = f"{tls_broker.url}?cacertfile={tls_broker.certificate}"
    arguments = ["plan", str(shop / "topology.yaml"), "--json"]
    monkeypatch.setenv("XDG_STATE_HOME", str(shop))
    with impostor(answer) as other:
        ports = {"http": other.port, "https": urlsplit(tls_broker.management_url).port}
        monkeypatch.setattr(probe, "MANAGEMENT_PORTS", ports)
        found = CliRunner().invoke(main, [*arguments, "--broker", url])
        assert found.exit_code in (0, 2), found.output
        assert probe.management_url(url) == tls_broker.management_url
        untrusted = CliRunner().invoke(main, [*arguments, "--broker", tls_broker.url])
        assert untrusted.exit_code == 1
        assert "TLS failed: self-signed certificate" in untrusted.stderr
        assert other.heard == []
