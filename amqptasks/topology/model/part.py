"""A mapping of the file whose keys are all known, and what is said of a value that cannot be."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict, model_validator

from amqptasks.topology.arguments import WRITTEN_AS


class Wrong(ValueError):
    """A value that cannot be. `problem` never repeats it, for it may come from a variable; `inside` leads from the
    value that was looked at to the one that is wrong."""

    def __init__(self, problem: str, hint: str | None = None, inside: tuple[str | int, ...] = ()) -> None:
        self.problem = problem
        self.hint = hint
        self.inside = inside
        super().__init__(problem)


class Part(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                raise Wrong(f"unknown key `{key}`", cls._meant(str(key)), (str(key),))
        return value

    @classmethod
    def _meant(cls, key: str) -> str:
        if key in WRITTEN_AS and "arguments" in cls.model_fields:
            return f"Write {WRITTEN_AS[key]} instead"
        close = get_close_matches(key.lower().replace("-", "_"), list(cls.model_fields), 1)
        return f"did you mean `{close[0]}`?" if close else f"Known here: {', '.join(cls.model_fields)}"


def nothing_means_defaults(value: object) -> object:
    """`emails:` with nothing behind it is a queue with all defaults."""
    return {name: {} if part is None else part for name, part in value.items()} if isinstance(value, dict) else value
