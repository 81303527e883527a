"""How fast pilots are handed to a computing element by its adapter, and by its bare clients.

    python -m bench.site_submit [--count N] [--rounds N] [SYSTEM …]

The systems are those that the tests set up, one after the other; it takes root. Both ways run as many programs, or
requests, at a time, in turns, and begin with nothing there. Jobs are held where the system has a word for that, so that
nothing is measured but their submission. Also counted: what is asked to list few pilots, and many.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench import report
from bench.site_systems import NAME, SCRIPT, SYSTEMS, Bare, Measured
from central.elements.batch import AT_ONCE
from central.elements.port import ComputingElement, ComputingError, Request, Submission

FEW = 5
HEADS = (
    *("system", "bare client", "adapter/s", "least", "most", "bare/s", "adapter ÷ bare"),
    *("CPU ms each: adapter", "bare", f"calls to list {FEW}", "to list all", "load before"),
)


@dataclass(frozen=True)
class Round:
    """So many submissions. CPU of this process and of all that it ran."""

    rate: float  # a second
    cpu: float  # milliseconds each


@dataclass
class Found:
    """What was measured of one system."""

    load: float  # of the machine, before
    ours: list[Round] = field(default_factory=list)
    bare: dict[str, list[Round]] = field(default_factory=dict)
    listings: list[tuple[int, int]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", choices=[*SYSTEMS, []], metavar="SYSTEM")
    parser.add_argument("--count", type=int, default=100, help="submissions of a round, a multiple of ten")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: list[Sequence[str]] = []
    try:
        for name in options.systems or SYSTEMS:
            found = Found(os.getloadavg()[0])
            with SYSTEMS[name]() as measured:
                asyncio.run(measure(measured, options.count, options.rounds, found))
            rows += table_rows(name, found)
    finally:  # it takes long: what is known is told
        title = f"Submission of pilots ({options.rounds} rounds of {options.count}, {AT_ONCE} at a time)"
        report.table(title, HEADS, rows, "as many calls to list ten thousand pilots as to list ten")


async def measure(measured: Measured, count: int, rounds: int, found: Found) -> None:
    """Each round begins with another of the ways."""
    ways = [None, *measured.bare]
    for number in range(rounds):
        for way in (*ways[number % len(ways) :], *ways[: number % len(ways)]):
            if way is None:
                await measure_ours(measured, count, found)
            else:
                with timed(count, found.bare.setdefault(way, [])):
                    await submit_bare(measured, measured.bare[way], count)
            await asyncio.to_thread(measured.clear)
    await measured.element.close()


async def measure_ours(measured: Measured, count: int, found: Found) -> None:
    await submit(measured.element, FEW)
    of_few = await listed(measured)
    with timed(count, found.ours):
        await submit(measured.element, count)
    found.listings.append((of_few, await listed(measured)))


async def submit(element: ComputingElement, count: int) -> None:
    asked = Request(memory=2**20, wall_time=600)
    pilots = [Submission(secrets.token_hex(16), SCRIPT, "a secret", asked) for _ in range(count)]
    for result in (await element.submit(pilots)).values():
        if isinstance(result, ComputingError):
            raise result


async def submit_bare(measured: Measured, bare: Bare, count: int) -> None:
    """As somebody would in a shell; but each program in a session of its own, as those of the adapter are: the kernel
    shares the processors out among sessions."""
    names = "".join(f"bare-{number}\n" for number in range(count // bare.each))
    ran = await measured.host.run(["xargs", "-P", str(AT_ONCE), "-I", NAME, "setsid", *bare.words], names.encode())
    if ran.code:
        raise SystemExit(f"the bare client failed: {ran.said}")


async def listed(measured: Measured) -> int:
    """How many programs or requests it took to list all."""
    before = measured.calls()
    await measured.element.listing()
    return measured.calls() - before


@contextmanager
def timed(count: int, rounds: list[Round]) -> Iterator[None]:
    began, used = time.perf_counter(), cpu()
    yield
    rounds.append(Round(count / (time.perf_counter() - began), 1000 * (cpu() - used) / count))


def cpu() -> float:
    """Seconds used by this process and by what it ran and waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def table_rows(name: str, found: Found) -> Iterator[Sequence[str]]:
    for client, bare in found.bare.items():
        ratio = statistics.median(mine.rate / theirs.rate for mine, theirs in zip(found.ours, bare, strict=True))
        yield (
            name,
            client,
            *report.spread([each.rate for each in found.ours], ".1f"),
            f"{statistics.median(each.rate for each in bare):.1f}",
            f"{ratio:.2f}",
            *(f"{statistics.median(each.cpu for each in both):.1f}" for both in (found.ours, bare)),
            *map(str, map(max, zip(*found.listings, strict=True))),
            f"{found.load:.1f}",
        )


if __name__ == "__main__":
    main()
