"""What is kept of a log when something is killed: `python -m bench.logs_kept [KILLS] [once]`.

Jobs print 64 bytes 200 times a second and note beside how many lines were written, so the bytes that reached the node's
disk are known whatever happens next. At a random moment the payload, its agent, its monitor, all that the pilot runs,
or the central is killed with SIGKILL; what the central has of that attempt once its log has ended is compared.

The queue says `resume = true`: the wrapper starts a killed monitor again, on its folder. With `once` it does not.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import report
from pilot.errors import PilotageError
from pilot.states import FINAL, LIVE_PILOT
from pilotage import Client
from tests.system import Plan, System, deliver, process_rows, running_system, wait_for

KILLS = 100
SLOTS = 8
#: Seconds after the end of an attempt in which the rest of its log may come.
LATE = 8.0
LINE = 64
PRINT = f"""
import os, sys, time
name = os.environ["PILOTAGE_JOB"] + "." + os.environ["PILOTAGE_ATTEMPT"]
file = os.open(os.path.join(sys.argv[1], name), os.O_CREAT | os.O_WRONLY)
for number in range(1, 1000000):
    os.write(1, b"%0{LINE - 1}d\\n" % number)
    os.pwrite(file, b"%020d" % number, 0)
    time.sleep(0.005)
"""


@dataclass(frozen=True)
class Kept:
    """Of one kill: what was killed, and the bytes of the log on the node and at the central."""

    what: str
    written: int
    there: int


def main() -> None:
    kills = int(next(filter(str.isdigit, sys.argv[1:]), KILLS))
    numbers = random.Random(20261126)
    found: list[Kept] = []
    again = "once" not in sys.argv
    lease = "60 s" if again else "12 s"
    queue = f"resume = {str(again).lower()}"
    plan = Plan(slots=SLOTS, cores=1, lease=lease, silent_after="6 s", idle="600 s", queue=queue)
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as place:
        counts = Path(place) / "counts"
        counts.mkdir()
        with running_system(Path(place) / "central", plan) as system, system.client() as client:
            while len(found) < kills:
                found += _round(system, client, counts, numbers)
                print(f"{len(found)} of {kills} kills", file=sys.stderr, flush=True)
    _table(found, again)


def _round(system: System, client: Client, counts: Path, numbers: random.Random) -> list[Kept]:
    """One kill for each slot, at its own moment, on pilots that nobody has killed before."""
    client.wait(client.submit([{"command": ["true"]}]).ids)  # or the machine were suspect, and got one job at a time
    jobs = client.submit([{"command": ["python3", "-c", PRINT, str(counts)], "grace": "1 s"}] * SLOTS).ids
    wait_for(lambda: all((counts / f"{job}.1").exists() for job in jobs), 240, "all jobs to print", system.log)
    central = numbers.random() < 0.3
    whats = [numbers.choice(["a payload", "an agent", "a monitor", "all of a pilot"]) for _ in jobs]
    if central:
        whats[-1] = "the central"
    for job, what in zip(jobs, whats, strict=True):
        time.sleep(numbers.uniform(0.2, 2.0))
        _strike(system, client, job, what)
    kept = _compared(client, counts, dict(zip(jobs, whats, strict=True)))
    client.kill(list(jobs))
    wait_for(lambda: all(client.job(job).job.state in FINAL for job in jobs), 60, "the jobs to end")
    for pilot in client.pilots(states=LIVE_PILOT):
        client.drain(pilot.stamp)
    wait_for(lambda: not system.monitors(), 60, "the pilots to end", system.log)
    return kept


def _strike(system: System, client: Client, job: int, what: str) -> None:
    if what == "the central":
        system.kill()
        system.start()
        client.kill([job])
        return
    stamp = client.attempts(job)[0].pilot
    find: dict[str, Callable[[], Sequence[int]]] = {
        "a payload": lambda: _payloads(system.agents(stamp)),
        "an agent": lambda: system.agents(stamp),
        "a monitor": lambda: system.monitors(stamp),
        "all of a pilot": lambda: _family(system.monitors(stamp)),
    }
    for pid in find[what]():
        deliver(pid, signal.SIGKILL)


def _payloads(agents: Sequence[int]) -> list[int]:
    return [row.pid for row in process_rows() if row.parent in agents]


def _family(pids: Sequence[int]) -> list[int]:
    """Processes, and all that they have started: not the wrapper, which stands for the node that stays."""
    rows, found = list(process_rows()), set(pids)
    while more := {row.pid for row in rows if row.parent in found} - found:
        found |= more
    return sorted(found)


def _compared(client: Client, counts: Path, struck: Mapping[int, str]) -> list[Kept]:
    """Bytes written on the node and those at the central, once no more will come."""
    wait_for(lambda: all(client.attempts(job)[0].ended is not None for job in struck), 90, "the first attempts to end")
    written = {job: LINE * int((counts / f"{job}.1").read_text() or 0) for job in struck}
    until = time.monotonic() + LATE
    while True:
        there = {job: _read(client, job) for job in struck}
        if time.monotonic() > until or all(len(there[job]) >= written[job] for job in struck):
            break
        time.sleep(0.5)  # a pilot that lives on may still deliver
    for job, log in there.items():
        lines = log.split(b"\n")[:-1]
        assert lines == [b"%063d" % number for number in range(1, len(lines) + 1)], f"the log of job {job} has a hole"
    return [Kept(what, written[job], min(len(there[job]), written[job])) for job, what in struck.items()]


def _read(client: Client, job: int) -> bytes:
    try:
        return client.logs(job, attempt=1)
    except PilotageError:
        return b""


def _table(found: Sequence[Kept], again: bool) -> None:
    rows = []
    for what in (*sorted({kept.what for kept in found}), "all"):
        of = [kept for kept in found if what in (kept.what, "all")]
        written, there = sum(kept.written for kept in of), sum(kept.there for kept in of)
        whole = sum(kept.written == kept.there for kept in of)
        most = max((kept.written - kept.there for kept in of), default=0)
        rows.append((what, len(of), f"{written:,}", f"{there:,}", f"{100 * there / written:.2f} %", whole, f"{most:,}"))
    heads = ("killed", "kills", "bytes on the node", "at the central", "kept", "whole logs", "most lost")
    how = "and a monitor starts again" if again else "and nothing starts again"
    report.table(f"What is kept of logs when something is killed {how}", heads, rows)


if __name__ == "__main__":
    main()
