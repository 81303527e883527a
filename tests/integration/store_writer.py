"""A process that writes to a store as fast as it can and prints each answer once it has it; to be killed at any moment.

python store_writer.py DATABASE ROUND
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

from central.records import Identity, NewJobs, NewPilot, Pick
from central.store.sqlite import SqliteStore
from pilot.protocol import AttemptReport, EnrolRequest, JobSpec
from pilot.states import Outcome, Phase

ADA = Identity("ada", "atlas", "physics", "member")
PILOTS = 4


def say(*words: object) -> None:
    """One answer, past every buffer of this process."""
    print(*words, flush=True)


async def submit(store: SqliteStore) -> None:
    while True:
        new = NewJobs(JobSpec(command=("x", "{n}"), name="{n}"), [({"n": str(n)}, None) for n in range(20)])
        submitted = await store.submit(ADA, [new], None, "")
        first, count = submitted.first_ids[0]
        say("submitted", first, count)


async def work(store: SqliteStore, stamp: str) -> None:
    """Claim jobs and end each with success, forever."""
    number = 0
    while True:
        number += 1
        waiting = await store.waiting()
        if not waiting:
            await asyncio.sleep(0.001)
            continue
        claim = await store.claim(stamp, 1, number, [Pick(waiting[0].queue.id, 3, 1)])
        for leased in claim.leases:
            say("leased", leased.job, leased.attempt, stamp)
            await store.report(stamp, leased.job, leased.attempt, AttemptReport(Phase.ENDED, Outcome.SUCCESS))
            say("done", leased.job, leased.attempt)


async def pilot(store: SqliteStore, stamp: str) -> str:
    digest = hashlib.sha256(stamp.encode()).hexdigest()
    await store.plan_pilot(NewPilot(stamp, "here", "local", ("atlas",), digest, 1e9, 600, None))
    await store.enrol(stamp, digest, digest, EnrolRequest("s", "k", "1"))
    say("enrolled", stamp)
    return stamp


async def main(path: Path, number: int) -> None:
    store = SqliteStore(path)
    await store.open()
    stamps = [await pilot(store, f"{number * PILOTS + n:032x}") for n in range(PILOTS)]
    await asyncio.gather(submit(store), *(work(store, stamp) for stamp in stamps))


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
