"""The tests on every Python that amqptasks names, as far as this machine has them.

    python tests/pythons.py                     all tests on each
    python tests/pythons.py tests/unit -k retry arguments for pytest
    python tests/pythons.py --list              where each is

Each has a virtual environment of its own, below .venvs. A version that this machine lacks is named, and is no failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

#: As pyproject.toml names them.
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")

#: As in the Makefile: three files side by side, and a crash of a process ends the run.
PARALLEL = ("-n", "3", "--dist", "loadfile", "--max-worker-restart", "0")


def find(version: str) -> Path | None:
    """The interpreter on PATH, or pyenv's newest of that version."""
    on_path = shutil.which(f"python{version}")
    if on_path is not None and _is(version, Path(on_path)):
        return Path(on_path)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [folder / "bin" / "python3" for folder in versions.glob(f"{version}*")]
    return max((one for one in found if _is(version, one)), default=None)


def _is(version: str, python: Path) -> bool:
    """Whether it runs, and is that version: pyenv's programs on PATH may stand for one that is not installed."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


def prepared(version: str, python: Path) -> Path:
    """The interpreter of an environment that has the project and what its tests need."""
    folder = REPOSITORY / ".venvs" / version
    installed = folder / "installed"
    if not installed.exists() or installed.stat().st_mtime < (REPOSITORY / "pyproject.toml").stat().st_mtime:
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--editable", ".[test]"], cwd=REPOSITORY, check=True)
        installed.touch()
    return folder / "bin" / "python"


def main(arguments: list[str]) -> int:
    found = {version: find(version) for version in PYTHONS}
    if arguments == ["--list"]:
        for version, python in found.items():
            print(f"{version}  {python or 'not on this machine'}")
        return 0
    failed = []
    for version, python in found.items():
        if python is not None:
            print(f"Python {version}: {python}", flush=True)
            command = [prepared(version, python), "-m", "pytest", *PARALLEL, *arguments]
            if subprocess.run(command, cwd=REPOSITORY, check=False).returncode:
                failed.append(version)
    print(f"passed on: {', '.join(one for one in PYTHONS if found[one] and one not in failed) or 'none'}")
    print(f"not on this machine: {', '.join(one for one in PYTHONS if not found[one]) or 'none'}")
    if failed:
        print(f"failed on: {', '.join(failed)}")
    return 1 if failed or not any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
