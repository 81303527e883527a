"""Whether ledgers add up while parts of a system are killed at random: `python -m bench.waste`."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from bench import report
from central.store import codec
from pilot.protocol import Ledger
from pilot.states import Cause, JobState
from pilotage import Client
from tests.integration.test_random_kills import Chaos
from tests.system import Plan, System, wait_for

JOBS, STRIKES = 60, 12
SEED = 20261126
SECOND = 1_000_000


def main() -> None:
    plan = Plan(slots=3, cores=2, lease="8 s", silent_after="4 s", idle="60 s", workers=1)
    with report.fresh_system(plan) as system, system.client() as client:
        strikes = run(system, client)
        used = client.usage(()).rows[0]
        show(ledgers(system.folder / "central.db"), used.core_seconds - used.lost_core_seconds, strikes)


def run(system: System, client: Client) -> Sequence[str]:
    """Run jobs, and strike while they run; all pilots have ended then. Returns what was done to the system."""
    numbers = random.Random(SEED)
    jobs = [{"command": ["sleep", f"{numbers.uniform(0.3, 2.0):.2f}"], "retries": 20} for _ in range(JOBS)]
    ids = list(client.submit(jobs).ids)
    chaos = Chaos(system, numbers)
    for strike in range(1, STRIKES + 1):
        enough = JOBS * strike // (STRIKES + 2)
        wait_for(lambda: done(client) >= enough, 120, f"{enough} jobs to end", chaos.told)  # noqa: B023 - at once
        chaos.strike()
    chaos.go_on()
    client.wait(ids, timeout=240)
    for pilot in client.pilots():
        if pilot.ended is None:
            client.halt(pilot.stamp)
    wait_for(lambda: all(pilot.ended for pilot in client.pilots()), 120, "the pilots to end", chaos.told)
    return chaos.done


def done(client: Client) -> int:
    return sum(job.state is JobState.DONE for job in client.jobs())


def ledgers(database: Path) -> Sequence[tuple[bool, Ledger]]:
    """All of them, straight from the database, and whether each is final."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as reader:
        rows = reader.execute("SELECT final, ledger FROM ledgers").fetchall()
    return [(bool(final), codec.ledger(text)) for final, text in rows]


def show(found: Sequence[tuple[bool, Ledger]], good: float, strikes: Sequence[str]) -> None:
    """`good`: core-seconds of attempts that succeeded, by accounting."""
    whole = sum(ledger.cores * ledger.lifetime for _, ledger in found)
    errors = [
        abs(ledger.cores * ledger.lifetime - sum(booking.amount for booking in ledger.bookings)) for _, ledger in found
    ]
    parts = {
        cause: sum(booking.amount for _, ledger in found for booking in ledger.bookings if booking.cause is cause)
        for cause in Cause
    }
    rows = [
        ("ledgers, of these final", f"{len(found)}, {sum(final for final, _ in found)}"),
        ("core-seconds in all", f"{whole / SECOND:.1f}"),
        ("sum error of all (core-microseconds)", str(sum(errors))),
        ("payload-good by the ledgers (core-seconds)", f"{parts[Cause.GOOD] / SECOND:.1f}"),
        ("attempts that succeeded by accounting (core-seconds)", f"{good:.1f}"),
        *((cause.value, f"{100 * parts[cause] / whole:.1f} %") for cause in Cause if parts[cause]),
    ]
    report.table(f"Ledgers of pilots ({len(strikes)} times: {', '.join(strikes)})", ("", ""), rows, "sum error 0")


if __name__ == "__main__":
    main()
