"""The usual ends: attempts that succeeded. A batch of them is one statement on the server, `end_successes` of the
schema, and commits with it.

What takes more thought it leaves alone and says so; `attempts.report` is the general way, for everything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from central.records import Ended
from central.store import codec
from central.store.accounts import measured
from central.store.postgres.attempts import Report
from central.store.postgres.connection import array_text
from pilot.states import JobState, Outcome, Phase

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

END = """
    SELECT end_successes($1::text[], $2::text::integer[], $3::text::bigint[], $4::text::integer[], $5, $6,
                         $7::text::integer[], $8::text::float8[], $9::text::float8[], $10::text::bigint[], $11)
"""


def usual(calls: Sequence[Report]) -> list[int]:
    """The numbers of those that `end` may be asked for: of an attempt on which there is no other word."""
    words = Counter((call.job, call.attempt) for call in calls)
    return [
        number
        for number, call in enumerate(calls)
        if call.report.outcome is Outcome.SUCCESS
        and call.report.phase is Phase.ENDED
        and words[call.job, call.attempt] == 1
    ]


async def end(db: Database, clock: float | None, calls: Sequence[Report]) -> list[Ended | None]:
    """End what succeeded, each attempt once; None: left alone. `clock`: the time, None for the server's. Outside a
    transaction."""
    order = sorted(range(len(calls)), key=lambda number: calls[number].job)
    ordered = [calls[number] for number in order]
    stamps = {stamp: place for place, stamp in enumerate({call.stamp for call in calls}, 1)}
    # How long it was held only the server knows: what the pilot says is the most it can have run.
    used = [measured(call.report.usage, True, 0.0, math.inf) for call in ordered]
    rows = await db.fetch(
        END,
        list(stamps),
        array_text(stamps[call.stamp] for call in ordered),
        array_text(call.job for call in ordered),
        array_text(call.attempt for call in ordered),
        "\n".join([codec.text(call.report) for call in ordered]),
        "\n".join([codec.text(call.report.usage) for call in ordered]),
        array_text(call.report.exit_code for call in ordered),
        array_text(one.wall for one in used),
        array_text(one.cpu for one in used),
        array_text(one.memory_peak for one in used),
        clock,
    )
    answers: list[Ended | None] = [Ended(call.job, call.attempt, JobState.DONE, None) for call in calls]
    for (place,) in rows:
        answers[order[place - 1]] = None
    return answers
