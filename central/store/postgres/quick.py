"""The usual claims: a batch of them is one statement on the server, `claim_jobs` of the schema, and commits with it.

What takes more thought it leaves alone and says so; `claims.claim` is the general way, for everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from central.records import Claim, Leased, Pick, TaskQueue
from central.store import codec
from central.store.postgres.claims import Call, Given, leased
from central.store.postgres.connection import array_text
from central.store.postgres.limits import names_text

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row
    from central.store.postgres.documents import Documents
    from central.store.postgres.waiting import Queues

CLAIM = """
    SELECT * FROM claim_jobs($1::jsonb, $2::text[], $3, $4::text::bigint[], $5::text::integer[],
                             $6::text::integer[], $7::text::integer[], $8::text::integer[], $9::text::integer[],
                             $10::text[], $11::jsonb, $12::text[], $13)
"""


@dataclass(frozen=True)
class Taken:
    """What a batch of claims got, not yet filled in; `left` are the numbers of the calls that were left alone."""

    rows: Sequence[Row]
    left: frozenset[int]
    picks: Sequence[tuple[int, Pick]]  # with the numbers of their calls
    queues: Mapping[int, TaskQueue]
    given: Given

    def answers(self, calls: int) -> list[Claim | None]:
        """By the calls' numbers; None: left alone."""
        won: dict[int, list[Leased]] = defaultdict(list)
        for row in sorted(self.rows, key=_order):
            number, pick = self.picks[row["pick"] - 1]
            won[number].append(leased(row, pick.cores, self.queues[row["queue"]], self.given))
        return [None if number in self.left else Claim(tuple(won.get(number, ()))) for number in range(calls)]


async def take(db: Database, clock: float | None, documents: Documents, queues: Queues, calls: Sequence[Call]) -> Taken:
    """Lease jobs to those calls that are plain. `clock`: the time, None for the server's. Outside a transaction."""
    known = await queues.get(db, {pick.queue for call in calls for pick in call.picks})
    plain = {
        call.number: number
        for number, call in reversed(list(enumerate(calls)))
        if all(pick.queue in known and not pick.without for pick in call.picks)
    }
    left = set(range(len(calls))) - set(plain.values())
    while numbers := sorted(set(range(len(calls))) - left):
        picks = [(number, pick) for number in numbers for pick in calls[number].picks]
        found = await db.fetch(CLAIM, *_asked(numbers, calls, picks, known), clock)
        places = {row["place"] for row in found}
        short = {row["short"] for row in found}
        if places == short == {None} or not found:
            return Taken(found, frozenset(left), picks, known, await Given.of(db, documents, found))
        left.update(
            number
            for place, number in enumerate(numbers, 1)
            if place in places or any(name in short for pick in calls[number].picks for name in pick.limits)
        )
    return Taken((), frozenset(left), (), known, Given({}, {}))


def _asked(
    numbers: Sequence[int],
    calls: Sequence[Call],
    picks: Sequence[tuple[int, Pick]],
    known: Mapping[int, TaskQueue],
) -> tuple[Any, ...]:
    """The parameters of `claim_jobs` but the time; places and picks are counted from 1."""
    places = {number: place for place, number in enumerate(numbers, 1)}
    by_stamp: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number, place in places.items():
        call = calls[number]
        communities = {known[pick.queue].community for pick in call.picks}
        by_stamp[call.stamp].append(
            {
                "place": place,
                "agent": call.agent,
                "request": call.request,
                "epoch": call.epoch,
                "communities": communities,
            }
        )
    slots: dict[int, list[int]] = defaultdict(list)
    needed: dict[str, dict[str, int]] = {}
    for place, (_, pick) in enumerate(picks, 1):
        slots[pick.queue] += [place] * pick.count
        for name in pick.limits:
            more = needed.setdefault(name, {"attempts": 0, "cores": 0})
            more["attempts"] += pick.count
            more["cores"] += pick.count * pick.cores
    asked = [slots[queue] for queue in sorted(slots)]
    counts = [len(of_queue) for of_queue in asked]
    return (
        codec.text(by_stamp),
        list(by_stamp),
        len(numbers),
        array_text(sorted(slots)),
        array_text(counts),
        array_text(list(accumulate(counts, initial=0))[:-1]),
        array_text(place for of_queue in asked for place in of_queue),
        array_text(places[number] for number, _ in picks),
        array_text(pick.cores for _, pick in picks),
        [names_text(pick.limits) for _, pick in picks],
        codec.text(needed),
        list(needed),
    )


def _order(row: Row) -> tuple[int, int, int]:
    """By the pick, and within it as the queue has them."""
    return row["pick"], -row["priority"], row["job"]
