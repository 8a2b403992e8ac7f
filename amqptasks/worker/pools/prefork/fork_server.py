"""The fork server: a process with one thread and no connection, from which all children of a pool are forked.

It begins as a fork of the node before the node has any other thread, or as a fresh interpreter (`python -m
amqptasks.worker.pools.prefork.fork_server`) that imports the app once. It says of what each child died. When the node
goes, it goes, and the kernel ends its children with it.
"""

from __future__ import annotations

import _socket
import contextlib
import importlib
import json
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from amqptasks.app import connections
from amqptasks.errors import ConfigurationError
from amqptasks.worker.pools.prefork.child import (
    NO_MEMORY,
    Child,
    ChildConfig,
    blocking_socket,
    die_with,
    live,
    prepare_process,
)
from amqptasks.worker.pools.prefork.slots import Slots
from amqptasks.worker.process import garbage

if TYPE_CHECKING:
    from amqptasks.app.app import App

#: Bytes of an order or a notice; they are a few numbers, a configuration is some hundred bytes.
LONGEST = 65536


class ForkServer:
    """`control` leads to the node. With a `place`, each child is a fresh interpreter that imports the app from there.

    Orders: ("child_config", ChildConfig), ("start", child, slot) with two sockets, ("signal", child, number).
    Notices: ("started", child, pid), ("ended", child, how), ("failed", text).
    """

    def __init__(self, app: App, control: socket.socket, slots: Slots, place: tuple[str, str] | None = None) -> None:
        self._app = app
        self._control = control
        self._slots = slots
        self._place = place
        self._child_config = ChildConfig("", None)
        self._children: dict[int, int] = {}  # pid to child's number
        self._pids: dict[int, int] = {}

    def run(self) -> None:
        """Until the node goes."""
        garbage.leave_alone()  # children share these pages as long as no collection writes to them
        readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(readable, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == readable:
                    with contextlib.suppress(BlockingIOError):
                        os.read(readable, 4096)
                    self._reap()
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, LONGEST, 2, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return False
        if not data:
            return False
        match pickle.loads(data):  # noqa: S301 - from our own node, over a socket that nobody else has
            case ("child_config", ChildConfig() as child_config):
                self._child_config = child_config
            case ("start", int(number), int(slot)):
                self._start(number, slot, descriptors)
            case ("signal", int(number), int(signum)):
                self._signal(number, signum)
        return True

    def _start(self, number: int, slot: int, descriptors: Sequence[int]) -> None:
        jobs, results = map(blocking_socket, descriptors)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell("ended", number, f"could not be started: {error}")
            pid = -1
        if pid == 0:
            try:
                prepare_process()
                die_with(parent)
                self._control.close()
                if self._place is not None:
                    spawn(self._app, self._place, self._child_config, jobs, results, self._slots, slot)
                live(Child(self._app, self._child_config, jobs, results, self._slots, slot))
            except MemoryError:
                os._exit(NO_MEMORY)
            except BaseException:
                traceback.print_exc()
            finally:  # whatever fails here: a child must not go on as a fork server
                os._exit(1)
        jobs.close()
        results.close()
        if pid > 0:
            self._children[pid] = number
            self._pids[number] = pid
            self._tell("started", number, pid)

    def _signal(self, number: int, signum: int) -> None:
        pid = self._pids.get(number)
        if pid is None:  # it has just ended
            return
        with contextlib.suppress(ProcessLookupError):
            if signum == signal.SIGKILL:
                with contextlib.suppress(PermissionError):  # a member of its group may have another user by now
                    os.killpg(pid, signum)
            os.kill(pid, signum)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._children.pop(pid, None)
            if number is not None:
                del self._pids[number]
                self._tell("ended", number, describe(status))

    def _tell(self, *notice: object) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(pickle.dumps(notice))


def describe(status: int) -> str:
    """Of what a process died, in words, from what `waitpid` gave."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    if code == NO_MEMORY:
        return f"ended by itself with status {code}: no memory was left"
    return f"ended by itself with status {code}{'' if code else ', which says that nothing failed'}"


def spawn(
    app: App,
    place: tuple[str, str],
    child_config: ChildConfig,
    jobs: _socket.socket,
    results: _socket.socket,
    slots: Slots,
    slot: int,
) -> NoReturn:
    """Become a fresh interpreter that is this child."""
    tasks = imported(app)
    descriptors = (jobs.fileno(), results.fileno(), slots.descriptor, tasks)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    given = [*map(str, descriptors), str(slot), pickle.dumps(child_config).hex(), *place, *search_path()]
    os.execv(sys.executable, [sys.executable, "-m", "amqptasks.worker.pools.prefork.spawned", *given])  # noqa: S606


def search_path() -> list[str]:
    """Where this process imports from, for another in any folder."""
    return [entry or os.getcwd() for entry in sys.path]


def fork(
    app: App,
    control: socket.socket,
    others: Sequence[socket.socket],
    slots: Slots,
    place: tuple[str, str] | None = None,
) -> int:
    """Fork the fork server from this process, which must have one thread; its process id. `others` are closed there."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        for other in others:
            other.close()
        prepare_process()
        preload(app)
        ForkServer(app, control, slots, place).run()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:  # whatever fails here: it must not go on as a node
        os._exit(1)


def main(arguments: Sequence[str]) -> None:
    """A fresh interpreter: descriptors of the control socket, of the slots and of what `imported` wrote, the start
    method, module and attribute of the app, and the path to import from."""
    control, slots, tasks, method, module, attribute, *path = arguments
    prepare_process()
    connection = socket.socket(fileno=int(control))
    connection.setblocking(True)  # a node that eventlet has patched made it otherwise
    try:
        app = import_app(module, attribute, int(tasks), path)
        preload(app)
    except BaseException:
        connection.send(pickle.dumps(("failed", traceback.format_exc(limit=-5))))
        raise
    place = (module, attribute) if method == "spawn" else None
    ForkServer(app, connection, Slots(int(slots)), place).run()


def imported(app: App) -> int:
    """The tasks of this process by the modules that make them, in their order, for `import_app`. Not only `-A`,
    `include` and `autodiscover_tasks` name such modules: one may import the next. The descriptor of a nameless file,
    to be closed: an argument of a program is too short for thousands of tasks."""
    modules: dict[str, list[str]] = {}
    for name, task in app.tasks.items():
        module = getattr(task.function, "__module__", None) or ""
        modules.setdefault(module if module != "__main__" and module in sys.modules else "", []).append(name)
    descriptor = os.memfd_create("amqptasks-tasks")
    with open(descriptor, "w", closefd=False) as file:
        json.dump(modules, file)
    return descriptor


def import_app(module: str, attribute: str, tasks: int, path: Sequence[str]) -> App:
    """The app, the modules that it includes, and those that made its worker's tasks, from `path`. `tasks` is the
    descriptor of `imported`, and is closed. Raises `ConfigurationError` where a task is missing all the same."""
    sys.path[:] = path
    app: App = getattr(importlib.import_module(module), attribute)
    with open(tasks) as file:
        file.seek(0)  # where the writer left it
        wanted: dict[str, list[str]] = json.load(file)
    for name in (*app.include, *filter(None, wanted)):
        importlib.import_module(name)
    missing = [task for names in wanted.values() for task in names if task not in app.tasks]
    if missing:
        raise ConfigurationError(
            f"a process of the pool lacks tasks that its worker has: {', '.join(missing[:5])}. The module that makes"
            " them makes them only in the first process that imports it"
        )
    return app


def preload(app: App) -> None:
    """Import and work out what a first task would, before there are children: they share it."""
    _ = app.topology, app.router
    connections.load(app.broker)


def _noted(_signum: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor has it; SIGCHLD must only not be ignored."""


if __name__ == "__main__":
    main(sys.argv[1:])
