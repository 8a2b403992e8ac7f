"""One message of a settlement, until the broker has it."""

from __future__ import annotations

from amqptasks.messages.outgoing import Outgoing
from amqptasks.transport import Publishing

#: Seconds between two tries; doubled up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class Onward:
    """One message that must be on the broker, and how often that was tried; `follower` if it is tried for a while,
    `bare` if it is a dead letter from which nothing more can be left out."""

    __slots__ = ("bare", "follower", "message", "pause", "publishing", "tries")

    def __init__(self, message: Outgoing, *, follower: bool = False) -> None:
        self.message = message
        self.follower = follower
        self.bare = False
        self.pause = FIRST_PAUSE
        self.tries = 0
        self.publishing: Publishing | None = None

    def withdraw(self) -> None:
        """The broker shall not have it any more, where it has not been sent."""
        if self.publishing is not None:
            self.publishing.withdraw()
