"""What a worker process does when it gets a signal, and how it ends.

The handler of a signal only notes it (`SignalInbox`). A thread that was begun before, and after the pools have forked,
obeys it: where no thread can be started any more, a worker must still be able to stop. The main thread looks as well
while it waits, because in a program that gevent or eventlet has patched a thread is none, and because whatever blocks
one of the two must not keep the process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, NoReturn

from amqptasks.runtime import log_queue
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.worker.process import leftovers, restart
from amqptasks.worker.process.failing import end_process
from amqptasks.worker.process.inbox import SignalInbox
from amqptasks.worker.process.stacks import log_stacks, text

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

#: Signals that end a process unless it says otherwise, and that mean nothing to a worker. Celery's users send USR2, a
#: task may ask for an alarm, a library may use a timer.
MEANINGLESS: Final = frozenset(
    getattr(signal, name)
    for name in ("SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR")
    if hasattr(signal, name)
)

#: Seconds between two looks while something is under way.
LOOK_EVERY = 0.1

#: Seconds for a process that has not begun to consume: it holds nothing.
START_WITHIN = 3.0

#: Seconds of a cold stop: half a second for the broker's answer, some for the goodbye, and to end.
COLD_WITHIN, COLD_CLOSE = 5.0, 2.0

#: Seconds for a warm stop beside those that its tasks may take: two goodbyes to the broker.
WARM_SLACK = 10.0

#: Seconds for the end of a worker whose tasks are all settled: its pools, the receivers of its last signals, and the
#: last goodbye.
TIDY_UP_WITHIN = 15.0


class Leaving:
    """Of one worker process. Make it in the main thread, before the app is imported; `node` is told once it is made."""

    def __init__(self) -> None:
        self._node: Node | None = None
        self.inbox = SignalInbox(self._at_once)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stops = 0  # signals that ask for a stop, as obeyed
        self._noted = 0  # the same, as the handler has them
        self._again = False
        self._later: list[int] = []
        self._trial: restart.Trial | None = None
        self._deadline: float | None = None
        self._hurry: float | None = None
        self._over = False
        self._finished: float | None = None
        others = {number for number in MEANINGLESS | {signal.SIGUSR1} if signal.getsignal(number) is signal.SIG_DFL}
        self.inbox.listen({signal.SIGHUP, *others})

    def of(self, node: Node) -> None:
        """TERM and INT stop this node, a second one or QUIT at once, HUP begins anew. Until here, the first three ended
        the process at once. Main thread only."""
        self._node = node
        self.inbox.listen(STOPPING)

    def begin(self) -> None:
        """Once the pools have forked, and before anything is held."""
        thread = threading.Thread(target=self._run, name="amqptasks-leave", daemon=True)
        thread.start()
        self._thread = thread

    def close(self) -> None:
        """Obey no signal any more and end the thread: the process lives on, whatever deadlines it had. Not from that
        thread."""
        self._closed = True
        self.inbox.ring()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Wait until the worker has stopped; from the main thread."""
        assert self._node is not None
        self._node.wait(between=self._in_main)
        if self._node.cold or self._again:
            self._end()
        leftovers.expected()
        self._finished = monotonic()
        self.inbox.ring()

    def look(self) -> None:
        """Obey what came, and end what is overdue. From any thread."""
        if self._closed:
            return
        self._force()
        if not self._lock.acquire(blocking=False):
            return
        try:
            numbers = [*self._later, *self.inbox.take()]
            self._later.clear()
            for number in numbers:
                self._obey(number)
            self._try_anew()
            self._follow()
        finally:
            self._lock.release()

    def _run(self) -> None:
        while not self._closed:
            try:
                self.inbox.wait(LOOK_EVERY if self._is_busy else None)
                self.look()
            except Exception:  # nobody else leads this process out
                logger.exception("leaving goes on")

    @property
    def _is_busy(self) -> bool:
        return bool(self._stops or self._noted or self._trial or self._later or self._finished is not None)

    def _in_main(self) -> None:
        self.inbox.attach()
        self.look()

    def _at_once(self, number: int) -> None:
        """In the handler. Raises `SystemExit` while there is nothing to stop."""
        if number in STOPPING:
            self._noted += 1
            if self._hurry is None and (number == signal.SIGQUIT or self._noted > 1):
                self._hurry = monotonic() + COLD_WITHIN + LOOK_EVERY
            if self._node is not None and not self._node.started:
                if self._noted > 1:
                    os._exit(0)
                raise SystemExit(0)
        elif number == signal.SIGUSR1 and self._thread is None:
            os.write(2, text())

    def _obey(self, number: int) -> None:
        node = self._node
        if number in STOPPING:
            self._again = False
            self._drop_trial()
            self._stops += 1
            if node is None or not node.started:  # the handler has raised, or will
                self._allow(START_WITHIN)
            elif number == signal.SIGQUIT or self._stops > 1:
                self._allow(COLD_WITHIN)
                node.stop_now()
            else:
                within = node.stop_within
                if within is not None:
                    self._allow(within + WARM_SLACK)
                node.stop()
        elif number == signal.SIGHUP:
            if node is None or not node.started:
                self._later.append(number)
            elif not (self._stops or self._trial or self._again):
                self._begin_trial()
        elif number == signal.SIGUSR1:
            log_stacks()
        elif number in MEANINGLESS:
            logger.warning("%s means nothing to a worker", signal.Signals(number).name, extra={"action": "signal"})

    def _begin_trial(self) -> None:
        try:
            self._trial = restart.Trial()
        except OSError as error:
            self._refuse(str(error))
        else:
            logger.info("told to begin anew: trying the new code first", extra={"action": "restart_tried"})

    def _try_anew(self) -> None:
        if self._trial is None:
            return
        failure = self._trial.failure()
        if failure is None:
            return
        self._drop_trial()
        if failure:
            self._refuse(failure)
        else:
            assert self._node is not None
            self._again = True
            self._node.stop()

    def _refuse(self, why: str) -> None:
        logger.error(
            "told to begin anew, but the new code cannot begin: %s. The worker goes on with the code that it has",
            why,
            extra={"action": "restart_refused"},
        )

    def _drop_trial(self) -> None:
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.end()

    def _follow(self) -> None:
        """A node that has stopped ends the process, also where the main thread is held by a task or a receiver."""
        node = self._node
        if node is not None and node.is_over:
            if node.cold:
                node.app.caller.leave(COLD_CLOSE)
                self._end()
            if not self._over:
                self._over = True
                self._allow(TIDY_UP_WITHIN)
        if self._finished is not None and monotonic() > self._finished + leftovers.WITHIN:
            leftovers.leave(0)

    def _allow(self, seconds: float) -> None:
        """So much from now on; a cold stop leaves no more."""
        self._deadline = monotonic() + seconds

    def _force(self) -> None:
        """Takes no lock: it must work whatever holds the other thread."""
        limits = [limit for limit in (self._deadline, self._hurry) if limit is not None]
        if not limits or self._finished is not None or monotonic() < min(limits):
            return
        self._deadline = self._hurry = None
        if self._node is None or not self._node.started:
            os._exit(0)
        end_process("it was told to stop, and did not end in its time")

    def _end(self) -> NoReturn:
        """At once: tasks may still be running in threads, and nobody waits for them. Or begin anew."""
        status = 0
        if self._again:
            try:
                _flush()
                restart.begin_anew()
            except OSError as error:
                logger.critical("the worker has stopped, and cannot begin anew: %s", error)
                status = 1
        _flush()
        os._exit(status)


def _flush() -> None:
    log_queue.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
