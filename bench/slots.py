"""100,000 random events on a node's slots: what was granted beyond the node, and the time: `python -m bench.slots`.

An event starts an attempt, ends its payload, or ends it with its files. After each one everything that is granted is
added up anew from the slots alone. Beside it, on the same events, the least that somebody would write instead: counters
that go down and up again.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench import report
from commands.context import Capacity, GpuDevice
from pilot.attempts.slots import Key, NoRoom, Slots
from pilot.protocol import Needs

EVENTS = 100_000
GB = 10**9
NODES = ((8, 0), (64, 4), (256, 8))  # cores, GPUs


def main() -> None:
    heads = (
        "node",
        "events",
        "granted",
        "refused",
        "beyond the node",
        "cores in use",
        "start, µs",
        "p99, µs",
        "counters, µs",
    )
    report.table("Slots", heads, [_row(cores, gpus) for cores, gpus in NODES], "0 beyond the node")


@dataclass
class Counters:
    """Cores and memory as two numbers, and what each attempt took of them."""

    cores: int
    memory: int
    taken: dict[Key, tuple[int, int]] = field(default_factory=dict)

    def start(self, key: Key, needs: Needs) -> bool:
        cores, memory = needs.cores, needs.memory
        if key in self.taken or cores > self.cores or memory > self.memory:
            return False
        self.taken[key] = (cores, memory)
        self.cores -= cores
        self.memory -= memory
        return True

    def end(self, key: Key) -> None:
        cores, memory = self.taken.pop(key, (0, 0))
        self.cores += cores
        self.memory += memory


def _row(cores: int, gpus: int) -> tuple[object, ...]:
    slots = Slots(_node(cores, gpus))
    counters = Counters(cores, cores * GB)
    times: list[float] = []
    bare: list[float] = []
    granted = beyond = used = 0
    for what, key, needs in _events(cores):
        if what == "start":
            before = time.perf_counter()
            outcome = slots.allocate(key, needs)
            times.append(time.perf_counter() - before)
            if not isinstance(outcome, NoRoom):
                slots, granted = outcome[0], granted + 1
            before = time.perf_counter()
            counters.start(key, needs)
            bare.append(time.perf_counter() - before)
        else:
            slots = slots.keep_disk(key) if what == "files" else slots.release(key)
            counters.end(key)
        beyond += _beyond(slots)
        used += slots.node.cores - slots.free_cores
    p99 = statistics.quantiles(times, n=100)[98]
    figures = (statistics.median(times), p99, statistics.median(bare))
    return (
        f"{cores} cores, {gpus} GPUs",
        f"{EVENTS:,}",
        f"{granted:,}",
        f"{len(times) - granted:,}",
        beyond,
        f"{used / EVENTS / cores:.0%}",
        *(f"{figure * 1e6:.1f}" for figure in figures),
    )


def _node(cores: int, gpus: int) -> Capacity:
    devices = tuple(GpuDevice(index, f"GPU-{index}", "model", (40 if index % 2 else 80) * GB) for index in range(gpus))
    return Capacity(cores, tuple(range(cores)), cores * GB, cores * 4 * GB, devices)


def _events(cores: int) -> Iterator[tuple[str, Key, Needs]]:
    rng = random.Random(1)
    for _ in range(EVENTS):
        least = rng.choice((1, 1, 1, 2, 4, 8))
        yield (
            rng.choice(("start", "start", "start", "end", "files")),
            (rng.randrange(2 * cores), 1),
            Needs(
                least,
                least * rng.choice((1, 1, 2)),
                whole_node=rng.random() < 0.02,
                memory=rng.choice((0, 1, 2, 4)) * GB,
                memory_per_core=rng.choice((0, 0, GB)),
                disk=rng.choice((0, 5, 20)) * GB,
                gpus=rng.choice((0, 0, 0, 1, 2)),
                gpu_memory=rng.choice((0, 60 * GB)),
            ),
        )


def _beyond(slots: Slots) -> bool:
    """Whether something was given that is not there, or twice."""
    node, taken = slots.node, slots.taken.values()
    cpus = [cpu for slot in taken for cpu in slot.cpus]
    gpus = [gpu for slot in taken for gpu in slot.gpus]
    sums = [(sum(slot.cores for slot in taken), node.cores)]
    sums += [(sum(slot.memory for slot in taken), node.memory), (sum(slot.disk for slot in taken), node.disk)]  # type: ignore[list-item]
    return (
        any(granted > have for granted, have in sums)
        or len(set(cpus)) < len(cpus)
        or len(set(gpus)) < len(gpus)
        or not set(cpus) <= set(node.cpus)
        or not set(gpus) <= set(node.gpus)
    )


if __name__ == "__main__":
    main()
