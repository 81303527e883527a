"""What a director must know of its queue."""

from __future__ import annotations

from dataclasses import dataclass

from central.configuration.settings import Queue
from central.directors.control import Limits
from central.elements.kinds import request
from central.elements.port import Request
from central.records import NewPilot, Note, Tariff
from central.trust.noting import clean, of_communities
from pilot.halting import ELASTIC


@dataclass(frozen=True)
class QueuePlan:
    """A queue, as its director sees it. Seconds."""

    name: str
    site: str
    communities: tuple[str, ...]
    limits: Limits
    request: Request  # of each pilot
    lease: int
    secret_ttl: float
    life: float | None  # of a pilot
    machines: bool = False  # each pilot is a virtual machine of a cloud
    elastic: bool = True  # those without jobs are to end
    keep: int = 0  # pilots that are kept whatever waits; 0: as many as the waiting jobs need

    def intent(self, stamp: str, secret_hash: str, tariff: Tariff | None = None) -> NewPilot:
        """What is journalled before a pilot is submitted."""
        return NewPilot(
            stamp=stamp,
            site=self.site,
            queue=self.name,
            communities=self.communities,
            secret_hash=secret_hash,
            secret_ttl=self.secret_ttl,
            lease=self.lease,
            end_of_life=self.life,
            tariff=tariff,
        )

    def line(self, what: str, stamp: str, detail: str) -> Note:
        """What its director has done with a pilot, for the audit."""
        note = Note(f"director {self.name}", what, of_communities(self.communities), "", stamp, detail=detail)
        return clean(note)


def plan_of(queue: Queue) -> QueuePlan:
    """What the settings say to its director."""
    return QueuePlan(
        name=queue.name,
        site=queue.site,
        communities=queue.communities,
        limits=Limits(queue.slots, queue.max_submit, queue.cores),
        request=request(queue),
        lease=queue.lease,
        secret_ttl=queue.secret_ttl,
        life=float(queue.wall_time) if isinstance(queue.wall_time, int) else None,
        machines=queue.cloud is not None,
        elastic=queue.halting == ELASTIC,
        keep=queue.cloud.keep if queue.cloud else 0,
    )
