"""The directors of a central: one for each queue of its settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from central import aftermath
from central.app import Central
from central.configuration.expected import expected
from central.configuration.settings import EXTERNAL, Queue
from central.directors.control import Demand, Limits
from central.directors.site import QueuePlan, SiteDirector
from central.duties import Cycle
from central.elements.kinds import computing_element, interval, request
from central.elements.port import ComputingElement
from central.records import Ended, PilotRow
from central.trust.seal import Ticket
from pilot.errors import PilotageError
from pilot.protocol import Amount
from pilot.states import PilotReason, PilotState
from wrappers.render import Bootstrap, render

#: What is led by one central at a time.
DUTY = "central"


def directors(central: Central) -> tuple[SiteDirector, ...]:
    """One for each queue. Raises `PilotageError` when there is nothing to start pilots from."""
    queues = [queue for queue in central.settings.queues if queue.kind != EXTERNAL]
    if not queues:
        return ()
    file = central.folder.pilot(central.settings.service)
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise PilotageError(
            f"{file}: the file that pilots are started from cannot be read ({error.strerror}); put it there with"
            " `python -m central init --pilot PATH`"
        ) from error
    authority = central.folder.certificates(central.settings.service).authority_file.read_text(encoding="ascii")
    return tuple(_director(central, queue, digest, authority) for queue in queues)


def cycles(central: Central) -> tuple[Cycle, ...]:
    """What the leader does for each queue, again and again."""
    intervals = {queue.name: interval(queue) for queue in central.settings.queues}
    return tuple(_cycle(central, director, intervals[director.plan.name]) for director in directors(central))


def _cycle(central: Central, director: SiteDirector, interval: float) -> Cycle:
    async def turn(epoch: int) -> None:
        await director.cycle(epoch)
        central.decided(director.plan.name, director.decision.why)

    return Cycle(f"the director of queue {director.plan.name}", interval, turn)


def _director(central: Central, queue: Queue, digest: str, authority: str) -> SiteDirector:
    computing = computing_element(queue, central.folder.pilots)

    def demand() -> Demand:
        return Demand(*central.dispatcher.queues.demand(expected(queue)))

    def script(stamp: str) -> str:
        return render(_bootstrap(central, queue, computing, stamp, digest, authority))

    async def unfit() -> str:
        problems = await central.bundles.problems(queue)
        return f"its pilots could not run: {problems[0]}" if problems else ""

    def over(row: PilotRow, state: PilotState, reason: PilotReason, ends: Sequence[Ended]) -> None:
        aftermath.ended(central, row, ends)
        aftermath.gone(central, row, state, reason)

    return SiteDirector(
        _plan(queue),
        central.store,
        computing,
        duty=DUTY,
        demand=demand,
        idle_cores=central.dispatcher.idle_cores,
        unfit=unfit,
        script=script,
        over=over,
    )


def _plan(queue: Queue) -> QueuePlan:
    return QueuePlan(
        name=queue.name,
        site=queue.site,
        communities=queue.communities,
        limits=Limits(queue.slots, queue.max_submit, queue.cores),
        request=request(queue),
        lease=queue.lease,
        secret_ttl=queue.secret_ttl,
        life=_seconds(queue.wall_time),
    )


def _seconds(amount: Amount) -> float | None:
    return float(amount) if isinstance(amount, int) else None


def _bootstrap(
    central: Central, queue: Queue, computing: ComputingElement, stamp: str, digest: str, authority: str
) -> Bootstrap:
    url = central.settings.service.url
    return Bootstrap(
        stamp=stamp,
        urls=[f"{url}/v1/pilot/{digest}"],
        sha256=digest,
        central=[url],
        ticket=central.ring.seal(Ticket(stamp)),
        secret_file=computing.secret_file(stamp),
        site=queue.site,
        queue=queue.name,
        ca_pem=authority,
        work_base=queue.work or computing.work_base(stamp) or "",
        exit_file=computing.exit_file(stamp) or "",
        settings={
            "cores": queue.cores,
            "agents": queue.agents,
            "memory": queue.memory,
            "disk": queue.disk,
            "wall_time": queue.wall_time,
            "tags": list(queue.tags),
            "required_tags": list(queue.required_tags),
            "communities": list(queue.communities),
            "policy": queue.policy or None,
            "drain_file": queue.drain_file or None,
            "slot_users": queue.slot_users or None,
            "resume": queue.resume,
            "cache": queue.cache or None,
            "reach": list(queue.reach),
        },
    )
