"""Checks options where they are given: their names, their types and their ranges."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from amqptasks.errors import ConfigurationError, UnknownOption
from amqptasks.options.catalogue import APP, Option
from amqptasks.options.elsewhere import ELSEWHERE
from amqptasks.options.kinds import Unfit
from amqptasks.untrusted.printable import short

Function = TypeVar("Function", bound=Callable[..., Any])


def names_checked(where: str) -> Callable[[Function], Function]:
    """Decorator: a call with an argument that the function does not have raises `UnknownOption`, with what was probably
    meant, in place of Python's `TypeError`. The function keeps its signature."""

    def decorate(function: Function) -> Function:
        known = {
            name: parameter
            for name, parameter in inspect.signature(function).parameters.items()
            if name != "self" and parameter.kind is not inspect.Parameter.VAR_POSITIONAL
        }

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            for name in options:
                if name not in known:
                    raise unknown(name, known, where)
            return function(*arguments, **options)

        return cast("Function", call)

    return decorate


def checked(options: Mapping[str, Any], known: Mapping[str, Option], where: str) -> Any:
    """The options with each value in its proper type: seconds as a number, a moment with its zone. `where` begins the
    message: "task 'shop.send'". Raises `UnknownOption`, and `ConfigurationError` for a value that an option does not
    take."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        option = known.get(name)
        if option is None:
            raise unknown(name, known, where)
        try:
            found[name] = option.kind.read(value)
        except Unfit as unfit:
            problem = str(unfit) or f"is {short(value)}: give {option.kind.wanted}"
            raise ConfigurationError(f"{where}: {name} {problem}") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {name}: {error}") from None
    return found


def unknown(name: str, known: Mapping[str, object], where: str) -> UnknownOption:
    """The error for a name that does not exist, with what was probably meant."""
    close = difflib.get_close_matches(name, known, n=1)
    if name in ELSEWHERE:
        suggestion = ELSEWHERE[name]
    elif close:
        suggestion = f"did you mean {close[0]!r}?"
    else:
        suggestion = f"known are: {', '.join(sorted(known))}"
    return UnknownOption(f"{where} has no option {name!r}; {suggestion}")


def checked_app(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments of an `App` that are options, checked."""
    return dict(checked({name: given[name] for name in APP if name in given}, APP, "App"))


def refuse_two_places(options: Mapping[str, Any], where: str) -> None:
    """Raise `ConfigurationError` for a queue together with an exchange or a routing key: no call could be made."""
    if options.get("queue") is None:
        return
    for name in ("exchange", "routing_key"):
        if options.get(name) is not None:
            raise ConfigurationError(
                f"{where} has queue={options['queue']!r} and {name}={options[name]!r}: give one or the other"
            )
