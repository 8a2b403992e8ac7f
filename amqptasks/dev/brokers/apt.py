"""RabbitMQ from the distribution's packages, only when asked for: installed, then started as a private node.

The package would start a server of its own on port 5672, and again at each boot. We want the files, not that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from amqptasks.dev.brokers import private
from amqptasks.dev.brokers.running import Absent, Running, Wish

KIND = "apt"

#: Seconds for the package lists, and for about 100 MB of packages over a slow line.
INSTALL_WITHIN = 900.0

#: Seconds for sudo to say whether it wants a password.
SUDO_WITHIN = 10.0

#: A policy of 101 forbids packages to start services while they are installed (Debian policy 9.3.3, invoke-rc.d); one
#: that is there already is the administrator's. Where systemd runs, the service is also taken from the next boot.
SCRIPT = """
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends rabbitmq-server
if [ -d /run/systemd/system ]; then
    systemctl disable --now rabbitmq-server.service
fi
"""


def find(wish: Wish) -> Running | Absent:
    """Install the package, then start a private node."""
    if not wish.install:
        return Absent(KIND, "a package is installed only with --install")
    reason = refusal()
    if reason is None:
        reason = install()
    if reason is not None:
        return Absent(KIND, reason)
    return private.find(wish)


def stop(running: Running) -> None:
    """As a private node, which it is."""
    private.stop(running)


def refusal() -> str | None:
    """Why packages cannot be installed here, in words; None when they can."""
    if shutil.which("apt-get") is None or not Path("/etc/debian_version").exists():
        return "this is neither Debian nor Ubuntu"
    if os.geteuid() == 0:
        return None
    sudo = ["sudo", "-n", "true"]
    if (
        shutil.which("sudo")
        and subprocess.run(sudo, capture_output=True, timeout=SUDO_WITHIN, check=False).returncode == 0
    ):
        return None
    return "installing needs root, or sudo without a password"


def install() -> str | None:
    """Install `rabbitmq-server`, without starting the system's service: why that failed, in words; None when done."""
    before = [] if os.geteuid() == 0 else ["sudo", "-n"]
    try:
        done = subprocess.run(
            [*before, "sh", "-c", SCRIPT], capture_output=True, text=True, timeout=INSTALL_WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        return f"apt-get took longer than {INSTALL_WITHIN:g} s"
    if done.returncode == 0:
        return None
    words = (done.stderr or done.stdout).strip().splitlines()
    return f"apt-get failed: {words[-1] if words else f'status {done.returncode}'}"
