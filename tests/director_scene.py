"""A site director over some store and computing element, for tests that say only what matters to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from central.directors.board import Board, Wait
from central.directors.control import Limits
from central.directors.following import Following
from central.directors.plan import QueuePlan
from central.directors.site import SiteDirector
from central.directors.submitting import Submitting
from central.directors.tidying import Tidying
from central.directors.worth import Use, Worth
from central.elements.port import ComputingElement, Request
from central.records import Ended, PilotRow
from central.store.port import Store
from pilot.states import PilotReason, PilotState

DUTY = "directors"
LIMITS = Limits(slots=4, per_cycle=4, cores=1)


@dataclass
class Work:
    """What a director is told and what it tells, as a test sees it."""

    waits: list[Wait] = field(default_factory=lambda: [Wait(1, 3, 1.0)])
    idle: int = 0
    against: str = ""  # what speaks against any pilot of the queue
    rested: list[float] = field(default_factory=list)
    ends: list[tuple[str, PilotState, PilotReason]] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    looking: set[str] = field(default_factory=set)  # stamps of pilots that look at their machines
    drained: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    hour: float | None = None  # what one of a machine costs
    used: Use = field(default_factory=Use)

    async def waiting(self) -> Sequence[Wait]:
        return self.waits

    async def unfit(self) -> str:
        return self.against

    async def rest(self, seconds: float) -> None:
        self.rested.append(seconds)

    def over(self, row: PilotRow, state: PilotState, reason: PilotReason, ends: Sequence[Ended]) -> None:
        self.ends.append((row.stamp, state, reason))

    async def price(self, now: float) -> float | None:
        return self.hour

    async def use(self, now: float) -> Use:
        return self.used

    async def drain(self, row: PilotRow, why: str) -> None:
        self.drained.append(row.stamp)

    async def keep(self, stamp: str, output: bytes) -> None:
        self.kept[stamp] = output


def director(
    store: Store,
    element: ComputingElement,
    work: Work,
    limits: Limits = LIMITS,
    *,
    board: Board | None = None,
    name: str = "local",
    secret_ttl: float = 1e6,
    machines: bool = False,
    life: float | None = None,
) -> SiteDirector:
    """One that has just started. `machines`: its pilots are those of a cloud."""
    plan = QueuePlan(name, "here", ("atlas",), limits, Request(), 600, secret_ttl, life, machines)
    submitting = Submitting(plan, store, element, DUTY, lambda stamp: "#!/bin/sh\n")
    tidying = Tidying(plan, store, element, work.over, work.keep)
    return SiteDirector(
        plan,
        store,
        element,
        submitting,
        Following(plan, store, element, submitting, tidying, work.drain, work.alarms.append),
        board or Board(),
        Worth(work.price, work.use),
        waiting=work.waiting,
        idle_cores=lambda stamps: work.idle,
        asks=lambda stamp: stamp not in work.looking,
        unfit=work.unfit,
        rest=work.rest,
    )
