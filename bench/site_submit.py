"""How fast pilots are handed to a batch system by its adapter, and by its bare submit program.

    python -m bench.site_submit [--count N] [--rounds N] [SYSTEM …]

The batch systems are those that the tests set up. Jobs are held, so that nothing is measured but their submission, and
both ways run as many programs at a time. Also counted: what is asked to list few jobs, and many.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from bench import report
from central.elements.batch import AT_ONCE, BatchElement
from central.elements.host import Host, Ran
from central.elements.port import ComputingError, Request, Submission
from central.elements.system import Door
from central.elements.systems.slurm import Slurm

SCRIPT = "#!/bin/sh\nexec sleep 600\n" + "# as long as a wrapper is\n" * 500
FEW = 5


@dataclass(frozen=True)
class Measured:
    """A batch system. All its jobs are held."""

    host: Host
    element: Callable[[Host], BatchElement]
    bare: Sequence[str]  # its submit program; `@` stands for the job's name, and the script is the last argument
    script: str  # a file that holds it
    clear: Callable[[], object]  # ends all jobs


@dataclass(frozen=True)
class Round:
    """So many submissions. CPU of this process and of all that it ran."""

    rate: float  # a second
    cpu: float  # milliseconds each


class Counting:
    """A host that counts what is run there."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.runs = 0

    @property
    def name(self) -> str:
        return self.host.name

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        self.runs += 1
        return await self.host.run(argv, stdin)

    async def close(self) -> None:
        await self.host.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", choices=[*SYSTEMS, []], metavar="SYSTEM")
    parser.add_argument("--count", type=int, default=100, help="submissions of a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for name in options.systems or SYSTEMS:
        with SYSTEMS[name]() as measured:
            rows.append((name, *asyncio.run(measure(measured, options.count, options.rounds))))
    heads = ("system", "adapter/s", "least", "most", "bare/s", "adapter ÷ bare", "CPU ms each: adapter", "bare")
    calls = (f"programs to list {FEW}", f"to list {options.count + FEW}")
    title = f"Submission of pilots ({options.rounds} rounds of {options.count}, {AT_ONCE} at a time)"
    report.table(title, (*heads, *calls), rows, "as many programs to list ten thousand pilots as to list ten")


async def measure(measured: Measured, count: int, rounds: int) -> Sequence[str]:
    host = Counting(measured.host)
    element = measured.element(host)
    ours: list[Round] = []
    bare: list[Round] = []
    listings: list[tuple[int, int]] = []
    for _ in range(rounds):
        await submit(element, FEW)
        of_few = await listed(host, element)
        with timed(count, ours):
            await submit(element, count)
        listings.append((of_few, await listed(host, element)))
        measured.clear()
        with timed(count, bare):
            await submit_bare(measured, count)
        measured.clear()
        for entry in await element.listing():
            await element.forget(entry.stamp, entry.reference)
    ratio = statistics.median(mine.rate / theirs.rate for mine, theirs in zip(ours, bare, strict=True))
    return (
        *report.spread([each.rate for each in ours], ".0f"),
        f"{statistics.median(each.rate for each in bare):.0f}",
        f"{ratio:.2f}",
        *(f"{statistics.median(each.cpu for each in both):.1f}" for both in (ours, bare)),
        *map(str, map(max, zip(*listings, strict=True))),
    )


async def submit(element: BatchElement, count: int) -> None:
    pilots = [Submission(secrets.token_hex(16), SCRIPT, "a secret", Request(memory=2**20)) for _ in range(count)]
    for result in (await element.submit(pilots)).values():
        if isinstance(result, ComputingError):
            raise result


async def submit_bare(measured: Measured, count: int) -> None:
    """As somebody would in a shell."""
    words = ["xargs", "-P", str(AT_ONCE), "-I", "@", *measured.bare, measured.script]
    ran = await measured.host.run(words, "".join(f"bare-{number}\n" for number in range(count)).encode())
    if ran.code:
        raise SystemExit(f"the bare client failed: {ran.said}")


async def listed(host: Counting, element: BatchElement) -> int:
    """How many programs were run to list all."""
    before = host.runs
    await element.listing()
    return host.runs - before


@contextmanager
def timed(count: int, rounds: list[Round]) -> Iterator[None]:
    began, used = time.perf_counter(), cpu()
    yield
    rounds.append(Round(count / (time.perf_counter() - began), 1000 * (cpu() - used) / count))


def cpu() -> float:
    """Seconds used by this process and by what it ran and waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


# -- the batch systems ------------------------------------------------------------------------------------------------


@contextmanager
def slurm() -> Iterator[Measured]:
    from tests.real import slurm_scene  # what it needs is not there for each

    with slurm_scene.running_cluster() as cluster:
        script = cluster.folder / "script.sh"
        script.write_text(SCRIPT)
        door = Door(partition="main", extra=("--hold",))
        yield Measured(
            host=slurm_scene.HereAs(slurm_scene.USER, cluster.environment, 60),
            element=lambda host: BatchElement(host, Slurm(door), str(cluster.folder / "pilots")),
            bare=("sbatch", "--parsable", "--hold", "--mem=1M", "--output=/dev/null", "--job-name=@"),
            script=str(script),
            clear=lambda: cluster.operator("scancel", f"--user={slurm_scene.USER}"),
        )


SYSTEMS: Mapping[str, Callable[[], AbstractContextManager[Measured]]] = {"slurm": slurm}


if __name__ == "__main__":
    main()
