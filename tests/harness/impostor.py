"""Something that listens where a broker's management API should, and is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

#: Seconds for a client to say what it wants; one on the same machine takes milliseconds.
SAYS_WITHIN = 5.0


@dataclass
class Impostor:
    """`heard` has what each connection said, up to the first empty line or until it waited for an answer."""

    port: int
    heard: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def impostor(answer: bytes, host: str = "127.0.0.1") -> Iterator[Impostor]:
    """Gives `answer` to whoever connects, however often, and hangs up."""
    with socket.create_server((host, 0)) as listener:
        made = Impostor(listener.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # shut down
                    return
                with connection, suppress(OSError):
                    connection.settimeout(SAYS_WITHIN)
                    made.heard.append(_said(connection))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, name="impostor", daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave `accept` waiting
            thread.join(2 * SAYS_WITHIN)


def _said(connection: socket.socket) -> bytes:
    """All that comes before an answer is due: a request's head, or the first bytes of a handshake."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        received += chunk
        if not chunk or not received[:1].isalpha():  # no HTTP
            break
    return received
