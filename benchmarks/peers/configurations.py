"""How each peer is set up, as an expert of it would, in words for the report.

Apart from the peers themselves: the report is written where they are not installed, too.
"""

from __future__ import annotations

CONFIGURATIONS = {
    "ours": (
        "As it comes: every publish is confirmed and mandatory, acks are late, queues have a dead-letter queue. Replies"
        " only where results are measured (`ignore_result=True` elsewhere)."
    ),
    "celery": (
        "`acks_late`, `-O fair`, no gossip, mingle, heartbeat, remote control or events; `worker_prefetch_multiplier`"
        " such that all pools hold as many messages as the other workers, but at least one a process or thread;"
        " `worker_detect_quorum_queues`; no result backend, and `ignore_result`, but for the results themselves"
        " (`rpc://`). Confirmed means `confirm_publish` in `broker_transport_options`."
    ),
    "dramatiq": (
        "Its default middleware, `dramatiq_queue_prefetch` as the others, one process with 8 threads, quorum queues by"
        " a subclass of its broker, which has no option for them. Confirmed means `confirm_delivery=True`."
    ),
    "taskiq": (
        "taskiq-aio-pika on uvloop, `ORJSONSerializer`, one worker process with up to 100 `async def` tasks at once,"
        " `--ack-type when_executed`, and for both `qos` and `--max-prefetch` what the other workers hold; no result"
        " backend. Its publishes are confirmed."
    ),
    "pika": (
        "By hand, with the same message as amqptasks (body, headers `task` and `id`, persistent) on a plain queue."
        " BlockingConnection publishes one at a time, also one connection for each of 16 threads; SelectConnection"
        " keeps 500 confirms outstanding. The consumer is a SelectConnection that JSON-decodes the body, calls the"
        " function, and acknowledges once a loop turn with `multiple=True`."
    ),
    "aiopika": (
        "By hand on uvloop, with the same message as amqptasks on a plain queue; `connect()`, not the robust"
        " connection, which costs more. 500 confirmed publishes are in flight on one channel. The consumer is a"
        " callback, not an iterator, and acknowledges each message after its function."
    ),
}
