"""`python -m benchmarks.flames FOLDER [PREFIX]`: where the CPU time goes, as flame graphs and as a table.

Samples are taken by py-spy (https://github.com/benfred/py-spy), of the thread that holds the GIL, while the worker of
"amqptasks, 8 threads" empties a queue, and while `publish_many()` fills one. PREFIX is part of the files' names.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks import peers, processes, subjects
from benchmarks.bench import Bench
from benchmarks.broker import to_measure_on
from benchmarks.flame_chart import chart, tree
from benchmarks.gauge import LOOK_EVERY
from benchmarks.processes import Failed

#: Samples a second, and seconds of sampling. Nothing is stopped for a sample: on a busy machine that ended its turn.
RATE, SECONDS = 400, 12

#: Messages: more than a machine does in that time.
MESSAGES = 500_000

#: Parts of the way, by the functions that begin them: of the innermost one that a stack has, it is.
PARTS = {
    "frames read": ("Wire._on_data_available",),
    "deliveries taken in": ("Subscription._hand_over",),
    "decode": ("Steps.decode",),
    "resolve, admit": ("Steps.resolve", "Steps.admit"),
    "run, with the task": ("Steps.run",),
    "classify, plan, tell": ("Steps.plan", "Steps.tell"),
    "from thread to thread": ("ThreadPool._run", "Waiting.submit"),
    "settle, report": ("Completions._settle_finished", "Node._settle_finished"),
    "acks and frames written": ("ChannelLease._flush", "Wire._uncork"),
    "calls made": ("send_many",),
    "calls written": ("ConfirmedPublisher.publish",),
    "confirms": ("ConfirmedPublisher._on_confirm",),
    "loops and sockets": ("IOLoop.start",),
}


def main(arguments: list[str]) -> int:
    folder, prefix = Path(arguments[0]), "".join(f"{part}-" for part in arguments[1:])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="amqptasks-flames-") as scratch, to_measure_on() as broker:
        bench = Bench(broker, Path(scratch))
        for name, run in (("consume", _consuming), ("publish-many", _publishing)):
            stacks = list(run(bench))
            (folder / f"{prefix}{name}.svg").write_text(chart(f"{prefix}{name}", tree(stacks)))
            print(f"\n{prefix}{name}\n{_table(stacks)}")
    return 0


def _consuming(bench: Bench) -> Iterator[tuple[list[str], int]]:
    contestant = next(one for one in subjects.find("consuming").contestants if one.label == "amqptasks, 8 threads")
    worker = peers.find(contestant.peer).WORKERS[contestant.worker]
    with bench.place() as (place, gauge):
        count = int(bench.client(place, contestant.peer, worker.preload, MESSAGES // 4)["messages"])
        gauge.wait_for_messages(count)
        with bench.worker(place, contestant) as process:
            gauge.wait_for_fewer(count - count // 50)
            yield from _sampled(process, bench.folder)


def _publishing(bench: Bench) -> Iterator[tuple[list[str], int]]:
    with bench.place() as (place, gauge):
        command = ["-m", "benchmarks.client", "ours", "many", str(MESSAGES)]
        with processes.running(command, place.environment(), bench.folder / "client.log") as process:
            while gauge.look()[0] < MESSAGES // 100:
                time.sleep(LOOK_EVERY)
            yield from _sampled(process, bench.folder)


def _sampled(process: int, folder: Path) -> list[tuple[list[str], int]]:
    """Stacks, outermost first, and how often each was seen. Raises `Failed`."""
    raw = folder / "samples.raw"
    command = [
        "record",
        "--gil",
        "--nonblocking",
        "--function",
        "--format",
        "raw",
        "--rate",
        str(RATE),
        "--duration",
        str(SECONDS),
    ]
    spy = [str(Path(sys.executable).with_name("py-spy")), *command, "--output", str(raw), "--pid", str(process)]
    ran = subprocess.run(spy, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Failed(f"py-spy: {ran.stderr.strip()}")
    stacks = []
    for line in raw.read_text().splitlines():
        names, _, samples = line.rpartition(" ")
        stacks.append((_ours(names.split(";")), int(samples)))
    return [(names, samples) for names, samples in stacks if names]


def _ours(names: list[str]) -> list[str]:
    """Without the frames that every thread begins with, and without the places of this machine."""
    kept = [name for name in names if not name.startswith(_BEGINNINGS)]
    return [f"{name.partition(' (')[0]} ({_place(name.partition(' (')[2])}" for name in kept]


def _place(file: str) -> str:
    """`/home/somebody/amqptasks/call.py:5)` from the package on, without the line."""
    parts = file.rpartition(":")[0].split("/")
    packages = [number for number, part in enumerate(parts) if part in ("amqptasks", "pika", "benchmarks")]
    return "/".join(parts[packages[0] :] if packages else parts[-1:]) + ")"


def _table(stacks: list[tuple[list[str], int]]) -> str:
    """The parts, and how much of all samples each has."""
    found: Counter[str] = Counter()
    for names, samples in stacks:
        found[_part(names)] += samples
    total = sum(found.values())
    return "\n".join(f"| {part} | {samples / total:.0%} |" for part, samples in found.most_common())


def _part(names: list[str]) -> str:
    for name in reversed(names):
        function = name.partition(" (")[0]
        for part, beginnings in PARTS.items():
            if function in beginnings:
                return part
    return "the rest"


#: What Python's threads begin with.
_BEGINNINGS = ("Thread._bootstrap", "Thread.run", "<module>", "_run_code", "_run_module")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
