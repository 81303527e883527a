"""What the dispatcher gives to whom: shares, full limits, machines that are suspect, and pilots kept for wide jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from central.configuration.settings import Community, Group
from central.dispatching.dispatch import POLL, Dispatcher
from central.dispatching.doubting import LOOK as LOOK_AGAIN
from central.dispatching.held import Answer
from central.fleet.presence import Presence
from central.matching.limits import RETRY, SOON
from central.matching.reservations import HOLD, LOOK, PATIENCE, TURN
from central.matching.shares import Standings
from central.records import Consumed, Limit, Suspicion, TaskQueue
from central.store.port import Store
from pilot.protocol import MatchRequest, Offer
from tests.unit.clockwork import Clockwork, settled
from tests.unit.matching_scene import GB, HOUR, needs, offer, task
from tests.unit.matching_store import MatchingStore
from tests.unit.pilot_rows import STAMP, pilot

OTHER = "b" * 32
WIDE = {"cores": 8, "max_cores": 8}


class Scene:
    """A dispatcher over a store in memory."""

    def __init__(self, *communities: Community) -> None:
        self.store = MatchingStore()
        self.clock = Clockwork()
        self.presence = Presence(self.clock.now)
        store = cast(Store, self.store)
        self.dispatcher = Dispatcher(
            store, self.presence, self.clock, 100, jitter=lambda: 0.5, standings=Standings(communities)
        )
        self.numbers: dict[str, int] = {}

    def ask(
        self, stamp: str = STAMP, node: Offer | None = None, *, wait: float = 0.0, most: int = 100, **row: object
    ) -> asyncio.Task[Answer]:
        self.numbers[stamp] = self.numbers.get(stamp, 0) + 1
        request = MatchRequest(self.numbers[stamp], node or offer(), most=most, wait=wait)
        return asyncio.create_task(self.dispatcher.match(pilot(stamp, **row), request))

    def submit(self, *args: Any, **more: Any) -> None:
        self.dispatcher.jobs_added(self.store.submit(*args, **more))


def play(scenario: Callable[[Scene], Coroutine[Any, Any, None]], *communities: Community) -> None:
    async def run() -> None:
        scene = Scene(*communities)
        await scene.dispatcher.start()
        await asyncio.wait_for(scenario(scene), 30)

    asyncio.run(run())


def queues(answer: Answer) -> list[int]:
    return [lease.queue for lease in answer.leases]


def of_group(id: int, group: str, owner: str = "o", **fields: Any) -> TaskQueue:
    return TaskQueue(id, "c", group, owner, needs(**fields))


# -- shares -----------------------------------------------------------------------------------------------------------


def test_one_large_offer_is_shared_out() -> None:
    """Two groups of shares 3 and 1 get three and one of every four jobs, within one answer."""

    async def scenario(scene: Scene) -> None:
        scene.submit(of_group(1, "big"), 500)
        scene.submit(of_group(2, "small"), 500)
        given = queues(await scene.ask(node=offer(cores=64, memory=64 * GB)))
        assert (given.count(1), given.count(2)) == (48, 16)

    play(scenario, Community("c", 1.0, (Group("big", 3.0), Group("small", 1.0))))


def test_what_the_store_says_was_used_decides() -> None:
    """Whoever used less goes first after the next reading, whatever the priorities of others."""

    async def scenario(scene: Scene) -> None:
        scene.store.used = [Consumed("c", "g", "heavy", 1e6, 10), Consumed("c", "g", "light", 1e3, 0)]
        await scene.dispatcher.refresh_use()
        scene.submit(task(1, owner="heavy"), 50, priority=10)
        scene.submit(task(2, owner="light"), 5, priority=1)
        assert queues(await scene.ask()) == [2] * 5 + [1] * 3

    play(scenario)


def test_a_claim_that_wins_nothing_costs_no_share() -> None:
    """Jobs that were gone when the claim came are not reckoned as used."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1, owner="unlucky"), 8)
        scene.store.jobs.clear()
        assert queues(await scene.ask()) == []
        assert scene.dispatcher.standings.account("c", "g", "unlucky").level == 0.0

    play(scenario)


# -- limits -----------------------------------------------------------------------------------------------------------


async def limited(scene: Scene, *limits: Limit) -> None:
    scene.store.bounds = {limit.name: limit for limit in limits}
    await scene.dispatcher.refresh_use()


def test_a_full_limit_starves_nobody_and_loses_no_job() -> None:
    """What is over a limit waits on and stays counted; what is not gets its turn in the same answer or the next."""

    async def scenario(scene: Scene) -> None:
        await limited(scene, Limit("two", attempts=2, site="here", owner="ada"))
        scene.submit(task(1, owner="ada"), 5, priority=10)
        assert queues(await scene.ask()) == [1, 1]
        scene.submit(task(2, owner="bob"), 3)
        assert queues(await scene.ask()) == [2, 2, 2]
        assert {queue.id: number for queue, number in scene.dispatcher.queues.queues()} == {1: 3}
        claims = len(scene.store.claims)
        answer = await scene.ask()
        assert (answer.reason, answer.detail) == ("limit", "what fits has to wait: two is full")
        assert len(scene.store.claims) == claims
        assert queues(await scene.ask(OTHER, site="there")) == [1, 1, 1]

    play(scenario)


def test_a_full_limit_is_found_out_once_and_others_go_on() -> None:
    """With a limit on every one of twenty owners, all full, a request does not claim once for each of them."""

    async def scenario(scene: Scene) -> None:
        limits = [Limit(f"l{number}", attempts=1, owner=f"o{number}") for number in range(20)]
        scene.store.out = {limit.name: (1, 1) for limit in limits}
        await limited(scene, *limits)
        for number in range(20):
            scene.submit(task(1 + number, owner=f"o{number}"), 5, priority=10)
        scene.submit(task(99, owner="free"), priority=1)
        await scene.clock.advance(RETRY + 1)
        assert queues(await scene.ask(most=1)) == [99]
        assert len(scene.store.claims) <= 2

    play(scenario)


def test_a_held_request_is_served_when_a_limit_opens() -> None:
    """After attempts have ended, and also when nobody told, a full limit is tried for whoever waits."""

    async def scenario(scene: Scene) -> None:
        await limited(scene, Limit("one", attempts=1))
        scene.submit(task(1), 3)
        assert queues(await scene.ask()) == [1]
        held = scene.ask(OTHER, wait=30)
        await settled()
        assert not held.done()
        scene.store.end("one")
        scene.dispatcher.attempts_ended()
        await scene.clock.advance(SOON)
        await settled()
        assert queues(await held) == [1]
        held = scene.ask(OTHER, wait=30)
        await settled()
        scene.store.end("one")
        await scene.clock.advance(RETRY + 0.1)
        await settled()
        assert queues(await held) == [1]

    play(scenario)


def test_one_that_finds_a_limit_open_again_wakes_the_others() -> None:
    """A limit is tried by one request; when there is room, all who wait for it are served."""

    async def scenario(scene: Scene) -> None:
        scene.store.out = {"five": (5, 5)}
        await limited(scene, Limit("five", attempts=5))
        scene.submit(task(1, owner="a"), 2)
        scene.submit(task(2, owner="b"), 2)
        held = [scene.ask(stamp, offer(cores=2), wait=30) for stamp in (STAMP, OTHER)]
        await settled()
        scene.store.end("five", 5)
        await scene.clock.advance(RETRY + 0.1)
        await settled()
        assert [len(queues(await request)) for request in held] == [2, 2]

    play(scenario)


def test_a_full_limit_costs_a_held_request_few_claims() -> None:
    """While it waits for a limit that stays full, it claims once in several seconds."""

    async def scenario(scene: Scene) -> None:
        await limited(scene, Limit("one", attempts=0))
        scene.submit(task(1), 1000)
        held = [scene.ask(f"{number:032x}", wait=30) for number in range(10)]
        await scene.clock.advance(29)
        assert len(scene.store.claims) <= 29 / RETRY + 1
        for request in held:
            request.cancel()

    play(scenario)


def test_a_limit_that_the_store_says_is_open_serves_those_who_wait() -> None:
    """Reading the limits wakes whoever waited for one."""

    async def scenario(scene: Scene) -> None:
        scene.store.out = {"one": (1, 1)}
        await limited(scene, Limit("one", attempts=1))
        scene.submit(task(1))
        held = scene.ask(wait=30)
        await settled()
        assert not scene.store.claims
        scene.store.end("one")
        await scene.dispatcher.refresh_use()
        assert queues(await held) == [1]

    play(scenario)


# -- machines that are suspect ----------------------------------------------------------------------------------------


def doubt(scene: Scene, next: float, trying: bool = False) -> Suspicion:
    """What is held against a machine that is tried again so many seconds from now."""
    now = scene.store.time
    return Suspicion(12, now - 50, now - 20, now + next, trying)


def doubted(
    scene: Scene, next: float, trying: bool = False, stamp: str = STAMP, wait: float = 0.0
) -> asyncio.Task[Answer]:
    """A request of a pilot on such a machine."""
    scene.store.doubts[stamp] = doubt(scene, next, trying)
    return scene.ask(stamp, wait=wait, suspect=scene.store.doubts[stamp], host="node7")


def test_a_suspect_machine_gets_one_job_and_not_before_its_time() -> None:
    """Before that, and while one tries it, the answer says why and when to ask again."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 9)
        early = await doubted(scene, +40)
        assert (early.leases, early.reason) == ((), "banned")
        assert early.detail.startswith("the machine is suspect for 20s: 12 jobs failed")
        assert 40 <= early.retry_after <= 40 + POLL
        trying = await doubted(scene, -1, trying=True)
        assert (trying.leases, trying.reason) == ((), "banned")
        assert not scene.store.claims
        assert queues(await doubted(scene, -1)) == [1]

    play(scenario)


def test_who_waits_on_a_suspect_machine_is_woken_when_it_is_trusted() -> None:
    """Every agent and pilot there, as soon as an attempt there has ended well; one ended elsewhere wakes nobody."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 200)
        here = [doubted(scene, -1, trying=True, stamp=stamp, wait=30) for stamp in (STAMP, OTHER)]
        await settled()
        assert scene.presence.free(STAMP), "what it has left is known while it waits"
        asked = len(scene.store.calls)
        scene.dispatcher.attempts_ended_on("here", "node8")
        scene.dispatcher.attempts_ended_on("there", "node7")
        await settled()
        assert len(scene.store.calls) == asked
        scene.store.doubts.clear()
        scene.dispatcher.attempts_ended_on("here", "node7")
        await settled()
        assert [len(one.result().leases) for one in here] == [8, 8]

    play(scenario)


def test_a_request_that_waits_is_woken_when_the_pause_is_over() -> None:
    """One job tries the machine then; a second request goes on waiting until that has ended."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 9)
        first, second = doubted(scene, +3, wait=30), doubted(scene, +3, stamp=OTHER, wait=30)
        await settled()
        scene.store.time += 3
        scene.store.doubts[OTHER] = doubt(scene, -1, trying=True)
        await scene.clock.advance(3)
        assert queues(await first) == [1]
        scene.dispatcher.attempts_ended_on("here", "node7")
        await settled()
        assert not second.done()
        scene.store.doubts.clear()
        scene.dispatcher.attempts_ended_on("here", "node7")
        assert len((await second).leases) == 8

    play(scenario)


def test_what_another_central_heard_of_a_suspect_machine_is_found_out() -> None:
    """Nobody tells of it: the machine is looked at again in a few seconds."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1))
        held = doubted(scene, +40, wait=30)
        await settled()
        scene.store.doubts.clear()
        await scene.clock.advance(LOOK_AGAIN)
        assert queues(await held) == [1]

    play(scenario)


def test_a_request_on_a_suspect_machine_ends_in_time() -> None:
    """With the reason, to be asked again at once, since it has waited; new jobs do not wake it, a drain does."""

    async def scenario(scene: Scene) -> None:
        held, drained = doubted(scene, +90, wait=12), doubted(scene, +90, stamp=OTHER, wait=30)
        await settled()
        scene.submit(task(1), 9)
        await settled()
        assert not scene.store.claims
        scene.dispatcher.draining(OTHER)
        assert (await drained).reason == "draining"
        for _ in range(3):
            await scene.clock.advance(4)
            await settled()
        answer = await held
        assert (answer.reason, answer.retry_after) == ("banned", 0.5)

    play(scenario)


def test_cores_of_a_suspect_machine_are_no_supply() -> None:
    """What its pilots have left serves nobody while they wait for it to be tried."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 8)
        held = doubted(scene, +90, wait=12)
        await settled()
        assert scene.dispatcher.idle_cores([STAMP]) == 0
        scene.store.doubts.clear()
        scene.dispatcher.attempts_ended_on("here", "node7")
        await held
        assert scene.dispatcher.idle_cores([STAMP]) == 0
        scene.submit(task(2), 9)
        await scene.ask(OTHER, node=offer(cores=16))
        scene.submit(task(3), 9)
        assert scene.dispatcher.idle_cores([OTHER]) == 7

    play(scenario)


def test_a_machine_that_the_store_knows_to_be_suspect_loses_no_jobs() -> None:
    """When the store refuses for that reason, the pilot hears it and the jobs go to others."""

    async def scenario(scene: Scene) -> None:
        scene.store.barred[STAMP] = "suspect"
        scene.store.doubts[STAMP] = doubt(scene, +40)
        scene.submit(task(1), 2)
        answer = await scene.ask()
        assert (answer.reason, answer.detail[:22]) == ("banned", "the machine is suspect")
        assert queues(await scene.ask(OTHER)) == [1, 1]

    play(scenario)


def test_a_machine_found_suspect_while_it_claimed_gets_one_job() -> None:
    """What it was not given because of that waits still, and goes to others at once."""

    async def scenario(scene: Scene) -> None:
        scene.store.suspects.add(STAMP)
        scene.submit(task(1), 5)
        assert queues(await scene.ask()) == [1]
        assert queues(await scene.ask(OTHER)) == [1] * 4

    play(scenario)


# -- wide jobs --------------------------------------------------------------------------------------------------------


def test_a_pilot_is_kept_for_a_wide_job_whose_turn_it_is() -> None:
    """Narrow jobs do not take what becomes free, until the wide one has started there; elsewhere they go on."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(2), 100, priority=1)
        for stamp in (STAMP, OTHER):
            assert queues(await scene.ask(stamp)) == [2] * 8
        scene.submit(task(1, **WIDE), 1, priority=9)
        await scene.clock.advance(TURN)
        kept = await scene.ask(node=offer(cores=2, empty=False))
        assert (kept.leases, kept.reason) == ((), "nothing-fits")
        assert kept.detail.startswith("8 cores are kept for a job of o that needs more room than is free")
        assert queues(await scene.ask(OTHER, offer(cores=2, empty=False))) == [2, 2]
        assert queues(await scene.ask(node=offer(cores=6, empty=False))) == []
        assert queues(await scene.ask(node=offer(cores=8))) == [1]
        assert queues(await scene.ask(node=offer(cores=2, empty=False))) == [2, 2]
        assert len(scene.dispatcher.reservations) == 0

    play(scenario)


def test_what_the_wide_job_would_leave_goes_to_others() -> None:
    """Only what it needs is kept: of more cores than that, narrow jobs get the rest."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(2), 100, priority=1)
        node = offer(cores=16, memory=20 * GB)
        assert len(queues(await scene.ask(node=node))) == 16
        scene.submit(task(1, memory=16 * GB, cores=4, max_cores=4), 1, priority=9)
        await scene.clock.advance(TURN)
        assert queues(await scene.ask(node=offer(cores=6, memory=4 * GB, empty=False))) == [2, 2]

    play(scenario)


def test_a_pilot_that_is_nearer_takes_over() -> None:
    """A queue has one pilot kept for it: that on which most is free."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(2), 100, priority=1)
        for stamp in (STAMP, OTHER):
            await scene.ask(stamp)
        scene.submit(task(1, **WIDE), 1, priority=9)
        await scene.clock.advance(TURN)
        assert queues(await scene.ask(node=offer(cores=1, empty=False))) == []
        assert queues(await scene.ask(OTHER, offer(cores=7, empty=False))) == []
        assert queues(await scene.ask(node=offer(cores=1, empty=False))) == [2]
        kept = scene.dispatcher.reservations.of_queue(1, scene.clock.now())
        assert kept is not None
        assert (kept.stamp, kept.free) == (OTHER, 7)

    play(scenario)


def test_a_wide_job_that_has_waited_too_long_goes_before_its_turn() -> None:
    """Narrow jobs of higher priority pass it for a while, not for ever; one for idle pilots only waits on."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(2), 1000, priority=9)
        await scene.ask()
        scene.submit(task(1, **WIDE), 1, priority=1)
        scene.submit(task(3, cores=7, max_cores=7), 1, priority=0)
        await scene.clock.advance(PATIENCE - 10)
        scene.dispatcher.tidy()
        assert queues(await scene.ask(node=offer(cores=1, empty=False))) == [2]
        await scene.clock.advance(11)
        scene.dispatcher.tidy()
        assert queues(await scene.ask(node=offer(cores=1, empty=False))) == []
        assert queues(await scene.ask(node=offer(cores=8))) == [1]

    play(scenario)


def test_a_pilot_is_not_kept_for_ever() -> None:
    """The hold ends with its time, with the queue's last job, and with the pilot."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(2), 100, priority=1)
        await scene.ask()
        scene.submit(task(1, **WIDE), 1, priority=9)
        await scene.clock.advance(TURN)
        node = offer(cores=2, empty=False)
        assert queues(await scene.ask(node=node, most=1)) == []
        scene.dispatcher.jobs_removed(scene.store.kill(101))
        assert queues(await scene.ask(node=node, most=1)) == [2]
        scene.submit(task(1, **WIDE), 1, priority=9)
        await scene.clock.advance(max(TURN, LOOK))
        assert queues(await scene.ask(node=node, most=1)) == []
        scene.dispatcher.draining(STAMP)
        assert len(scene.dispatcher.reservations) == 0

    play(scenario)


def test_a_hold_ends_when_the_job_could_no_longer_end_in_time() -> None:
    """A pilot is kept only as long as the wide job would still end before the pilot does, and an hour at most."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(2, wall_time=60), 100, priority=1)
        await scene.ask()
        scene.submit(task(1, **WIDE), 1, priority=9)
        await scene.clock.advance(TURN)
        await scene.ask(node=offer(cores=2, empty=False, seconds_left=HOUR + 100))
        kept = scene.dispatcher.reservations.of_queue(1, scene.clock.now())
        assert kept is not None
        assert kept.until == scene.clock.now() + 100 <= scene.clock.now() + HOLD
        await scene.clock.advance(101)
        assert queues(await scene.ask(node=offer(cores=2, empty=False, seconds_left=HOUR - 1))) == [2, 2]

    play(scenario)


def test_a_queue_that_is_served_elsewhere_has_no_pilot_kept() -> None:
    """Wide jobs that start regularly need no help."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(2), 100, priority=1)
        await scene.ask()
        scene.submit(task(1, **WIDE), 9, priority=9)
        for _ in range(5):
            await scene.clock.advance(TURN - 1)
            assert queues(await scene.ask(OTHER)) == [1]
            assert queues(await scene.ask(node=offer(cores=2, empty=False))) == [2, 2]
        assert len(scene.dispatcher.reservations) == 0

    play(scenario)
