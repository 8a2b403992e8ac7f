"""A TCP proxy in the test's own process: where the wire to the broker is cut, clogged or closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

Value = TypeVar("Value")

#: Bytes read at once; what a paused proxy has in hand at most, for each direction.
CHUNK = 65536

#: Seconds for an order to the proxy's thread; they take microseconds.
ORDER_WITHIN = 5.0


class Proxy:
    """Forwards 127.0.0.1:`port` to the broker of `target`. `url` is `target` with the proxy's address."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5672)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = 0
        self._call(self._open)
        credentials = parts.netloc.rpartition("@")[0]
        self.url = parts._replace(netloc=f"{credentials}@127.0.0.1:{self.port}".lstrip("@")).geturl()

    @property
    def connections(self) -> int:
        """How many clients are connected through it now."""
        return len(self._pairs)

    def cut(self) -> int:
        """Reset every connection, on both sides; how many there were. New ones are accepted."""
        return self._call(self._cut)

    def pause(self) -> None:
        """Forward nothing more, keep all connections open: what a stalled network looks like."""
        self._call(self._pause)

    def resume(self) -> None:
        """Forward again; nothing that was sent meanwhile is lost."""
        self._call(self._resume)

    def refuse(self) -> None:
        """Cut all, and refuse new connections until `accept`: what a stopped broker looks like."""
        self._call(self._refuse)

    def accept(self) -> None:
        """Undo `refuse`, on the same port."""
        self._call(self._open)

    def close(self) -> None:
        """End it, with its thread."""
        self._call(self._refuse)
        self._call(self._finish)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ORDER_WITHIN)
        self._loop.close()

    def _call(self, order: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        return asyncio.run_coroutine_threadsafe(order(), self._loop).result(ORDER_WITHIN)

    async def _open(self) -> None:
        if not self.port:
            self._flowing = asyncio.Event()
            self._flowing.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> int:
        pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for writer in pair:
                writer.transport.abort()
        return len(pairs)

    async def _pause(self) -> None:
        self._flowing.clear()

    async def _resume(self) -> None:
        self._flowing.set()

    async def _refuse(self) -> None:
        self._server.close()
        await self._cut()

    async def _finish(self) -> None:
        self._flowing.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, answer = await asyncio.open_connection(*self._target, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, answer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._to_broker(reader, answer), self._from_broker(there, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone: so goes the other
        finally:
            self._pairs.discard(pair)
            for side in pair:
                side.transport.abort()

    async def _to_broker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._forward(reader, writer)

    async def _from_broker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._forward(reader, writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
