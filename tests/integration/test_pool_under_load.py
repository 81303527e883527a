"""The Pool with many threads at once and payloads that are no processes: what they hold is within the node."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest

from commands.context import Capacity, GpuDevice
from pilot.attempts.attempt import Services
from pilot.attempts.pool import Pool
from pilot.attempts.watchdog import Watchdog
from pilot.errors import PilotageError
from pilot.payloads.payload import Ended, Launch, Sample
from pilot.protocol import Needs, Settings
from pilot.states import Outcome, PilotReason
from tests.pilot_fakes import FakeCentral, FakeNode, shell

pytestmark = pytest.mark.integration

MB = 1_000_000
NODE = Capacity(
    cores=16,
    cpus=tuple(range(16)),
    memory=16_000 * MB,
    disk=100_000 * MB,
    gpus=tuple(GpuDevice(index, f"GPU-{index}", "A100", 40_000 * MB) for index in range(4)),
)


class Held:
    """What payloads hold now, as they are told, and whether that was ever more than there is."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now: list[tuple[int, int, frozenset[str], frozenset[int]]] = []  # cores, memory, GPUs, CPUs
        self.most = 0
        self.wrong: list[str] = []

    def take(self, launch: Launch) -> tuple[int, int, frozenset[str], frozenset[int]]:
        told = launch.environment
        mine = (
            int(told["PILOTAGE_CORES"]),
            int(told.get("PILOTAGE_MEMORY", "0")),
            frozenset(filter(None, told["CUDA_VISIBLE_DEVICES"].split(","))),
            frozenset(launch.cpus),
        )
        with self.lock:
            for _, _, gpus, cpus in self.now:
                if gpus & mine[2] or cpus & mine[3]:
                    self.wrong.append(f"{gpus & mine[2]} or {cpus & mine[3]} given twice")
            self.now.append(mine)
            cores, memory = sum(one[0] for one in self.now), sum(one[1] for one in self.now)
            self.most = max(self.most, cores)
            if cores > NODE.cores or memory > 16_000 * MB:
                self.wrong.append(f"{cores} cores and {memory} bytes at the same time")
        return mine

    def give_back(self, mine: tuple[int, int, frozenset[str], frozenset[int]]) -> None:
        with self.lock:
            self.now.remove(mine)


class Shadow:
    """A payload that is no process: it ends after some time, or when it is told to."""

    def __init__(self, held: Held, launch: Launch, seconds: float) -> None:
        self.held = held
        self.mine = held.take(launch)
        self.seconds = seconds
        self.over = threading.Event()
        for path in (launch.stdout, launch.stderr):
            path.touch()

    def wait(self) -> Ended:
        ended = self.over.wait(self.seconds)
        self.held.give_back(self.mine)
        self.over.set()
        return Ended(None if ended else 0, 15 if ended else None, 0.0, None)

    def sample(self) -> Sample:
        return Sample(1, 0.0, 0)

    def tell(self, number: int, program: str) -> int:
        return 0

    def terminate(self) -> None:
        self.over.set()

    def kill(self) -> None:
        self.over.set()

    def clear(self, seconds: float) -> int:
        return 0

    def living(self) -> int:
        return 0 if self.over.is_set() else 1


class Shadows:
    """An inner computing element of shadows; some cannot be started."""

    def __init__(self, held: Held) -> None:
        self.held = held
        self.random = random.Random(3)

    def start(self, launch: Launch) -> Shadow:
        if self.random.random() < 0.03:
            raise OSError(11, "Resource temporarily unavailable")
        return Shadow(self.held, launch, self.random.uniform(0.0, 0.05))

    def tend(self) -> None: ...


def a_pool(work: Path, held: Held, central: FakeCentral) -> Pool:
    element = Shadows(held)
    pool: list[Pool] = []
    watchdog = Watchdog(element.tend, lambda: pool[0].progress(), print)
    services = Services(central, central, element, watchdog, dict(os.environ), lambda: 0.0, print)
    pool.append(Pool("here", "test", work, Settings(), FakeNode(), services))
    watchdog.start()
    pool[0].open(NODE, {"PATH": os.environ["PATH"]})
    return pool[0]


def some_needs(rng: random.Random) -> Needs:
    least = rng.choice((1, 1, 2, 4))
    return Needs(
        least,
        least * rng.choice((1, 2)),
        whole_node=rng.random() < 0.03,
        memory=rng.choice((0, 500, 4_000)) * MB,
        disk=rng.choice((0, 1_000)) * MB,
        gpus=rng.choice((0, 0, 1, 2)),
        wall_time=60,
    )


def test_never_more_than_the_node_at_any_moment(tmp_path: Path) -> None:
    """Four threads start 600 attempts while others are killed, end or cannot be started: nothing is given twice.

    Each attempt that was begun ends once, and afterwards the node is as free as it was.
    """
    held, central = Held(), FakeCentral()
    pool = a_pool(tmp_path, held, central)
    before = pool.offer()
    begun: set[int] = set()
    lock = threading.Lock()

    def submit(first: int) -> None:
        rng = random.Random(first)
        for job in range(first, first + 150):
            lease = shell(job, "-", needs=some_needs(rng))
            end = time.monotonic() + 1.0
            while time.monotonic() < end:
                try:
                    pool.start(lease)
                except PilotageError:
                    pool.wait(0.01)
                    continue
                with lock:
                    begun.add(job)
                break
            if rng.random() < 0.2:
                pool.kill(rng.randrange(first, job + 1), 1, "chance")

    threads = [threading.Thread(target=submit, args=(first,)) for first in (1000, 2000, 3000, 4000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    end = time.monotonic() + 30
    while pool.running():
        assert time.monotonic() < end
        pool.wait(0.1)
    assert held.wrong == []
    assert held.most > NODE.cores / 2
    assert len(begun) > 300
    ended = [job for job, _, report in central.reports if report.outcome is not None]
    assert sorted(ended) == sorted(begun)
    outcomes = {report.outcome for _, _, report in central.reports} - {None}
    assert outcomes == {Outcome.SUCCESS, Outcome.KILLED, Outcome.NODE_FAULT}
    after = pool.offer()
    assert (after.cores, after.memory, after.gpus, after.empty) == (before.cores, before.memory, before.gpus, True)
    pool.stop(PilotReason.HALTED, "the test ends", 0)
    pool.close()
