"""Payloads in control groups of this machine: limits that the kernel keeps, whatever the payload does.

Version 1 here, with `cgroup.kill` of version 2 where it is mounted beside; version 2 with its controllers is played by
`tests/unit/test_enclosures.py`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from commands.context import Capacity
from pilot import procfs
from pilot.attempts.containment import Containment, control_groups, remove_groups
from pilot.enclosures.groups import GroupEnclosures
from pilot.enclosures.ports import Bounds
from pilot.errors import PilotageError
from pilot.protocol import Fact, Needs
from pilot.states import Outcome
from tests.integration.pool_bench import MB, PoolBench, pool_bench
from tests.patience import PATIENCE
from tests.pilot_fakes import shell
from tests.steps_scene import Scene, bundle_of
from tests.system import Plan, deliver, running_system, wait_for

pytestmark = pytest.mark.integration

NAME = f"test-{os.getpid()}"
CPUS = tuple(sorted(os.sched_getaffinity(0)))
NODE = Capacity(cores=4, memory=4_000 * MB, disk=2_000 * MB, seconds_left="unlimited")
#: The same in a command.
STEP_EATS = "kept = [bytearray(b'x' * 1000000) for _ in range(int(context.option('megabytes')))]"
#: Takes so many megabytes, as fast as it can.
EAT = "import sys; kept = [bytearray(b'x' * 1000000) for _ in range(int(sys.argv[1]))]; print('kept all')"


@pytest.fixture
def groups() -> Iterator[GroupEnclosures]:
    found = control_groups(NAME)
    if found.enclosures is None:
        pytest.skip(f"no control groups can be made here: {'; '.join(found.notes) or 'none are mounted'}")
    yield found.enclosures
    found.enclosures.close()
    assert directories() == []


@pytest.fixture
def bench(tmp_path: Path, groups: GroupEnclosures) -> Iterator[PoolBench]:
    with pool_bench(tmp_path, Containment(None, groups), NODE, max_processes=50) as bench:
        yield bench


def directories(name: str = NAME) -> list[str]:
    """Control groups with this name, in all hierarchies."""
    return [place for place, _, _ in os.walk("/sys/fs/cgroup") if place.endswith(f"/pilotage-{name}")]


def bounded(groups: GroupEnclosures, controller: str) -> None:
    if not any(controller in base.controllers for base in groups.bases):
        pytest.skip(f"the controller {controller} is not ours to use here")


def test_out_of_memory_is_called_that(bench: PoolBench, groups: GroupEnclosures) -> None:
    """A payload that takes more memory than it asked for, faster than anybody looks, is ended by the kernel, and its
    owner is told that it was memory, and how much it had."""
    bounded(groups, "memory")
    report = bench.run(1, f'{sys.executable} -c "{EAT}" 400', needs=Needs(memory=100 * MB, wall_time=60))
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "memory")
    assert "out of memory" in report.message
    assert "100 MB" in report.message
    assert "kept all" not in bench.printed(1)


def test_half_a_payload_is_not_left_to_hang(bench: PoolBench, groups: GroupEnclosures) -> None:
    """When one process of a payload is ended for its memory, the rest is not left waiting for it for ever."""
    bounded(groups, "memory")
    script = f'{sys.executable} -c "{EAT}" 400; sleep 60'
    report = bench.run(1, script, needs=Needs(memory=100 * MB, wall_time=60))
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "memory")


def test_files_are_not_memory(bench: PoolBench, groups: GroupEnclosures) -> None:
    """Files that the kernel keeps in memory while there is room do not count: it writes them out instead."""
    bounded(groups, "memory")
    script = "dd if=/dev/zero of=big bs=1M count=200 2>/dev/null && cat big >/dev/null && stat -c %s big"
    report = bench.run(1, script, needs=Needs(memory=60 * MB, disk=500 * MB, wall_time=60))
    assert report.outcome is Outcome.SUCCESS, report
    assert bench.printed(1).strip() == str(200 * 2**20)


def test_who_leaves_is_counted_all_the_same(bench: PoolBench, groups: GroupEnclosures) -> None:
    """A payload of the pilot's own user that moves itself out of its groups is still watched, limited and ended."""
    bounded(groups, "memory")
    outside = [base.path.rsplit("/", 1)[0] + "/cgroup.procs" for base in groups.bases]
    leave = "\n".join(f"open('{path}', 'w').write(str(os.getpid()))" for path in outside)
    script = f"import os, time\n{leave}\nkept = bytearray(b'x' * 300000000)\ntime.sleep(60)\n"
    report = bench.run(1, f'exec {sys.executable} -c "{script}"', needs=Needs(memory=100 * MB, wall_time=60))
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "memory")
    assert report.message.startswith("it used")


def test_cores_are_a_limit(bench: PoolBench, groups: GroupEnclosures) -> None:
    """A payload of one core gets no more CPU time than one core has, however many processes it starts."""
    bounded(groups, "cpu")
    script = "for n in 1 2 3; do (while :; do :; done) & done; sleep 3; kill $(jobs -p)"
    report = bench.run(1, script)
    assert report.usage.cpu is not None
    assert report.usage.cpu < 1.25 * report.usage.wall


def test_cpus_are_a_fence(groups: GroupEnclosures, tmp_path: Path) -> None:
    """A payload that was given one CPU cannot help itself to another."""
    bounded(groups, "cpuset")
    if len(CPUS) < 2:
        pytest.skip("this machine has one CPU")
    widen = "import os; os.sched_setaffinity(0, range(os.cpu_count())); print(sorted(os.sched_getaffinity(0)))"
    with pool_bench(tmp_path, Containment(None, groups), replace(NODE, cores=2, cpus=CPUS[:2])) as bench:
        report = bench.run(1, f'{sys.executable} -c "{widen}"')
        assert report.outcome is Outcome.SUCCESS
        assert bench.printed(1).strip() == f"[{CPUS[0]}]"


def test_processes_are_bounded(bench: PoolBench, groups: GroupEnclosures) -> None:
    """A payload may have so many processes; the one after is refused to it, and nobody else notices."""
    bounded(groups, "pids")
    script = (
        "import os, signal\nmade = []\n"
        "try:\n  while True:\n    pid = os.fork()\n    if pid == 0: signal.pause()\n    made.append(pid)\n"
        "except OSError: print(len(made))\n"
        "for pid in made: os.kill(pid, signal.SIGKILL)\n"
    )
    report = bench.run(1, f'exec {sys.executable} -c "{script}"')
    assert report.outcome is Outcome.SUCCESS, report
    assert bench.printed(1).strip() == "49"


def test_nobody_leaves_and_nothing_stays(bench: PoolBench, groups: GroupEnclosures) -> None:
    """Processes that fled from their session, parent and environment end with the payload, and its groups go."""
    script = "env -i setsid setsid sleep 600 & env -i setsid setsid sleep 600 & echo there >here; sleep 600"
    bench.pool.start(shell(1, script))
    bench.wait_for_file(1, "here")
    inside = [f"{base.path}/1.1" for base in groups.bases]
    bench.central.wait_for(lambda: len(_members(inside)) >= 4, "all of its processes")
    members = _members(inside)
    asked = time.monotonic()
    bench.pool.kill(1, 1, "a person")
    assert bench.central.end_of(1).outcome is Outcome.KILLED
    assert time.monotonic() - asked < 10 * PATIENCE
    assert all((about := procfs.process(pid)) is None or about.over for pid in members)
    bench.wait_until_empty()
    assert not any(os.path.exists(place) for place in inside)


def _members(places: Sequence[str]) -> list[int]:
    """The processes in these groups."""
    return sorted({int(pid) for place in places for pid in Path(place, "cgroup.procs").read_text().split()})


def test_what_is_counted(groups: GroupEnclosures) -> None:
    """The kernel counts CPU time and memory of an enclosure, also those of processes that have ended."""
    bounded(groups, "memory")
    enclosure = groups.enclose("counted", Bounds(memory=200 * MB, cores=1, processes=20))
    pid = os.fork()
    if pid == 0:
        enclosure.admit(os.getpid())
        kept = b"x" * (50 * MB)
        while time.process_time() < 0.3:
            pass
        os._exit(len(kept) & 0)
    try:
        end = time.monotonic() + 20
        while (enclosure.count().memory or 0) < 45 * MB:
            assert time.monotonic() < end, enclosure.count()
        assert enclosure.members() == [pid]
    finally:
        os.waitpid(pid, 0)
    counted = enclosure.count()
    assert (counted.cpu or 0) > 0.2
    assert (counted.processes, counted.oom_kills, counted.starved) == (0, 0, 0)
    enclosure.close()


def test_a_step_has_the_memory_of_its_agent(tmp_path: Path, groups: GroupEnclosures) -> None:
    """A community's command that takes more memory than the agent has is ended and told why; nothing of it stays."""
    bounded(groups, "memory")
    source = f"@command(needs=[], provides=[], timeout=60)\ndef go(context):\n    {STEP_EATS}\n    return context\n"
    scene = Scene(tmp_path / "work", [bundle_of(tmp_path, source)])
    scene.guests.enclosures = groups
    facts = (Fact("memory", 400 * MB, "a test"),)
    assert scene.run(facts=facts, options={"theirs:go": {"megabytes": "100"}})
    with pytest.raises(PilotageError, match="SIGKILL, before it returned: it took more memory than this agent has"):
        scene.run(facts=facts, options={"theirs:go": {"megabytes": "300"}}, agents=2)
    assert [place for place, _, _ in os.walk("/sys/fs/cgroup") if "/step-" in place] == []


def test_what_a_killed_agent_left_is_removed(groups: GroupEnclosures) -> None:
    """The groups of an agent that could not clean up are removed by its monitor, those of others are not."""
    stamp = f"{os.getpid():016x}"
    left = control_groups(f"{stamp}-1")
    assert left.enclosures is not None
    left.enclosures.enclose("1.1", Bounds(processes=10))
    assert directories(f"{stamp}-1")
    remove_groups(stamp, 1)
    assert directories(f"{stamp}-1") == []
    assert len(directories()) == len(groups.bases)


def test_real_pilots_hold_their_payloads(groups: GroupEnclosures, tmp_path: Path) -> None:
    """The owner of a job that ran out of memory reads that; a pilot whose agent was killed leaves no group behind."""
    bounded(groups, "memory")
    with running_system(tmp_path / "central", Plan(slots=1)) as system, system.client() as client:
        hungry = {"command": [sys.executable, "-c", EAT, "400"], "needs": {"memory": "100 MB"}}
        (job,) = client.submit([hungry]).ids
        client.wait([job], timeout=180)
        (attempt,) = client.attempts(job)
        assert (attempt.outcome, attempt.limit) == (Outcome.LIMIT_EXCEEDED, "memory")
        assert "out of memory" in attempt.message
        (long,) = client.submit([{"command": ["sh", "-c", "echo x >there; sleep 600"]}]).ids
        wait_for(lambda: system.attempt(long, 1, "there"), 60, "a payload that works", system.log)
        stamp = client.attempts(long)[0].pilot
        inside = directories(f"{stamp[:16]}-1")
        assert len(inside) == len(groups.bases)
        for pid in system.agents(stamp):
            deliver(pid, signal.SIGKILL)
        wait_for(lambda: directories(f"{stamp[:16]}-1") == [], 60, "the groups to be gone", system.log)
        client.kill([long])
