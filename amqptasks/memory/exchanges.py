"""Exchanges: which bindings a routing key and headers match, by the rules of AMQP 0-9-1 and RabbitMQ's extensions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from amqptasks.errors import BrokerError
from amqptasks.messages.properties import Headers
from amqptasks.transport.entities import Arguments, Binding, Exchange

#: Routes remembered for one exchange. Routing keys repeat; one that carries an id would fill memory for ever.
ROUTES = 10_000

_HEADER_MATCHES = ("all", "any", "all-with-x", "any-with-x")


class MemoryExchange:
    """An exchange with its bindings, in the order they were made."""

    def __init__(self, declared: Exchange) -> None:
        if declared.type not in MATCHES:
            raise BrokerError(
                f"406 PRECONDITION_FAILED - unknown exchange type '{declared.type}'"
                f" (exchange {declared.name!r}): memory:// has {', '.join(MATCHES)}"
            )
        self.declared = declared
        self.bindings: list[Binding] = []
        self._matches = MATCHES[declared.type]
        self._routes: dict[str, list[Binding]] = {}

    @property
    def alternate(self) -> str | None:
        alternate = self.declared.arguments.get("alternate-exchange")
        return alternate if isinstance(alternate, str) else None

    def bind(self, binding: Binding) -> None:
        match = binding.arguments.get("x-match", "all")
        if self.declared.type == "headers" and match not in _HEADER_MATCHES:
            raise BrokerError(
                f"406 PRECONDITION_FAILED - Invalid x-match field value {match!r};"
                " expected all, any, all-with-x, or any-with-x"
            )
        if binding not in self.bindings:
            self.bindings.append(binding)
            self._routes.clear()

    def unbind(self, unwanted: Callable[[Binding], bool]) -> bool:
        """Whether there was such a binding."""
        kept = [binding for binding in self.bindings if not unwanted(binding)]
        removed = len(kept) < len(self.bindings)
        self.bindings = kept
        self._routes.clear()
        return removed

    def route(self, routing_key: str, headers: Headers) -> list[Binding]:
        """The bindings that match."""
        if self.declared.type == "headers":
            return self._matching(routing_key, headers)
        found = self._routes.get(routing_key)
        if found is None:
            if len(self._routes) >= ROUTES:
                self._routes.clear()
            found = self._routes[routing_key] = self._matching(routing_key, headers)
        return found

    def _matching(self, routing_key: str, headers: Headers) -> list[Binding]:
        return [binding for binding in self.bindings if self._matches(binding, routing_key, headers)]


def _direct(binding: Binding, routing_key: str, _headers: Headers) -> bool:
    return binding.routing_key == routing_key


def _fanout(_binding: Binding, _routing_key: str, _headers: Headers) -> bool:
    return True


def _topic(binding: Binding, routing_key: str, _headers: Headers) -> bool:
    return _words_match(_words(binding.routing_key), _words(routing_key))


def _words(key: str) -> list[str]:
    return key.split(".") if key else []


def _words_match(pattern: list[str], words: list[str]) -> bool:
    """`*` stands for one word, `#` for any number of them, none included."""
    for position, part in enumerate(pattern):
        if part == "#":
            rest = pattern[position + 1 :]
            return any(_words_match(rest, words[start:]) for start in range(position, len(words) + 1))
        if position >= len(words) or part not in ("*", words[position]):
            return False
    return len(pattern) == len(words)


def headers_match(arguments: Arguments, headers: Mapping[str, object]) -> bool:
    """Whether a message with these headers fits a headers exchange's binding with these arguments."""
    match = str(arguments.get("x-match", "all"))
    wanted = _criteria(arguments, with_x=match.endswith("-with-x"))
    fits = (name in headers and _same(value, headers[name]) for name, value in wanted)
    return any(fits) if match.startswith("any") else all(fits)


def _headers(binding: Binding, _routing_key: str, headers: Headers) -> bool:
    return headers_match(binding.arguments, headers)


def _criteria(arguments: Arguments, *, with_x: bool) -> Iterator[tuple[str, object]]:
    for name, value in arguments.items():
        if name != "x-match" and (with_x or not name.startswith("x-")):
            yield name, value


def _same(wanted: object, value: object) -> bool:
    """None asks only that the header is there. AMQP's types differ where Python's do: True is not 1."""
    return wanted is None or (type(wanted) is type(value) and wanted == value)


MATCHES: dict[str, Callable[[Binding, str, Headers], bool]] = {
    "direct": _direct,
    "fanout": _fanout,
    "headers": _headers,
    "topic": _topic,
}
