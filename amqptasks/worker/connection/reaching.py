"""A worker's way to its broker when it starts: it waits until the broker is there, and declares what is missing."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from amqptasks.errors import HINT, BrokerError, BrokerUnreachable, is_lasting
from amqptasks.runtime.clock import monotonic
from amqptasks.worker.connection.trouble_log import TroubleLog
from amqptasks.worker.process.awaiting import ONE_WAIT

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.transport import Link

Result = TypeVar("Result")

#: Seconds between two tries to declare, where the connection for it broke; doubled up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Reaching:
    """Connects `link`, which was started, and declares for `app`. `limit` is in seconds; None: without end."""

    def __init__(self, app: App, link: Link, log: TroubleLog, limit: float | None) -> None:
        self._app = app
        self._link = link
        self._log = log
        self._until = None if limit is None else monotonic() + limit
        self._reached: Future[BrokerError | None] = Future()
        self._trouble: BrokerError | None = None

    def reach(self) -> None:
        """Wait in the main thread, where signals are handled. Raises `BrokerError` at the limit, and at once for what
        does not mend itself: a wrong password, no such virtual host, a certificate that is not trusted, an object that
        exists with other properties."""
        self._link.call_soon(lambda: self._link.connect(self._heard))
        error = self._awaited(self._reached)
        if error is not None:
            raise error
        self._declare()
        self._log.started()

    def _heard(self, error: BrokerError | None) -> None:
        """Link thread."""
        if error is None or is_lasting(error):
            if not self._reached.done():
                self._reached.set_result(error)
        else:
            self._trouble = BrokerUnreachable(f"{error}. {HINT}")
            self._log.tell(self._trouble)

    def _declare(self) -> None:
        pause = FIRST_PAUSE
        while True:
            error = self._awaited(self._declared())
            if error is None:
                return
            if not isinstance(error, BrokerUnreachable) or is_lasting(error):
                raise error
            self._trouble = error
            self._log.tell(error)
            self._awaited(_after(pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _declared(self) -> Future[BaseException | None]:
        """On a thread of its own: it blocks, and a signal shall be obeyed meanwhile."""
        done: Future[BaseException | None] = Future()

        def declare() -> None:
            try:
                self._app.declare()
                self._app.caller.know_the_time()  # of a broker far away: expires and revocations are judged by it
            except BaseException as error:
                done.set_result(error)
            else:
                done.set_result(None)

        threading.Thread(target=declare, name="amqptasks-declare", daemon=True).start()
        return done

    def _awaited(self, future: Future[Result]) -> Result:
        """In short waits, after each of which the handlers of signals run."""
        while True:
            left = ONE_WAIT if self._until is None else self._until - monotonic()
            if left <= 0 and not future.done():
                raise self._trouble or BrokerUnreachable(f"the broker did not answer in time. {HINT}")
            try:
                return future.result(max(0.0, min(ONE_WAIT, left)))
            except TimeoutError:
                continue


def _after(seconds: float) -> Future[None]:
    done: Future[None] = Future()
    timer = threading.Timer(seconds, done.set_result, (None,))
    timer.daemon = True
    timer.start()
    return done
