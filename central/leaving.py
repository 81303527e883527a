"""What becomes of the jobs of somebody who may not work in a group any more: those that wait are held, or all end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.events import MAX_BEHIND, JobChanged
from central.records import Changed, Identity
from pilot.errors import PilotageError
from pilot.states import FINAL, JobState
from pilot.views import JobVerb, Selection, VerbResult

if TYPE_CHECKING:
    from central.app import Central

log = logging.getLogger(__name__)
#: Jobs that are treated at once.
AT_ONCE = 10_000
#: Seconds in which a request that was admitted before the end of its token may still bring jobs, at any central.
LATE = 10.0
_UNFINISHED = tuple(state for state in JobState if state not in FINAL)


@dataclass(frozen=True)
class Leaver:
    """Whose jobs, on whose word, and why."""

    by: Identity
    user: str
    community: str
    group: str
    why: str

    @property
    def sentence(self) -> str:
        said = f"{self.user} is no member of {self.group} any more"
        return f"{said} ({self.why})" if self.why else said


async def let_go(central: Central, leaver: Leaver, kill: bool) -> int:
    """Hold the jobs that wait, or end all that are not over. Returns how many.

    It is done once more when whatever was under way has come in.
    """
    count = await _treat(central, leaver, kill)
    central.background(_latecomers(central, leaver, kill))
    return count


async def _latecomers(central: Central, leaver: Leaver, kill: bool) -> None:
    await central.pause(LATE)
    if central.closing.is_set() or central.people.role(leaver.user, leaver.community, leaver.group) is not None:
        return
    try:
        await _treat(central, leaver, kill)
    except PilotageError as error:
        log.warning("Jobs that %s has submitted in the last moment may wait: %s", leaver.user, error)


async def _treat(central: Central, leaver: Leaver, kill: bool) -> int:
    verb: JobVerb = "kill" if kill else "hold"
    states = _UNFINISHED if kill else (JobState.WAITING,)
    wanted = Selection(states=states, owner=leaver.user, group=leaver.group)
    count, cursor = 0, None
    while True:
        found = await central.store.jobs(leaver.community, wanted, cursor, AT_ONCE, False)
        if ids := tuple(view.id for view in found.jobs):
            changed = await central.store.change(
                leaver.by, leaver.community, verb, Selection(ids=ids), reason=leaver.sentence
            )
            await _tell(central, leaver, changed)
            count += sum(result.changed for result in changed.results)
        cursor = found.next
        if cursor is None:
            return count


async def _tell(central: Central, leaver: Leaver, changed: Changed) -> None:
    central.dispatcher.jobs_removed(changed.removed)
    for stamp in changed.ordered:
        await central.orders.reload(stamp)
    told = [result for result in changed.results if result.changed and result.state]
    if len(told) > MAX_BEHIND:
        central.hub.missed()
    central.hub.publish((leaver.community,), *_events(told[:MAX_BEHIND], leaver.sentence))


def _events(results: Sequence[VerbResult], why: str) -> Sequence[JobChanged]:
    return [JobChanged(result.job, result.state, 0, reason=why) for result in results if result.state]
