"""What a worker's process finds when it begins: closed streams, blocked signals, few descriptors, PID 1, an app that
exits, threads that do not end."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY, WorkerFactory

#: Seconds for one command or task, on a busy machine.
WITHIN = 60.0

#: Lines that a worker may write over one fault.
MOST_LINES = 1000

#: Begins the program that the arguments name with what `PREPARE` did.
LAUNCHER = """
import os, resource, signal, sys
PREPARE
os.execv(sys.executable, [sys.executable, "-m", "amqptasks", *sys.argv[1:]])
"""

SHOP = """
import os
import signal
from amqptasks import App
app = App("shop")

@app.task(name="mask")
def mask():
    return [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])]

@app.task(name="note", ignore_result=True)
def note(number):
    os.mkdir(f"ran-{number}")  # takes no descriptor
"""


def command(folder: Path, *arguments: str, shell: str | None = None) -> subprocess.CompletedProcess[str]:
    """`amqptasks ARGUMENTS` in that folder; `shell` is what stands behind it, such as `2>&-`."""
    line = [sys.executable, "-m", "amqptasks", *arguments]
    if shell is not None:
        line = ["sh", "-c", f'exec "$0" "$@" {shell}', *line]
    surroundings = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        line, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=WITHIN, check=False
    )


@pytest.mark.parametrize("how", ["exit()", "import sys; sys.exit(0)"])
@pytest.mark.parametrize("where", ["app", "imported by it", "included"])
def test_an_app_that_exits_while_it_is_imported_is_told_with_status_1(how: str, where: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        {
            "app": how,
            "imported by it": "import parts\nfrom amqptasks import App\napp = App()",
            "included": 'from amqptasks import App\napp = App("shop", include=["parts"])\napp.import_tasks()',
        }[where]
    )
    (tmp_path / "parts.py").write_text(how)
    ended = command(tmp_path, "-A", "shop", "worker")
    assert ended.returncode == 1
    assert "exit" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("shell", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_a_command_with_closed_standard_streams_works(shell: str, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("version: 1\nqueues:\n  default: {}\n")
    ended = command(tmp_path, "topology", "validate", "shop.yaml", shell=shell)
    assert ended.returncode == 0
    wrong = command(tmp_path, "topology", "validate", "missing.yaml", shell=shell)
    assert wrong.returncode not in {0, 120}, "120 is Python's, for a stream that it cannot flush"


class Launched:
    """A worker that a launcher begins, which has prepared its process."""

    def __init__(self, factory: WorkerFactory, prepare: str, *arguments: str, source: str = SHOP) -> None:
        (factory.folder / "shop.py").write_text(source)
        (factory.folder / "launcher.py").write_text(LAUNCHER.replace("PREPARE", prepare))
        self.worker = factory.command("-A", "shop", "worker", *arguments, program="launcher", ready=True)


BLOCKED = "signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})"


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.long)])
def test_a_worker_that_inherits_blocked_signals_obeys_them_and_its_tasks_have_none_blocked(
    pool: str, worker_process: WorkerFactory, vhost: Vhost
) -> None:
    worker = Launched(worker_process, BLOCKED, "-P", pool, "-c", "1").worker
    app = App("caller", vhost.url)
    try:
        assert app.send_task("mask").get(timeout=WITHIN) == []
        if pool == "prefork":  # a dead child is noticed, and another one takes its place
            for child in psutil.Process(worker.pid).children(recursive=True):
                if not child.children():
                    child.kill()
            assert app.send_task("mask").get(timeout=WITHIN) == []
    finally:
        app.close()
    assert worker.terminate(WITHIN) == 0


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.long)])
def test_a_worker_that_is_out_of_descriptors_runs_all_once_there_are_some(
    pool: str, worker_process: WorkerFactory, vhost: Vhost
) -> None:
    worker = worker_process(SHOP, "-P", pool, "-c", "2")
    children = psutil.Process(worker.pid).children(recursive=True)
    few, many = (3, 4096), (1024, 4096)
    for process in (worker.pid, *(child.pid for child in children)):
        resource.prlimit(process, resource.RLIMIT_NOFILE, few)
    for child in children:  # others must begin, and cannot
        if not child.children():
            child.kill()
    app = App("caller", vhost.url, ignore_result=True)
    for number in range(20):
        app.send_task("note", (number,))
    app.close()
    wait_for(lambda: vhost.management.ready("default") < 20, WITHIN, "it takes some")
    for process in (worker.pid, *(child.pid for child in psutil.Process(worker.pid).children(recursive=True))):
        resource.prlimit(process, resource.RLIMIT_NOFILE, many)
    wait_for(lambda: len(list(worker_process.folder.glob("ran-*"))) == 20, WITHIN, lambda: worker.output[-3000:])
    assert worker.output.count("\n") < MOST_LINES
    assert worker.terminate(WITHIN) == 0


STAYS = """
import threading
from amqptasks import App
app = App("shop")
threading.Thread(target=threading.Event().wait, name="stays-for-ever").start()
"""


@pytest.mark.long
@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM, signal.SIGQUIT]])
def test_a_worker_whose_program_has_a_thread_that_does_not_end_leaves_and_names_it(
    numbers: list[int], worker_process: WorkerFactory
) -> None:
    worker = worker_process(STAYS, "-P", "threads", "-c", "1")
    for number in numbers:
        worker.signal(number)
    assert worker.wait(WITHIN) in {0, 1}
    if len(numbers) == 1:
        assert "stays-for-ever" in worker.output


#: The program that a first process runs: it takes over, and then does what the test says.
FIRST = """
import os, sys, time
sys.path.insert(0, REPOSITORY)
from amqptasks.cli.support import pid_one
pid_one.take_over()
"""


def first_process(program: str) -> Any:
    """The program as the first process of a PID namespace."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-pf", "--mount-proc", "true"], check=False).returncode:
        pytest.skip("needs unshare, and the right to use it")
    source = FIRST.replace("REPOSITORY", repr(str(REPOSITORY))) + program
    return subprocess.Popen([unshare, "-pf", "--mount-proc", sys.executable, "-c", source], stdout=subprocess.PIPE)


@pytest.mark.parametrize(("program", "status"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 137), ("", 0)])
def test_pid_one_ends_with_the_status_of_the_program_that_it_runs(program: str, status: int) -> None:
    process = first_process(program)
    assert process.wait(WITHIN) == status
    process.stdout.close()


def test_pid_one_passes_term_on_to_a_program_that_has_no_handler_for_it_yet() -> None:
    process = first_process("print(os.getpid(), flush=True)\ntime.sleep(60)")
    assert int(process.stdout.readline()) > 1
    (first,) = psutil.Process(process.pid).children()
    first.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN) == 128 + signal.SIGTERM
    process.stdout.close()


def test_pid_one_reaps_orphans_and_leaves_the_programs_own_children_to_it() -> None:
    program = """
if os.fork() == 0:
    if os.fork() == 0:
        time.sleep(0.2)
    os._exit(5)
status = os.wait()[1]
def others():
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]
end = time.monotonic() + 30
while others() and time.monotonic() < end:
    time.sleep(0.01)
print(os.waitstatus_to_exitcode(status), others(), flush=True)
"""
    process = first_process(program)
    with process.stdout:
        assert process.stdout.read() == b"5 []\n"
    assert process.wait(WITHIN) == 0
