"""Our loggers: they never raise, and on the threads that must not wait they never run a log handler."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from amqptasks.errors import INTERRUPTIONS
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue.log_thread import LogThread
from amqptasks.runtime.log_queue.queued_record import QueuedRecord
from amqptasks.runtime.log_queue.writer import QueuedWriter

#: Seconds that the end of a process waits for its log lines. A terminal that nobody reads must not hold it longer.
END_WITHIN = 1.0

#: Seconds between two lines that say that a log handler raised.
COMPLAIN_EVERY = 60.0

_local = threading.local()


def _call_all(items: list[Callable[[], None]]) -> None:
    for item in items:
        try:
            item()
        except Exception as error:  # a filter of the user's, or a record that cannot be made
            _complain(error)


#: Runs the log handlers of other people's for threads that must not wait.
HANDLERS = LogThread("amqptasks-log-handlers", _call_all)


class _Process:
    """How this process logs. `workers` is how many workers are in it, `complained` when it last said that a handler
    raised."""

    workers = 0
    complained = 0.0
    told = 0


class QueuedLogger(logging.Logger):
    """A logger whose calls never raise, and never run a log handler on a thread that must not wait."""

    def _log(
        self,
        level: int,
        msg: object,
        args: Any,
        exc_info: Any = None,
        extra: Mapping[str, object] | None = None,
        stack_info: bool = False,
        stacklevel: int = 1,
    ) -> None:
        try:
            if not waits_never():
                super()._log(level, msg, args, exc_info, extra, stack_info, stacklevel + 1)
                return
            if isinstance(exc_info, BaseException):
                exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
            elif exc_info and not isinstance(exc_info, tuple):
                exc_info = sys.exc_info()
            code, line = _caller(stacklevel)
            place = ("", line, "") if code is None else (code.co_filename, line, code.co_name)
            self.put(QueuedRecord(self, level, msg, args, exc_info or None, extra, place, None))
        except INTERRUPTIONS:
            raise
        except Exception as error:
            _complain(error)

    def tell(self, level: int, sentence: str, fields: Mapping[str, object], traceback: str | None) -> None:
        """Log a sentence that was made elsewhere, with the text of a traceback."""
        self.put(QueuedRecord(self, level, sentence, (), None, fields, (__file__, 0, "tell"), traceback))

    def put(self, queued: QueuedRecord) -> None:
        """Have a record handled: by another thread, where this one must not wait."""
        if not waits_never():
            handle(queued)
        elif (writer := self.writer()) is not None:
            writer.put(queued, queued.size)
        else:
            HANDLERS.put(lambda: handle(queued), queued.size)

    def writer(self) -> QueuedWriter | None:
        """The handler of ours that is the only one to which this logger writes; None where there are others."""
        return _only_writer(self)


def get_logger(name: str) -> QueuedLogger:
    """The logger of this name, for a module of this library."""
    found = logging.getLogger(name)
    if not isinstance(found, QueuedLogger):
        if type(found) is not logging.Logger:  # a class of the user's (`logging.setLoggerClass`), made before us
            found.__class__ = type("QueuedLogger", (QueuedLogger, type(found)), {})
        else:
            found.__class__ = QueuedLogger
    return found  # type: ignore[return-value]


def never_wait() -> None:
    """The calling thread must not wait: what it logs from now on is handled by another one."""
    _local.link = True


def waits_never() -> bool:
    """True where another thread is to handle what this one logs."""
    return _Process.workers > 0 or getattr(_local, "link", False)


def begin() -> None:
    """A worker begins in this process, which forks no more: no thread of ours waits for a log handler from now on."""
    _Process.workers += 1
    QueuedWriter.queued = True


def end() -> None:
    """Undo a `begin`."""
    _Process.workers = max(0, _Process.workers - 1)
    if not _Process.workers:
        flush()
        QueuedWriter.queued = False


def dropped() -> int:
    """How many records this process has dropped because the handlers or the reader did not take them in time."""
    writer = QueuedWriter.of_process
    return HANDLERS.dropped + (writer.dropped if writer is not None else 0)


def flush(timeout: float = END_WITHIN) -> bool:
    """Wait until all that was logged is written; False where that takes longer than `timeout` seconds."""
    deadline = monotonic() + timeout
    done = HANDLERS.flush(timeout)
    writer = QueuedWriter.of_process
    return (writer is None or writer.wait(max(0.0, deadline - monotonic()))) and done


def shutdown() -> None:
    """Write what was logged and close the log handlers, at the end of a process; in a bounded time, whatever they
    do."""
    flush()
    closing = threading.Thread(target=logging.shutdown, name="amqptasks-log-end", daemon=True)
    try:
        closing.start()
    except RuntimeError:  # no thread can be started
        return
    closing.join(END_WITHIN)


def handle(queued: QueuedRecord) -> None:
    """Run the handlers of its logger, in the context in which it was logged."""
    queued.context.run(_handle, queued)


def _handle(queued: QueuedRecord) -> None:
    logger = queued.logger
    record = queued.record()
    try:
        logger.handle(record)
    except INTERRUPTIONS:
        raise
    except Exception as error:  # of a handler: ours may come behind it
        _complain(error)
        writer = QueuedWriter.of_process
        if writer is not None and writer.last is not record and writer in logging.getLogger().handlers:
            writer.handle(record)
    _tell_dropped(logger)


def _tell_dropped(logger: QueuedLogger) -> None:
    dropped = HANDLERS.dropped
    if dropped > _Process.told:
        new, _Process.told = dropped - _Process.told, dropped
        words = "%s dropped: a log handler takes longer than they come"
        logger.handle(logger.makeRecord(logger.name, logging.WARNING, __file__, 0, words, (new,), None))


def _complain(error: BaseException) -> None:
    """A log handler or filter raised. Who wrote it reads of it; once a minute, or it would be all that is read."""
    now = monotonic()
    if now - _Process.complained < COMPLAIN_EVERY and _Process.complained:
        return
    _Process.complained = now
    try:
        text = "".join(traceback.format_exception(error, limit=-5))
        said = f"a log handler or filter raised, and may have missed records:\n{text}"
        writer = QueuedWriter.of_process
        if writer is not None:
            writer.say(logging.ERROR, said)
        elif logging.raiseExceptions and sys.stderr is not None:
            print(said, end="", file=sys.stderr)
    except Exception:  # there is nobody left to tell
        return


def _only_writer(logger: logging.Logger) -> QueuedWriter | None:
    if logger.filters or logger.disabled:
        return None
    found: QueuedWriter | None = None
    at: logging.Logger | None = logger
    while at is not None:
        for handler in at.handlers:
            if isinstance(handler, logging.NullHandler):
                continue
            if found is not None or not isinstance(handler, QueuedWriter) or not handler.is_untouched:
                return None
            found = handler
        at = at.parent if at.propagate else None
    return found


def _caller(stacklevel: int) -> tuple[Any, int]:
    """The code and line that called a logging method."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename == logging._srcfile:
        frame = frame.f_back  # type: ignore[assignment]
    for _ in range(stacklevel - 1):
        if frame is None or frame.f_back is None:
            break
        frame = frame.f_back
    return (None, 0) if frame is None else (frame.f_code, frame.f_lineno)


atexit.register(flush)
