"""`s3://BUCKET/FOLDER`: results as objects in Amazon S3, or in a store that speaks its language, through boto3.

An object for each task. Whether a new record takes the place of the known one is decided here, and S3 takes it only
while the known one is still the one that was looked at (conditional writes: `If-None-Match`, `If-Match`).
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

S3 finds nothing by what is in an object. So each result that expires has a second object, which is empty, under the
hour in which it does; cleaning reads those of the hours that are over.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

from amqptasks.errors import ConfigurationError, StoreRefused, StoreUnavailable
from amqptasks.results.record import LARGEST_HEAD, Record, UnreadableRecord, decode, records_in
from amqptasks.runtime import forks
from amqptasks.runtime.clock import monotonic
from amqptasks.untrusted import bounds

T = TypeVar("T")

#: Seconds for a connection, and for one answer, and how often a request is made at most.
CONNECT_WITHIN, ANSWER_WITHIN, TRIES = 5, 10, 2

#: Requests at the same time: one takes 10 to 100 ms.
AT_ONCE = 16

#: Looks at a record that others write at the same moment.
MOST_LOOKS = 20

#: Seconds between two rounds of cleaning of one process. A list of S3 costs money, and results may stay some minutes.
CLEAN_EVERY = 600.0

#: Bytes of a key that S3 takes are 1,024. An id that is longer as text of a URL stands there as its digest.
LONGEST_KEY = 800

#: Seconds of results whose notes stand together.
HOUR = 3600

#: Bytes of an object that are read: a larger one is no record.
LARGEST_OBJECT = bounds.LARGEST_RESULT + LARGEST_HEAD

#: Answers that say that a condition does not hold, or that another one writes at this moment.
_BEATEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT = frozenset({"NoSuchKey", "404"})


class S3Store:
    """`s3://BUCKET/FOLDER?endpoint=http://127.0.0.1:9000&region=eu-central-1`. Keys are those that boto3 finds:
    environment, profile, role of the machine."""

    pauses = (0.2, 2.0)

    def __init__(self, url: str) -> None:
        place, _, query = url.partition("?")
        bucket, _, folder = place.partition("://")[2].partition("/")
        options = dict(parse_qsl(query, keep_blank_values=True))
        self._endpoint, self._region = options.pop("endpoint", None), options.pop("region", None)
        endpoint = self._endpoint or "https://"
        if not bucket or "@" in bucket or options or not endpoint.startswith(("https://", "http://")):
            raise ConfigurationError(
                "backend: write s3://BUCKET or s3://BUCKET/FOLDER, with ?endpoint= and region= where they are needed."
                " Keys come from the environment, as AWS_ACCESS_KEY_ID, and never from the address"
            )
        try:
            import boto3  # noqa: F401 - only whether it is there
            import botocore.exceptions
        except ImportError as error:
            raise ConfigurationError("backend s3:// needs boto3: pip install 'amqptasks[s3]'") from error
        self.where = place
        self._bucket = bucket
        self._folder = f"{folder.strip('/')}/" if folder.strip("/") else ""
        self._errors = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
        self._answers = botocore.exceptions.ClientError
        self._lock = threading.Lock()
        self._client: Any = None
        self._threads: ThreadPoolExecutor | None = None
        self._is_checked = False
        self._cleans_at = 0.0
        forks.in_child(self._let_go)

    def _let_go(self) -> None:
        self._lock = threading.Lock()
        self._client = self._threads = None

    def write(self, records: Sequence[Record]) -> None:
        by_id: dict[str, list[Record]] = {}
        for record in records:
            by_id.setdefault(record.id, []).append(record)

        def write(some: list[Record]) -> None:
            for record in some:
                self._write(record)

        def all_of_them() -> None:
            self._check()
            self._each(write, by_id.values())

        self._run(all_of_them)

    def read(self, ids: Sequence[str], now: float) -> dict[str, Record]:
        def get(identity: str) -> tuple[str, bytes] | None:
            found = self._get(self._key(identity))
            return None if found is None else (identity, found[0])

        return self._run(lambda: records_in(filter(None, self._each(get, dict.fromkeys(ids))), now, self.where))

    def forget(self, ids: Sequence[str]) -> None:
        self._run(lambda: self._each(lambda identity: self._delete(self._key(identity)), ids))

    def clean(self, now: float) -> int:
        if monotonic() < self._cleans_at:
            return 0
        removed = self._run(lambda: self._clean(now))
        if not removed:
            self._cleans_at = monotonic() + CLEAN_EVERY * random.uniform(0.5, 1.0)
        return removed

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
        if client is not None:
            client.close()

    def _write(self, record: Record) -> None:
        key, data = self._key(record.id), record.encode()
        if record.expires_at is not None:  # first: a result without a note would stay for ever
            self._put(self._note(record.id, record.expires_at), b"")
        if self._put(key, data, IfNoneMatch="*"):
            return
        for _ in range(MOST_LOOKS):
            found = self._get(key)
            if found is None:
                if self._put(key, data, IfNoneMatch="*"):
                    return
                continue
            known = _readable(found[0])
            if known is not None and not record.replaces(known):
                return
            if self._put(key, data, IfMatch=found[1]):
                return
        raise StoreUnavailable(f"{self.where}: others write the result of task {record.id} all the time")

    def _clean(self, now: float) -> int:
        prefix = f"{self._folder}expire/"
        listed = self._made().list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=1000)
        over = f"{prefix}{int(now) // HOUR:012d}/"  # of this hour, only what has expired
        notes = [one["Key"] for one in listed.get("Contents", ()) if one["Key"] < f"{over}\uffff"]

        def remove(note: str) -> int:
            key = self._folder + "results/" + note.rpartition("/")[2]
            found = self._get(key)
            record = None if found is None else _readable(found[0])
            if record is not None and not record.is_expired(now):
                if note.startswith(over):
                    return 0
            elif found is not None:
                self._delete(key)
            self._delete(note)
            return 1

        return sum(self._each(remove, notes))

    def _key(self, identity: str) -> str:
        return f"{self._folder}results/{_name(identity)}"

    def _note(self, identity: str, expires_at: float) -> str:
        return f"{self._folder}expire/{int(expires_at) // HOUR:012d}/{_name(identity)}"

    def _put(self, key: str, data: bytes, **condition: str) -> bool:
        """False where the condition does not hold."""
        try:
            self._made().put_object(Bucket=self._bucket, Key=key, Body=data, **condition)
        except self._answers as error:
            if condition and _code(error) in (_BEATEN | _ABSENT):
                return False
            raise
        return True

    def _get(self, key: str) -> tuple[bytes, str] | None:
        try:
            found = self._made().get_object(Bucket=self._bucket, Key=key)
            return found["Body"].read(LARGEST_OBJECT + 1), found["ETag"]
        except self._answers as error:
            if _code(error) in _ABSENT:
                return None
            raise

    def _delete(self, key: str) -> None:
        self._made().delete_object(Bucket=self._bucket, Key=key)

    def _check(self) -> None:
        """Once: some stores pass over conditions, and then the last of two results would stay."""
        if self._is_checked:
            return
        key = f"{self._folder}conditional-writes"
        self._put(key, b"", IfNoneMatch="*")
        if self._put(key, b"", IfNoneMatch="*"):
            raise StoreRefused(
                f"{self.where}: this store does not know conditional writes (If-None-Match), so results of a task that"
                " runs twice would change. Take a newer release of it, or another store"
            )
        self._is_checked = True

    def _each(self, act: Callable[[Any], T], values: Iterable[Any]) -> list[T]:
        self._made()
        threads = self._threads
        assert threads is not None
        return list(threads.map(act, values))

    def _made(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3
                from botocore.config import Config
                from botocore.handlers import add_expect_header

                self._client = boto3.session.Session().client(
                    "s3",
                    endpoint_url=self._endpoint,
                    region_name=self._region,
                    config=Config(
                        connect_timeout=CONNECT_WITHIN,
                        read_timeout=ANSWER_WITHIN,
                        retries={"total_max_attempts": TRIES, "mode": "standard"},
                        max_pool_connections=AT_ONCE,
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                    ),
                )
                # An object is small: to ask first whether it may be sent costs more than to send it.
                self._client.meta.events.unregister("before-call.s3", add_expect_header)
                self._threads = ThreadPoolExecutor(AT_ONCE, "amqptasks-s3")
            return self._client

    def _run(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except self._errors as error:
            code = _code(error)
            refused = code == "EntityTooLarge"
            raise (StoreRefused if refused else StoreUnavailable)(f"{self.where}: {error}") from error


def _name(identity: str) -> str:
    name = quote(identity, safe="")
    return name if len(name) <= LONGEST_KEY else f"sha256-{hashlib.sha256(identity.encode()).hexdigest()}"


def _readable(data: bytes) -> Record | None:
    with suppress(UnreadableRecord):
        return decode(data)
    return None


def _code(error: Any) -> str:
    answer: dict[str, Any] = getattr(error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))
