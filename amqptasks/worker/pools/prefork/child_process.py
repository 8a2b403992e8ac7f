"""A child as its node sees it: what it was given, what it sends back. Link thread only."""

from __future__ import annotations

import _socket
import os
import socket
from collections.abc import Iterator

from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import Settlement
from amqptasks.worker.pools.prefork import wire
from amqptasks.worker.pools.prefork.child import DATAGRAM

#: Bytes that are read from a child at once.
READ = 262144

#: Bytes that may wait in a child's socket: room for what is sent ahead, at the longest datagram.
BUFFER = 1 << 20

#: How much the latest job counts in a child's pace.
LATELY = 0.125


class ChildProcess:
    """The fork server knows it by its `number`. `slot` is its place in the shared page. `outstanding` are the jobs that
    it was given and has not sent back, in the order in which it gets them."""

    def __init__(self, number: int, slot: int) -> None:
        self.number = number
        self.slot = slot
        self.pid: int | None = None
        self.given = 0
        self.done = 0
        self.lives = False  # it has said so
        self.leaving = False
        self.watched = False
        self.gone = False  # it will send nothing more
        self.outstanding: dict[int, Job] = {}
        self.since = 0.0  # when the first of `outstanding` became the first
        self.pace = 0.0  # seconds that a job of late took it, on average; 0: not known yet
        self._jobs, self._its_jobs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._results, self._its_results = socket.socketpair()
        except OSError:  # no descriptor can be had
            self._jobs.close()
            self._its_jobs.close()
            raise
        self._jobs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self._jobs.setblocking(False)
        self._results.setblocking(False)
        # The same descriptor, without what gevent or eventlet make of sockets: theirs wait, also with MSG_DONTWAIT.
        self._taking_back = _socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, self._its_jobs.fileno())
        self._unread = bytearray()

    @property
    def its_ends(self) -> tuple[socket.socket, socket.socket]:
        """The sockets to pass to the new process."""
        return self._its_jobs, self._its_results

    @property
    def descriptor(self) -> int:
        """Readable when there are results."""
        return self._results.fileno()

    def passed(self) -> None:
        """The process has its ends; ours of the results would hide that it is gone."""
        self._its_results.close()

    def give(self, number: int, job: Job, data: bytes) -> bool:
        """Send it a job, encoded as `data`; False when there is no room now."""
        try:
            if len(data) <= DATAGRAM:
                self._jobs.send(data)
            else:
                self._send_file(data)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return False  # it is dead, which we hear in a moment
        self.given += 1
        self.outstanding[number] = job
        return True

    def ended(self, took: float) -> None:
        """A job has ended, which took it so many seconds."""
        self.done += 1
        self.pace += (took - self.pace) * (LATELY if self.pace else 1.0)

    def dismiss(self) -> None:
        """Have it end once it has done what it was given."""
        self.leaving = True
        try:
            self._jobs.send(wire.END)
        except OSError:  # full or dead: both mean that it is beyond words
            self._jobs.close()

    def retract(self) -> list[tuple[int, Job, bytes]]:
        """Take back all that it has not begun, in order."""
        taken: list[tuple[int, Job, bytes]] = []
        while True:
            try:
                data, ancillary, _, _ = self._taking_back.recvmsg(
                    DATAGRAM, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return taken
            if data == wire.END:
                self._jobs.send(data)
                return taken
            if not data:
                return taken
            if ancillary:
                with open(int.from_bytes(ancillary[0][2][:4], "little"), "rb") as file:
                    data += file.read()
            (number,) = wire.NUMBER.unpack_from(data)
            self.given -= 1
            job = self.outstanding.pop(number, None)
            if job is not None:
                taken.append((number, job, data))

    def results(self) -> Iterator[tuple[int, Settlement, wire.Times, int]]:
        """What it has sent since: number, settlement, times, memory."""
        while True:
            try:
                read = self._results.recv(READ)
            except (BlockingIOError, ConnectionResetError):
                return
            if not read:
                self.gone = True
                return
            unread = self._unread
            unread += read
            at = 0
            while len(unread) - at >= wire.LENGTH.size:
                (length,) = wire.LENGTH.unpack_from(unread, at)
                end = at + wire.LENGTH.size + length
                if len(unread) < end:
                    break
                yield wire.decode_result(bytes(unread[at + wire.LENGTH.size : end]))
                at = end
            del unread[:at]
            if len(read) < READ:
                return

    def close(self) -> None:
        self._taking_back.detach()
        for end in (self._jobs, self._its_jobs, self._results, self._its_results):
            end.close()

    def _send_file(self, data: bytes) -> None:
        descriptor = os.memfd_create("amqptasks-job")
        with open(descriptor, "r+b") as file:
            file.write(data[wire.NUMBER.size :])
            file.seek(0)
            socket.send_fds(self._jobs, [data[: wire.NUMBER.size]], [descriptor])
