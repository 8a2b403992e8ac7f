"""An exception as hooks, signals, dead letters and logs get it: itself, its class, its text, its traceback as text."""

from __future__ import annotations

import traceback as _traceback
from functools import cached_property


class ExceptionInfo:
    """`exception` and its `type`; `traceback` is its text, which is also `str(info)`.

    The names are those of Celery's `einfo`.
    """

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception
        self.type = type(exception)

    def __repr__(self) -> str:
        return f"<ExceptionInfo of {self.name}>"

    def __str__(self) -> str:
        return self.traceback

    @property
    def name(self) -> str:
        """The class, as `module.Name`."""
        return f"{self.type.__module__}.{self.type.__qualname__}"

    @cached_property
    def message(self) -> str:
        """The exception's own text, whatever its `__str__` does."""
        return exception_text(self.exception)

    @cached_property
    def traceback(self) -> str:
        try:
            return "".join(_traceback.format_exception(self.exception))
        except BaseException as broken:
            return f"<formatting the traceback raised {type(broken).__name__}>"


def exception_text(error: BaseException) -> str:
    """The text of an exception; it is the user's code, and may raise anything."""
    try:
        return str(error)
    except BaseException as broken:
        return f"<its text raised {type(broken).__name__}>"
