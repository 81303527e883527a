"""The usual claims: a batch of them is one statement on the server, `claim_jobs` of the schema, and commits with it.

What takes more thought it leaves alone and says so; `claims.claim` is the general way, for everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from central.records import Claim, Leased, Pick, TaskQueue
from central.store import codec
from central.store.postgres.claims import Call, leased

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row
    from central.store.postgres.documents import Documents
    from central.store.postgres.waiting import Queues

CLAIM = "SELECT * FROM claim_jobs($1::json, $2::json, $3::text[], $4)"


@dataclass(frozen=True)
class Taken:
    """What a batch of claims got, not yet filled in; `left` are the numbers of the calls that were left alone."""

    rows: Sequence[Row]
    left: frozenset[int]
    picks: Sequence[Pick]
    queues: Mapping[int, TaskQueue]
    specs: Mapping[int, str]

    def answers(self, calls: int) -> list[Claim | None]:
        """By the calls' numbers; None: left alone."""
        won: dict[int, list[Leased]] = defaultdict(list)
        for row in sorted(self.rows, key=_order):
            cores = self.picks[row["pick"]].cores
            won[row["call"]].append(leased(row, cores, self.queues[row["queue"]], self.specs))
        return [None if number in self.left else Claim(tuple(won.get(number, ()))) for number in range(calls)]


async def take(db: Database, clock: float | None, documents: Documents, queues: Queues, calls: Sequence[Call]) -> Taken:
    """Lease jobs to those calls that are plain. `clock`: the time, None for the server's. Outside a transaction."""
    known = await queues.get(db, {pick.queue for call in calls for pick in call.picks})
    plain: list[dict[str, Any]] = []
    picks: list[Pick] = []
    wanted: list[dict[str, Any]] = []
    names: set[str] = set()
    left = set(range(len(calls)))
    seen: set[tuple[str, int, int]] = set()
    for number, call in enumerate(calls):
        if call.number in seen or any(pick.queue not in known for pick in call.picks):
            continue
        seen.add(call.number)
        left.discard(number)
        communities = {known[pick.queue].community for pick in call.picks}
        plain.append(
            {
                "number": number,
                "stamp": call.stamp,
                "agent": call.agent,
                "request": call.request,
                "communities": communities,
            }
        )
        wanted += (_written(len(picks) + place, number, pick) for place, pick in enumerate(call.picks))
        picks += call.picks
        names.update(name for pick in call.picks for name in pick.limits)
    found = await db.fetch(CLAIM, codec.text(plain), codec.text(wanted), sorted(names), clock)
    rows = [row for row in found if row["job"] is not None]
    left.update(row["call"] for row in found if row["job"] is None)
    return Taken(rows, frozenset(left), picks, known, await documents.get(db, {row["document"] for row in rows}))


def _written(number: int, call: int, pick: Pick) -> dict[str, Any]:
    written: dict[str, Any] = {
        "number": number,
        "call": call,
        "queue": pick.queue,
        "count": pick.count,
        "cores": pick.cores,
    }
    if pick.limits:
        written["limits"] = pick.limits
    return written


def _order(row: Row) -> tuple[int, int, int]:
    """By the pick, and within it as the queue has them."""
    return row["pick"], -row["priority"], row["job"]
