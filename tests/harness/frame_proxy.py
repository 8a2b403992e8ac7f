"""A proxy that reads AMQP's frames: it resets a connection after so many, or keeps back what the broker confirms."""

from __future__ import annotations

import asyncio
import struct
from typing import Literal

from tests.harness.proxy import Proxy

#: https://www.rabbitmq.com/amqp-0-9-1-protocol: a frame's type, channel and size, then so many bytes, then its end.
HEAD = struct.Struct(">BHI")
END = 1
METHOD = 1

#: The bytes with which a client begins, before its first frame.
GREETING = 8

#: basic.ack and basic.nack.
CONFIRMS = {(60, 80), (60, 120)}

Side = Literal["client", "broker"]


class FrameProxy(Proxy):
    """Forwards whole frames. Each of these may be set at any time, from any thread:

    `cut_after` resets a connection behind the frame of that number which this side has sent over it, say
    ("broker", 8); `cuts` counts. `swallows` keeps back all confirms; `swallowed` counts.
    """

    def __init__(self, target: str) -> None:
        self.cut_after: tuple[Side, int] | None = None
        self.cuts = 0
        self.swallows = False
        self.swallowed = 0
        super().__init__(target)

    async def _to_broker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await reader.readexactly(GREETING))
            await self._frames("client", reader, writer)
        except asyncio.IncompleteReadError:
            writer.write_eof()

    async def _from_broker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._frames("broker", reader, writer)
        except asyncio.IncompleteReadError:
            writer.write_eof()

    async def _frames(self, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            head = await reader.readexactly(HEAD.size)
            kind, _channel, size = HEAD.unpack(head)
            rest = await reader.readexactly(size + END)
            await self._flowing.wait()
            if self.swallows and side == "broker" and kind == METHOD and struct.unpack(">HH", rest[:4]) in CONFIRMS:
                self.swallowed += 1
                continue
            writer.write(head + rest)
            await writer.drain()
            number += 1
            if self.cut_after == (side, number):
                self.cuts += 1
                raise ConnectionResetError("cut behind this frame")
