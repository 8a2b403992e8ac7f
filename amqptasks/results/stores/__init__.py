"""Where results are kept, a file for each kind.

base.py        what every store offers
memory.py      memory://
sqlite.py      sqlite:///FILE
stream.py      stream://, on the app's broker; stream_look.py reads there
postgresql.py  postgresql://, mysql.py mysql://; sql.py has what they share
redis.py       redis://
s3.py          s3://
"""

from __future__ import annotations

from amqptasks.errors import ConfigurationError
from amqptasks.results.stores.base import Around, Store

#: Entry points that bring stores of other packages.
GROUP = "amqptasks.result_stores"

#: Schemes of our own stores.
OWN = ("memory", "sqlite", "stream", "postgresql", "mysql", "redis", "rediss", "s3")


def open_store(url: str, around: Around | None = None) -> Store:
    """The store of this address; it connects when it is first used. `around` is for one on the app's own broker. Raises
    `ConfigurationError`."""
    scheme = url.partition("://")[0]
    if scheme == "memory":
        from amqptasks.results.stores.memory import shared

        return shared(url)
    if scheme == "sqlite":
        from amqptasks.results.stores.sqlite import SqliteStore

        return SqliteStore(url)
    if scheme == "stream":
        from amqptasks.results.stores.stream import StreamStore

        assert around is not None
        return StreamStore(url, around)
    if scheme in ("postgresql", "postgres"):
        from amqptasks.results.stores.postgresql import PostgresqlStore

        return PostgresqlStore(url)
    if scheme in ("mysql", "mariadb"):
        from amqptasks.results.stores.mysql import MysqlStore

        return MysqlStore(url)
    if scheme in ("redis", "rediss"):
        from amqptasks.results.stores.redis import RedisStore

        return RedisStore(url)
    if scheme == "s3":
        from amqptasks.results.stores.s3 import S3Store

        return S3Store(url)
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP, name=scheme)
    if not found:
        others = sorted({f"{entry.name}://" for entry in entry_points(group=GROUP)})
        known = ", ".join(["rpc://", *(f"{own}://" for own in OWN), *others])
        raise ConfigurationError(f"backend: there is no result store for {scheme}://; there is {known}")
    store: Store = next(iter(found)).load()(url)
    return store
