"""What the result store is to keep of a job that has ended, or that goes on later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqptasks import errors
from amqptasks.errors import TaskRejected, TaskRevoked
from amqptasks.messages.codec import Codec
from amqptasks.messages.request import Request
from amqptasks.results.record import Record
from amqptasks.results.recording import Recording
from amqptasks.tasks.outcomes import Expired, Failure, Ignore, Outcome, Reject, Retry, Revoked, Success
from amqptasks.worker.job.job import Job

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.worker.job.settlement import Settlement


class Recorder:
    """Of one worker, whose app has a result store. Encodes what a task returned: not for the link's thread, but for
    `rejected` and `too_large`."""

    def __init__(self, recording: Recording, codec: Codec, worker: str) -> None:
        self._recording = recording
        self._codec = codec
        self._worker = worker

    def wants(self, job: Job) -> bool:
        """Whether somebody may ask for the result: who wants none neither waits for a reply nor asks by id."""
        request = job.request
        if request is None:  # it could not be read; a stranger must not say how a signed task ended
            return self._codec.signing is None and bool(job.delivery.properties.reply_to)
        if request.ignore_result is not None:
            return not request.ignore_result
        if job.task is not None and job.task.options.get("ignore_result"):
            return False
        return bool(request.reply_to)

    def of(self, job: Job, outcome: Outcome, planned: Settlement) -> Record | None:
        """None where nothing is to be kept. Raises what encoding a value of the user's raises."""
        if not self.wants(job):
            return None
        request, properties, recording = self._request(job), job.delivery.properties, self._recording
        more: dict[str, Any] = {
            "expires": None if job.task is None else job.task.result_expires,
            "names": () if job.task is None or job.task.arguments is None else job.task.arguments.names,
            "children": [*(request.children or ()), *_ids(planned)],
        }
        match outcome:
            case Success(value):
                return recording.success(request, properties, value, **more)
            case Ignore():
                return recording.success(request, properties, None, state="IGNORED", **more)
            case Failure(cause):
                return recording.failure(request, properties, "FAILURE", cause, job.info(cause).traceback, **more)
            case Retry(_, cause):
                cause = cause if cause is not None else errors.Retry()
                return recording.failure(request, properties, "RETRY", cause, job.info(cause).traceback, **more)
            case Reject(reason, detail):
                said = TaskRejected(f"{reason}: {detail}")
                return recording.failure(request, properties, "REJECTED", said, None, reason=said.args[0], **more)
            case Expired(detail) | Revoked(detail):
                revoked = TaskRevoked(detail)
                return recording.failure(request, properties, "REVOKED", revoked, None, reason=detail, **more)
            case _:
                return None

    def rejected(self, job: Job, detail: str) -> Record | None:
        """Of a job that cannot be settled as it ended. Made of the delivery alone: runs nothing of the user's."""
        if not self.wants(job):
            return None
        said = TaskRejected(f"unpublishable: {detail}")
        return self._recording.failure(
            self._request(job),
            job.delivery.properties,
            "REJECTED",
            said,
            None,
            reason=said.args[0],
            arguments=False,
        )

    def too_large(self, job: Job, record: Record, why: str) -> Record:
        """In place of a record that the store does not take."""
        return self._recording.too_large(record, self._request(job), job.delivery.properties, why)

    def _request(self, job: Job) -> Request:
        if job.request is not None:
            return job.request
        made = Request(job.task_name, job.task_id, queue=job.queue.name)
        made.hostname = self._worker
        return made


def recorder_of(app: App, worker: str) -> Recorder | None:
    """None for an app that keeps no results."""
    return None if app.results is None else Recorder(app.results.recording, app.codec, worker)


def _ids(planned: Settlement) -> list[str]:
    """Of the calls that follow."""
    found = ((one.properties.headers or {}).get("id") for one in planned.followers)
    return [identity for identity in found if isinstance(identity, str)]
