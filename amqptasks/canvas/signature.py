"""A signature: a call that was not made yet, in the form in which it travels inside other messages.

It is a dict as Celery's protocol 2 has it: `task`, `args`, `kwargs`, `options`, `subtask_type`, `immutable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, Unpack, cast

from amqptasks.calls import send
from amqptasks.errors import ConfigurationError
from amqptasks.messages.reach import STAMPED, STAMPS, WITHOUT_EFFECT, stamps_of
from amqptasks.options import CALL, CallOptions, checked
from amqptasks.options.signatures import listed
from amqptasks.untrusted.printable import short

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.results.result import AsyncResult
    from amqptasks.tasks.task import Task

R = TypeVar("R")


class Signature(dict[str, Any], Generic[R]):
    """Made by `task.s(...)`, `task.si(...)`, `task.signature(...)`, or `app.signature(...)` by name.

    Where it is called, further arguments come first (`add.s(10).delay(1)` is `add(1, 10)`), unless it is `immutable`.
    """

    #: The app that calls it; no part of what travels.
    app: App

    @classmethod
    def of(
        cls,
        app: App,
        task: str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Unpack[CallOptions],
    ) -> Signature[Any]:
        """Of the task of this name, known here or not. Raises `UnknownOption`."""
        options = checked(options, CALL, "a signature")
        made: Signature[Any] = cls(
            task=task,
            args=list(args),
            kwargs=dict(kwargs or {}),
            options=dict(options),
            subtask_type=None,
            immutable=immutable,
        )
        made.app = app
        return made

    @classmethod
    def read(cls, given: Mapping[str, Any], app: App) -> Signature[Any]:
        """One that came in a message. Raises `ConfigurationError` for what is no signature, for one of a kind that is
        not run (a group, a chord), and for an option that is not known here; options of Celery that have no effect here
        are left out."""
        task, args, kwargs = given.get("task"), given.get("args") or (), given.get("kwargs") or {}
        options = given.get("options") or {}
        if not isinstance(task, str) or not task:
            raise ConfigurationError(f"a signature names no task, but {short(task)}")
        if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not isinstance(options, dict):
            raise ConfigurationError(f"the signature of {task!r} has args, kwargs or options of the wrong type")
        if given.get("subtask_type") or options.get("chord"):
            raise ConfigurationError(f"{task!r} is a {given.get('subtask_type') or 'chord'}, which is not run yet")
        stamps = stamps_of(options)
        given_options = {name: value for name, value in options.items() if value is not None}
        unknown = given_options.keys() - _TRAVEL - WITHOUT_EFFECT - stamps.get(STAMPS, {}).keys() - {STAMPED}
        if unknown:
            raise ConfigurationError(f"{task!r} has an option {min(unknown)!r}, which is not known here")
        known = {name: value for name, value in given_options.items() if name in _TRAVEL}
        if stamps:
            known["headers"] = {**known.get("headers", {}), **stamps}
        known = checked(known, CALL, f"the signature of {task!r}")
        made: Signature[Any] = cls(
            task=task,
            args=list(args),
            kwargs=dict(kwargs),
            options=known,
            subtask_type=None,
            immutable=bool(given.get("immutable")),
        )
        made.app = app
        return made

    def __or__(self, other: object) -> NoReturn:
        """Celery's way to write a chain, which is not there yet. Raises `ConfigurationError`."""
        raise ConfigurationError(
            f"{self['task']} | ... makes no chain: chains are not written so yet. Write"
            f" first.apply_async(args, link=second.s()), or chain=[..., third.s(), second.s()], the next one last"
        )

    __ror__ = __ior__ = __or__

    def __repr__(self) -> str:
        shown = [*map(repr, self["args"]), *(f"{name}={value!r}" for name, value in self["kwargs"].items())]
        return f"{self['task']}({', '.join(shown)})"

    @property
    def id(self) -> str | None:
        """The id that it was given, if any."""
        return cast(str | None, self["options"].get("task_id"))

    @property
    def type(self) -> Task[..., R] | None:
        """The task, where it is known here."""
        return self.app.tasks.get(self["task"])

    def merged(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call with these before its own."""
        if self["immutable"]:
            return tuple(self["args"]), dict(self["kwargs"])
        return (*args, *self["args"]), {**self["kwargs"], **(kwargs or {})}

    def clone(
        self,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Signature[R]:
        """Another one, with these arguments before its own and these options over its own."""
        merged_args, merged_kwargs = self.merged(args, kwargs)
        copy: Signature[R] = Signature.of(
            self.app,
            self["task"],
            merged_args,
            merged_kwargs,
            immutable=self["immutable"],
            **cast(CallOptions, {**self["options"], **options}),
        )
        return copy

    def set(self, *, immutable: bool | None = None, **options: Unpack[CallOptions]) -> Signature[R]:
        """Give it these options; itself, to go on with. Raises `UnknownOption`."""
        self["options"].update(checked(options, CALL, "a signature"))
        if immutable is not None:
            self["immutable"] = immutable
        return self

    def link(self, follower: Signature[Any]) -> Signature[R]:
        """Have `follower` called with its value when it succeeded; itself, to go on with."""
        self["options"]["link"] = [*listed(self["options"].get("link")), follower]
        return self

    def link_error(self, follower: Signature[Any]) -> Signature[R]:
        """Have `follower` called when it failed for good; itself, to go on with."""
        self["options"]["link_error"] = [*listed(self["options"].get("link_error")), follower]
        return self

    #: Celery's other name for it.
    on_error = link_error

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Call the function, here and now."""
        merged_args, merged_kwargs = self.merged(args, kwargs)
        return self._known()(*merged_args, **merged_kwargs)

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]:
        """Have it run by a worker; see `Task.delay`."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """Have it run by a worker; these options beat its own. See `Task.apply_async`."""
        return send.send(self.app, self.type or self["task"], *self.merged(args, kwargs), self._options(options))

    async def aapply_async(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """`apply_async` for asyncio."""
        merged = self.merged(args, kwargs)
        return await send.send_async(self.app, self.type or self["task"], *merged, self._options(options))

    def apply(
        self, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> AsyncResult[R]:
        """Run it here and now; see `Task.apply`."""
        merged_args, merged_kwargs = self.merged(args, kwargs)
        return self._known().apply(merged_args, merged_kwargs, **self._options(options))

    def _options(self, more: CallOptions) -> CallOptions:
        return cast(CallOptions, {**self["options"], **more})

    def _known(self) -> Task[..., R]:
        task = self.type
        if task is None:
            raise ConfigurationError(f"task {self['task']!r} is not known here: import the module that defines it")
        return task


#: Options of a call that a signature in a message may carry; how long to wait for a confirm is the publisher's.
_TRAVEL = CallOptions.__annotations__.keys() - {"timeout", "retry", "retry_policy"}
