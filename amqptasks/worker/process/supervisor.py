"""Several nodes on one machine: starts them, starts again what dies, passes signals on.

The nodes are processes of their own, begun from the command line: nothing is shared with them, so nothing can be
copied half-way by a fork, and a node that dies takes no other with it. When the supervisor dies, they stop.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.worker.process.leaving import COLD_WITHIN, MEANINGLESS
from amqptasks.worker.process.stacks import log_stacks

logger = get_logger(__name__)

#: Seconds: a node that ends by itself within them could not begin, and would not the next time either, unless there
#: is another one that could.
BEGINNING = 5.0

#: Exit statuses that say so: configuration, usage, broker, conflict (as in `amqptasks --help`).
HOPELESS = frozenset({1, 2, 4})

#: Seconds before a dead node is started again, so that a crash at once does not eat the machine.
PAUSE = 1.0

#: Seconds between two looks at the nodes.
POLL = 0.1

#: Asks for a signal when the parent ends. https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
PR_SET_PDEATHSIG = 1


#: Seconds before a node is killed that has not ended after the second signal, beside those that it takes itself.
KILL_AFTER = 2.0


def _ignore_hup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def stop_with(supervisor: int) -> None:
    """Have the kernel send TERM to this process, a node, when `supervisor`, its parent, ends: whoever starts another
    would have twice as many nodes otherwise. Only Linux can do that. From the main thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:  # it died before that
        os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """`commands` are the nodes' command lines, one each."""

    def __init__(self, commands: Sequence[Sequence[str]], environment: Mapping[str, str] | None = None) -> None:
        self._commands = [list(command) for command in commands]
        self._environment = {**os.environ, **(environment or {})}
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}
        self._began: dict[int, float] = {}
        self._again_at: dict[int, float] = {}
        self._stopping = False  # not an Event: a signal's handler that sets one can meet its lock held
        self._status = 0
        self._stops = 0
        self._kill_at: float | None = None

    def run(self) -> int:
        """Keep the nodes running until a signal says otherwise; the exit status."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(signum, self._pass_on)
        signal.signal(signal.SIGHUP, self._renew_all)
        signal.signal(signal.SIGUSR1, self._show_all)
        for number in MEANINGLESS:
            signal.signal(number, self._say)
        for number in range(len(self._commands)):
            self._begin(number)
        while self._nodes or (self._again_at and not self._stopping):
            for number, node in list(self._nodes.items()):
                status = node.poll()
                if status is not None:
                    self._ended(number, status)
            for number, moment in list(self._again_at.items()):
                if not self._stopping and moment <= monotonic():
                    del self._again_at[number]
                    self._begin(number)
            if self._kill_at is not None and monotonic() > self._kill_at:
                self._kill_all()
            time.sleep(POLL)  # waiting on several children at once, and on signals, has no better portable way
        return self._status

    def _begin(self, number: int) -> None:
        # A session of its own: Ctrl-C in a terminal reaches a node once, through us, and not twice.
        # HUP is ignored until the node hears it: by default it would end a node that imports its app.
        self._nodes[number] = subprocess.Popen(
            self._commands[number],
            env=self._environment,
            start_new_session=True,
            preexec_fn=_ignore_hup,  # noqa: PLW1509 - no threads here
        )
        self._began[number] = monotonic()
        if self._stopping:  # the signal came while it was being started, and passed it by
            self._nodes[number].send_signal(signal.SIGTERM)

    def _ended(self, number: int, status: int) -> None:
        del self._nodes[number]
        if self._stopping:
            self._status = self._status or max(0, status)
            return
        if status in HOPELESS and not any(map(self._could_begin, (number, *self._nodes))):
            logger.error("node %d cannot start (exit status %d): stopping all", number, status)
            self._status = status
            self._signal_all(signal.SIGTERM)
            return
        logger.warning("node %d ended (exit status %d): starting it again", number, status)
        self._again_at[number] = monotonic() + PAUSE

    def _could_begin(self, number: int) -> bool:
        """Of this node: then what another cannot begin with, such as code that is half written or a machine without
        memory, is no reason to stop it."""
        return monotonic() - self._began[number] >= BEGINNING

    def _pass_on(self, signum: int, _frame: object) -> None:
        self._stops += 1
        if self._kill_at is None and (signum == signal.SIGQUIT or self._stops > 1):
            self._kill_at = monotonic() + COLD_WITHIN + KILL_AFTER
        self._signal_all(signal.SIGTERM if signum == signal.SIGINT else signum)

    def _renew_all(self, signum: int, _frame: object) -> None:
        """Each node begins anew by itself, under the process id that it has."""
        for node in list(self._nodes.values()):
            node.send_signal(signum)

    def _show_all(self, signum: int, _frame: object) -> None:
        """The stacks of this process, and of each node."""
        log_stacks()
        self._renew_all(signum, _frame)

    def _say(self, signum: int, _frame: object) -> None:
        name = signal.Signals(signum).name
        logger.warning("%s means nothing to the supervisor of workers", name, extra={"action": "signal"})

    def _kill_all(self) -> None:
        """Those that do not end after the second signal: each with all that it has started."""
        self._kill_at = None
        for number, node in self._nodes.items():
            logger.error("node %d does not end: it is killed", number, extra={"action": "node_killed"})
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)

    def _signal_all(self, signum: int) -> None:
        self._stopping = True
        for node in list(self._nodes.values()):
            node.send_signal(signum)
