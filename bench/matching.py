"""A choice of the matcher against the number of task queues, beside looking at every queue: `python -m bench.matching`.

In memory alone: the claim in the store comes on top. The backlog stays as it is: for each queue that runs empty a new
one comes, with other needs, so that what offers cannot use piles up at the head as it does in production.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ParamSpec, TypeVar

from bench import report
from central.matching.matcher import fits
from central.matching.task_queues import Choice, TaskQueues
from central.records import Leased, TaskQueue, Waiting
from pilot.protocol import JobSpec, Needs, Offer

T = TypeVar("T")
P = ParamSpec("P")
SIZES = (10, 100, 1000, 10_000)
BACKLOG = 100_000
CHOICES = 2000
SCANS = 100
GB = 10**9
COMMUNITIES = ("atlas", "cms", "lhcb")
TAGS = ("", "", "", "cvmfs", "cvmfs & avx2", "gpu-driver", "~slow-disk", "avx2 | arm", "t0", "t1")


def main() -> None:
    rows = [_row(queues, most) for most in (1, 64) for queues in SIZES]
    heads = (
        "queues",
        "most jobs",
        "jobs a choice",
        "choose, median µs",
        "p99 µs",
        "settle µs",
        "arrival µs",
        "scan µs",
    )
    report.table("Choosing jobs for an offer (CPU time)", heads, rows, "hardly more for 10,000 queues than for 100")


def _row(number: int, most: int) -> tuple[object, ...]:
    rng = random.Random(1)
    per_queue = max(10, BACKLOG // number)
    numbers = itertools.count(1)
    index, offers = TaskQueues(), [_offer(rng) for _ in range(200)]
    index.add([_waiting(rng, next(numbers), per_queue) for _ in range(number)])
    for offer in offers:  # each is seen for the first time once in its life
        index.settle(index.choose(offer, 1), None)
    chosen: list[float] = []
    settled: list[float] = []
    arrived: list[float] = []
    jobs = 0
    for _ in range(CHOICES):
        offer = rng.choice(offers)
        choice, seconds = _timed(index.choose, offer, most)
        chosen.append(seconds)
        jobs += sum(pick.count for pick in choice.picks)
        leases = list(_won(choice))
        settled.append(_timed(index.settle, choice, leases)[1])
        for _ in {taken.queue for taken in choice.taken if not index.waits(taken.queue)}:
            new = _waiting(rng, next(numbers), per_queue)
            arrived.append(_timed(index.add, [new])[1])
    scanned = [_timed(_scan, index, rng.choice(offers))[1] for _ in range(SCANS)]
    median, p99 = _micro(chosen, 0.5), _micro(chosen, 0.99)
    figures = (median, p99, _micro(settled, 0.5), _micro(arrived, 0.5), _micro(scanned, 0.5))
    return (f"{number:,}", most, f"{jobs / CHOICES:.1f}", *figures)


def _scan(index: TaskQueues, offer: Offer) -> bool:
    """What a matcher without an index does: ask every queue."""
    return any([fits(task, offer) for task, _ in index.queues(offer.communities)])  # noqa: C419 - all, to order them


def _won(choice: Choice) -> Iterator[Leased]:
    """Leases as the store would give them."""
    for taken in choice.taken:
        for job in range(taken.count):
            yield Leased(
                taken.queue * 1000 + job, 1, taken.queue, taken.priority, taken.cores, JobSpec(("true",)), "", "", ""
            )


def _waiting(rng: random.Random, number: int, jobs: int) -> Waiting:
    anywhere = rng.random() < 0.8
    first = rng.randrange(7) * 4
    needs = Needs(
        memory=rng.choice((0, 1, 2, 2, 4, 8, 16)) * GB,
        disk=rng.choice((0, 0, 1, 5, 20)) * GB,
        wall_time=rng.choice((1, 2, 4, 12, 24, 24, 48)) * 3600,
        tags=rng.choice(TAGS),
        sites=None if anywhere else tuple(f"s{site}" for site in range(first, first + 4)),
    )
    cores = rng.choice((1, 1, 1, 2, 4, 8))
    task = TaskQueue(number, rng.choice(COMMUNITIES), "g", f"u{number}", replace(needs, cores=cores, max_cores=cores))
    return Waiting(task, {rng.choice((0, 3, 5, 5, 5, 7, 10)): jobs}, number * 1000)


def _offer(rng: random.Random) -> Offer:
    return Offer(
        site=f"s{rng.randrange(30)}",
        queue="q",
        cores=rng.choice((1, 2, 4, 8, 8, 16, 64)),
        memory=rng.choice((2, 4, 8, 16, 64, 256)) * GB,
        disk=rng.choice((10, 50, 500)) * GB,
        seconds_left=rng.randrange(1800, 200_000),
        tags=tuple(rng.sample(("cvmfs", "avx2", "gpu-driver", "slow-disk", "t0", "t1", "t2"), 3)),
        communities=(rng.choice(COMMUNITIES),),
    )


def _timed(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    before = time.thread_time()
    result = work(*args, **kwargs)
    return result, time.thread_time() - before


def _micro(seconds: list[float], part: float) -> str:
    """The value below which that part lies, in microseconds."""
    ordered = sorted(seconds)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1e6:.0f}" if ordered else "–"


if __name__ == "__main__":
    main()
