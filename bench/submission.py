"""How fast jobs are taken in, by HTTPS as a person submits them: `python -m bench.submission`."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import report
from tests.system import Plan

JOBS = 10_000
RUNS = 3


def main() -> None:
    sweep = {"command": ["true", "{n}"], "name": "sweep", "sweep": {"n": f"1..{JOBS}"}}
    distinct = [{"command": ["true", str(n)], "name": f"job-{n}"} for n in range(JOBS)]
    # A queue without slots: no pilot starts, nothing of what is submitted runs meanwhile.
    with report.fresh_system(Plan(slots=0)) as system, system.client() as client:
        assert system.process
        central = system.process.pid
        rows = [
            row("a sweep", lambda: client.submit(sweep), central),
            row("distinct jobs, one request", lambda: client.submit(distinct), central),
        ]
    rows.append(row("SQLite executemany, for comparison", bare_insert))
    heads = (f"{JOBS:,} jobs", "median jobs/s", "least", "most", "central CPU ms/1,000 jobs")
    report.table(f"Submission ({RUNS} runs)", heads, rows, "≥ 5,000 jobs/s")


def row(name: str, submit: Callable[[], object], central: int | None = None) -> tuple[str, ...]:
    """Rates of some runs, and what they cost the central."""
    rates = []
    before = report.cpu(central).own if central else 0.0
    for _ in range(RUNS):
        begun = time.perf_counter()
        submit()
        rates.append(JOBS / (time.perf_counter() - begun))
    used = (report.cpu(central).own - before) * 1e6 / (JOBS * RUNS) if central else None
    return (name, *report.spread(rates, ",.0f"), f"{used:.0f}" if used is not None else "–")


def bare_insert() -> None:
    """One durable transaction of rows as small as a job's may be: no request, no check, no index but the key."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "floor.db")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(
            "CREATE TABLE job (id INTEGER PRIMARY KEY, name TEXT, state INTEGER, submitted REAL, spec TEXT)"
        )
        now = time.time()
        rows = ((n, f"job-{n}", 0, now, '{"command": ["true", "1"]}') for n in range(JOBS))
        with database:
            database.executemany("INSERT INTO job VALUES (?, ?, ?, ?, ?)", rows)
        database.close()


if __name__ == "__main__":
    main()
