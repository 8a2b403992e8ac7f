"""What a private node is started with: the files in its folder and its environment.

Variables: https://www.rabbitmq.com/docs/configure#supported-environment-variables
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from amqptasks.dev.brokers.installation import inside
from amqptasks.dev.brokers.ports import Ports

#: Erlang's distribution listens on all addresses otherwise, and whoever has the cookie can do everything.
LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1}"

#: Where programs are in every Linux distribution; a user's PATH often lacks the administrator's half.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(folder: Path, ports: Ports, configuration: Mapping[str, str], advanced: str) -> None:
    """The node's configuration, and at the first time its cookie."""
    for name in ("data", "log", "home", "conf.d"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "listeners.tcp.default": f"127.0.0.1:{ports.amqp}",
        "management.tcp.ip": "127.0.0.1",
        "management.tcp.port": str(ports.management),
        **configuration,
    }
    (folder / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    (folder / "advanced.config").write_text(f"{advanced}.\n")
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
    cookie = folder / "home" / ".erlang.cookie"
    if not cookie.exists():
        cookie.touch(mode=0o600)
        cookie.write_text(secrets.token_hex(20))
        cookie.chmod(0o400)  # Erlang refuses a cookie that others could read


def environment(folder: Path, ports: Ports, root: Path | None) -> dict[str, str]:
    """Nothing is inherited but PATH: a RABBITMQ_ or ERL_ variable of the user's would point at another node."""
    seen = inside(folder, root)
    return {
        "PATH": SYSTEM_PATH if root else f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}",
        "LANG": "C.UTF-8",
        "HOME": str(seen / "home"),
        "RABBITMQ_NODENAME": ports.node_name,
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_CONF_ENV_FILE": str(seen / "none"),  # else /etc/rabbitmq/rabbitmq-env.conf is read
        "RABBITMQ_CONFIG_FILE": str(seen / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(seen / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(seen / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(seen / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(seen / "data"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(seen / "data" / "config"),
        "RABBITMQ_LOG_BASE": str(seen / "log"),
        "RABBITMQ_LOGS": str(seen / "log" / "rabbit.log"),
        "RABBITMQ_PID_FILE": str(seen / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": LOOPBACK_ONLY,
        "RABBITMQ_CTL_ERL_ARGS": LOOPBACK_ONLY,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_CRASH_DUMP": str(seen / "log" / "erl_crash.dump"),
    }
