"""Servers for results, each in a folder and on a port of its own; nothing that runs on this machine is touched.

They end with the process that started them, however that ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from tests.harness.proxy import Proxy
from tests.harness.wait import wait_for

#: With characters that an address must escape.
PASSWORD = "p@ss:w/rd"

#: Seconds until a server takes connections: MariaDB on a busy machine.
STARTS_WITHIN = 60.0


class Missing(Exception):
    """This server, or the library that speaks to it, is not here. The message says what to install."""


class Server:
    """`user` is who it runs as where the tests run as root: most servers refuse that."""

    name: str
    user: str | None = None

    def __init__(self) -> None:
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"amqptasks-{self.name}-"))
        self._process: subprocess.Popen[bytes] | None = None
        if self._runs_as is not None:
            shutil.chown(self.folder, self._runs_as)
        try:
            self.prepare()
            self.start()
            self.set_up()
        except BaseException:
            self.destroy()
            raise

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        """What runs it in the foreground."""
        raise NotImplementedError

    def ask(self) -> object:
        """Speak to it; raises where it does not answer."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Before its first start."""

    def set_up(self) -> None:
        """After its first start."""

    def empty(self) -> None:
        """Remove all results."""

    @property
    def _runs_as(self) -> str | None:
        return self.user if os.getuid() == 0 else None

    def started(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Begin this as its user, in its folder."""
        before = ["setpriv", "--pdeathsig", "KILL"]
        if self._runs_as is not None:
            before += ["--reuid", self._runs_as, "--regid", str(pwd.getpwnam(self._runs_as).pw_gid), "--clear-groups"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([*before, *command], cwd=self.folder, stdout=log, stderr=log)

    def finish(self, command: str) -> None:
        if self.started(command.split()).wait(STARTS_WITHIN):
            raise AssertionError(f"{command} failed: {self.log()}")

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def start(self) -> None:
        """Start it, and wait until it answers."""

        def answers() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:  # what the killed one left behind may not be gone yet
                self._process = self.started(self.command())
            with suppress(Exception):
                self.ask()
                return True
            return False

        self._process = self.started(self.command())
        wait_for(answers, STARTS_WITHIN, lambda: f"{self.name} starts: {self.log()}", every=0.05)

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        processes = self._processes()
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        psutil.wait_procs(processes, 10)

    def freeze(self) -> None:
        """It goes on listening, and says nothing."""
        self._signal(signal.SIGSTOP)
        wait_for(lambda: all(map(_is_stopped, self._processes())), message=f"{self.name} is stopped")

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def destroy(self) -> None:
        self.thaw()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def _signal(self, number: int) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class Postgresql(Server):
    name, user = "postgresql", "postgres"

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
        on_path = shutil.which("postgres")
        if not found and on_path is None:
            raise Missing("no PostgreSQL: apt-get install postgresql")
        self._bin = (found[-1] if found else Path(on_path or "")).parent
        super().__init__()

    @property
    def url(self) -> str:
        return f"postgresql://results:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        self.finish(
            f"{self._bin}/initdb -D {self.folder}/data -U results -A scram-sha-256 --no-sync --no-locale -E UTF8"
            f" --pwfile {password}"
        )

    def command(self) -> list[str]:
        given = ["listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}"]
        given += ["max_connections=60", "shared_buffers=16MB"]
        return [f"{self._bin}/postgres", "-D", f"{self.folder}/data", *(f"-c{one}" for one in given)]

    def ask(self, *statements: str) -> object:
        import psycopg

        with psycopg.connect(self.url, autocommit=True, connect_timeout=2) as connection:
            for statement in statements:
                connection.execute(statement)
        return True

    def empty(self) -> None:
        with suppress(Exception):  # no table yet
            self.ask("truncate amqptasks_results")


class Mariadb(Server):
    name, user = "mysql", "mysql"

    def __init__(self) -> None:
        if shutil.which("mariadbd") is None and not Path("/usr/sbin/mariadbd").exists():
            raise Missing("no MariaDB: apt-get install mariadb-server")
        super().__init__()

    @property
    def url(self) -> str:
        return f"mysql://results:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/results"

    def prepare(self) -> None:
        self.finish(
            f"mariadb-install-db --no-defaults --datadir={self.folder}/data --skip-test-db"
            " --auth-root-authentication-method=normal"
        )

    def command(self) -> list[str]:
        return [
            shutil.which("mariadbd") or "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--socket={self.folder}/socket",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=16M",
            f"--pid-file={self.folder}/pid",
        ]

    def ask(self, *statements: str) -> object:
        import pymysql

        connection = pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", autocommit=True, connect_timeout=2, read_timeout=10
        )
        try:
            for statement in statements:
                connection.cursor().execute(statement)
        finally:
            connection.close()
        return True

    def set_up(self) -> None:
        who = "'results'@'127.0.0.1'"
        self.ask(
            "create database results",
            f"create user {who} identified by '{PASSWORD}'",
            f"grant select, insert, update, delete, create, index, alter, drop on results.* to {who}",
        )

    def empty(self) -> None:
        with suppress(Exception):  # no table yet
            self.ask("delete from results.amqptasks_results")


class Redis(Server):
    name = "redis"

    def __init__(self) -> None:
        if shutil.which("redis-server") is None:
            raise Missing("no Redis: apt-get install redis-server")
        super().__init__()

    @property
    def url(self) -> str:
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        kept = ["--dir", str(self.folder), "--appendonly", "yes", "--save", ""]
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, *kept]

    def ask(self, order: Callable[[Any], object] = lambda client: client.ping()) -> object:
        import redis

        client = redis.Redis.from_url(self.url, socket_timeout=5)
        try:
            return order(client)
        finally:
            client.close()

    def empty(self) -> None:
        self.ask(lambda client: client.flushdb())


class S3(Server):
    """moto's, behind a proxy. It keeps all in memory, as S3 itself never would: so it is the way to it that breaks."""

    name = "s3"

    def __init__(self) -> None:
        os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
        self._folders = 0
        self._proxy: Proxy | None = None
        super().__init__()

    @property
    def url(self) -> str:
        """Of a folder of its own since `empty`."""
        assert self._proxy is not None
        return f"s3://results/{self._folders}?endpoint=http://127.0.0.1:{self._proxy.port}&region=us-east-1"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def ask(self) -> object:
        with socket.create_connection(("127.0.0.1", self.port), 2):
            return True

    def set_up(self) -> None:
        import boto3

        self._proxy = Proxy(f"http://127.0.0.1:{self.port}")
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1")
        client.create_bucket(Bucket="results")
        client.close()

    def start(self) -> None:
        if self._proxy is None:
            super().start()
        else:
            self._proxy.accept()

    def kill(self) -> None:
        if self._proxy is not None:
            self._proxy.refuse()

    def empty(self) -> None:
        self._folders += 1

    def destroy(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None
        self.thaw()
        Server.kill(self)
        super().destroy()


#: Each server, and what Python needs to speak to it.
SERVERS: dict[str, tuple[type[Server], str]] = {
    "postgresql": (Postgresql, "psycopg"),
    "mysql": (Mariadb, "pymysql"),
    "redis": (Redis, "redis"),
    "s3": (S3, "moto.server"),
}


def started(name: str) -> Server:
    """A server of this kind. Raises `Missing`."""
    made, library = SERVERS[name]
    try:
        __import__(library)
    except ImportError as error:
        raise Missing(f"no {library}: pip install 'amqptasks[test-stores]' ({error})") from None
    return made()


#: Set by `make test-stores`.
ALL_STORES = "AMQPTASKS_TEST_STORES"

_servers: dict[str, Server] = {}


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], Server]]:
    """The server of a kind, without results; one of each for all tests."""

    def get(name: str) -> Server:
        if name not in _servers:
            try:
                _servers[name] = started(name)
            except Missing as missing:
                (pytest.fail if os.environ.get(ALL_STORES) else pytest.skip)(str(missing))
        _servers[name].empty()
        return _servers[name]

    yield get
    for server in _servers.values():
        server.destroy()
    _servers.clear()


def _is_stopped(process: psutil.Process) -> bool:
    """Each of its threads."""
    states = [
        file.read_text().rpartition(")")[2].split()[0] for file in Path(f"/proc/{process.pid}/task").glob("*/stat")
    ]
    return set(states) <= {"T", "Z"}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
