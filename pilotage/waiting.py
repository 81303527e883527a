"""Waiting for jobs to end, without asking more often than it is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pilot.errors import PilotageError, Refusal
from pilot.states import FINAL, JobState
from pilot.views import JobView
from pilotage.transport import Clock

Counts = Mapping[JobState, int]

#: Ids of one request: they fit a URL that everything in between takes.
AT_ONCE = 500
#: Seconds between two looks: from the first, each half again as long, to the second; longer for many jobs.
FIRST, LONGEST = 0.2, 1.0
SECONDS_PER_JOB = 0.001


class StillRunning(PilotageError):
    """The time to wait is over, and some jobs have not ended."""

    def __init__(self, pending: Sequence[int], seconds: float) -> None:
        super().__init__(f"{len(pending)} jobs have not ended after {seconds:g} s: {_few(pending)}.")
        self.pending = tuple(pending)


def wait_for(
    look: Callable[[Sequence[int]], Sequence[JobView]],
    ids: tuple[int, ...],
    timeout: float | None,
    progress: Callable[[Counts], None] | None,
    clock: Clock,
) -> tuple[JobView, ...]:
    """Look at the jobs until all have ended; `look` gives the views of some ids. Raises `StillRunning`."""
    end = None if timeout is None else clock.now() + timeout
    seen: dict[int, JobView] = {}
    interval = FIRST
    while True:
        pending = [job for job in dict.fromkeys(ids) if job not in seen or seen[job].state not in FINAL]
        for start in range(0, len(pending), AT_ONCE):
            seen.update({view.id: view for view in look(pending[start : start + AT_ONCE])})
        missing = [job for job in pending if job not in seen]
        if missing:
            raise Refusal("not-found", f"there are no jobs {_few(missing)} that you may see")
        if progress:
            progress(Counter(seen[job].state for job in ids))
        left = [job for job in pending if seen[job].state not in FINAL]
        if not left:
            return tuple(seen[job] for job in ids)
        if end is not None and clock.now() >= end:
            raise StillRunning(left, timeout or 0.0)
        pause = max(interval, SECONDS_PER_JOB * len(left))
        clock.sleep(pause if end is None else max(0.0, min(pause, end - clock.now())))
        interval = min(LONGEST, interval * 1.5)


def _few(ids: Sequence[int]) -> str:
    shown = ", ".join(str(job) for job in ids[:5])
    return f"{shown} and {len(ids) - 5} more" if len(ids) > 5 else shown
