"""What a container costs: an attempt in one against Apptainer by hand and against an attempt without, and what the
cache of images saves: `python -m bench.containers`.

Every round runs each of them once, side by side in one process, with the same image and the same arguments of the
runtime. CPU is that of everything that was started for one payload, and of the pilot for it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import report
from pilot.singularity.argv import ContainerPlan, arguments
from pilot.singularity.images import ImageCache
from pilot.singularity.probe import Cannot, try_out
from pilot.singularity.runtime import host_environment
from pilot.states import Outcome
from tests.integration.pool_bench import PoolBench
from tests.pilot_fakes import make_lease
from tests.real.container_scene import DIRECTORY, FILE, PATH, WHO, in_pilot, in_process, place_of

ROUNDS = 20
GOAL = "an attempt in a container costs what an attempt costs, and what the runtime costs by itself"
#: Bytes of an image as people have them.
IMAGE = 500_000_000


@dataclass(frozen=True)
class Cost:
    """Of one payload."""

    wall: float  # seconds
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    subprocess.run(["tests/real/apptainer.sh"], check=True, stdout=subprocess.DEVNULL)
    costs = in_pilot(WHO[0], lambda bench: compare(bench, rounds))
    rows = []
    for name, found in costs.items():
        walls, cpus = [1000 * cost.wall for cost in found], [1000 * cost.cpu for cost in found]
        rows.append((name, *(f"{value:.0f}" for value in (statistics.median(walls), min(walls), max(walls))),
                     f"{statistics.median(cpus):.0f}"))  # fmt: skip
    heads = ("what", "wall, ms", "least", "most", "CPU, ms")
    report.table(f"One payload that does nothing ({rounds} times)", heads, rows, GOAL)
    probe = in_process(WHO[0], lambda: timed(lambda: try_out({"PATH": PATH})))
    report.table("The probe of a pilot, once", ("wall, s", "CPU, s"), [(f"{probe.wall:.2f}", f"{probe.cpu:.2f}")])
    report.table(f"An image of {IMAGE / 1e6:.0f} MB", ("what", "wall, ms"), cached())


def compare(bench: PoolBench, rounds: int) -> dict[str, list[Cost]]:
    """The costs of each way, round by round."""
    runtime = try_out({"PATH": PATH})
    assert not isinstance(runtime, Cannot), runtime
    place = bench.work.parent / "by-hand"
    for name in ("job", "home", "tmp"):
        (place / name).mkdir(parents=True)
    jobs = iter(range(1, 10_000))

    def by_hand(image: Path) -> None:
        words = arguments(ContainerPlan(runtime, image, place), ("/bin/true",))
        environment = host_environment({"PATH": PATH}, {"HOME": str(place)}.items())
        subprocess.run(words, check=True, env=environment, stdin=subprocess.DEVNULL)

    def attempt(image: Path | None) -> None:
        job = next(jobs)
        bench.pool.start(make_lease(job, "/bin/true", container=str(image) if image else None))
        assert bench.central.end_of(job).outcome is Outcome.SUCCESS
        bench.wait_until_empty()

    ways: dict[str, Callable[[], None]] = {
        "Apptainer by hand, directory": lambda: by_hand(DIRECTORY),
        "attempt in it, directory": lambda: attempt(DIRECTORY),
        "Apptainer by hand, SIF": lambda: by_hand(FILE),
        "attempt in it, SIF": lambda: attempt(FILE),
        "attempt without container": lambda: attempt(None),
    }
    for act in ways.values():
        act()
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, act in ways.items():
            costs[name].append(timed(act))
    return costs


def timed(act: Callable[[], object]) -> Cost:
    """What it takes, with all that it starts and waits for."""
    before, began = _cpu(), time.perf_counter()
    act()
    return Cost(time.perf_counter() - began, _cpu() - before)


def _cpu() -> float:
    ours = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in ours)


def cached() -> list[tuple[str, str]]:
    """An image fetched (copied on this disk: no network is as fast), and found."""

    def fetch(target: Path) -> None:
        with target.open("wb") as file:
            for _ in range(IMAGE // 1_000_000):
                file.write(bytes(1_000_000))

    with place_of("root") as place:
        cache = ImageCache(place / "images", 2 * IMAGE)
        fetched = timed(lambda: cache.hold("image", fetch, lambda seconds: False).release())
        found = [timed(lambda: cache.hold("image", fetch, lambda seconds: False).release()) for _ in range(100)]
    times = (("fetched, from this disk", fetched.wall), ("found", statistics.median(cost.wall for cost in found)))
    return [(name, f"{1000 * wall:.2f}") for name, wall in times]


if __name__ == "__main__":
    main()
