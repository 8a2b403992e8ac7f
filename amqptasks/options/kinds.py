"""The kinds of values that an option takes. Each says in `wanted` what to give, and reads a value into its type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol

from amqptasks.options.signatures import embedded
from amqptasks.untrusted import bounds
from amqptasks.untrusted.field_table import field_size
from amqptasks.untrusted.printable import short


class Unfit(ValueError):
    """A value that an option does not take. With a text, that says more than `wanted`."""


class Kind(Protocol):
    @property
    def wanted(self) -> str:
        """Goes on after `give`."""

    def read(self, value: Any) -> Any:
        """The value in its proper type. Raises `Unfit`, or `ConfigurationError` with a sentence of its own."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """A number or a `timedelta`; with `above`, more than 0."""

    most: float = bounds.LONGEST_DURATION
    above: bool = False

    @property
    def wanted(self) -> str:
        most = f"{self.most:,.0f} ({self.most / 86400:,.0f} days)" if self.most >= 172_800 else f"{self.most:,.0f}"
        least = "seconds above 0 and up to" if self.above else "seconds, as a number from 0 up to"
        return f"{least} {most}, or a timedelta"

    def read(self, value: Any) -> float:
        kind = type(value)
        if kind is timedelta or isinstance(value, timedelta):
            value = value.total_seconds()
        elif kind is not float and (kind is bool or not isinstance(value, int | float)):
            raise Unfit
        if not (value > 0 if self.above else value >= 0) or not value <= self.most:  # false for nan, too
            raise Unfit
        return value if kind is int else float(value)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; a truth value is none."""

    most: int
    least: int = 0

    @property
    def wanted(self) -> str:
        return f"a whole number from {self.least} up to {self.most:,}"

    def read(self, value: Any) -> int:
        if type(value) is bool or not isinstance(value, int) or not self.least <= value <= self.most:
            raise Unfit
        return int(value)


@dataclass(frozen=True, slots=True)
class Moment:
    """A `datetime`, or a text in ISO 8601; without a zone it is in UTC."""

    wanted: str = "a datetime, or a text in ISO 8601 such as 2026-05-01T12:00 (UTC where it names no zone)"

    def read(self, value: Any) -> datetime:
        if not isinstance(value, datetime | str):
            raise Unfit
        try:
            return bounds.iso_moment(value)
        except bounds.OutOfBounds:
            raise Unfit from None


@dataclass(frozen=True, slots=True)
class Text:
    """A text of some bytes in UTF-8."""

    most: int = bounds.LONGEST_NAME
    least: int = 1

    @property
    def wanted(self) -> str:
        return f"a text of {self.least} to {self.most:,} bytes"

    def read(self, value: Any) -> str:
        if isinstance(value, Enum):
            value = value.value
        try:
            return bounds.text(value, self.most, self.least)
        except bounds.OutOfBounds:
            raise Unfit from None


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is never shown."""

    wanted: str
    most: int = bounds.LONGEST_TRACEBACK

    def read(self, value: Any) -> str:
        try:
            return bounds.text(value, self.most)
        except bounds.OutOfBounds:
            raise Unfit(f"is no text of at most {self.most:,} bytes: give {self.wanted}") from None


@dataclass(frozen=True, slots=True)
class Addresses:
    """One URL, or with `several` more of them; never shown, for it may hold a password."""

    schemes: tuple[str, ...]
    several: bool = False

    @property
    def wanted(self) -> str:
        schemes = ", ".join(f"{scheme}://" for scheme in self.schemes)
        return f"an address that begins with {schemes}{'; several with ; between' if self.several else ''}"

    def read(self, value: Any) -> str:
        text = Secret(self.wanted).read(value)
        for address in text.split(";") if self.several else [text]:
            scheme, separator, _ = address.strip().partition("://")
            if separator and scheme.lower() not in self.schemes:
                raise Unfit(f"begins with {short(scheme)}: give {self.wanted}")
        return text


@dataclass(frozen=True, slots=True)
class Flag:
    wanted: str = "True or False"

    def read(self, value: Any) -> bool:
        if type(value) is not bool:
            raise Unfit
        return value


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these texts."""

    names: tuple[str, ...]

    @property
    def wanted(self) -> str:
        return " or ".join(repr(name) for name in self.names)

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise Unfit
        return value


@dataclass(frozen=True, slots=True)
class ErrorClasses:
    """One exception class, or several."""

    wanted: str = "an exception class, or a tuple of them"

    def read(self, value: Any) -> tuple[type[BaseException], ...]:
        if isinstance(value, str | bytes) or not isinstance(value, type | Iterable):
            raise Unfit
        classes = (value,) if isinstance(value, type) else tuple(value)
        for one in classes:
            if not (isinstance(one, type) and issubclass(one, BaseException)):
                raise Unfit(f"has {one!r} in it: give exception classes, as (OSError, ValueError)")
        return classes


@dataclass(frozen=True, slots=True)
class Signatures:
    """One call that was not made yet, or several."""

    wanted: str = "TASK.s(...) or TASK.si(...), or a list of them"

    def read(self, value: Any) -> Any:
        embedded(value)
        return value


@dataclass(frozen=True, slots=True)
class Headers:
    """Names and values that AMQP carries."""

    wanted: str = "a dict of texts, numbers, truth values, bytes, datetimes, lists and dicts, by name"

    def read(self, value: Any) -> Mapping[str, object]:
        if not isinstance(value, Mapping):
            raise Unfit
        for name, field in value.items():
            try:
                field_size(name, field)
            except ValueError as error:
                raise Unfit(f"cannot be sent: {error}") from None
        return value


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a function takes that raises `ConfigurationError` with a sentence of its own."""

    wanted: str
    parse: Callable[[Any], object]

    def read(self, value: Any) -> Any:
        self.parse(value)
        return value


@dataclass(frozen=True, slots=True)
class Named:
    """A dict of further options."""

    options: Mapping[str, Kind]

    @property
    def wanted(self) -> str:
        return f"a dict with {', '.join(self.options)}"

    def read(self, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise Unfit
        found = {}
        for name, one in value.items():
            if name not in self.options:
                raise Unfit(f"has {name!r} in it: give {' and '.join(self.options)}")
            try:
                found[name] = self.options[name].read(one)
            except Unfit:
                raise Unfit(f"has {name}={one!r} in it: give {self.options[name].wanted}") from None
        return found


@dataclass(frozen=True, slots=True)
class Either:
    """The first of several kinds that takes the value."""

    kinds: tuple[Kind, ...]

    @property
    def wanted(self) -> str:
        return ", or ".join(dict.fromkeys(kind.wanted for kind in self.kinds))

    def read(self, value: Any) -> Any:
        for kind in self.kinds:
            try:
                return kind.read(value)
            except Unfit:
                continue
        raise Unfit


@dataclass(frozen=True, slots=True)
class Optional:
    """None, or this."""

    kind: Kind

    @property
    def wanted(self) -> str:
        return f"{self.kind.wanted}, or None"

    def read(self, value: Any) -> Any:
        return None if value is None else self.kind.read(value)


@dataclass(frozen=True, slots=True)
class Anything:
    """What is checked elsewhere."""

    wanted: str

    def read(self, value: Any) -> Any:
        return value
