"""Payloads that burn all cores, all memory, all processes and the whole disk: the pilot's heart beats on.

Each with a real pilot and real limits: a control group of the test for memory, a small file system in memory for the
disk, the limit of processes of a user that nobody else is. What a machine does not allow is skipped with its reason.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pilot import procfs
from pilot.errors import ExitCode
from pilot.protocol import Order, Settings, attempt_stream
from pilot.states import OrderVerb, Outcome, PilotReason
from tests.integration import stress
from tests.integration.real_pilot import RealPilot
from tests.integration.stress import MB, MOST_PROCESSES, SOMEBODY, threads_of
from tests.integration.wire_central import WireCentral
from tests.patience import PATIENCE

T = TypeVar("T")
PilotMaker = Callable[..., RealPilot]
SECRET = "one-time-secret-of-the-test"
#: Seconds from one heartbeat to the next, as the central asks for.
BEAT = 1.0
#: Seconds after which a heartbeat counts as lost, well below what a central takes for silence.
LATE = 10.0
PROGRAM = (sys.executable, "-u", "-c")


@pytest.fixture
def central(tmp_path: Path) -> Iterator[WireCentral]:
    settings = Settings(
        ("physics",), idle=60, lease=600, beat=BEAT, match_wait=1, log_interval=0.2, min_disk=MB, default_disk=10**12
    )
    with WireCentral(tmp_path, SECRET, settings) as central:
        central.beat = BEAT
        yield central


@pytest.fixture
def able() -> Iterator[ExitStack]:
    """Keeps what a test takes of the machine, until its pilots have ended."""
    with ExitStack() as stack:
        yield stack


def taken(able: ExitStack, what: AbstractContextManager[T]) -> T:
    """Take it; where it is not to be had the test is skipped, and says why."""
    try:
        return able.enter_context(what)
    except stress.Unable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def pilots(tmp_path: Path, central: WireCentral, able: ExitStack) -> Iterator[PilotMaker]:
    """Makes pilots, and ends them."""
    made: list[RealPilot] = []

    def make(**config: Any) -> RealPilot:
        folder, ca = config.pop("folder", tmp_path), config.pop("ca", central.ca)
        made.append(RealPilot(folder, central.url, ca, central.secret, **config))
        return made[-1]

    yield make
    for pilot in made:
        print(pilot.log)
        pilot.end()


def kill(central: WireCentral, job: int) -> None:
    central.orders.append(Order(job, OrderVerb.KILL, job=job, attempt=1, who="the test"))


def heart(central: WireCentral, job: int, beats: int = 6) -> None:
    """While the payload does its worst, so many heartbeats come, each in time and none of them lost."""
    first = len(central.heartbeats)
    central.until(lambda: len(central.heartbeats) >= first + beats, beats * LATE)
    assert (job, 1) not in central.ended(), central.ended()
    whole(central)


def whole(central: WireCentral) -> None:
    """No heartbeat was lost."""
    assert [beat.sequence for beat in central.heartbeats] == list(range(1, len(central.heartbeats) + 1))
    assert max(after - before for before, after in pairwise(central.beats_at)) < LATE
    assert not central.failures


def killed_in_time(central: WireCentral, job: int) -> None:
    """The order to kill it reaches the node with a heartbeat and is carried out within ten seconds."""
    kill(central, job)
    central.until(lambda: central.acknowledged[job].get("received") is not None, LATE)
    ordered = time.monotonic()
    central.until(lambda: (job, 1) in central.ended(), 30)
    assert time.monotonic() - ordered < 10 * PATIENCE
    assert central.ended()[job, 1].outcome is Outcome.KILLED


def prints(central: WireCentral, job: int) -> None:
    central.until(lambda: b"tick" in central.log(attempt_stream(job, 1, "stdout")), 30)


def well_afterwards(central: WireCentral) -> None:
    """Once the payload is gone the pilot runs another job, as if nothing had been."""
    job = central.submit("sh", "-c", "echo well", grace=1)
    central.until(lambda: (job, 1) in central.ended(), 60)
    assert central.ended()[job, 1].outcome is Outcome.SUCCESS, central.ended()[job, 1].message
    central.until(lambda: central.log(attempt_stream(job, 1, "stdout")) == b"well\n", 30)


def test_all_cores(central: WireCentral, pilots: PilotMaker) -> None:
    """Eight busy processes for each core: beats come in time, what is printed arrives, a kill is obeyed at once."""
    job = central.submit(*PROGRAM, stress.BURN, grace=1)
    pilots().start()
    prints(central, job)
    said = len(central.log(attempt_stream(job, 1, "stdout")))
    heart(central, job)
    assert len(central.log(attempt_stream(job, 1, "stdout"))) > said
    killed_in_time(central, job)
    well_afterwards(central)
    whole(central)


def test_all_memory(central: WireCentral, able: ExitStack, pilots: PilotMaker) -> None:
    """When the memory of the whole allocation runs out the kernel takes the payload, and never monitor or agent."""
    group = taken(able, stress.memory_group(400 * MB))
    jobs = [central.submit(*PROGRAM, stress.EAT, grace=1) for _ in range(3)]
    pilot = pilots(memory=100_000 * MB)
    pilot.start(before=lambda: (group / "cgroup.procs").write_text(str(os.getpid())) and None)
    central.until(lambda: all((job, 1) in central.ended() for job in jobs), 90)
    for job in jobs:
        report = central.ended()[job, 1]
        # Who asked for no memory has no claim on it: no fault of the node, which would be tried again and again.
        assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "memory"), report
        assert "memory" in report.message
    prints(central, jobs[0])
    well_afterwards(central)
    whole(central)
    assert procfs.process(pilot.agent) is not None


def test_all_processes(central: WireCentral, able: ExitStack, pilots: PilotMaker) -> None:
    """A payload that takes every process its user may have stops neither beats nor logs, and is ended when told to."""
    place = taken(able, stress.anybodys())
    job = central.submit(place.python, "-u", "-c", stress.BOMB, grace=1)
    place.start(pilots(**place.config(central)), processes=MOST_PROCESSES)
    prints(central, job)
    central.until(lambda: threads_of(SOMEBODY) >= MOST_PROCESSES, 30, "the user's last process")
    heart(central, job)
    killed_in_time(central, job)
    assert threads_of(SOMEBODY) < MOST_PROCESSES // 2
    well_afterwards(central)
    whole(central)


def test_the_whole_disk(central: WireCentral, able: ExitStack, pilots: PilotMaker, tmp_path: Path) -> None:
    """Without a free byte on the disk beats and reports go on, what was printed arrives, the pilot says why it ends."""
    place = taken(able, stress.small_disk(tmp_path / "small"))
    job = central.submit(*PROGRAM, stress.FILL, grace=1)
    pilot = pilots(folder=place).start()
    prints(central, job)
    # The payload alone would be ended at its limit, which is what is free: its neighbours fill the rest.
    central.until(lambda: stress.fill(place / "neighbours") == 0, 30)
    heart(central, job)
    killed_in_time(central, job)
    assert shutil.disk_usage(place).free > 0
    well_afterwards(central)
    whole(central)
    pilot.end()
    assert central.goodbyes[-1].reason is PilotReason.SIGNAL
    assert b"monitor: everything is stopped: " in central.log("pilot")


def test_monitor_and_agent_are_out_of_reach(central: WireCentral, able: ExitStack, pilots: PilotMaker) -> None:
    """Under one user id a payload reads neither memory nor environment of monitor and agent, and dies before them."""
    place = taken(able, stress.anybodys())
    script = (
        "for pid in $PPID $(cut -d' ' -f4 /proc/$PPID/stat); do"
        " for what in environ mem maps; do"
        " (cat /proc/$pid/$what | head -c 1) 2>/dev/null | wc -c; done; done;"
        " cat /proc/self/oom_score_adj; ulimit -c; echo end; sleep 60"
    )
    job = central.submit("sh", "-c", script, grace=1)
    pilot = place.start(pilots(**place.config(central)), processes=None)
    stdout = attempt_stream(job, 1, "stdout")
    central.until(lambda: central.log(stdout).endswith(b"end\n"), 30)
    assert central.log(stdout).split() == [b"0"] * 6 + [b"1000", b"0", b"end"]
    for pid in (pilot.pid, pilot.agent):
        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) <= 0
        # What cannot be dumped belongs to root in /proc, whoever runs it.
        assert Path(f"/proc/{pid}/environ").stat().st_uid == 0


def test_the_pilot_goes_last(central: WireCentral, pilots: PilotMaker) -> None:
    """As far as the pilot may ask for it, the kernel takes monitor and agent last of all when memory runs out."""
    asked = "import sys; open('/proc/self/oom_score_adj', 'w', buffering=1).write('-900\\n')"
    may = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=False).returncode == 0
    own = int(Path("/proc/self/oom_score_adj").read_text())
    pilot = pilots().start()
    central.until(lambda: central.matches)
    for pid in (pilot.pid, pilot.agent):
        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == (-900 if may else min(own, 0))


def test_an_agent_that_dies_under_a_fork_bomb(central: WireCentral, able: ExitStack, pilots: PilotMaker) -> None:
    """When the agent is killed while a payload takes every process, the monitor ends all of it and reports the job."""
    place = taken(able, stress.anybodys())
    job = central.submit(place.python, "-u", "-c", stress.BOMB, grace=1)
    pilot = place.start(pilots(**place.config(central)), processes=MOST_PROCESSES)
    prints(central, job)
    central.until(lambda: threads_of(SOMEBODY) >= MOST_PROCESSES, 30, "the user's last process")
    os.kill(pilot.agent, signal.SIGKILL)
    assert pilot.wait() == ExitCode.AGENT_DIED
    assert central.ended()[job, 1].outcome is Outcome.NODE_FAULT
    assert threads_of(SOMEBODY) == 0
    whole(central)


@pytest.mark.parametrize("processes", [1, 2])  # no thread, or a thread and no agent
def test_a_pilot_that_can_start_no_thread_says_so(
    central: WireCentral, able: ExitStack, pilots: PilotMaker, processes: int
) -> None:
    """A pilot that comes when its user has all the processes it may have ends as unfit, and the central knows why."""
    place = taken(able, stress.anybodys())
    central.submit("true")
    pilot = place.start(pilots(**place.config(central)), processes=processes)
    assert pilot.wait() == ExitCode.UNFIT
    [goodbye] = central.goodbyes
    assert goodbye.reason is PilotReason.UNFIT
    assert "this user may have no more processes or threads" in goodbye.message
    assert not central.matches
