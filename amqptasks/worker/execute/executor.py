"""The life of a delivery: one value, named steps.

    decode -> resolve -> admit -> run -> classify -> plan     here, on the pool's thread; nothing is written
    settle -> report                                          settle.py, on the link's thread; the only writing

Each step either adds to the value or ends its way by setting the outcome.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from amqptasks import signals
from amqptasks.canvas.continuations import Followers, errback_arguments
from amqptasks.errors import INTERRUPTIONS, ConfigurationError
from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.messages.exception_info import exception_text
from amqptasks.messages.middleware import NO_MIDDLEWARE, Middlewares
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import ERRBACK, UNIQUE
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.request import Request, current_request
from amqptasks.runtime import forks
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks import hooks
from amqptasks.tasks.execution import attempt, attempt_async
from amqptasks.tasks.outcomes import (
    LOST,
    Failure,
    Lost,
    Outcome,
    Reject,
    Replaced,
    Retry,
    Success,
    Throttled,
    classify,
)
from amqptasks.tasks.task import Task
from amqptasks.transport.capabilities import Capabilities
from amqptasks.worker.execute.following import follow, refusal_of_followers
from amqptasks.worker.execute.rescue import rescue
from amqptasks.worker.execute.retry_policy import RetryPolicies
from amqptasks.worker.execute.waiting_calls import WaitingCalls
from amqptasks.worker.job.admission import Admission, deliveries_before, refusal, replies_to
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.notifications import is_heard, notifications, refused
from amqptasks.worker.job.recorder import Recorder
from amqptasks.worker.job.settlement import QUIET, Settlement, buried, is_quiet, settlement
from amqptasks.worker.job.waiting import count_native_retries, waiting

logger = get_logger(__name__)

#: In place of a task's value before it has returned.
_NOTHING = object()

#: Turns a message into one that goes through the delay ladder for so many seconds.
Delayed = Callable[[Outgoing, float], Outgoing]


class Executor:
    """The steps before settling, for one worker: what they need to know, and nothing they write."""

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        worker: str,
        delayed: Delayed,
        codec: Codec = PLAIN,
        capabilities: Callable[[], Capabilities | None] = lambda: None,
        followers: Followers | None = None,
        began: Callable[[Job], None] | None = None,
        waiting_calls: WaitingCalls | None = None,
        recorder: Recorder | None = None,
        middleware: Middlewares = NO_MIDDLEWARE,
    ) -> None:
        """`waiting_calls` hears of a job that waited as the only one of its kind, just before it runs. `began` hears of
        a job that is to be acknowledged before it runs (`acks_late=False`), on the pool's thread, just before. Without
        `followers`, a message that asks for some is refused. `recorder` is there where the app has a result store."""
        self._tasks = tasks
        self._codec = codec
        self._worker = worker
        self._delayed = delayed
        self._capabilities = capabilities
        self._followers = followers
        self._began = began
        self._waiting_calls = waiting_calls
        self._recorder = recorder
        self._middleware = middleware
        self._policies = RetryPolicies()
        #: Asked in turn; more may be added before the worker starts.
        self.admissions: list[Admission] = [refusal, self._can_be_followed, replies_to(codec.reach)]

    def execute(self, job: Job) -> None:
        """All steps of a plain function's job, or for one that was ended from outside, the telling. Raises nothing but
        what interrupts the task from outside: see `rescue`."""
        depth = forks.here.depth
        if job.settled:  # there is nothing to do but to tell, if that: see `notifications.telling`
            if self._know_again(job):
                self.tell(job)
            return
        try:
            if self.prepare(job):
                self.run(job)
            self.plan(job)
        except BaseException as error:
            rescue(self, job, error)
        if not job.settled:  # else it was given up while it ran, and has been told of
            self.tell(job)
        if type(job.outcome) is not Success:
            job.let_go()
        if forks.here.depth != depth:  # a hook or a receiver of a signal forked, and this is the child
            forks.leave()

    async def execute_async(self, job: Job) -> None:
        """As `execute`, of an `async def` task's job."""
        if job.settled:  # there is nothing to do but to tell, if that: see `notifications.telling`
            if self._know_again(job):
                await self.tell_async(job)
            return
        try:
            if self.prepare(job):
                await self.run_async(job)
            self.plan(job)
        except BaseException as error:
            rescue(self, job, error)
        if not job.settled:
            await self.tell_async(job)
        if type(job.outcome) is not Success:
            job.let_go()

    def conclude(self, job: Job, outcome: Outcome) -> None:
        """Plan what was decided elsewhere than in the task: it was revoked, or ended by force. Runs no hooks: it may be
        called where they must not run; see `notifications.telling`. Reads the message, but for a job that is lost or
        throttled: not for the link's thread then."""
        readable = job.request is not None or isinstance(outcome, Lost | Throttled) or self.decode(job)
        if not readable and job.outcome is not LOST:
            self.plan(job)
            return
        if job.task is None and job.request is not None:
            job.task = self._tasks.get(job.request.task)
        job.outcome = outcome
        self.plan(job)

    def prepare(self, job: Job) -> bool:
        """decode, resolve, admit; True when the task is to be run."""
        return self.decode(job) and self.resolve(job) and self.admit(job)

    def decode(self, job: Job) -> bool:
        delivery = job.delivery
        if not job.ours:
            job.outcome = LOST
            return False
        decoded = self._codec.decode_delivery(delivery)
        if isinstance(decoded, Malformed):
            job.outcome = (
                Reject(decoded.reason, decoded.detail)
                if decoded.reason in ("unsigned", "bad-signature")
                else Reject("malformed", f"{decoded.reason}: {decoded.detail}")
            )
            return False
        decoded.lease = delivery.lease
        decoded.queue = delivery.queue
        decoded.exchange = delivery.exchange
        decoded.routing_key = delivery.routing_key
        decoded.redelivered = delivery.redelivered
        decoded.delivery_count = deliveries_before(delivery)
        if job.queue.retry is not None:
            count_native_retries(decoded, delivery, job.queue)
        decoded.hostname = self._worker
        job.request = decoded
        while decoded.lease is not job.delivery.lease:  # the link's thread gives a lost job another one
            decoded.lease = job.delivery.lease
        return True

    def resolve(self, job: Job) -> bool:
        assert job.request is not None
        task = self._tasks.get(job.request.task)
        if task is None:
            job.outcome = Reject("unknown-task", f"no task {job.request.task!r} is known to this worker")
            return False
        job.task = task
        job.policy = self._policies.of(task, job.queue)
        if job.limits is not None:
            job.request.time_limit, job.request.soft_time_limit = job.limits.hard, job.limits.soft
        if signals.BEFORE_RUN.present:
            signals.task_received.send(self._worker, request=job.request)
        return True

    def admit(self, job: Job) -> bool:
        """Refuse what must not run, or not yet."""
        for admission in self.admissions:
            outcome = admission(job)
            if outcome is not None:
                job.outcome = outcome
                return False
        return True

    def run(self, job: Job) -> None:
        assert job.task is not None
        assert job.request is not None
        request, task = job.request, job.task
        if UNIQUE in request.headers and self._waiting_calls is not None:
            self._waiting_calls.begin(job)
        value: Any = _NOTHING
        noted: dict[str, Any] | None = None
        depth = forks.here.depth
        token = current_request.set(request)
        try:
            self._begin(job, task, request)
            noted = request.noted()
            value = call(task, request)
            if forks.here.depth != depth:  # the task forked, and this is the child: its parent answers for the task
                forks.leave()
            job.request = request.restored(noted)
            job.outcome = Success(value)
        except BaseException as error:
            if forks.here.depth != depth:
                forks.leave(error)
            if noted is not None:
                job.request = request.restored(noted)
            if value is not _NOTHING:  # an interruption that came too late: the task has returned
                job.outcome = Success(value)
            elif job.started:
                self._classify(job, error)
            else:  # or too early
                raise
        finally:
            if job.started:
                job.runtime = monotonic() - job.started
            current_request.reset(token)

    async def run_async(self, job: Job) -> None:
        assert job.task is not None
        assert job.request is not None
        request, task = job.request, job.task
        if UNIQUE in request.headers and self._waiting_calls is not None:
            await asyncio.to_thread(self._waiting_calls.begin, job)
        depth = forks.here.depth
        current_request.set(request)  # each asyncio task has a context of its own
        self._begin(job, task, request)
        noted = request.noted()
        try:
            if ERRBACK in request.headers:
                request.args = errback_arguments(request.args)
            value = await attempt_async(task, request)
            if forks.here.depth != depth:  # see `run`
                forks.leave()
            job.request = request.restored(noted)
            job.outcome = Success(value)
        except asyncio.CancelledError as error:
            # From us with a reason; a task that cancels itself has failed: handed back, it would run for ever.
            job.request = request.restored(noted)
            self._classify(job, job.interruption or error)
        except BaseException as error:
            if forks.here.depth != depth:
                forks.leave(error)
            job.request = request.restored(noted)
            self._classify(job, error)
        finally:
            job.runtime = monotonic() - job.started

    def _begin(self, job: Job, task: Task[..., Any], request: Request) -> None:
        if not task.acks_late and self._began is not None:
            self._began(job)
        if task.track_started:
            try:
                task.update_state(state="STARTED", meta={"hostname": self._worker, "pid": os.getpid()}, request=request)
            except INTERRUPTIONS:
                raise
            except Exception:  # no connection for it: the task runs all the same
                logger.exception("the start of task %s could not be told", request.id)
        if signals.BEFORE_RUN.present:
            signals.task_prerun.send(task, task_id=request.id, task=task, args=request.args, kwargs=request.kwargs)
        request.instance = task
        request.started = job.started = monotonic()

    def plan(self, job: Job) -> None:
        """What is to be written, ready encoded: results and exceptions hold user code, which must not run in the
        link's thread. A retry whose new arguments or delay are impossible, or a result whose `__json__` raises, is a
        failure that says so. A failure that cannot be planned either is a bare dead letter. So the job gets its
        settlement in any case. An interruption that arrives here was meant for the task. The task has already ended, so
        its outcome stands."""
        assert job.outcome is not None
        if is_quiet(job) and (self._recorder is None or not self._recorder.wants(job)):
            job.planned = QUIET
            return
        try:
            try:
                job.planned = self._planned(job, job.outcome)
            except INTERRUPTIONS:
                job.planned = self._planned(job, job.outcome)
        except BaseException as error:
            if job.interruption is not None and isinstance(error, INTERRUPTIONS):
                raise  # a second one: its pool plans it, when nothing can interrupt any more
            job.outcome = Failure(error) if job.started else Reject("malformed", exception_text(error))
            try:
                job.planned = self._planned(job, job.outcome)
            except BaseException as second:
                if job.interruption is not None and isinstance(second, INTERRUPTIONS):
                    raise
                self.bury(job, second)

    def bury(self, job: Job, error: BaseException) -> None:
        """Plan a job that cannot be settled as it ended: as a bare dead letter. Calls nothing of the user's."""
        logger.error("%s[%s] cannot be settled as it ended", job.task_name, job.task_id, exc_info=error)
        detail = f"it could not be settled as it ended: {type(error).__name__}: {exception_text(error)}"
        job.planned = buried(job, detail, self._worker)
        if self._recorder is not None:
            job.planned.record = self._recorder.rejected(job, detail)

    def _planned(self, job: Job, outcome: Outcome) -> Settlement:
        if isinstance(outcome, Retry) and self._middleware.publishes:
            assert job.request is not None
            outcome = replace(outcome, headers=self._middleware.added(outcome.again(job.request)))
        capabilities = self._capabilities()
        largest = None if capabilities is None else capabilities.maximum_message_size
        planned = settlement(job, outcome, self._worker, self._codec, largest)
        if isinstance(outcome, Retry):
            planned = waiting(job, outcome, planned, capabilities)
        if planned.delay > 0:
            planned.onward = tuple(self._delayed(outgoing, planned.delay) for outgoing in planned.onward)
        if self._followers is not None and job.request is not None:
            if job.started or self._can_be_followed(job) is None:  # else what it asks for is in its dead letter
                follow(job, outcome, planned, self._followers, self._worker)
        elif isinstance(outcome, Replaced):
            raise ConfigurationError("no other call can be made here, so none can take its place")
        if self._recorder is not None:
            planned.record = self._recorder.of(job, outcome, planned)
        return planned

    def _can_be_followed(self, job: Job) -> Outcome | None:
        return refusal_of_followers(job, self._followers)

    def _know_again(self, job: Job) -> bool:
        """Find out once more what a job is that was ended elsewhere, maybe in another process."""
        if not self.decode(job):
            return False
        assert job.request is not None
        job.task = self._tasks.get(job.request.task)
        return True

    def tell(self, job: Job) -> None:
        """The task's hooks, then the signals: on the pool's thread, before it is settled. Raises nothing but
        what interrupts the task from outside."""
        if job.task is None or job.request is None or not job.started:
            refused(job)
        elif is_heard(job.task):
            token = current_request.set(job.request)
            try:
                hooks.run(notifications(job), job.task, job.request)
            finally:
                current_request.reset(token)

    async def tell_async(self, job: Job) -> None:
        """`tell`, of an `async def` task, whose hooks may be async too."""
        if job.task is None or job.request is None or not job.started:
            refused(job)
        elif is_heard(job.task):
            await hooks.run_async(notifications(job), job.task, job.request)

    def _classify(self, job: Job, error: BaseException) -> None:
        assert job.task is not None
        assert job.policy is not None
        assert job.request is not None
        job.raised = error
        try:
            job.outcome = classify(error, job.policy, job.request, job.task.options)
        except INTERRUPTIONS:
            raise
        except BaseException as broken:  # `self.retry(max_retries="3")`, or a class with an odd idea of isinstance
            broken.__context__ = error
            job.outcome = Failure(broken)


def call(task: Task[..., Any], request: Request) -> Any:
    """The task's own code, and nothing else: what interrupts a task from outside looks for this frame."""
    if ERRBACK in request.headers:
        request.args = errback_arguments(request.args)
    return attempt(task, request)
