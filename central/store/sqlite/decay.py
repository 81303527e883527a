"""What still counts of every owner's use: old use fades, so that only what ended since the last look is read."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from central.records import Consumed
from central.store.accounts import HORIZON, HOUR, LEAST_USE
from central.store.sqlite.accounting import summed
from pilot.errors import Refusal

#: Seconds after which an attempt that has ended is certainly seen by readers.
SETTLED = 60.0
# Of summed hours, as if used in their middle.
OF_HOURS = """
    SELECT community, "group", owner, sum(core_seconds * exp(-:rate * (:now - hour - 1800)))
    FROM usage_hours
    WHERE hour >= :since AND hour < :until
    GROUP BY community, "group", owner
"""
# Of attempts that ended, over the time that they ran.
OF_ENDED = """
    SELECT community, "group", owner,
           sum(cores / :rate * (exp(-:rate * max(:now - ended, 0.0)) - exp(-:rate * max(:now - ended + wall, 0.0))))
    FROM accounting
    WHERE ended >= :since AND ended < :until
    GROUP BY community, "group", owner
"""
# Of those that run, since they were leased.
OF_LIVE = """
    SELECT jobs.community, jobs."group", jobs.owner,
           sum(attempts.cores / :rate * (1 - exp(-:rate * max(:now - attempts.started, 0.0)))), sum(attempts.cores)
    FROM attempts INDEXED BY attempts_out
    CROSS JOIN jobs ON jobs.id = attempts.job
    WHERE attempts.phase <> 'ended'
    GROUP BY jobs.community, jobs."group", jobs.owner
"""

Owner = tuple[str, str, str]


@dataclass(frozen=True)
class _Seen:
    """What ended before `until` still counted at a time."""

    half_life: float
    summed: int  # as far as hours were summed then
    now: float
    until: float
    used: Mapping[Owner, float]


class Decay:
    """Remembers what counted at the last look. Begins anew with each hour that is summed, or when a clock goes back."""

    def __init__(self) -> None:
        self._seen: _Seen | None = None
        self._lock = threading.Lock()

    def consumed(self, db: sqlite3.Connection, now: float, half_life: float) -> tuple[Consumed, ...]:
        if not 0 < half_life < math.inf:
            raise Refusal("invalid", f"half_life: expected more than 0 s, got {half_life:g}")
        rate = math.log(2) / half_life
        with self._lock:
            last = self._last(db, now, half_life)
            now = max(now, last.now)  # two who ask at once may come here in any order
            seen = self._seen = _later(db, last, now, rate)
        times = {"rate": rate, "now": now, "since": seen.until, "until": math.inf}
        used = _added(seen.used, db.execute(OF_ENDED, times))
        live: dict[Owner, tuple[float, int]] = {
            (community, group, name): (running, cores)
            for community, group, name, running, cores in db.execute(OF_LIVE, {"rate": rate, "now": now})
        }
        return tuple(
            Consumed(*owner, used=used.get(owner, 0.0) + running, cores=cores)
            for owner in sorted(used.keys() | live.keys())
            for running, cores in [live.get(owner, (0.0, 0))]
            if cores or used[owner] >= LEAST_USE
        )

    def _last(self, db: sqlite3.Connection, now: float, half_life: float) -> _Seen:
        done, seen = summed(db), self._seen
        if seen is not None and (seen.half_life, seen.summed) == (half_life, done) and seen.now <= now + SETTLED:
            return seen
        times = {
            "rate": math.log(2) / half_life,
            "now": now,
            "since": now - HORIZON * half_life - HOUR,
            "until": done,
        }
        return _Seen(half_life, done, now, done, _added({}, db.execute(OF_HOURS, times)))


def _later(db: sqlite3.Connection, seen: _Seen, now: float, rate: float) -> _Seen:
    """What it still counts now, with what has ended since."""
    until = max(seen.until, now - SETTLED)
    fading = math.exp(-rate * (now - seen.now))
    faded = {owner: used * fading for owner, used in seen.used.items()}
    since = max(seen.until, now - HORIZON * seen.half_life)
    news = db.execute(OF_ENDED, {"rate": rate, "now": now, "since": since, "until": until})
    return _Seen(seen.half_life, seen.summed, now, until, _added(faded, news))


def _added(used: Mapping[Owner, float], rows: Iterable[sqlite3.Row]) -> dict[Owner, float]:
    both: dict[Owner, float] = defaultdict(float, used)
    for community, group, owner, more in rows:
        both[community, group, owner] += more
    return {owner: amount for owner, amount in both.items() if amount > 0}
