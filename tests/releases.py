"""RabbitMQ releases side by side, for the tests.

    python tests/releases.py install            the machine's own rabbitmq-server, where packages may be installed
    python tests/releases.py install 4.3 ...    these releases
    python tests/releases.py where 4.3          where a release is
    python tests/releases.py remove 4.3         delete what was unpacked for it

A release comes, in this order, from the machine's own package where that is the release; as root on Debian or Ubuntu
from the Debian suite that has it, unpacked below /var/cache/amqptasks/releases (AMQPTASKS_RELEASES names another
folder) and run by chroot; from its Docker image. `AMQPTASKS_TEST_RELEASE=4.3 pytest` then runs on it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from amqptasks.dev.brokers import apt, docker
from amqptasks.dev.brokers.installation import find_installation


@dataclass(frozen=True, slots=True)
class Release:
    """Where one release can be had: the Debian suite with its package, and its Docker image."""

    suite: str
    image: str


#: The oldest that amqptasks supports, the first of the 4 series, and the newest.
RELEASES = {
    "3.10": Release("bookworm", "rabbitmq:3.10-management"),
    "4.0": Release("trixie", "rabbitmq:4.0-management"),
    "4.3": Release("forky", "rabbitmq:4.3-management"),
}

#: Debian's own address, for machines that are not Debian; a Debian machine's configured mirror is used there.
DEBIAN = "http://deb.debian.org/debian"

#: Seconds for one step: a base system and a broker are 150 MB of packages.
STEP_WITHIN = 1200.0

#: In the unpacked system nothing may start by itself (Debian policy 9.3.3, invoke-rc.d).
NO_SERVICES = "#!/bin/sh\nexit 101\n"


class Missing(Exception):
    """That release is not here, or cannot be; the message says what is missing."""


def locate(release: str) -> Path | str | None:
    """Where an installed release is: None for the machine's own installation, the root folder below which it was
    unpacked, or a Docker image's name. Raises `Missing`."""
    wanted = _wanted(release)
    if _has(release, None):
        return None
    root = _root(release)
    if _has(release, root):
        if os.geteuid() != 0:
            raise Missing(f"RabbitMQ {release} is unpacked in {root}, and only root can run it there (chroot)")
        _mount(root)
        return root
    if docker.unusable() is None and _succeeds("docker", "image", "inspect", wanted.image):
        return wanted.image
    raise Missing(f"RabbitMQ {release} is not installed: run `python tests/releases.py install {release}`")


def install(release: str) -> Path | str | None:
    """Bring a release, unless it is here; what `locate` then says. Raises `Missing`, with the reason of each way."""
    try:
        return locate(release)
    except Missing:
        reasons = []
        for way in (_from_package, _from_suite, _from_image):
            reason = way(release)
            if reason is None:
                return locate(release)
            reasons.append(reason)
    raise Missing(f"RabbitMQ {release} cannot be had here: {'; '.join(reasons)}")


def install_default() -> str:
    """See that the machine has some rabbitmq-server, or Docker; a sentence on what the tests will use."""
    found = find_installation()
    if found is not None:
        return f"tests use this machine's rabbitmq-server {found.version}"
    reason = apt.refusal() or apt.install()
    if reason is None:
        return "rabbitmq-server was installed; its own service stays off, tests start nodes of their own"
    no_docker = docker.unusable()
    if no_docker is None:
        return f"tests use Docker's image {docker.IMAGE}"
    return f"no RabbitMQ for the tests: {reason}, and {no_docker}"


def remove(release: str) -> None:
    """Delete what was unpacked for a release."""
    _wanted(release)
    root = _root(release)
    if os.path.ismount(root / "proc"):
        _run("umount", str(root / "proc"))
    if root.exists():
        _run("rm", "-rf", "--one-file-system", str(root))


def _from_package(release: str) -> str | None:
    if not shutil.which("apt-cache") or find_installation() is not None:
        return "this machine's own package is another release"
    policy = subprocess.run(["apt-cache", "policy", "rabbitmq-server"], capture_output=True, text=True, check=False)
    candidate = re.search(r"Candidate: (?:\d+:)?(\S+)", policy.stdout)
    if candidate is None or not candidate[1].startswith(f"{release}."):
        return "this machine's own package is another release"
    return apt.refusal() or apt.install()


def _from_suite(release: str) -> str | None:
    """Unpack the suite's base system and its broker in a folder; why that does not work, or None when done."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "unpacking a Debian suite needs root on Debian or Ubuntu"
    if not shutil.which("debootstrap") and not (_succeeds("apt-get", "update") and _succeeds(*_INSTALL, "debootstrap")):
        return "debootstrap is missing and cannot be installed"
    suite, root = RELEASES[release].suite, _root(release)
    remove(release)  # of an attempt that failed half-way
    root.mkdir(parents=True)
    scripts = Path("/usr/share/debootstrap/scripts")
    script = scripts / suite if (scripts / suite).exists() else scripts / "sid"  # a suite newer than our debootstrap
    try:
        _run("debootstrap", "--variant=minbase", suite, str(root), _mirror(), str(script))
        _prepare(root)
        _run("chroot", str(root), "apt-get", "update", "-q")
        _run("chroot", str(root), *_INSTALL, "rabbitmq-server")
        _run("chroot", str(root), "apt-get", "clean")
    except Missing as error:
        return str(error)
    found = find_installation(root=root)
    if found is None or not (found.version or "").startswith(f"{release}."):
        return f"Debian {suite} has RabbitMQ {found.version if found else 'nowhere'} now"
    return None


def _from_image(release: str) -> str | None:
    reason = docker.unusable()
    if reason is not None:
        return reason
    image = RELEASES[release].image
    return None if _succeeds("docker", "pull", "--quiet", image) else f"docker cannot pull {image}"


_INSTALL = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", "--no-install-recommends")


def _prepare(root: Path) -> None:
    """The network as this machine has it: names, proxies of apt, certificates. And no service may start."""
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    for file in Path("/etc/apt/apt.conf.d").iterdir():
        if file.is_file() and "Acquire" in file.read_text(errors="replace"):
            shutil.copy(file, root / "etc/apt/apt.conf.d")
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        shutil.copy(certificates, root / "etc/ssl/certs")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text(NO_SERVICES)
    policy.chmod(0o755)
    _mount(root)


def _mount(root: Path) -> None:
    """RabbitMQ reads /proc/meminfo. A container may forbid the mount: the broker then assumes 1 GB, and works."""
    if not os.path.ismount(root / "proc"):
        _succeeds("mount", "-t", "proc", "proc", str(root / "proc"))


def _mirror() -> str:
    """The first mirror in apt's sources, in either of their two formats, on Debian; else Debian's own address."""
    if "\nID=debian\n" not in f"\n{Path('/etc/os-release').read_text()}\n":
        return DEBIAN
    folder = Path("/etc/apt")
    for file in [folder / "sources.list.d/debian.sources", folder / "sources.list", *folder.glob("sources.list.d/*")]:
        if file.is_file():
            found = re.search(r"^(?:URIs:\s*|deb\s+(?:\[.*?\]\s*)?)(\S+/debian/?)\s*(?:$|\s)", file.read_text(), re.M)
            if found:
                return found[1]
    return DEBIAN


def _has(release: str, root: Path | None) -> bool:
    found = find_installation(root=root)
    return found is not None and (found.version or "").startswith(f"{release}.")


def _root(release: str) -> Path:
    return Path(os.environ.get("AMQPTASKS_RELEASES", "/var/cache/amqptasks/releases")) / release


def _wanted(release: str) -> Release:
    if release not in RELEASES:
        raise Missing(f"the tests know no release {release!r}: {', '.join(RELEASES)}")
    return RELEASES[release]


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=STEP_WITHIN, check=False).returncode == 0


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=STEP_WITHIN, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"`{' '.join(command)}` failed: {words[-1] if words else f'status {done.returncode}'}")


def main(arguments: list[str]) -> int:
    verb, releases = (arguments[0] if arguments else ""), arguments[1:]
    try:
        if verb == "install" and not releases:
            print(install_default())
        elif verb in ("install", "where") and releases:
            for release in releases:
                found = (install if verb == "install" else locate)(release)
                print(f"{release}: {found or 'the package of this machine'}")
        elif verb == "remove" and releases:
            for release in releases:
                remove(release)
        else:
            print(__doc__)
            return 2
    except Missing as error:
        print(f"releases: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
