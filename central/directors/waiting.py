"""Which waiting jobs a pilot of a queue would serve: the matcher's own predicates, within the limits on what runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from central.directors.board import Wait
from central.matching.matcher import Free, room
from central.records import LimitUse, TaskQueue
from central.store.limiting import Place, counts, demanded_tags
from central.store.limiting import room as limit_room
from pilot.protocol import Needs, Offer


def waits(fitting: Iterable[tuple[TaskQueue, int]], offer: Offer, uses: Sequence[LimitUse]) -> list[Wait]:
    """What of the task queues that fit the offer, with their waiting jobs, may run there: a limit that is full, or
    will be, keeps pilots from being sent."""
    here = [use for use in uses if use.limit.site in (None, offer.site) and use.limit.queue in (None, offer.queue)]
    found: list[Wait] = []
    free = Free.of(offer)
    for task, jobs in fitting:
        most = _within(here, task, jobs, offer) if here else jobs
        if most:
            found.append(Wait(task.id, most, _cores(task.needs, free)))
    return found


def _within(uses: list[LimitUse], task: TaskQueue, jobs: int, offer: Offer) -> int:
    """How many of the jobs these limits let in, which are as full afterwards as they would be then."""
    tags = demanded_tags(task.needs.tags)
    place = Place(offer.site, offer.queue, task.community, task.group, task.owner, tags)
    mine = [number for number, use in enumerate(uses) if counts(use.limit, place)]
    rooms = [limit_room(uses[number], task.needs.cores) for number in mine]
    most = min([jobs, *(left for left in rooms if left is not None)])
    for number in mine:
        use = uses[number]
        uses[number] = LimitUse(use.limit, use.attempts + most, use.cores + most * task.needs.cores)
    return most


def _cores(needs: Needs, free: Free) -> float:
    """The part of a pilot that a job takes, in cores: as much as of whatever it needs most of."""
    if needs.whole_node:
        return max(1, free.cores)
    least = needs if needs.max_cores <= needs.cores else replace(needs, max_cores=needs.cores)
    return max(1, free.cores) / max(1, room(least, free))
