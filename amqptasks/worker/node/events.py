"""The events of one worker: what becomes of its deliveries, and that it is alive. Link thread only.

Nothing of a task's own code runs here: what an event says of a result or an exception was written down where the task
ran, for its reply, its dead letter or the log.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from amqptasks.events.emitter import GATHER
from amqptasks.events.event import TRACEBACK_SIZE, cut
from amqptasks.messages.own_headers import DETAIL
from amqptasks.runtime.clock import broker_time, monotonic
from amqptasks.serializers import Undecodable, json
from amqptasks.worker.job.job import Job

if TYPE_CHECKING:
    from amqptasks.worker.job.settlement import Settlement
    from amqptasks.worker.node import Node

#: Seconds between two heartbeats; each says so itself, and who listens takes a worker for gone after some of them.
HEARTBEAT = 5.0

#: Bytes of a reply that is looked into for the result.
REPLY_SIZE = 4096


class WorkerEvents:
    """Told by the node what happens; `emitter` counts what was sent and dropped."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._mask = node.app.codec.mask
        self.emitter = node.app.caller.emitter(node.name)
        self._begun: set[int] = set()  # deliveries whose start was told, by identity: their jobs may be replaced
        self._looking = False
        self._over = False

    def online(self) -> None:
        """The worker consumes."""
        self._worker("worker-online")
        self._node.link.call_later(HEARTBEAT, self._heartbeat)

    def offline(self) -> None:
        """The worker stops; what waits is sent when its app is closed."""
        if not self._over:
            self._over = True
            self._worker("worker-offline")

    def received(self, job: Job) -> None:
        """A delivery came."""
        headers = job.delivery.properties.headers or {}
        self.emitter.emit(
            "task-received",
            uuid=job.task_id,
            name=job.task_name,
            args=self._text(headers, "argsrepr"),
            kwargs=self._text(headers, "kwargsrepr"),
            root_id=self._text(headers, "root_id") or job.task_id,
            parent_id=headers.get("parent_id"),
            retries=headers.get("retries", 0),
            eta=headers.get("eta"),
            expires=headers.get("expires"),
            queue=job.delivery.queue,
        )
        if not self._looking:
            self._looking = True
            self._node.link.call_later(GATHER, self._look)

    def ended(self, job: Job, planned: Settlement) -> None:
        """A delivery is settled."""
        fields = planned.report.fields if planned.report is not None else {}
        given = fields.get("runtime", job.runtime)
        runtime = float(given) if isinstance(given, int | float) else 0.0
        if runtime and id(job.delivery) not in self._begun:
            self._started(job, broker_time.now() - runtime)
        self._begun.discard(id(job.delivery))
        about = {"uuid": job.task_id, "name": job.task_name, "queue": job.delivery.queue}
        match planned.kind:
            case "Success":
                self.emitter.emit("task-succeeded", **about, runtime=runtime, result=self._result(planned))
            case "Failure":
                self.emitter.emit("task-failed", **about, runtime=runtime, **self._failure(planned))
            case "Retry" | "Crashed":
                self.emitter.emit("task-retried", **about, runtime=runtime, **self._failure(planned))
            case "Reject":
                self.emitter.emit("task-rejected", **about, requeue=False, **self._failure(planned))
            case "Expired" | "Revoked":
                expired = planned.kind == "Expired"
                self.emitter.emit(
                    "task-revoked",
                    **about,
                    terminated=runtime > 0,
                    signum=None,
                    expired=expired,
                    reason=self._why(planned),
                )

    def _look(self) -> None:
        """Which of the tasks held have begun since? A pool tells when asked."""
        held = self._node.held
        for job in held:
            if id(job.delivery) not in self._begun:
                began = self._node.pools.of(job).started(job)
                if began:
                    self._started(job, broker_time.now() - (monotonic() - began))
        self._begun.intersection_update(id(job.delivery) for job in held)
        self._looking = bool(held) and not self._over
        if self._looking:
            self._node.link.call_later(GATHER, self._look)

    def _started(self, job: Job, moment: float) -> None:
        self._begun.add(id(job.delivery))
        self.emitter.emit("task-started", uuid=job.task_id, name=job.task_name, timestamp=moment)

    def _heartbeat(self) -> None:
        if not self._over:
            self._worker("worker-heartbeat")
            self._node.link.call_later(HEARTBEAT, self._heartbeat)

    def _worker(self, kind: str) -> None:
        self.emitter.emit(
            kind,
            freq=HEARTBEAT,
            active=len(self._node.current),
            processed=sum(self._node.counts.values()),
            loadavg=[round(load, 2) for load in os.getloadavg()],
            sw_ident="amqptasks",
            sw_ver=version("amqptasks"),
            sw_sys=platform.system(),
            queues=list(self._node.queues),
            dropped=self.emitter.dropped,
            **({} if broker_time.ahead() is None else {"broker_time": broker_time.now()}),
        )

    def _text(self, headers: dict[str, Any], name: str) -> str:
        """The text of a header, without the secrets that it names. It is cut first: the sender decides its length."""
        value = headers.get(name)
        return self._mask.masked_text(cut(value)) if isinstance(value, str) else ""

    def _result(self, planned: Settlement) -> str:
        answer = planned.answer
        if answer is None or len(answer.body) > REPLY_SIZE or answer.properties.content_type != "application/json":
            return ""
        try:
            said = json.decode(answer.body)
        except Undecodable:
            return ""
        return cut(repr(self._mask.masked(said.get("result")))) if isinstance(said, dict) else ""

    def _failure(self, planned: Settlement) -> dict[str, str]:
        traceback = planned.report.traceback if planned.report is not None else None
        shown = self._mask.masked_text(cut(traceback or "", TRACEBACK_SIZE))
        return {"exception": self._why(planned), "traceback": shown}

    def _why(self, planned: Settlement) -> str:
        headers = planned.onward[0].properties.headers if planned.onward else None
        detail = (headers or {}).get(DETAIL)
        said = detail if isinstance(detail, str) else planned.report.sentence if planned.report is not None else ""
        return self._mask.masked_text(cut(said))
