"""One task, from its call to where it rests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from amqptasks.dev.simulation.hop import Hop, What
from amqptasks.dev.simulation.script import Script, ScriptedTask
from amqptasks.errors import ConfigurationError, PublishError
from amqptasks.memory.broker import CAPABILITIES, Broker, Transfer
from amqptasks.memory.clock import VirtualClock
from amqptasks.memory.consumers import Consumer
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.ids import task_id
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import REASON
from amqptasks.messages.protocol import encode
from amqptasks.messages.request import Request
from amqptasks.messages.routing import Router
from amqptasks.options import TaskOptions
from amqptasks.runtime.clock import broker_time
from amqptasks.tasks.outcomes import Retry
from amqptasks.tasks.task import Task
from amqptasks.topology import delays, durations
from amqptasks.topology.expand.expand import Objects, expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.topology import QueueSettings, Topology
from amqptasks.transport.entities import Queue
from amqptasks.transport.exchange_types import STANDARD
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.execute.retry_policy import policy_of
from amqptasks.worker.job.admission import refusal
from amqptasks.worker.job.job import Job

#: Hops after which it is told that this goes on, rather than how: a task that retries for ever has no last one.
MOST_HOPS = 500

#: Jumps of the clock after which the same is told: a full queue is asked again and again, without a hop.
MOST_JUMPS = 20_000


def simulate(
    topology: Topology,
    task: str,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    script: Script | None = None,
    options: TaskOptions | None = None,
    countdown: float = 0.0,
    priority: int | None = None,
) -> list[Hop]:
    """What happens to a call of `task`. `options` are the task's own (its retry policy among them), `countdown` is in
    seconds. On a broker that behaves as RabbitMQ 4.3, with a worker for every queue, and no time lost on the way.

    Raises `NoRoute`, and `ConfigurationError` for arguments that cannot travel and for exchanges that the broker in
    memory does not have.
    """
    return _Simulation(topology, task, script or Script(), options or {}).run(args, kwargs or {}, countdown, priority)


class _Simulation:
    def __init__(self, topology: Topology, name: str, script: Script, options: TaskOptions) -> None:
        self._topology = topology
        self._script = script
        self._scripted = scripted = ScriptedTask(script.fail)

        def simulated(*args: Any, **kwargs: Any) -> None:
            scripted(*args, **kwargs)

        self._task: Task[..., None] = Task.of(None, simulated, name, options)
        self._steps = Executor({name: self._task}, "simulation", self._delayed)
        admissions = self._steps.admissions
        admissions[admissions.index(refusal)] = partial(refusal, utcnow=self._utcnow)
        self._clock: VirtualClock
        self._broker = Broker(self._make_clock, self._watch)
        self._runs: Counter[str] = Counter()
        self._hops: list[Hop] = []
        objects = expand(topology, CAPABILITIES) + ladder_objects(topology, CAPABILITIES)
        self._declare(objects)
        settings = topology.queues.values()
        self._dead = topology.ends.keys() | {delays.LOST}
        self._rooms = {queue.room: queue.name for queue in settings if queue.room is not None}
        self._resting = self._dead | {queue.name for queue in settings if queue.type == "stream"}
        self._queues = [queue.name for queue in objects.queues]

    def run(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], countdown: float, priority: int | None
    ) -> list[Hop]:
        destination = Router(self._topology.routes, self._topology.default_queue).destination(
            self._task.name, priority=priority
        )
        request = Request(self._task.name, task_id(), args, dict(kwargs), priority=destination.priority)
        outgoing = Outgoing(destination.exchange, destination.routing_key, *encode(request))
        words = f"routing key {destination.routing_key}" if destination.queue is None else "by the queue's name"
        words += "" if destination.priority is None else f", priority {destination.priority}"
        self._note("published", destination.exchange, words)
        if countdown > 0:
            outgoing = self._delayed(outgoing, countdown)
        if self._publish(outgoing):
            self._live()
        self._rest()
        return self._hops

    def _utcnow(self) -> datetime:
        """The time of the simulation, in which hours take no time."""
        return broker_time.utcnow() + timedelta(seconds=self._clock.now())

    def _make_clock(self, lock: Any) -> VirtualClock:
        self._clock = VirtualClock(lock)
        return self._clock

    def _declare(self, objects: Objects) -> None:
        for exchange in objects.exchanges:
            if exchange.type not in STANDARD:
                raise ConfigurationError(
                    f"exchange {exchange.name!r} is of type {exchange.type}, and such exchanges cannot be simulated,"
                    f" only {', '.join(STANDARD)}: ask `amqptasks topology route` which queues it can lead to"
                )
            self._broker.declare_exchange(exchange)
        for queue in objects.queues:
            self._broker.declare_queue(_kept(queue))
        for binding in objects.bindings:
            self._broker.bind(binding)

    def _live(self) -> None:
        """Workers take what is there; then the clock jumps to what happens next, until nothing does."""
        for _ in range(MOST_JUMPS):
            if not self._work() and not (self._is_moving() and self._clock.advance()):
                return
            if len(self._hops) >= MOST_HOPS:
                break
        self._note("rests", "nowhere", "it goes on like this; that is enough to see")

    def _is_moving(self) -> bool:
        """Whether something waits that is not at its end; the time to live of dead letters is no part of the story."""
        waiting = {name for name in self._queues if self._broker.queue(name).holds}
        return bool(waiting - self._resting)

    def _work(self) -> bool:
        if self._script.expire:
            return False
        worked = False
        for name in self._topology.work_queues:
            if self._broker.queue(name).state.messages:
                self._deliver(self._topology.queues[name])
                worked = True
        return worked

    def _deliver(self, queue: QueueSettings) -> None:
        arrived: list[Delivery] = []
        consumer = Consumer(self._broker.queue(queue.name), self._broker.lock, 1, arrived.append, lambda _: None)
        with self._broker.lock:
            consumer.attach()
            consumer.detach()
        self._runs[queue.name] += 1
        job = Job(arrived[0], queue)
        # A worker refuses what was delivered too often before it can be killed by it.
        if self._runs[queue.name] <= self._script.kill and self._steps.prepare(job):
            self._note("run", queue.name, f"delivery {self._runs[queue.name]}: the worker is killed, and it goes back")
            with self._broker.lock:
                consumer.close()
            return
        self._handle(job, queue)

    def _handle(self, job: Job, queue: QueueSettings) -> None:
        self._scripted.queue, self._scripted.policy = queue.name, policy_of(self._task, queue)
        self._steps.execute(job)
        planned = job.planned
        assert planned is not None
        self._note("run", queue.name, f"delivery {self._runs[queue.name]}: {_words(job)}")
        for outgoing in planned.onward:
            if not self._publish(outgoing):
                raise ConfigurationError(f"the worker could not move it on from {queue.name!r}: see the last hop")
        lease = job.delivery.lease
        {"ack": lease.ack, "nack": lease.nack, "reject": lease.reject}[planned.verdict](job.delivery.tag)

    def _publish(self, outgoing: Outgoing) -> bool:
        try:
            self._broker.publish(outgoing)
        except PublishError as error:
            self._note("returned", outgoing.exchange, str(error))
            return False
        return True

    def _delayed(self, outgoing: Outgoing, delay: float) -> Outgoing:
        exchange, headers = delays.enter(
            delay, outgoing.exchange, CAPABILITIES, outgoing.properties.priority, self._topology.longest_delay
        )
        outgoing.properties.headers = {**(outgoing.properties.headers or {}), **headers}
        return Outgoing(exchange, outgoing.routing_key, outgoing.body, outgoing.properties)

    def _watch(self, transfer: Transfer) -> None:
        """The rungs of the ladder are one place, and the rooms of queues a part of it."""
        message = transfer.message
        by_ladder = message.exchange.startswith(f"{delays.PREFIX}.") and not message.deaths
        if by_ladder:
            wait = sum(
                delays.TICK << number
                for number in range(delays.RUNGS)
                if (message.properties.headers or {}).get(delays.bit(number))
            )
            self._note("waits", "delays", f"for {durations.written(wait / 1000)}")
        for name in transfer.queues:
            if name.startswith(f"{delays.PREFIX}.") and name != delays.LOST:
                continue
            reason = f"{message.deaths[0].queue}: {message.deaths[0].reason}" if message.deaths else ""
            if name in self._dead:
                headers = message.properties.headers or {}
                own = headers.get(REASON)
                self._note("dead-lettered", name, reason if own is None else f"by the worker: {own}")
            else:
                ladder = reason.startswith(f"{delays.PREFIX}.")
                self._note("queued", name, "" if ladder or not reason else f"a dead letter of {reason}")

    def _rest(self) -> None:
        for name in self._queues:
            queue = self._broker.queue(name)
            if queue.state.messages and not name.startswith(f"{delays.PREFIX}.0"):
                ttl = queue.settings.message_ttl
                until = "" if ttl is None else f", until its {durations.written(ttl)} are over"
                held = counted(queue.state.messages, "message")
                if name in self._rooms:
                    self._note("rests", "delays", f"{held}, until there is room in {self._rooms[name]}")
                else:
                    self._note("rests", name, held + until)
        if self._hops[-1].what != "rests":
            self._note("rests", "nowhere", "every message is done with")

    def _note(self, what: What, place: str, detail: str = "") -> None:
        self._hops.append(Hop(round(self._clock.now(), 3), what, place, detail))


def _words(job: Job) -> str:
    outcome = job.outcome
    match outcome:
        case Retry(delay, _):
            return f"it fails; again in {durations.written(delay)}"
        case _:
            kind = type(outcome).__name__
            detail = getattr(outcome, "detail", "") or getattr(outcome, "cause", "")
            return {"Success": "it succeeds", "Failure": f"it fails for good: {detail}"}.get(kind, f"{kind}: {detail}")


def _kept(queue: Queue) -> Queue:
    """A stream keeps what it gets, and nobody takes it for a task: here any queue will do in its place."""
    return Queue(queue.name) if queue.arguments.get("x-queue-type") == "stream" else queue
