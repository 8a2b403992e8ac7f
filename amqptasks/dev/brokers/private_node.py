"""A RabbitMQ of our own: one node with its own data folder, ports, name, cookie and port mapper, on loopback only.

Everything it needs is in its folder, so any process of the same user can stop, kill or start it again:

    node.json          name and ports, chosen once
    rabbitmq.conf, advanced.config, enabled_plugins      written at each start
    data/  log/  home/ (the Erlang cookie)  pid  output
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from amqptasks.dev.brokers import probe, surroundings, vm
from amqptasks.dev.brokers.installation import find_installation
from amqptasks.dev.brokers.ports import Ports, load_or_choose
from amqptasks.dev.brokers.running import GUEST
from amqptasks.errors import BrokerUnreachable, ConfigurationError
from amqptasks.runtime.clock import monotonic

#: Seconds for the node to serve. It takes 3 to 10 on an idle machine; two cores shared with a test suite need more.
STARTS_WITHIN = 120.0

#: Seconds for a clean stop, in which queues are written out.
STOPS_WITHIN = 60.0

#: Seconds between two looks at a node that starts or stops.
LOOK_EVERY = 0.1

#: A command of rabbitmqctl starts an Erlang of its own: one second usually, this many on a busy machine.
COMMAND_WITHIN = 60.0


def refuse_folder_of_others(folder: Path) -> None:
    """RabbitMQ's scripts run files of this folder as whoever starts the node. Raises `ConfigurationError` where
    somebody else could have put them there: the folder, or anything in it, is another user's, or others may write to
    it."""
    if not folder.exists():
        return
    for path in (folder, *folder.iterdir()):
        try:
            found = path.lstat()
        except OSError as error:
            raise ConfigurationError(f"the folder {folder} cannot be looked into: {error}") from None
        if found.st_uid != os.getuid():
            raise ConfigurationError(
                f"{path} belongs to another user, who may have put files there that run as you: name a folder of your"
                f" own"
            )
        # Within the folder, a file that its group may write to is a matter of the umask: nobody else comes there.
        writable = stat.S_IWOTH if path != folder else stat.S_IWGRP | stat.S_IWOTH
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & writable:
            raise ConfigurationError(
                f"others may write to {path}, and put files there that run as you: `chmod go-w {path}`, or name another"
                f" folder"
            )


class PrivateNode:
    """One node, described by its `folder`; start it, stop it, kill it, start it again with its data on the same ports.

    `server` is the `rabbitmq-server` to use (default: the one on PATH), `root` a folder with another system's files
    to run it in by chroot (needs root's rights; `folder` must then be below `root`). `configuration` adds lines to
    rabbitmq.conf, `advanced` is the Erlang term of advanced.config.

    Raises `ConfigurationError` where there is no such installation.
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: Path | None = None,
        root: Path | None = None,
        configuration: Mapping[str, str] | None = None,
        advanced: str = "[]",
    ) -> None:
        installation = find_installation(server, root)
        if installation is None:
            place = server or (f"below {root}" if root else "on PATH")
            raise ConfigurationError(f"there is no rabbitmq-server {place}: install it, or name another")
        self.installation = installation
        self.folder = folder.absolute()
        refuse_folder_of_others(self.folder)
        self.configuration = dict(configuration or {})
        self.advanced = advanced
        self.ports: Ports = load_or_choose(self.folder)
        self.version = installation.version or ""

    @property
    def name(self) -> str:
        return self.ports.node_name

    @property
    def url(self) -> str:
        return f"amqp://{GUEST}:{GUEST}@127.0.0.1:{self.ports.amqp}/"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.management}"

    @property
    def running(self) -> bool:
        """Whether its Erlang VM lives (it may still be starting)."""
        return vm.find(self.folder / "pid", self.name) is not None

    def start(self, timeout: float = STARTS_WITHIN) -> None:
        """Start it, unless it runs, and wait until AMQP and the management API answer.

        Raises `BrokerUnreachable`, with the end of its output, when it ends or does not serve within `timeout`
        seconds.
        """
        launcher = None if self.running else self._launch()
        deadline = monotonic() + timeout
        while not self._serves():
            if launcher is not None and not vm.alive(launcher):
                raise BrokerUnreachable(f"RabbitMQ ended while starting. {self._last_words()}")
            if monotonic() > deadline:
                raise BrokerUnreachable(f"RabbitMQ did not serve within {timeout:g} s. {self._last_words()}")
            time.sleep(LOOK_EVERY)
        self.version = probe.version(self.url)

    def stop(self, timeout: float = STOPS_WITHIN) -> None:
        """Stop it cleanly, and its port mapper; its data stays. Killed when it takes longer than `timeout` seconds."""
        self._end(signal.SIGTERM, timeout)
        vm.stop_port_mapper(self.ports.epmd)

    def kill(self) -> None:
        """SIGKILL its Erlang VM: what a crash, or a machine that loses power, looks like to its clients."""
        self._end(signal.SIGKILL, STOPS_WITHIN)

    def destroy(self) -> None:
        """Kill it and delete its folder, with all data."""
        self.kill()
        vm.stop_port_mapper(self.ports.epmd)
        shutil.rmtree(self.folder, ignore_errors=True)

    def freeze(self) -> None:
        """SIGSTOP: a machine that pauses. `thaw` lets it go on."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def rabbitmqctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against this node; what it printed. Raises `BrokerUnreachable` when it fails."""
        return self._run("rabbitmqctl", arguments)

    def rabbitmq_plugins(self, *arguments: str) -> str:
        """The same with `rabbitmq-plugins`. What it enables is so until the node is started anew."""
        return self._run("rabbitmq-plugins", arguments)

    def _run(self, script: str, arguments: tuple[str, ...]) -> str:
        command = [*self.installation.command(script), "-q", "-n", self.name, *arguments]
        done = subprocess.run(
            command, env=self._environment(), capture_output=True, text=True, timeout=COMMAND_WITHIN, check=False
        )
        if done.returncode:
            words = (done.stderr or done.stdout).strip()
            raise BrokerUnreachable(f"{script} {' '.join(arguments)} failed with status {done.returncode}: {words}")
        return done.stdout

    def _serves(self) -> bool:
        return (
            self.running
            and probe.greeting_version("127.0.0.1", self.ports.amqp) is not None
            and probe.management_refusal(self.management_url, self.url) is None
        )

    def _launch(self) -> int:
        """Start the server's script as nobody's child, so that it outlives us and leaves no zombie; its process id."""
        surroundings.write(self.folder, self.ports, self.configuration, self.advanced)
        (self.folder / "pid").unlink(missing_ok=True)  # of the last run
        background = 'exec 3>&1 >"$0" 2>&1 </dev/null; "$@" 3>&- & echo $! >&3'
        command = ["sh", "-c", background, str(self.folder / "output"), *self.installation.command("rabbitmq-server")]
        done = subprocess.run(
            command,
            env=self._environment(),
            cwd="/",
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in our terminal is not meant for the broker
            check=True,
        )
        return int(done.stdout)

    def _environment(self) -> dict[str, str]:
        return surroundings.environment(self.folder, self.ports, self.installation.root)

    def _signal(self, number: signal.Signals) -> int | None:
        process = vm.find(self.folder / "pid", self.name)
        if process is not None:
            os.kill(process, number)
        return process

    def _end(self, number: signal.Signals, timeout: float) -> None:
        process = self._signal(number)
        deadline = monotonic() + timeout
        while process is not None and vm.alive(process):
            if monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
                deadline += timeout
            time.sleep(LOOK_EVERY / 2)

    def _last_words(self) -> str:
        output = self.folder / "output"
        lines = output.read_text(errors="replace").strip().splitlines() if output.exists() else []
        words = "\n".join(lines[-8:])
        return f"Its log is in {self.folder / 'log'}; its output ended with:\n{words}"
