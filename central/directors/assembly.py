"""The directors of a central: one for each queue of the settings in force."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial

from central import aftermath
from central.app import Central
from central.clouds.element import CloudElement
from central.configuration.expected import expected
from central.configuration.settings import EXTERNAL, CentralSettings, Queue
from central.directors.board import Board, Wait
from central.directors.control import Cause
from central.directors.following import Following
from central.directors.giving_way import INTERVAL, GivingWay
from central.directors.plan import plan_of
from central.directors.pricing import Pricing
from central.directors.site import SiteDirector
from central.directors.starting import Origin, bootstrap, cloud_of, element, origin
from central.directors.submitting import Submitting
from central.directors.tidying import Tidying
from central.directors.waiting import waits
from central.directors.worth import Use, Uses, Worth
from central.duties import Cycle
from central.elements.kinds import interval
from central.matching.share_views import standing
from central.records import Ended, PilotRow
from central.several.gossip import Decided
from pilot.errors import PilotageError
from pilot.states import PilotReason, PilotState
from pilot.use import ShareView
from wrappers.render import render

log = logging.getLogger(__name__)

#: What is led by one central at a time.
DUTY = "central"
#: The log stream of a pilot that has what the computing element kept of its output.
STREAM = "ce"
#: Different words of a computing element about waiting pilots that other centrals are told.
MOST_WORDS = 10


class Directors:
    """One director for each queue in force that gets pilots; they come and go with the queues."""

    def __init__(self, central: Central) -> None:
        self._central = central
        self._settings: CentralSettings | None = None  # those that were seen last
        self._origin: Origin | None = None
        self._cycles: dict[str, tuple[Queue, Cycle]] = {}
        self._board = Board()
        self._uses = Uses(central.store)
        self._giving_way = Cycle(
            "the shares of communities in clouds", INTERVAL, _giving_way(central, self._board).turn
        )

    async def begin(self) -> None:
        """Make those of the queues in the file. Raises `PilotageError` for one whose director cannot begin."""
        for queue in self._central.settings.queues:
            if queue.kind != EXTERNAL:
                self._cycles[queue.name] = (queue, await self._cycle(queue))

    async def cycles(self) -> Sequence[Cycle]:
        """What the leader does for each queue, again and again, by the settings in force now."""
        settings = self._central.settings
        if settings is not self._settings:
            self._settings = settings
            self._cycles = {name: made async for name, made in self._made(settings.queues)}
        found = [cycle for _, cycle in self._cycles.values()]
        return [*found, self._giving_way] if any(queue.cloud for queue in settings.queues) else found

    async def _made(self, queues: Sequence[Queue]) -> AsyncIterator[tuple[str, tuple[Queue, Cycle]]]:
        for queue in queues:
            known = self._cycles.get(queue.name)
            if queue.kind == EXTERNAL:
                continue
            if known and known[0] == queue:
                yield queue.name, known
                continue
            try:
                cycle = await self._cycle(queue)
            except Exception as problem:  # an adapter may be anybody's, and one queue is not to end the central
                log.warning("The director of queue %s cannot begin: %s", queue.name, problem, exc_info=problem)
                why = f"its director cannot begin: {problem}"
                self._central.decided(queue.name, why, Decided(queue.name, why, Cause.CLOSED.value))
            else:
                yield queue.name, (queue, cycle)

    async def _cycle(self, queue: Queue) -> Cycle:
        self._origin = self._origin or origin(self._central)
        director = await _director(self._central, queue, self._origin, self._board, self._uses)

        async def turn(epoch: int) -> None:
            await director.cycle(epoch)
            self._central.decided(queue.name, director.decision.why, _told(director))

        return Cycle(f"the director of queue {queue.name}", interval(queue), turn, over=director.computing.close)


def _told(director: SiteDirector) -> Decided:
    """What a director has to say after a turn."""
    decision = director.decision
    return Decided(
        director.plan.name,
        decision.why,
        decision.cause.value,
        director.looked,
        director.since,
        decision.until,
        director.waits[:MOST_WORDS],
    )


async def _director(central: Central, queue: Queue, origin: Origin, board: Board, uses: Uses) -> SiteDirector:
    computing = await element(central, queue)

    def script(stamp: str) -> str:
        """Machines are told by user-data, which their element makes."""
        return "" if queue.cloud else render(bootstrap(central, queue, computing, stamp, origin))

    async def unfit() -> str:
        problems = await central.bundles.problems(queue)
        return f"its pilots could not run: {problems[0]}" if problems else ""

    def over(row: PilotRow, state: PilotState, reason: PilotReason, ends: Sequence[Ended]) -> None:
        aftermath.ended(central, row, ends)
        aftermath.gone(central, row, state, reason)

    async def keep(stamp: str, output: bytes) -> None:
        try:
            await central.logs.append(stamp, STREAM, 0, output, True)
        except (OSError, PilotageError) as error:
            log.warning("What a pilot printed is not kept", extra={"fields": {"stamp": stamp, "error": error}})

    plan, store = plan_of(queue), central.store
    cloud = cloud_of(computing)
    pricing = Pricing(queue, cloud.price if cloud else None)
    submitting = Submitting(plan, store, computing, DUTY, script, pricing.tariff)
    tidying = Tidying(plan, store, computing, over, keep)
    alarm = partial(central.alarm, queue.name, about="machines")
    return SiteDirector(
        plan,
        store,
        computing,
        submitting,
        Following(plan, store, computing, submitting, tidying, partial(aftermath.drained, central), alarm),
        board,
        _worth(queue, cloud, pricing, uses),
        waiting=partial(_waiting, central, queue),
        idle_cores=central.dispatcher.idle_cores,
        asks=lambda stamp: bool(central.presence.free(stamp)),
        unfit=unfit,
        rest=central.clock.sleep,
    )


async def _waiting(central: Central, queue: Queue) -> Sequence[Wait]:
    """The jobs that fit a queue, within the limits on what runs."""
    offer = expected(queue)
    uses = await central.store.limits() if central.settings.limits else ()
    return waits(central.dispatcher.queues.fitting(offer), offer, uses)


def _giving_way(central: Central, board: Board) -> GivingWay:
    async def shares() -> Sequence[ShareView]:
        settings = central.settings
        return standing(settings.communities, await central.store.consumed(settings.shares.half_life))

    return GivingWay(
        central.store,
        board,
        lambda: central.settings.queues,
        waiting=partial(_waiting, central),
        shares=shares,
        idle_cores=central.presence.idle_cores,
        drain=partial(aftermath.drained, central),
    )


def _worth(queue: Queue, cloud: CloudElement | None, pricing: Pricing, uses: Uses) -> Worth:
    """Of what is no cloud there is nothing to ask: it is there anyway, for what the settings say."""
    spot = queue.cloud is not None and queue.cloud.spot

    async def price(now: float) -> float | None:
        if cloud and spot and not queue.price:
            hour = await cloud.market_hour(now)
            if hour is not None:
                return hour
        tariff = await pricing.tariff(now)
        return tariff.hour if tariff else None

    async def use(now: float) -> Use:
        return await uses.of(queue.name, now) if cloud else Use()

    return Worth(price, use, spot)
