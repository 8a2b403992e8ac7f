"""The fork server as the node sees it: starting it, orders to it, notices from it. Link thread, once it is started."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from amqptasks.errors import ConfigurationError
from amqptasks.worker.pools.prefork import fork_server
from amqptasks.worker.pools.prefork.child import ChildConfig
from amqptasks.worker.pools.prefork.child_process import ChildProcess
from amqptasks.worker.pools.prefork.settings import StartMethod
from amqptasks.worker.pools.prefork.slots import Slots

if TYPE_CHECKING:
    from amqptasks.app.app import App

#: Seconds for a fork server to end that was told to.
END_WITHIN = 2.0


class ForkServers:
    """Starts a fork server, and another when it died.

    `fork` copies this process, and only while it has one thread and eventlet has not patched it; else, and with
    `forkserver`, it is a new interpreter, which imports the app once; `spawn` makes every child one.
    """

    def __init__(self, app: App, slots: Slots, method: StartMethod) -> None:
        self._app = app
        self._slots = slots
        self._method = method
        self._control: socket.socket | None = None
        self._pid = 0
        self._fresh: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """False before `start`, and after `end`."""
        return self._control is not None

    @property
    def descriptor(self) -> int:
        """Readable when there are notices."""
        assert self._control is not None
        return self._control.fileno()

    def start(self) -> None:
        """Raises `ConfigurationError` where a fresh interpreter could not find the app, `OSError` where the machine has
        no room for another process."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        may_fork = threading.active_count() == 1 and hasattr(select, "poll")  # eventlet removes it
        try:
            if self._method == "fork" and may_fork:
                self._pid = fork_server.fork(self._app, its, [ours], self._slots)
            elif self._method == "spawn" and may_fork:
                self._pid = fork_server.fork(self._app, its, [ours], self._slots, place_of(self._app))
            else:
                self._fresh = self._start_fresh(its)
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
        ours.setblocking(False)
        self._control = ours

    def _start_fresh(self, its: socket.socket) -> subprocess.Popen[bytes]:
        module, attribute = place_of(self._app)
        tasks = fork_server.imported(self._app)
        try:
            descriptors = (its.fileno(), self._slots.descriptor, tasks)
            given = [*map(str, descriptors), self._method, module, attribute, *fork_server.search_path()]
            return subprocess.Popen(
                [sys.executable, "-m", "amqptasks.worker.pools.prefork.fork_server", *given], pass_fds=descriptors
            )
        finally:
            os.close(tasks)

    def bring_up(self, child_config: ChildConfig) -> None:
        """What children learn that are started from now on."""
        self._order(("child_config", child_config))

    def start_child(self, child: ChildProcess) -> bool:
        """Have a child started; False when the fork server has so many orders that there is no room for another now."""
        assert self._control is not None
        descriptors = [end.fileno() for end in child.its_ends]
        try:
            socket.send_fds(self._control, [pickle.dumps(("start", child.number, child.slot))], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is dead, which we hear in a moment
        except OSError as error:
            # Full, or more descriptors on their way than one user may have.
            if error.errno not in (errno.EAGAIN, errno.ETOOMANYREFS):
                raise
            return False
        child.passed()
        return True

    def signal(self, child: ChildProcess, number: int) -> None:
        """Send a child a signal; SIGKILL reaches what it started, too."""
        self._order(("signal", child.number, number))

    def notices(self) -> list[tuple[object, ...]] | None:
        """What it has told since; None when it is dead."""
        assert self._control is not None
        found: list[tuple[object, ...]] = []
        while True:
            try:
                data = self._control.recv(fork_server.LONGEST)
            except BlockingIOError:
                return found
            except ConnectionResetError:
                return None
            if not data:
                return found or None
            found.append(pickle.loads(data))  # noqa: S301 - from our own fork server, over a socket that nobody else has

    def end(self) -> None:
        """End the fork server; the kernel ends its children with it."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._fresh is not None:
            try:
                self._fresh.wait(END_WITHIN)
            except subprocess.TimeoutExpired:
                self._fresh.kill()
                self._fresh.wait()
            self._fresh = None
        elif self._pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0

    def _order(self, order: tuple[object, ...]) -> None:
        assert self._control is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
            self._control.send(pickle.dumps(order))


def place_of(app: App) -> tuple[str, str]:
    """Module and attribute under which a fresh interpreter finds `app`. Raises `ConfigurationError`."""
    for name, module in list(sys.modules.items()):
        if name != "__main__":
            for attribute, value in list(getattr(module, "__dict__", {}).items()):
                if value is app:
                    return name, attribute
    raise ConfigurationError(
        "the processes of a prefork pool must import the app, and no imported module has it as an attribute: put it"
        " into a module of its own, or use -P threads"
    )
