"""The body of a reply: Celery's result dictionary, both ways, so that either side may be Celery.

    {"task_id", "status", "result", "traceback", "children"}

An exception is `{"exc_type", "exc_message", "exc_module"}`: qualified name, arguments, module (what
`prepare_exception` in `celery/backends/base.py` writes and `exception_to_python` reads).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from amqptasks import errors
from amqptasks.errors import (
    INTERRUPTIONS,
    ConfigurationError,
    RemoteError,
    ResultError,
    TaskRejected,
    TaskRevoked,
)
from amqptasks.messages.body import JSON_ONLY, Reader
from amqptasks.messages.headers import Wrong
from amqptasks.messages.own_headers import LOST_REPLIES
from amqptasks.messages.properties import Properties
from amqptasks.messages.signing import Signing
from amqptasks.serializers import Serializer, json

FailureStatus = Literal["FAILURE", "REVOKED", "RETRY"]

#: States in which `result` is an exception (celery/states.py, EXCEPTION_STATES).
_EXCEPTION_STATES = frozenset({"FAILURE", "REVOKED", "RETRY", "REJECTED"})

#: States after which nothing more comes (celery/states.py, READY_STATES, and what `Reject` and `Ignore` lead to).
FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"})

#: Characters of an argument of an exception, and how many arguments, where the whole reply is too large.
_LONGEST_ARGUMENT, _MOST_ARGUMENTS = 1000, 20

#: The properties of a plain reply.
_JSON = Properties(content_type=json.SERIALIZER.content_type)


@dataclass(slots=True)
class Outcome:
    """What a reply says. `value` is the result (of a state of the user's own: its meta), `described` what stands in its
    place where the task raised. `fields` are all that the reply, or the record of a result store, says besides."""

    status: str
    value: Any = None
    traceback: str | None = None
    described: object = None
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    _exception: Exception | None = field(default=None, compare=False, repr=False)

    @property
    def exception(self) -> Exception | None:
        """What the task raised; None where it did not. Made when first asked for: its constructor is the user's code,
        and runs in the thread of who asks, not in the one that receives replies."""
        if self._exception is None and self.status in _EXCEPTION_STATES:
            exception = _exception(self.described, self.traceback)
            if self.status == "REVOKED" and not isinstance(exception, TaskRevoked):
                exception = TaskRevoked(str(exception))
            self._exception = exception
        return self._exception

    @property
    def final(self) -> bool:
        """False for a state on the way, such as RETRY or PROGRESS: another reply follows."""
        return self.status in FINAL_STATES


def success(task_id: str, value: object, serializer: Serializer = json.SERIALIZER) -> bytes:
    """The reply of a task that returned `value`. A value that cannot be sent makes it a failure that says so."""
    try:
        return _encode(task_id, "SUCCESS", value, None, serializer)
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"the task ran, but its result cannot be sent: {error}. Return plain data, or set ignore_result"
        return failure(task_id, ConfigurationError(problem), None, serializer=serializer)


def failure(
    task_id: str,
    exception: BaseException,
    traceback_text: str | None,
    status: FailureStatus = "FAILURE",
    serializer: Serializer = json.SERIALIZER,
) -> bytes:
    """The reply of a task that raised; arguments that cannot be sent are sent as their `repr`."""
    return _encode(task_id, status, describe(exception, serializer), traceback_text, serializer)


def shortened(
    task_id: str, exception: BaseException, size: int, largest: int, serializer: Serializer = json.SERIALIZER
) -> bytes:
    """The reply of a task that raised, in place of one of `size` bytes where the broker takes `largest`: the same
    class, with its long arguments cut, and no traceback."""
    kind = type(exception)
    note = f"cut, because the reply is too large: it has {size:,} bytes, and this broker takes {largest:,}"
    arguments = [_cut(_sendable(argument, serializer), note) for argument in exception.args[:_MOST_ARGUMENTS]]
    described = {"exc_type": kind.__qualname__, "exc_message": arguments, "exc_module": kind.__module__}
    return _encode(task_id, "FAILURE", described, None, serializer)


def on_the_way(task_id: str, state: str, meta: object, serializer: Serializer = json.SERIALIZER) -> bytes:
    """A reply before the last one: a state such as STARTED or PROGRESS, and what there is to say of it. Raises
    `ConfigurationError` for a state that would end the result, and for a `meta` that cannot be sent."""
    if state in FINAL_STATES:
        raise ConfigurationError(f"state {state!r} is an end: return, or raise, instead")
    try:
        return serializer.encode(
            {"task_id": task_id, "status": state, "result": meta, "traceback": None, "children": []}
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the state {state!r} cannot be sent: {error}. Give plain data") from error


def describe(exception: BaseException, serializer: Serializer = json.SERIALIZER) -> dict[str, object]:
    """An exception as plain data."""
    kind = type(exception)
    return {
        "exc_type": kind.__qualname__,
        "exc_message": [_sendable(argument, serializer) for argument in exception.args],
        "exc_module": kind.__module__,
    }


def rebuild(described: object, traceback: str | None) -> Exception:
    """The exception that was described, or where its class is not known here, a `RemoteError` that tells it."""
    return _exception(described, traceback)


def parse(
    body: bytes, properties: Properties = _JSON, reader: Reader = JSON_ONLY, signing: Signing | None = None
) -> Outcome:
    """What a reply says, ours or Celery's. Never raises: bytes that are no reply are a FAILURE with a `ResultError`.
    So is a reply whose signature is missing or wrong where `signing` has keys; it is not read."""
    try:
        if signing is not None:
            signing.verify(properties, body)
        reply = reader.read(properties, body)
    except Wrong as wrong:
        return _unverified(wrong) if wrong.reason in ("unsigned", "bad-signature") else _unreadable(wrong.detail)
    if not isinstance(reply, dict) or not isinstance(reply.get("status"), str):
        return _unreadable("it is no result dictionary with a status")
    status, result, text = reply["status"], reply.get("result"), reply.get("traceback")
    traceback = text if isinstance(text, str) else None
    if status in _EXCEPTION_STATES:
        if status == "FAILURE" and _is_rejected(result):
            status = "REJECTED"
        return Outcome(status, None, traceback, result, reply)
    return Outcome(status, result, traceback, None, reply)


def _is_rejected(described: object) -> bool:
    """A dead-lettered task is a FAILURE in a reply: at a state that it does not know, Celery goes on waiting."""
    return (
        isinstance(described, dict)
        and described.get("exc_type") == TaskRejected.__name__
        and described.get("exc_module") == TaskRejected.__module__
    )


def named_in(ids: Sequence[str]) -> str:
    """What a signature covers of a message that says whose replies are lost."""
    return " ".join(ids)


def is_lost(properties: Properties, signing: Signing | None) -> bool:
    """Whether a message that says whose replies are lost is to be believed."""
    if signing is None:
        return True
    try:
        verified = signing.verify(properties, b"")
    except Wrong:
        return False
    headers = properties.headers or {}
    ids = headers.get(LOST_REPLIES)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        return False
    return not verified or headers.get("id") == named_in(ids)


def _encode(task_id: str, status: str, result: object, traceback: str | None, serializer: Serializer) -> bytes:
    if serializer is json.SERIALIZER:
        # Piece by piece: `json.encode` is quick with a value that has no dash, and a task's id has four.
        parts = (json.encode(task_id), status.encode(), json.encode(result), json.encode(traceback))
        return b'{"task_id":%b,"status":"%b","result":%b,"traceback":%b,"children":[]}' % parts
    reply = {"task_id": task_id, "status": status, "result": result, "traceback": traceback, "children": []}
    return serializer.encode(reply)


def _sendable(argument: object, serializer: Serializer) -> object:
    try:
        serializer.encode(argument)
    except (TypeError, ValueError, RecursionError):
        return _repr(argument)
    return argument


def _cut(argument: object, note: str) -> object:
    """A short argument as it is; of a long one its beginning, and the note."""
    if isinstance(argument, int | float | bool | None):
        return argument
    text = argument if isinstance(argument, str) else _repr(argument)
    if len(text) <= _LONGEST_ARGUMENT:
        return argument
    return f"{text[:_LONGEST_ARGUMENT]}... ({note})"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # the user's __repr__ may raise anything, and the failure must be told all the same
        return f"<{type(value).__qualname__}, whose repr raised {type(error).__name__}>"


def _unverified(wrong: Wrong) -> Outcome:
    detail = wrong.detail.replace("the message has", "it has")
    return Outcome(
        "FAILURE",
        _exception=ResultError(
            f"a reply came that is not believed: {detail}. A worker signs the reply to a message whose signature it has"
            f" verified: does it have the keys of this app, and a release that signs replies?"
        ),
    )


def _unreadable(problem: str) -> Outcome:
    return Outcome("FAILURE", _exception=ResultError(f"a reply came that cannot be read: {problem}"))


def _exception(described: object, traceback: str | None) -> Exception:
    """The exception itself where its class is imported here, else a `RemoteError` that describes it."""
    if not isinstance(described, dict) or not isinstance(described.get("exc_type"), str):
        return RemoteError("unknown", str(described), traceback)
    name, module, message = described["exc_type"], described.get("exc_module"), described.get("exc_message", "")
    arguments = tuple(message) if isinstance(message, list) else (message,)
    kind = _class(module, name.split("."))
    if kind is not None:
        rebuilt = _rebuilt(kind, arguments)
        if rebuilt is not None:
            if traceback:
                rebuilt.add_note(f"Remote traceback:\n{traceback}")
            return rebuilt
    text = ", ".join(map(str, arguments))
    return RemoteError(f"{module}.{name}" if module else name, text, traceback)


def _class(module: object, names: Iterable[str]) -> type[Exception] | None:
    """Look the class up without running code: nothing is imported, and no `__getattr__` is asked.

    Any other callable would let whoever can reply here run it with arguments of their choice.
    """
    found: object = sys.modules.get(module) if isinstance(module, str) else None
    for name in names:
        found = getattr(found, "__dict__", {}).get(name)
    if not isinstance(found, type) or not issubclass(found, Exception) or issubclass(found, _CONTROL):
        return None
    return found


#: What a task raises to say how it ends. Raised in a task that waits for a reply, it would end that task so: run again,
#: ignored, rejected, as whoever can reply likes. The exceptions that tell a caller about a result are none of these.
_CONTROL = (
    errors.Ignore,
    errors.InvalidArguments,
    errors.Reject,
    errors.Replace,
    errors.Retry,
    errors.Snooze,
    errors.Terminated,
    errors.WorkerStopping,
)


def _rebuilt(kind: type[Exception], arguments: tuple[object, ...]) -> Exception | None:
    """None where the class makes something else of its own arguments; `RemoteError` then tells them unchanged."""
    try:
        exception = kind(*arguments)
        same = type(exception) is kind and exception.args == arguments
    except INTERRUPTIONS:
        raise
    except Exception:  # a constructor that wants other arguments than it kept, and raises whatever it likes
        return None
    return exception if same else None
