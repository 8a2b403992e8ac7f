"""`redis://:PASSWORD@HOST/DATABASE`: results in Redis, or in Valkey; `rediss://` over TLS.

A hash for each task, whose key goes by itself once the result has expired. Whether a new record takes the place of the
known one is decided by a script on the server, which nothing comes between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from amqptasks.errors import ConfigurationError, StoreUnavailable
from amqptasks.results.record import Record, records_in
from amqptasks.results.stores.connections import one_line
from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted.masks import masked_address

logger = get_logger(__name__)

T = TypeVar("T")

#: What stands before a task's id.
PREFIX = "amqptasks:result:"

#: Seconds for a connection, and for one answer. An answer takes less than a millisecond.
CONNECT_WITHIN, ANSWER_WITHIN = 5.0, 10.0

#: Seconds that a key outlives its record: the server's clock may be ahead of the broker's, by which records expire.
KEPT_LONGER = 60.0

#: Ids in one question.
AT_ONCE = 500

#: `Record.replaces`, on the server: state, final, attempt, expires_at, at, when the key goes, record. HSET comes before
#: any other write: only then a server that is full refuses it.
WRITE = """
local known = redis.call('HMGET', KEYS[1], 'final', 'attempt', 'expires_at')
if known[1] and not (known[3] ~= '' and tonumber(known[3]) <= tonumber(ARGV[5])) then
    if known[1] == '1' or ARGV[1] == 'SENT' then return 0 end
    if ARGV[2] == '0' and tonumber(ARGV[3]) < tonumber(known[2]) then return 0 end
end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'final', ARGV[2], 'attempt', ARGV[3], 'expires_at', ARGV[4],
    'record', ARGV[7])
if ARGV[6] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIREAT', KEYS[1], ARGV[6]) end
return 1
"""


class RedisStore:
    """Options behind the `?` are those of redis-py."""

    pauses = (0.02, 0.5)

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise ConfigurationError("backend redis:// needs redis: pip install 'amqptasks[redis]'") from error
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self.where = masked_address(url)
        self._error = redis.RedisError
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_connect_timeout=CONNECT_WITHIN,
                socket_timeout=ANSWER_WITHIN,
                # Once more: the server may have closed a connection that was idle.
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError:  # its words may quote the address
            raise ConfigurationError(
                "backend: the address cannot be read: write redis://:PASSWORD@HOST:PORT/0, with @, : and / in a"
                " password as %40, %3A and %2F"
            ) from None
        self._script = self._client.register_script(WRITE)
        self._is_known = False  # whether it keeps what it has

    def write(self, records: Sequence[Record]) -> None:
        def act() -> None:
            if not self._is_known:
                self._warn()
            with self._client.pipeline(transaction=False) as pipeline:
                for record in records:
                    self._script(keys=[PREFIX + record.id], args=_values(record), client=pipeline)
                pipeline.execute()

        self._run(act)

    def read(self, ids: Sequence[str], now: float) -> dict[str, Record]:
        def act() -> dict[str, Record]:
            found: dict[str, Record] = {}
            for start in range(0, len(ids), AT_ONCE):
                some = ids[start : start + AT_ONCE]
                with self._client.pipeline(transaction=False) as pipeline:
                    for identity in some:
                        pipeline.hget(PREFIX + identity, "record")
                    rows = zip(some, pipeline.execute(), strict=True)
                found.update(records_in(((key, data) for key, data in rows if data is not None), now, self.where))
            return found

        return self._run(act)

    def forget(self, ids: Sequence[str]) -> None:
        def act() -> None:
            for start in range(0, len(ids), AT_ONCE):
                self._client.delete(*[PREFIX + identity for identity in ids[start : start + AT_ONCE]])

        self._run(act)

    def clean(self, now: float) -> int:  # noqa: ARG002 - Redis does it
        return 0

    def close(self) -> None:
        self._client.close()

    def _run(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except self._error as error:
            raise StoreUnavailable(f"{self.where}: {one_line(error)}") from error

    def _warn(self) -> None:
        """A server that keeps nothing on its disk, or that makes room for other keys, may lose results."""
        said: dict[str, Any] = {**self._client.info("persistence"), **self._client.info("memory")}
        self._is_known = True
        if not int(said.get("aof_enabled", 1)):
            logger.warning(
                "%s writes results to its disk now and then, and loses the latest when it is killed: set `appendonly"
                " yes` on it",
                self.where,
                extra={"action": "store_not_durable"},
            )
        policy = said.get("maxmemory_policy", "noeviction")
        if int(said.get("maxmemory", 0)) and policy != "noeviction":
            logger.warning(
                "%s removes results when its memory is full (maxmemory-policy %s): set `noeviction` on it, then workers"
                " wait for room",
                self.where,
                policy,
                extra={"action": "store_evicts"},
            )


def _values(record: Record) -> list[str | bytes | int]:
    expires_at = record.expires_at
    return [
        record.state,
        int(record.final),
        record.attempt,
        "" if expires_at is None else repr(expires_at),
        repr(record.at),
        "" if expires_at is None else int((expires_at + KEPT_LONGER) * 1000),
        record.encode(),
    ]
