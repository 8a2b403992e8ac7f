"""Makes the records of tasks that run here, for the result store of their app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amqptasks.errors import ConfigurationError
from amqptasks.messages import compression as compressions
from amqptasks.messages.codec import Codec
from amqptasks.messages.properties import Properties
from amqptasks.messages.request import Request
from amqptasks.results import reply
from amqptasks.results.address import BackendAddress
from amqptasks.results.record import Record
from amqptasks.runtime.clock import broker_time
from amqptasks.serializers import Serializer
from amqptasks.untrusted import bounds

#: States of tasks that did not succeed, for `failure_expires`.
_FAILED = frozenset({"FAILURE", "REVOKED", "REJECTED"})


class Recording:
    """`expires` is the app's: seconds that a result is kept, None: for ever. `largest` bytes fit into the store."""

    def __init__(
        self, address: BackendAddress, codec: Codec, expires: float | None, largest: int = bounds.LARGEST_RESULT
    ) -> None:
        self._address = address
        self._codec = codec
        self._expires = expires
        self._compression = None if address.compression is None else compressions.find(address.compression)
        self.largest = largest

    def success(
        self, request: Request, properties: Properties, value: object, state: str = "SUCCESS", **more: Any
    ) -> Record:
        """Of a task that returned `value`. A value that cannot be sent, or that is too large, makes it a failure that
        says so. `properties` are those of its message; `more` as of `_record`."""
        try:
            return self._record(request, properties, state, value, None, **more)
        except (TypeError, ValueError, RecursionError) as error:
            problem = f"the task ran, but its result cannot be stored: {error}. Return plain data, or set ignore_result"
            return self.failure(request, properties, "FAILURE", ConfigurationError(problem), None, **more)

    def failure(
        self,
        request: Request,
        properties: Properties,
        state: str,
        exception: BaseException,
        traceback: str | None,
        **more: Any,
    ) -> Record:
        """Of a task that ended in `state`, because of `exception`."""
        described = reply.describe(exception, self._codec.for_reply(properties))
        return self._record(request, properties, state, described, traceback, **more)

    def on_the_way(self, request: Request, properties: Properties, state: str, meta: object, **more: Any) -> Record:
        """Of a task that goes on. Raises `ConfigurationError` for a `meta` that cannot be stored."""
        try:
            return self._record(request, properties, state, meta, None, **more)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"the state {state!r} cannot be stored: {error}. Give plain data") from error

    def too_large(self, record: Record, request: Request, properties: Properties, why: str) -> Record:
        """In place of a record that the store does not take, because of `why`."""
        problem = (
            f"the task ended, but its result cannot be stored: it has {len(record.body):,} bytes, and {why}. Store the"
            " value elsewhere and return its address, or set ignore_result"
        )
        described = reply.describe(ConfigurationError(problem))
        state = record.state if record.state in _FAILED else "FAILURE"
        return self._record(request, properties, state, described, None, arguments=False)

    def _record(
        self,
        request: Request,
        properties: Properties,
        state: str,
        result: object,
        traceback: str | None,
        *,
        children: Sequence[str] = (),
        reason: str | None = None,
        expires: float | None = None,
        names: Sequence[str] = (),
        arguments: bool = True,
    ) -> Record:
        """`children` are the ids of the calls that follow on it, `expires` the task's own, `names` those of its
        parameters, by which secrets are known."""
        now = broker_time.now()
        serializer = self._codec.for_reply(properties)
        said: dict[str, Any] = {
            "task_id": request.id,
            "status": "FAILURE" if state == "REJECTED" else state,  # as in a reply: Celery does not know that state
            "result": result,
            "traceback": traceback,
            "children": [[[child, request.id], None] for child in children[: bounds.MOST_CHILDREN]],
            "date_done": broker_time.utcnow().isoformat(),
            "name": request.task,
            "worker": request.hostname,
            "retries": request.retries,
            "queue": request.queue,
            "parent_id": request.parent_id,
            "root_id": request.root_id,
            "reason": reason,
        }
        if arguments:
            self._add_arguments(said, request, names, serializer)
        body = serializer.encode(said)
        given = Properties(
            content_type=serializer.content_type,
            content_encoding=serializer.content_encoding,
            correlation_id=request.id,
        )
        if self._compression is not None and len(body) >= compressions.MIN_SIZE:
            packed = self._compression.shrink(body)
            if len(packed) < len(body):
                body, given.headers = packed, {"compression": self._compression.content_type}
        self._codec.sign_reply(given, body, request)
        seconds = self._kept_for(state, expires)
        record = Record(
            request.id, state, body, given, request.retries, now, None if seconds is None else now + seconds
        )
        if len(body) > self.largest and arguments:
            return self.too_large(record, request, properties, f"this store takes {self.largest:,}")
        return record

    def _kept_for(self, state: str, own: float | None) -> float | None:
        if own is not None:
            return own
        if state in _FAILED and self._address.failure_expires is not None:
            return self._address.failure_expires
        return self._address.expires if self._address.expires is not None else self._expires

    def _add_arguments(
        self, said: dict[str, Any], request: Request, names: Sequence[str], serializer: Serializer
    ) -> None:
        """Those of few bytes, without secrets; of long ones, or such as cannot be written, nothing."""
        mask = self._codec.mask
        known = (*names, *[""] * len(request.args))
        args = [mask.masked({name: value})[name] for name, value in zip(known, request.args, strict=False)]
        kwargs = mask.masked(request.kwargs)
        try:
            size = len(serializer.encode([args, kwargs]))
        except (TypeError, ValueError, RecursionError):
            return
        if size <= bounds.LARGEST_KEPT_ARGUMENTS:
            said["args"], said["kwargs"] = args, kwargs
