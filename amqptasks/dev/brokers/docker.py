"""A RabbitMQ in a Docker container: published on loopback, with the management plugin."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Mapping

from amqptasks.dev.brokers import probe
from amqptasks.dev.brokers.ports import choose
from amqptasks.dev.brokers.running import GUEST, Absent, Running, Wish
from amqptasks.errors import BrokerUnreachable
from amqptasks.runtime.clock import monotonic

KIND = "docker"

#: The newest release series that amqptasks is tested with, from the official image.
IMAGE = "rabbitmq:4.3-management"

#: One container for the user's shell; tests use names of their own.
CONTAINER = "amqptasks-broker"

#: Seconds for an order to the Docker daemon that moves no image.
ORDER_WITHIN = 60.0

#: Seconds to pull an image of 120 MB over a slow line.
PULL_WITHIN = 900.0

#: Seconds for the node in the container to serve, and between two looks.
STARTS_WITHIN = 120.0
LOOK_EVERY = 0.2

#: The image reads all files of this folder, in the order of their names; 10-defaults.conf is its own.
CONFIGURATION = "/etc/rabbitmq/conf.d/20-amqptasks.conf"


class DockerNode:
    """One container, described by its name; the same methods as `PrivateNode`. `configuration` adds lines to
    rabbitmq.conf. Its data lives in the container, so it survives `stop` and `kill`, not `destroy`."""

    def __init__(self, name: str, *, image: str = IMAGE, configuration: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.image = image
        self.configuration = dict(configuration or {})
        self.version = ""

    @property
    def url(self) -> str:
        return f"amqp://{GUEST}:{GUEST}@127.0.0.1:{self._port(5672)}/"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self._port(15672)}"

    @property
    def running(self) -> bool:
        return self._state() == "running"

    def start(self, timeout: float = STARTS_WITHIN) -> None:
        """Start it, unless it runs, and wait until AMQP and the management API answer. Raises `BrokerUnreachable`."""
        state = self._state()
        if state is None:
            self._create()
        if state != "running":
            _docker("start", self.name)
        deadline = monotonic() + timeout
        while not self._serves():
            if monotonic() > deadline or not self.running:
                words = _docker("logs", "--tail", "8", self.name, check=False)
                raise BrokerUnreachable(f"the container {self.name} does not serve; its output ended with:\n{words}")
            time.sleep(LOOK_EVERY)
        self.version = probe.version(self.url)

    def stop(self) -> None:
        """Stop it cleanly; its data stays."""
        _docker("stop", "-t", "60", self.name, check=False, timeout=90.0)

    def kill(self) -> None:
        """SIGKILL."""
        _docker("kill", self.name, check=False)

    def destroy(self) -> None:
        """Kill it and remove the container, with all data."""
        _docker("rm", "--force", "--volumes", self.name, check=False)

    def freeze(self) -> None:
        """A machine that pauses; `thaw` lets it go on."""
        _docker("pause", self.name)

    def thaw(self) -> None:
        _docker("unpause", self.name)

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` in the container; what it printed. Raises `BrokerUnreachable` when it fails."""
        return _docker("exec", self.name, "rabbitmqctl", "-q", *arguments)

    def rabbitmq_plugins(self, *arguments: str) -> str:
        """The same with `rabbitmq-plugins`."""
        return _docker("exec", self.name, "rabbitmq-plugins", "-q", *arguments)

    def _create(self) -> None:
        _docker("pull", "--quiet", self.image, timeout=PULL_WITHIN)
        ports = choose()  # Docker's own choice would change with each start
        published = ("-p", f"127.0.0.1:{ports.amqp}:5672", "-p", f"127.0.0.1:{ports.management}:15672")
        _docker("create", "--name", self.name, "--hostname", "amqptasks", *published, self.image)
        lines = "".join(f"{key} = {value}\n" for key, value in self.configuration.items())
        if lines:
            self._copy_in(lines)

    def _copy_in(self, text: str) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(CONFIGURATION.rpartition("/")[2])
            entry.size, entry.mode = len(text.encode()), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
        _docker("cp", "-", f"{self.name}:{CONFIGURATION.rpartition('/')[0]}", stdin=archive.getvalue())

    def _serves(self) -> bool:
        return (
            probe.greeting_version("127.0.0.1", self._port(5672)) is not None
            and probe.management_refusal(self.management_url, self.url) is None
        )

    def _state(self) -> str | None:
        found = _docker("container", "inspect", "--format", "{{.State.Status}}", self.name, check=False).strip()
        return found or None

    def _port(self, inside: int) -> int:
        bindings = json.loads(
            _docker("container", "inspect", "--format", "{{json .HostConfig.PortBindings}}", self.name)
        )
        return int(bindings[f"{inside}/tcp"][0]["HostPort"])


def unusable() -> str | None:
    """Why Docker cannot be used here, in words; None when it can."""
    if shutil.which("docker") is None:
        return "there is no docker on PATH"
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=ORDER_WITHIN, check=False)
    except subprocess.TimeoutExpired:
        return "the Docker daemon does not answer"
    if done.returncode == 0:
        return None
    words = [line for line in (done.stderr or done.stdout).strip().splitlines() if line]
    return f"Docker does not work: {words[-1]}" if words else "Docker does not work"


def find(wish: Wish) -> Running | Absent:  # noqa: ARG001 - all kinds have one signature
    """Start the container `amqptasks-broker`, making it at the first time."""
    reason = unusable()
    if reason is not None:
        return Absent(KIND, reason)
    node = DockerNode(CONTAINER)
    try:
        node.start()
    except BrokerUnreachable as error:
        return Absent(KIND, str(error))
    return Running(KIND, node.url, node.management_url, node.version, started=True)


def stop(running: Running) -> None:  # noqa: ARG001 - all kinds have one signature
    """Remove the container, with its data."""
    DockerNode(CONTAINER).destroy()


def _docker(*arguments: str, check: bool = True, timeout: float = ORDER_WITHIN, stdin: bytes | None = None) -> str:
    """Standard output of one order to Docker. Raises `BrokerUnreachable` where it fails and `check` is on."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, timeout=timeout, input=stdin, check=False)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise BrokerUnreachable(f"docker {arguments[0]} failed: {error}") from error
    if check and done.returncode:
        raise BrokerUnreachable(f"docker {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")
