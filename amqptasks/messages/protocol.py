"""Task messages: Celery's message protocol 2, both ways. https://docs.celeryq.dev/en/stable/internals/protocol.html

Headers say which task to run and how, the body is `[args, kwargs, {callbacks, errbacks, chain, chord}]`. JSON, plain
and unsigned, is what this file does by itself; an app's own choice of the rest is its `Codec`.
We send the headers `task` and `id` and those that differ from their default: each costs time and space on every hop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amqptasks.errors import ConfigurationError
from amqptasks.messages import headers
from amqptasks.messages.body import JSON_ONLY, Reader
from amqptasks.messages.delivery import Alike, Likeness
from amqptasks.messages.headers import Reason, Wrong
from amqptasks.messages.properties import Headers, Properties
from amqptasks.messages.request import Request
from amqptasks.serializers import Serializer, Undecodable, json

CONTENT_TYPE = json.SERIALIZER.content_type
CONTENT_ENCODING = json.SERIALIZER.content_encoding

#: The third part of a plain body (Celery wants all four keys), and how such a body ends: written once, not each time.
_EMPTY_WORKFLOW = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_PLAIN_END = b"," + json.encode(_EMPTY_WORKFLOW) + b"]"
_PLAIN_SIZE = -len(_PLAIN_END)
_new = object.__new__


#: JSON, MessagePack and YAML give lists, a pickle may give tuples.
_LISTS = (list, tuple)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that is no task: `reason` names the kind of mistake, `detail` says it in words."""

    reason: Reason
    detail: str


def encode(request: Request) -> tuple[bytes, Properties]:
    """Body, in JSON, and properties to publish. Raises `ConfigurationError` naming the argument that JSON cannot
    carry."""
    return encode_body(request), encode_properties(request)


def encode_body(request: Request, serializer: Serializer = json.SERIALIZER) -> bytes:
    """The body alone; see `encode`."""
    plain = not (request.callbacks or request.errbacks or request.chain or request.chord)
    if plain and serializer is json.SERIALIZER:
        return encode_arguments(request.task, request.args, request.kwargs)
    try:
        return serializer.encode((request.args, request.kwargs, _EMPTY_WORKFLOW if plain else _workflow(request)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(_unsendable(request.task, request.args, request.kwargs, error, serializer)) from error


def encode_arguments(task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """The body of a call that is plain: in JSON, without a workflow. Raises as `encode`."""
    try:
        return json.encode((args, kwargs))[:-1] + _PLAIN_END
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(_unsendable(task, args, kwargs, error, json.SERIALIZER)) from error


def _workflow(request: Request) -> dict[str, Any]:
    return {
        "callbacks": request.callbacks,
        "errbacks": request.errbacks,
        "chain": request.chain,
        "chord": request.chord,
    }


def encode_properties(request: Request) -> Properties:
    """The properties alone, for a body from `encode_body`. Raises `ConfigurationError` for a header of the user's that
    has a name of the protocol's."""
    sent: Headers = {"task": request.task, "id": request.id}
    if request.retries:
        sent["retries"] = request.retries
    if request.root_id is not None and request.root_id != request.id:
        sent["root_id"] = request.root_id
    if request.parent_id is not None:
        sent["parent_id"] = request.parent_id
    if request.group is not None:
        sent["group"] = request.group
    if request.eta is not None:
        sent["eta"] = request.eta.isoformat()
    if request.expires is not None:
        sent["expires"] = request.expires.isoformat()
    if request.time_limit is not None or request.soft_time_limit is not None:
        sent["timelimit"] = [request.time_limit, request.soft_time_limit]
    if request.ignore_result is not None:
        sent["ignore_result"] = request.ignore_result
    for name in ("origin", "argsrepr", "kwargsrepr", "shadow"):
        text = getattr(request, name)
        if text is not None:
            sent[name] = text
    if request.headers:
        headers.refuse_reserved(request.headers, request.task)
        sent.update(request.headers)
    return Properties(
        content_type=CONTENT_TYPE,
        content_encoding=CONTENT_ENCODING,
        headers=sent,
        priority=request.priority,
        correlation_id=request.correlation_id or request.id,
        reply_to=request.reply_to,
    )


def task_name(given: Headers | None) -> str | None:
    """The task's name in these headers; None where it is missing or no text."""
    name = given.get("task") if given else None
    return name if isinstance(name, str) and name else None


def decode(properties: Properties, body: bytes, reader: Reader = JSON_ONLY) -> Request | Malformed:
    """The request in a message, or why it holds none. Never raises, whatever was sent.

    Takes what Celery 5 sends, in the content types of `reader`. A naive `eta` or `expires` is taken as UTC.
    """
    try:
        return _decode(properties, body, reader)
    except Wrong as wrong:
        return Malformed(wrong.reason, wrong.detail)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the headers of messages alike say, read once: `fields` and `headers` of their requests. `reader` is who read
    them, `decode` reads their bodies."""

    reader: Reader
    decode: Callable[[bytes], Any]
    fields: dict[str, Any]
    headers: Headers


def decode_alike(delivery: Alike, reader: Reader = JSON_ONLY) -> Request | Malformed:
    """As `decode`, of a message that is like an earlier one."""
    likeness, identity, body = delivery.likeness, delivery.identity, delivery.body
    known: _Known | None = likeness.read
    if known is None or known.reader is not reader:
        known = likeness.read = _learn(likeness, reader)
    if known is None or not body.endswith(_PLAIN_END):
        return decode(delivery.properties, body, reader)
    try:
        # The third part says nothing: what was not read need not be compared.
        args, kwargs = known.decode(body[:_PLAIN_SIZE] + b"]")
    except (Undecodable, ValueError, TypeError):
        return decode(delivery.properties, body, reader)  # which says what is wrong
    if type(args) is not list or type(kwargs) is not dict:
        return decode(delivery.properties, body, reader)
    request = _new(Request)
    fields = request.__dict__
    fields.update(known.fields)
    fields["id"] = fields["correlation_id"] = identity
    fields["args"] = tuple(args)
    fields["kwargs"] = kwargs
    fields["headers"] = dict(known.headers)
    if request.root_id is None:
        fields["root_id"] = identity
    return request


def _learn(likeness: Likeness, reader: Reader) -> _Known | None:
    """None where each message is to be read by itself: it is not JSON, it is compressed, or it is wrong."""
    properties = likeness.properties
    given = properties.headers or {}
    plain = properties.content_type == CONTENT_TYPE and properties.content_encoding == CONTENT_ENCODING
    if not plain or CONTENT_TYPE not in reader.accept or given.get("compression") or "task" not in given:
        return None
    try:
        fields, others = headers.read(given)
    except Wrong:
        return None
    fields["reply_to"] = properties.reply_to or None
    fields["priority"] = properties.priority
    return _Known(reader, json.decode, fields, others)


def _decode(properties: Properties, body: bytes, reader: Reader) -> Request:
    given = properties.headers or {}
    if (
        properties.content_type not in reader.accept
    ):  # before the headers: what it is counts for more than what it lacks
        reader.read(properties, body)
    if "task" not in given or "id" not in given:
        raise _without_headers(given, properties, body, reader)
    fields, others = headers.read(given)
    args, kwargs = _arguments(reader.read(properties, body), fields)
    request = Request(fields.pop("task"), fields.pop("id"), args, kwargs)
    request.headers = others
    for name, value in fields.items():
        setattr(request, name, value)
    if request.root_id is None:
        request.root_id = request.id
    request.reply_to = properties.reply_to or None
    request.correlation_id = properties.correlation_id or request.id
    request.priority = properties.priority
    return request


def _arguments(payload: Any, fields: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """args and kwargs; what belongs to a workflow goes to `fields`."""
    if type(payload) not in _LISTS or len(payload) != 3:
        raise Wrong("body", f"the body is {_kind(payload)}, not a list of args, kwargs and options")
    args, kwargs, workflow = payload
    if type(args) not in _LISTS:
        raise Wrong("body", f"args is {_kind(args)}, not a list")
    if type(kwargs) is not dict:
        raise Wrong("body", f"kwargs is {_kind(kwargs)}, not an object")
    if workflow is not None and workflow != _EMPTY_WORKFLOW:
        if type(workflow) is not dict:
            raise Wrong("body", f"the third part is {_kind(workflow)}, not an object")
        for name in ("callbacks", "errbacks", "chain"):
            fields[name] = _signatures(name, workflow.get(name))
        fields["chord"] = chord = workflow.get("chord")
        if chord is not None and not isinstance(chord, dict):
            raise Wrong("body", f"chord is {_kind(chord)}, not a signature")
    return tuple(args), kwargs


def _without_headers(given: Mapping[str, object], properties: Properties, body: bytes, reader: Reader) -> Wrong:
    """Say so kindly where a message of protocol 1 came in: it carries all in its body."""
    missing = " and ".join(repr(name) for name in ("task", "id") if name not in given)
    try:
        payload = reader.read(properties, body)
    except Wrong:
        payload = None
    if isinstance(payload, dict) and payload.keys() >= {"task", "id"}:
        return Wrong("protocol", "a message of Celery's protocol 1; set task_protocol = 2 where it is sent")
    return Wrong("header", f"no header {missing}")


def _signatures(name: str, value: Any) -> list[Any] | None:
    if value is None:
        return None
    if type(value) not in _LISTS or not all(isinstance(signature, dict) for signature in value):
        raise Wrong("body", f"{name} is {_kind(value)}, not a list of signatures")
    return list(value)


def _unsendable(
    task: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception, serializer: Serializer
) -> str:
    """Which argument it was: encode them one by one, now that time does not matter."""
    named: list[tuple[str, object]] = [(f"argument {number}", value) for number, value in enumerate(args, 1)]
    named += [(f"argument {name!r}", value) for name, value in kwargs.items()]
    for name, value in named:
        try:
            serializer.encode(value)
        except (TypeError, ValueError, RecursionError) as its_error:
            return f"{name} of task {task!r}: {its_error}. Pass an id or plain data instead"
    return f"the message of task {task!r} cannot be sent: {error}"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null", bool: "a truth value"}
    return names.get(type(value), "a number")
