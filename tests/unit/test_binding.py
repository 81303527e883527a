"""Where payloads share an account: one community a pilot, that of its first job, whoever else asks and waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from central.dispatching.dispatch import RECOVERY, UNUSED_FOR, Dispatcher
from central.dispatching.held import Answer
from central.fleet.presence import Presence
from central.matching.reservations import TURN
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import MatchRequest, Offer
from tests.unit.clockwork import Clockwork, settled
from tests.unit.matching_scene import offer, task
from tests.unit.matching_store import MatchingStore
from tests.unit.pilot_rows import STAMP, pilot

OTHER = "b" * 32
BOTH = ("c", "d")
C, D = task(1, community="c"), task(2, community="d")


class Scene:
    """Dispatchers over one store in memory; pilots are for both communities."""

    def __init__(self, together: bool = False) -> None:
        self.store = MatchingStore()
        self.clock = Clockwork()
        self.presences = [Presence(self.clock.now), Presence(self.clock.now)]
        self.dispatchers = [
            Dispatcher(
                cast(Store, self.store), presence, self.clock, 100, jitter=lambda: 0.5, together=lambda queue: together
            )
            for presence in self.presences
        ]
        self.numbers: dict[tuple[str, int], int] = {}

    def ask(
        self,
        stamp: str = STAMP,
        node: Offer | None = None,
        *,
        agent: int = 1,
        at: int = 0,
        wait: float = 0.0,
        most: int = 100,
        **row: object,
    ) -> asyncio.Task[Answer]:
        """An agent's next match request, at one of the centrals. What that knows of the pilot is old: nothing of its
        being bound, unless the test says so."""
        number = self.numbers[stamp, agent] = self.numbers.get((stamp, agent), 0) + 1
        request = MatchRequest(number, node or offer(communities=BOTH), agent=agent, most=most, wait=wait)
        known = pilot(stamp, **{"communities": BOTH, **row})
        return asyncio.create_task(self.dispatchers[at].match(known, request))

    def submit(self, *args: Any, **more: Any) -> None:
        added = self.store.submit(*args, **more)
        for dispatcher in self.dispatchers:
            dispatcher.jobs_added(added)

    def counted(self, at: int = 0) -> dict[str, int]:
        """What waits, as a central has it in memory."""
        return {task.community: number for task, number in self.dispatchers[at].queues.queues() if number}

    def binds(self) -> int:
        return self.store.calls.count("bind")


def play(scenario: Callable[[Scene], Coroutine[Any, Any, None]], together: bool = False) -> None:
    async def run() -> None:
        scene = Scene(together)
        for dispatcher in scene.dispatchers:
            await dispatcher.start()
        await asyncio.wait_for(scenario(scene), 30)

    asyncio.run(run())


def whose(answer: Answer) -> str:
    """The communities of the jobs that an answer gives."""
    return "".join(lease.community for lease in answer.leases)


# -- one pilot ---------------------------------------------------------------------------------------------------------


def test_jobs_of_one_community_alone() -> None:
    """What was chosen of another waits on, and is for other pilots; asking for the next jobs binds nobody again."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C, 3)
        scene.submit(D, 3)
        assert set(whose(await scene.ask(most=4))) == {"c"}
        assert scene.counted()["d"] == 3
        scene.submit(C, 1)
        assert set(whose(await scene.ask(most=4))) == {"c"}
        assert whose(await scene.ask()) == ""
        assert whose(await scene.ask(OTHER)) == "ddd"
        assert scene.counted() == {}
        assert scene.binds() == 2

    play(scenario)


def test_what_a_bound_pilot_is_told() -> None:
    """That nothing of its community waits, whatever waits of others."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C)
        await scene.ask()
        scene.submit(D)
        answer = await scene.ask()
        assert (answer.reason, answer.detail) == ("nothing-waits", "no job of c waits")

    play(scenario)


def test_a_request_that_waits_is_bound_by_the_job_that_wakes_it() -> None:
    """Who waits is for every community, until it is given a job."""

    async def scenario(scene: Scene) -> None:
        asked = scene.ask(wait=30)
        await settled()
        scene.submit(D)
        assert whose(await asked) == "d"
        asked = scene.ask(wait=30)
        await settled()
        scene.submit(C)
        await settled()
        assert not asked.done()
        scene.submit(D)
        assert whose(await asked) == "d"
        assert scene.counted() == {"c": 1}

    play(scenario)


@pytest.mark.parametrize("why", ["the operator's word", "proven isolation", "one community"])
def test_who_need_not_be_bound(why: str) -> None:
    """Where the operator lets communities share, where each payload is proven to be alone, and where there is one
    community, nothing is asked of the store, and whoever fits is served."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C, 2)
        scene.submit(D, 2)
        one = why == "one community"
        communities = ("d",) if one else BOTH
        node = offer(communities=communities, isolation=why == "proven isolation")
        answer = await scene.ask(node=node, communities=communities)
        assert sorted(whose(answer)) == list("dd" if one else "ccdd")
        assert scene.binds() == 0

    play(scenario, together=why == "the operator's word")


def test_a_pilot_that_offers_to_serve_one() -> None:
    """What it offers is its word of today: it is bound all the same."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C)
        scene.submit(D)
        assert whose(await scene.ask(node=offer(communities=("d",)))) == "d"
        assert whose(await scene.ask()) == ""

    play(scenario)


def test_a_pilot_that_can_prove_it_no_more() -> None:
    """It is bound to whom it serves."""

    async def scenario(scene: Scene) -> None:
        scene.submit(D)
        assert whose(await scene.ask(node=offer(communities=BOTH, isolation=True))) == "d"
        scene.submit(C)
        assert whose(await scene.ask()) == ""
        scene.submit(D)
        assert whose(await scene.ask()) == "d"

    play(scenario)


def test_who_got_nothing_is_not_bound() -> None:
    """A pilot whose jobs others have taken meanwhile is there for every community."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C)
        scene.store.jobs.clear()  # another central was faster
        assert whose(await scene.ask()) == ""
        scene.submit(D)
        assert whose(await scene.ask()) == "d"

    play(scenario)


def test_room_kept_for_others_is_kept_no_more() -> None:
    """A place kept for a wide job of another community is for everybody of its own, once the pilot is bound."""

    async def scenario(scene: Scene) -> None:
        reservations = scene.dispatchers[0].reservations
        narrow = offer(communities=BOTH, cores=2, empty=False)
        await scene.ask(agent=2)
        scene.submit(task(3, community="d", cores=8, max_cores=8), priority=9)
        await scene.clock.advance(TURN)
        await scene.ask(node=narrow, agent=2)
        assert len(reservations) == 1
        scene.submit(C, 3)
        assert whose(await scene.ask(node=narrow)) == "cc"
        assert whose(await scene.ask(node=narrow, agent=2)) == "c"
        assert len(reservations) == 0

    play(scenario)


# -- several agents, several centrals ----------------------------------------------------------------------------------


def test_agents_of_one_pilot_share_its_community() -> None:
    """The first job given to one of them binds them all, also those whose requests wait already."""

    async def scenario(scene: Scene) -> None:
        waits = scene.ask(agent=2, wait=30)
        await settled()
        scene.submit(task(1, community="c", cores=4, max_cores=4))
        assert whose(await waits) == "c"
        waits = scene.ask(agent=2, node=offer(communities=BOTH, cores=1), wait=30)
        third = scene.ask(agent=3, wait=30)
        await settled()
        scene.submit(D)
        await settled()
        assert not waits.done()
        assert not third.done()
        scene.submit(task(3, community="c"))
        assert whose(await waits) == "c"
        scene.dispatchers[0].close()
        await asyncio.gather(third, return_exceptions=True)

    play(scenario)


def test_who_waits_behind_a_bound_pilot() -> None:
    """A request of another pilot, which was alike until then, gets what the bound one may not have."""

    async def scenario(scene: Scene) -> None:
        small = offer(communities=BOTH, cores=1)
        bound = scene.ask(agent=2, node=small, wait=30)
        other = scene.ask(OTHER, small, wait=30)
        await settled()
        scene.submit(task(1, community="c", cores=4, max_cores=4))
        assert whose(await scene.ask()) == "c"
        scene.submit(D)
        assert whose(await other) == "d"
        assert not bound.done()
        scene.dispatchers[0].close()
        await asyncio.gather(bound, return_exceptions=True)

    play(scenario)


def test_two_agents_at_once() -> None:
    """Of jobs of two communities that are chosen at the same moment one is given, and the other waits on."""

    async def scenario(scene: Scene) -> None:
        scene.store.door.clear()
        scene.submit(C)
        first = scene.ask(agent=1)
        await settled()
        scene.submit(D)
        second = scene.ask(agent=2)
        await settled()
        scene.store.door.set()
        given = whose(await first) + whose(await second)
        assert given in ("c", "d")
        assert scene.counted() == {"d" if given == "c" else "c": 1}
        assert whose(await scene.ask(OTHER)) in ("c", "d")
        assert scene.counted() == {}

    play(scenario)


def test_two_centrals_over_one_store() -> None:
    """What one does not know of the other the store tells it; the jobs that it had chosen wait on, and it goes on with
    those of the pilot's community."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C)
        assert whose(await scene.ask(at=0)) == "c"
        scene.submit(D, 2)
        assert whose(await scene.ask(at=1)) == ""
        assert scene.counted(1) == {"d": 2}
        scene.submit(task(3, community="c"))
        assert whose(await scene.ask(at=1)) == "c"
        assert whose(await scene.ask(OTHER, at=1)) == "dd"

    play(scenario)


def test_centrals_of_two_minds() -> None:
    """Where one central has bound the pilot and another has not heard of the rule yet, the claim decides; nothing that
    it did not give is lost."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C)
        assert whose(await scene.ask()) == "c"
        scene.store.bound[STAMP] = "c"
        scene.submit(D)
        answer = await scene.ask()
        assert (answer.leases, answer.reason) == ((), "nothing-waits")
        assert scene.counted() == {"d": 1}
        assert whose(await scene.ask(OTHER)) == "d"

    play(scenario, together=True)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_client_that_goes_while_its_pilot_is_bound() -> None:
    """The claim goes on to its end; the same request gets its answer, and nothing is lost."""

    async def scenario(scene: Scene) -> None:
        scene.store.door.clear()
        scene.submit(C)
        scene.submit(D)
        asked = scene.ask()
        await settled()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        scene.store.door.set()
        scene.numbers[STAMP, 1] = 0
        given = whose(await scene.ask())
        assert given in ("c", "d")
        assert whose(await scene.ask(OTHER)) == ("d" if given == "c" else "c")
        assert scene.counted() == {}

    play(scenario)


def test_a_store_in_trouble_loses_nothing() -> None:
    """Jobs chosen for a pilot that could not be bound are offered to others soon."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C)
        scene.submit(D)
        await scene.ask(most=0)  # from now on the store is not asked what a number got before
        scene.store.error = Refusal("busy", "the disk is slow")
        with pytest.raises(Refusal, match="slow"):
            await scene.ask()
        assert scene.store.calls[-1] == "bind"
        assert scene.counted() == {"c": 1, "d": 1}
        waits = scene.ask(OTHER, wait=30)
        await scene.clock.advance(RECOVERY)
        assert len(whose(await waits)) == 1

    play(scenario)


def test_a_claim_that_fails_leaves_the_pilot_to_everybody() -> None:
    """Bound for jobs that it was not given, it may serve another community; the jobs wait on."""

    async def scenario(scene: Scene) -> None:
        await scene.ask(most=0)
        bind = scene.store.bind

        async def and_then(stamp: str, community: str) -> str:
            bound = await bind(stamp, community)
            scene.store.error = Refusal("busy", "the disk is slow")
            return bound

        scene.submit(C)
        scene.store.bind = and_then  # type: ignore[method-assign]
        with pytest.raises(Refusal, match="slow"):
            await scene.ask()
        scene.store.bind = bind  # type: ignore[method-assign]
        assert scene.counted() == {"c": 1}
        assert whose(await scene.ask(OTHER)) == "c"
        scene.submit(D)
        assert whose(await scene.ask()) == "d"

    play(scenario)


# -- what others see of it ---------------------------------------------------------------------------------------------


def test_idle_cores_are_for_its_community() -> None:
    """What a bound pilot has left is no supply for the jobs of others, of whichever agent."""

    async def scenario(scene: Scene) -> None:
        dispatcher = scene.dispatchers[0]
        await scene.ask(agent=2)
        scene.submit(C)
        await scene.ask()
        scene.submit(D)
        assert dispatcher.idle_cores((STAMP,)) == 0
        assert {free.offer.communities for free in scene.presences[0].free(STAMP)} == {("c",)}
        scene.submit(task(3, community="c", cores=64, max_cores=64))
        assert dispatcher.idle_cores((STAMP,)) == 0
        scene.submit(task(4, community="c"))
        assert dispatcher.idle_cores((STAMP,)) == 8 + 7

    play(scenario)


def test_what_is_remembered_is_forgotten() -> None:
    """Of a pilot that has long not asked the store knows to whom it is bound."""

    async def scenario(scene: Scene) -> None:
        scene.submit(C)
        await scene.ask()
        await scene.clock.advance(UNUSED_FOR + 1)
        scene.dispatchers[0].tidy()
        scene.submit(D)
        assert whose(await scene.ask()) == ""
        assert scene.binds() == 2

    play(scenario)
