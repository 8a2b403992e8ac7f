"""The arguments of a task: checked against its signature where it is called, against its type hints where it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from amqptasks.errors import ConfigurationError, InvalidArguments

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments:
    """What a function takes; of a `bound` one without its first parameter, the task."""

    def __init__(self, function: Callable[..., Any], signature: inspect.Signature, *, bound: bool) -> None:
        if bound:
            signature = signature.replace(parameters=list(signature.parameters.values())[1:])
        self._function = function
        self._signature = signature
        self._called = _called(function, signature, bound=bound)
        parameters = signature.parameters.values()
        plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        #: Of the parameters that are given by position, in turn.
        self.names = tuple(p.name for p in plain)
        self._required = sum(p.default is p.empty for p in plain)
        self._most = len(plain)
        self._needs_keywords = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
        #: How many it takes by position; many, for a function with `*args`.
        self.positional = 1000 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else self._most

    def check(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise `TypeError`, as a call would, when they do not fit: the common case by counting, others by binding."""
        if not kwargs and not self._needs_keywords and self._required <= len(args) <= self._most:
            return
        try:
            self._called.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None

    def by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Each argument under its parameter's name, with defaults; what does not fit is left to whoever calls."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:
            return dict(kwargs)
        bound.apply_defaults()
        return bound.arguments

    def validated(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Both as the type hints want them: a dict becomes the model, a text the date. Raises `InvalidArguments`."""
        from pydantic import ValidationError

        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(str(error)) from None
        wrong: list[str] = []
        for name, value in bound.arguments.items():
            adapter = self._adapters.get(name)
            if adapter is None:
                continue
            try:
                kind = self._signature.parameters[name].kind
                if kind is inspect.Parameter.VAR_POSITIONAL:
                    bound.arguments[name] = tuple(adapter.validate_python(one) for one in value)
                elif kind is inspect.Parameter.VAR_KEYWORD:
                    bound.arguments[name] = {key: adapter.validate_python(one) for key, one in value.items()}
                else:
                    bound.arguments[name] = adapter.validate_python(value)
            except ValidationError as error:
                wrong += [_told(name, problem["loc"], problem["msg"]) for problem in error.errors()]
        if wrong:
            raise InvalidArguments("; ".join(wrong))
        return bound.args, bound.kwargs

    @cached_property
    def _adapters(self) -> dict[str, TypeAdapter[Any]]:
        """How each parameter with a type hint is validated. Raises `ConfigurationError` for a hint that cannot be."""
        from typing import get_type_hints

        from pydantic import TypeAdapter

        try:
            hints = get_type_hints(self._function, include_extras=True)
            return {name: TypeAdapter(hints[name]) for name in self._signature.parameters if name in hints}
        except Exception as error:  # a name that does not exist, a type that pydantic does not know
            raise ConfigurationError(
                f"the type hints of {self._function.__qualname__} cannot validate: {error}"
            ) from error


def _called(function: Callable[..., Any], signature: inspect.Signature, *, bound: bool) -> inspect.Signature:
    """What a call may give: a wrapper takes what it takes itself, for it may add arguments of its own to those of the
    function inside. One that takes the same is read as the function is."""
    if not hasattr(function, "__wrapped__"):
        return signature
    outer = inspect.signature(function, follow_wrapped=False)
    return outer.replace(parameters=list(outer.parameters.values())[1:]) if bound and _takes_one(outer) else outer


def _takes_one(signature: inspect.Signature) -> bool:
    """Whether the first parameter is one argument, and not all of them."""
    first = next(iter(signature.parameters.values()), None)
    return first is not None and first.kind not in _MANY


def of(function: Callable[..., Any], *, bound: bool) -> Arguments | None:
    """What `function` takes; None for a built-in one that does not tell."""
    try:
        return Arguments(function, inspect.signature(function), bound=bound)
    except (TypeError, ValueError):
        return None


def plain(value: Any) -> Any:
    """A pydantic model as plain data, for the wire; everything else as it is."""
    dump = getattr(type(value), "model_dump", None)
    return dump(value, mode="json") if dump is not None else value


def _told(name: str, place: tuple[int | str, ...], problem: str) -> str:
    return f"{'.'.join([name, *map(str, place)])}: {problem}"
