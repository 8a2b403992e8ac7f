"""Ways to a broker: what is decided and remembered without one; with one, see the integration tests."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from amqptasks.dev.brokers import apt, docker, ports, probe, search, state, surroundings
from amqptasks.dev.brokers.installation import Installation, find_installation
from amqptasks.dev.brokers.private_node import PrivateNode, refuse_folder_of_others
from amqptasks.dev.brokers.running import Absent, Running, Wish, shown
from amqptasks.errors import ConfigurationError
from tests.harness.impostor import Impostor, impostor

LOCAL = "amqp://guest:guest@127.0.0.1:5999/"


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "amqptasks"


@contextmanager
def server(answer: bytes) -> Iterator[int]:
    """Something that is no RabbitMQ: says `answer` to whoever connects, and hangs up. Its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(8)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\x00\x01\x00\x00", b"", b"\x01\x00\x00\xff\xff\xff\xff"]
)
def test_what_is_no_amqp_0_9_1_is_not_taken_for_a_broker(answer: bytes) -> None:
    with server(answer) as port:
        assert probe.greeting_version("127.0.0.1", port, timeout=2) is None


def test_a_closed_port_is_no_broker_and_no_management_api() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert probe.greeting_version("127.0.0.1", port) is None
    assert probe.management_refusal(f"http://127.0.0.1:{port}", LOCAL) is not None
    with pytest.raises(ConnectionError):
        probe.version(f"amqp://guest:guest@127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi!\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"220 mail\r\n",
    ],
)
def test_what_is_no_management_api_is_told_with_its_address(answer: bytes) -> None:
    with impostor(answer) as other:
        refusal = probe.management_refusal(other.url, LOCAL)
    assert refusal is not None
    assert refusal.startswith(other.url)


def test_a_refused_user_is_told_with_the_address() -> None:
    with impostor(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as other:
        refusal = probe.management_refusal(other.url, LOCAL)
    assert refusal is not None
    assert refusal.startswith(f"{other.url}: GET /api/overview: 401")


@pytest.fixture
def at_the_usual_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Impostor]]:
    """A management API that lets everybody in, at what is taken for the usual port of http or https; nobody is at the
    other one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    body = b'{"rabbitmq_version": "4.3.0"}'
    with impostor(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)) as other:

        def put(scheme: str) -> Impostor:
            monkeypatch.setattr(probe, "MANAGEMENT_PORTS", {"http": closed, "https": closed, scheme: other.port})
            return other

        yield put


def test_a_broker_that_is_not_encrypted_is_asked_at_its_usual_port(at_the_usual_port) -> None:
    other = at_the_usual_port("http")
    assert probe.management_url("amqp://shop:hush@127.0.0.1/") == other.url
    assert b"Authorization: Basic" in other.heard[0]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_password_of_an_encrypted_broker_never_goes_out_in_the_clear(scheme: str, at_the_usual_port) -> None:
    """At the port of https it gets the first bytes of a handshake, at that of http nothing at all."""
    other = at_the_usual_port(scheme)
    assert probe.management_url("amqps://shop:hush@127.0.0.1/") is None
    assert [said[:1] for said in other.heard] == ([b"\x16"] if scheme == "https" else [])
    assert not any(b"Authorization" in said for said in other.heard)


def test_the_usual_place_is_beside_the_broker() -> None:
    assert probe.usual_management("amqp://h:5673/v") == "http://h:15672"
    assert probe.usual_management("amqps://h/v?verify=verify_none") == "https://h:15671"
    assert probe.usual_management("amqps://[::1]:5673") == "https://[::1]:15671"


def test_a_password_is_shown_only_where_everybody_knows_it() -> None:
    assert shown(LOCAL) == LOCAL
    assert shown("amqp://guest:hush@h/") == "amqp://guest:***@h/"
    assert "hush" not in shown("amqp://shop:hush@h/v")


def test_ports_are_chosen_once_for_a_folder(tmp_path: Path) -> None:
    first = ports.load_or_choose(tmp_path / "node")
    assert ports.load_or_choose(tmp_path / "node") == first
    assert (tmp_path / "node").stat().st_mode & 0o077 == 0
    numbers = {first.amqp, first.management, first.distribution, first.epmd}
    assert len(numbers) == 4
    assert str(first.amqp) in first.node_name


def test_a_damaged_port_file_names_itself(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"node\.json is damaged"):
        ports.load_or_choose(tmp_path)


def test_ports_in_use_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        choices = iter([taken, taken - 3, taken + 40])
        monkeypatch.setattr(ports.random, "randrange", lambda *_: next(choices))
        monkeypatch.setattr(ports, "_free", lambda port: port != taken)
        assert ports.choose().amqp == taken + 40


def script_folder(below: Path, release: str) -> Path:
    folder = below / f"usr/lib/rabbitmq/lib/rabbitmq_server-{release}/sbin"
    folder.mkdir(parents=True)
    for name in ("rabbitmq-server", "rabbitmqctl", "rabbitmq-defaults"):
        (folder / name).touch(mode=0o755)
    return folder


def test_the_newest_release_below_a_root_is_taken_and_run_by_chroot(tmp_path: Path) -> None:
    script_folder(tmp_path, "3.9.13")
    newest = script_folder(tmp_path, "3.10.8")
    found = find_installation(root=tmp_path)
    assert found == Installation(newest, tmp_path)
    assert found.version == "3.10.8"
    seen = "/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmqctl"
    assert found.command("rabbitmqctl") == ["chroot", str(tmp_path), seen]


def test_a_wrapper_beside_links_leads_to_the_real_scripts(tmp_path: Path) -> None:
    real = script_folder(tmp_path, "4.3.0")
    links = tmp_path / "usr/lib/rabbitmq/bin"
    links.mkdir()
    (links / "wrapper").touch(mode=0o755)
    (links / "rabbitmq-defaults").symlink_to(real / "rabbitmq-defaults")
    assert find_installation(server=links / "wrapper") == Installation(real)


def test_a_node_without_an_installation_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no rabbitmq-server below"):
        PrivateNode(tmp_path / "node", root=tmp_path)
    assert not (tmp_path / "node").exists()


def _of_nobody(path: Path) -> None:
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: folder.chmod(0o777), "others may write"),
        (lambda folder: folder.chmod(0o770), "others may write"),
        (lambda folder: (folder / "none").chmod(0o666), "others may write"),
        (_of_nobody, "another user"),
        (lambda folder: _of_nobody(folder / "none"), "another user"),
        (lambda folder: ((folder / "none").unlink(), (folder / "none").symlink_to("/nowhere")), None),
        (lambda folder: (folder / "node.json").symlink_to("/tmp"), None),
        (lambda folder: folder.chmod(0o750), None),
    ],
    ids=["all", "the group", "a file", "the folder of another", "a file of another", "a link", "a link to all", "mine"],
)
def test_broker_start_refuses_a_folder_in_which_somebody_else_may_have_put_files(
    spoil: Callable[[Path], object], says: str | None, tmp_path: Path
) -> None:
    if os.getuid() != 0 and says == "another user":
        pytest.skip("only root can give files away")
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    (folder / "none").write_text("touch /tmp/ran")
    (folder / "none").chmod(0o600)
    spoil(folder)
    if says is None:
        refuse_folder_of_others(folder)
        return
    with pytest.raises(ConfigurationError, match=says) as caught:
        refuse_folder_of_others(folder)
    assert str(folder) in str(caught.value)


def test_a_node_inherits_nothing_that_points_at_another_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_NODE_PORT", "5672")
    monkeypatch.setenv("ERL_LIBS", "/elsewhere")
    chosen = ports.Ports(1, 2, 3, 4, "n@localhost")
    environment = surroundings.environment(tmp_path, chosen, None)
    assert not {"RABBITMQ_NODE_PORT", "ERL_LIBS"} & set(environment)
    assert environment["RABBITMQ_MNESIA_BASE"] == str(tmp_path / "data")
    inside = surroundings.environment(tmp_path / "var/n", chosen, tmp_path)
    assert inside["HOME"] == "/var/n/home"


def test_a_nodes_files_keep_it_on_loopback_and_its_cookie_secret(tmp_path: Path) -> None:
    chosen = ports.Ports(1, 2, 3, 4, "n@localhost")
    surroundings.write(tmp_path, chosen, {"net_ticktime": "10"}, "[]")
    lines = (tmp_path / "rabbitmq.conf").read_text().splitlines()
    assert lines == [
        "listeners.tcp.default = 127.0.0.1:1",
        "management.tcp.ip = 127.0.0.1",
        "management.tcp.port = 2",
        "net_ticktime = 10",
    ]
    cookie = tmp_path / "home/.erlang.cookie"
    kept = cookie.read_text()
    assert stat.S_IMODE(cookie.stat().st_mode) == 0o400
    surroundings.write(tmp_path, chosen, {}, "[]")
    assert cookie.read_text() == kept


def test_what_was_started_is_remembered_for_its_user_only(state_home: Path) -> None:
    running = Running("private node", LOCAL, None, "4.3.0", started=True, folder=Path("/somewhere"))
    with state.locked():
        state.remember(running)
    assert state.recall() == running
    assert stat.S_IMODE((state_home / "broker.json").stat().st_mode) == 0o600
    state.forget()
    assert state.recall() is None


def test_a_damaged_memory_names_its_file(state_home: Path) -> None:
    state_home.mkdir(parents=True)
    (state_home / "broker.json").write_text(json.dumps({"kind": "docker"}))
    with pytest.raises(ConfigurationError, match=r"broker\.json is damaged"):
        state.recall()


def way(kind: str, outcome: Callable[[Wish], Running | Absent]) -> SimpleNamespace:
    return SimpleNamespace(KIND=kind, find=outcome)


def test_the_first_way_that_leads_to_a_broker_is_taken(
    state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    found = Running("docker", LOCAL, None, "4.3.0", started=True)

    def answer(kind: str, outcome: Running | Absent) -> SimpleNamespace:
        return way(kind, lambda wish: asked.append(kind) or outcome)

    ways = (answer("localhost", Absent("localhost", "shut")), answer("docker", found), answer("apt", found))
    monkeypatch.setattr(search, "ORDER", ways)
    assert search.find(Wish(tmp_path)) == found
    assert asked == ["localhost", "docker"]
    assert state.recall() == found


def test_where_no_way_leads_to_a_broker_each_says_why(
    state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [Absent("localhost", "shut"), Absent("docker", "not here")]
    monkeypatch.setattr(search, "ORDER", tuple(way(one.kind, lambda wish, one=one: one) for one in refusals))
    assert search.find(Wish(tmp_path)) == refusals
    assert state.recall() is None


def test_a_url_that_does_not_answer_is_not_replaced_by_another_broker(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(search, "ORDER", (way("docker", lambda wish: pytest.fail("asked for another broker")),))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = search.find(Wish(tmp_path, f"amqp://shop:hush@127.0.0.1:{port}/"))
    assert isinstance(found, list)
    assert [one.kind for one in found] == ["given"]
    assert "hush" not in found[0].reason


def test_a_package_is_installed_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "install", lambda: pytest.fail("installed"))
    found = apt.find(Wish(tmp_path, install=False))
    assert isinstance(found, Absent)
    assert "--install" in found.reason


def test_a_package_is_not_installed_without_the_right_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "install", lambda: pytest.fail("installed"))
    monkeypatch.setattr(apt.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(apt.shutil, "which", lambda name: None if name == "sudo" else f"/usr/bin/{name}")
    found = apt.find(Wish(tmp_path, install=True))
    assert isinstance(found, Absent)
    assert "root" in found.reason or "Debian" in found.reason


def test_a_machine_without_docker_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert docker.unusable() == "there is no docker on PATH"


def test_a_docker_that_does_not_work_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho first >&2; echo no daemon here >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert docker.unusable() == "Docker does not work: no daemon here"
    found = docker.find(Wish(tmp_path))
    assert isinstance(found, Absent)
