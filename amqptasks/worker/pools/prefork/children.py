"""The children of a pool: births, deaths, and why none lives. On the link's thread, once `begin` was called."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from amqptasks.errors import ConfigurationError
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Watching
from amqptasks.worker.pools.prefork import slots as slots_module
from amqptasks.worker.pools.prefork.child import ChildConfig
from amqptasks.worker.pools.prefork.child_process import ChildProcess
from amqptasks.worker.pools.prefork.fork_servers import ForkServers
from amqptasks.worker.pools.prefork.losses import pause_after
from amqptasks.worker.pools.prefork.slots import Slots

logger = get_logger(__name__)

#: Seconds before a child is started that the fork server had no room to be told of: it is busy forking others.
ROOM_WITHIN = 0.2

#: The longest pause, in seconds, before another try where there was no descriptor: once there are some, tasks wait
#: for its end.
DESCRIPTORS_WITHIN = 5.0


class Children:
    """Keeps `size` children alive until `stop`. `children` are those that have not ended, by number; those that leave
    are among them, and count no more.

    `readable` hears of a child that has sent something, `died` of one that has ended, and how, before anything of it is
    put away; `grown` is called when another was started later on, which can take what waits.
    """

    def __init__(
        self,
        link: Watching,
        fork_servers: ForkServers,
        slots: Slots,
        child_config: Callable[[], ChildConfig],
        size: int,
        readable: Callable[[ChildProcess], None],
        died: Callable[[ChildProcess, str], None],
        grown: Callable[[], None],
    ) -> None:
        self.size = size
        self.children: dict[int, ChildProcess] = {}
        #: Set when all have ended after `stop`; waited for in other threads.
        self.over = threading.Event()
        self._link = link
        self._fork_servers = fork_servers
        self._slots = slots
        self._child_config = child_config
        self._readable = readable
        self._died = died
        self._grown = grown
        self._free = deque(range(slots_module.COUNT))
        self._numbers = itertools.count(1)
        self._failed_starts = 0
        self._failed: str | None = None  # why the fork server there is cannot import the app
        self._why: str | None = None  # why the last child died unused, while none has lived since
        self._stopping = False

    @property
    def staying(self) -> list[ChildProcess]:
        """Those that do not leave."""
        return [child for child in self.children.values() if not child.leaving]

    @property
    def trouble(self) -> str | None:
        """Why none of them can run anything; None where one can, or may in a moment."""
        if self._why is None or any(child.lives for child in self.staying):
            return None
        return self._why

    def begin(self) -> None:
        """Start them. The fork server runs."""
        self._link.watch(self._fork_servers.descriptor, self._hear)
        self._fork_servers.bring_up(self._child_config())
        self.fill()

    def fill(self) -> None:
        """Start what is missing."""
        if self._stopping or not self._fork_servers.running:
            return
        for _ in range(self.size - len(self.staying)):
            try:
                child = ChildProcess(next(self._numbers), self._free[0])
            except OSError as error:  # no descriptor can be had
                self._wait_for_room(error)
                return
            self._free.popleft()
            self._slots.clear(child.slot)  # before the process has it
            if not self._fork_servers.start_child(child):
                child.close()
                self._free.append(child.slot)
                self._link.call_later(ROOM_WITHIN, self._renew)
                return
            self.children[child.number] = child
            self._link.watch(child.descriptor, partial(self._readable, child))
            child.watched = True

    def _wait_for_room(self, error: OSError) -> None:
        """Another try in a while: what is to run waits meanwhile, or goes back, as where no child lives."""
        pause = min(pause_after(self._failed_starts), DESCRIPTORS_WITHIN)
        self._failed_starts += 1
        self._why = f"its processes cannot be started: {error}"
        logger.error(
            "no child of the pool can be started: %s; the next try in %.1f s",
            error,
            pause,
            extra={"action": "child_unborn"},
        )
        self._link.call_later(pause, self._renew)

    def lives(self, child: ChildProcess) -> None:
        """It has said so."""
        child.lives, self._why = True, None

    def heard(self, child: ChildProcess) -> None:
        """What it had sent was read."""
        if child.gone:
            self._unwatch(child)  # it would be readable for ever
        elif child.done:
            self._failed_starts = 0

    def stop(self) -> None:
        """No more are born, and those there are were told to leave: `over` is set once they have ended."""
        self._stopping = True
        self._end_if_empty()

    def _unwatch(self, child: ChildProcess) -> None:
        if child.watched:
            child.watched = False
            self._link.unwatch(child.descriptor)

    def _hear(self) -> None:
        """Notices of the fork server."""
        descriptor = self._fork_servers.descriptor
        notices = self._fork_servers.notices()
        for notice in notices or ():
            match notice:
                case ("started", int(number), int(pid)) if number in self.children:
                    self.children[number].pid = pid
                case ("ended", int(number), str(how)) if number in self.children:
                    self._ended(self.children.pop(number), how)
                case ("failed", str(text)):
                    self._failed = f"the app cannot be imported by its processes: {text.strip().splitlines()[-1]}"
                    logger.error("the app cannot be imported by the pool's processes:\n%s", text)
        if notices is None:
            self._link.unwatch(descriptor)
            self._orphaned()

    def _orphaned(self) -> None:
        """The fork server is gone, and with it all children."""
        children = list(self.children.values())
        self.children.clear()
        self._fork_servers.end()
        for child in children:
            self._ended(child, "lost with the process that started it")
        if self._stopping:
            return
        logger.error("the fork server of the pool is gone: starting another", extra={"action": "fork_server_lost"})
        if self._failed_starts:
            self._link.call_later(pause_after(self._failed_starts), self._begin_again)
        else:
            self._begin_again()

    def _begin_again(self) -> None:
        """Another fork server. What there is to run waits for it, however long the machine has no room for one."""
        if self._stopping:
            return
        self._failed = None
        try:
            self._fork_servers.start()
        except (OSError, ConfigurationError) as error:
            pause = pause_after(self._failed_starts)
            self._failed_starts += 1
            self._why = f"its processes cannot be started: {error}"
            logger.error("no fork server can be started: %s; the next try in %.1f s", error, pause)  # noqa: TRY400
            self._link.call_later(pause, self._begin_again)
            return
        self.begin()
        self._grown()

    def _ended(self, child: ChildProcess, how: str) -> None:
        self._died(child, how)
        self._unwatch(child)
        child.close()
        self._free.append(child.slot)
        if self._stopping:
            self._end_if_empty()
            return
        if child.leaving:
            return
        if child.done or child.outstanding:
            logger.warning("a child of the pool was lost: %s", how, extra={"action": "child_lost"})
            self._renew()
        else:
            pause = pause_after(self._failed_starts)
            self._failed_starts += 1
            self._why = self._failed or f"its processes die before they run anything: {how}"
            logger.error("a child of the pool died unused: %s; the next in %.1f s", how, pause)
            self._link.call_later(pause, self._renew)

    def _renew(self) -> None:
        self.fill()
        self._grown()

    def _end_if_empty(self) -> None:
        if not self.children and not self.over.is_set():
            if self._fork_servers.running:
                self._link.unwatch(self._fork_servers.descriptor)
            self.over.set()
