"""How long one call may take: connecting, declaring, its claim and its publishing together."""

from __future__ import annotations

from dataclasses import dataclass, field

from amqptasks.runtime.clock import monotonic

#: Seconds in which a broker that has taken a TCP connection has to speak, where the caller named no time of its own: a
#: broker that is busy or far away needs some, and one that is frozen never does.
SILENCE = 10.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """`timeout` seconds from now on, of which `first` while nobody has answered at the broker's address yet."""

    timeout: float
    first: float
    began: float = field(default_factory=monotonic)

    @classmethod
    def of(cls, named: float | None, usual: float, first: float) -> Deadline:
        """`named` by the caller, else the `usual` timeout, of which `first` is for a broker that nobody answers for."""
        return cls(usual, min(first, usual)) if named is None else cls(named, named)

    @property
    def end(self) -> float:
        """On the monotonic clock."""
        return self.began + self.timeout

    @property
    def remaining(self) -> float:
        """Seconds; 0 where it is over."""
        return max(0.0, self.end - monotonic())

    @property
    def passed(self) -> float:
        """Seconds since it began."""
        return monotonic() - self.began

    def given_up_at(self, *, taken: bool, answered: bool) -> float:
        """When the call stops waiting, as things stand: `taken` while somebody has taken the TCP connection, `answered`
        once a broker has spoken."""
        if answered:
            return self.end
        return self.began + (max(self.first, min(self.timeout, SILENCE)) if taken else self.first)
