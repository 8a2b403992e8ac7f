"""A worker for development: started again when a file of its program changes."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from amqptasks.dev.child import Child
from amqptasks.errors import ConfigurationError
from amqptasks.runtime.log_queue import get_logger

logger = get_logger(__name__)

#: What is watched: programs, and the topology files that they load.
MORE_SUFFIXES = (".yaml", ".yml")

#: Milliseconds without a change after which those before count as one: an editor saves in several steps, `git checkout`
#: changes many files. And how long such a series may last.
QUIET, LONGEST_SERIES = 300, 3000

#: Milliseconds between two looks at the worker and at signals, while no file changes.
LOOK_EVERY = 100

#: Seconds for tasks to end before a restart; then they go back to their queue, and the new worker runs them.
PATIENCE = 3.0

#: Seconds for tasks to end when all is to stop; then they go back to their queue.
STOP_PATIENCE = 10.0

#: click's exit status for a wrong command line: no change of a file mends that.
WRONG_USE = 2


class Watcher:
    """`command` is the worker's command line, `folders` are watched with all below them."""

    def __init__(
        self, command: Sequence[str], folders: Sequence[Path], environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._folders = list(folders)
        self._environment = environment
        self._asked = 0
        self._child: Child | None = None
        self._complained = False

    def is_set(self) -> bool:
        """True once a signal came; the name is that of an event, for watchfiles."""
        return self._asked > 0

    def run(self) -> int:
        """Until a signal ends it; the exit status. Raises `ConfigurationError` where watchfiles is not installed."""
        try:
            from watchfiles import PythonFilter, watch
        except ModuleNotFoundError as error:
            raise ConfigurationError("--watch needs watchfiles: pip install 'amqptasks[dev]'") from error
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(signum, self._on_signal)
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        status = 0
        try:
            for changes in watch(
                *self._folders,
                watch_filter=PythonFilter(extra_extensions=MORE_SUFFIXES),
                step=QUIET,
                debounce=LONGEST_SERIES,
                rust_timeout=LOOK_EVERY,
                yield_on_timeout=True,
                stop_event=self,
            ):
                if self.is_set():
                    break
                if changes:
                    self._restart({Path(path) for _, path in changes})
                elif self._child is None:  # only now are changes seen: none slips in between
                    self._child = Child(self._command, self._environment)
                elif self._look() == WRONG_USE:
                    return WRONG_USE
        finally:
            if self._child is not None:
                status = self._child.end(STOP_PATIENCE)
        return max(0, status)

    def _restart(self, changed: set[Path]) -> None:
        names = ", ".join(sorted(path.name for path in changed)[:3]) + (", ..." if len(changed) > 3 else "")
        logger.info("%s changed: starting the worker again", names)
        if self._child is not None:
            self._child.end(PATIENCE)
        if not self.is_set():
            self._child = Child(self._command, self._environment)
            self._complained = False

    def _look(self) -> int | None:
        assert self._child is not None
        status = self._child.status
        if status is not None and not self._complained:
            self._complained = True
            logger.error("the worker ended (exit status %d): it starts again when a file changes", status)
        return status

    def _on_signal(self, signum: int, _frame: object) -> None:
        self._asked += 1
        if self._child is None:
            return
        if self._asked > 1 or signum == signal.SIGQUIT:
            self._child.signal(signal.SIGQUIT)
        else:
            self._child.allow(STOP_PATIENCE)  # a restart may be under way, which is less patient
            self._child.ask()
