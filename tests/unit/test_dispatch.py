"""A match request from the offer to the leases: held, woken, superseded, repeated, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from central.dispatching.dispatch import EMPTY_FOR, MAX_WAIT, POLL, UNUSED_FOR, Dispatcher
from central.dispatching.held import Answer
from central.fleet.presence import Presence
from central.records import Leased, Requeued
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import MatchRequest, Offer
from pilot.states import PilotState
from tests.unit.clockwork import Clockwork, settled
from tests.unit.matching_scene import GB, offer, task
from tests.unit.matching_store import MatchingStore
from tests.unit.pilot_rows import STAMP, pilot

OTHER = "b" * 32


class Scene:
    """A dispatcher over a store in memory."""

    def __init__(self, max_held: int = 100) -> None:
        self.store = MatchingStore()
        self.clock = Clockwork()
        self.presence = Presence(self.clock.now)
        store = cast(Store, self.store)
        self.dispatcher = Dispatcher(store, self.presence, self.clock, max_held, jitter=lambda: 0.5)
        self.numbers: dict[str, int] = {}

    def ask(
        self, stamp: str = STAMP, node: Offer | None = None, *, number: int = 0, wait: float = 0.0, most: int = 100
    ) -> asyncio.Task[Answer]:
        """Send a match request; without a number it is the next of this pilot."""
        self.numbers[stamp] = number or self.numbers.get(stamp, 0) + 1
        request = MatchRequest(self.numbers[stamp], node or offer(), most=most, wait=wait)
        return asyncio.create_task(self.dispatcher.match(pilot(stamp), request))

    def submit(self, *args: Any, **more: Any) -> None:
        self.dispatcher.jobs_added(self.store.submit(*args, **more))

    def waits(self) -> int:
        return sum(number for _, number in self.dispatcher.queues.queues())


def play(scenario: Callable[[Scene], Coroutine[Any, Any, None]], max_held: int = 100) -> None:
    async def run() -> None:
        scene = Scene(max_held)
        await scene.dispatcher.start()
        await asyncio.wait_for(scenario(scene), 30)

    asyncio.run(run())


def jobs(answer: Answer) -> list[int]:
    return [lease.job for lease in answer.leases]


# -- at once ----------------------------------------------------------------------------------------------------------


def test_several_jobs_come_in_one_answer() -> None:
    """A request gets as many jobs as fit its offer and as it wants, with one claim."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 20)
        assert jobs(await scene.ask(most=3)) == [1, 2, 3]
        assert jobs(await scene.ask(OTHER)) == [4, 5, 6, 7, 8, 9, 10, 11]
        assert len(scene.store.claims) == 2

    play(scenario)


def test_what_waited_before_the_start_is_found() -> None:
    """A central that starts reads what the store has."""

    async def run() -> None:
        scene = Scene()
        scene.store.submit(task(1), 2)
        await scene.dispatcher.start()
        assert jobs(await scene.ask()) == [1, 2]

    asyncio.run(run())


def test_nothing_waits() -> None:
    """An empty answer says so, with a time to ask again that differs from pilot to pilot."""

    async def scenario(scene: Scene) -> None:
        answer = await scene.ask()
        assert (answer.leases, answer.reason, answer.detail) == ((), "nothing-waits", "no job of c waits")
        assert answer.retry_after == POLL

    play(scenario)


def test_nothing_fits_names_the_nearest_miss() -> None:
    """An empty answer says what the nearest job asks for and what was offered."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1, cores=64, max_cores=64, memory=99 * GB))
        scene.submit(task(2, cores=9, max_cores=9))
        scene.submit(task(3, community="d"))
        answer = await scene.ask()
        assert answer.reason == "nothing-fits"
        assert answer.detail == "no waiting job fits; the nearest asks for 9 cores and finds 8 cores"

    play(scenario)


def test_who_has_too_little_time_is_told_how_much_the_shortest_job_needs() -> None:
    """Where nothing but time is lacking an empty answer says how much, so that the pilot can end and make room."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1, wall_time=7200))
        scene.submit(task(2, wall_time=3600))
        scene.submit(task(3, wall_time=60, cores=64, max_cores=64))
        assert (await scene.ask(node=offer(seconds_left=1800))).least_time == 3600
        scene.submit(task(4, wall_time=60))
        assert jobs(await scene.ask(node=offer(seconds_left=1800)))

    play(scenario)


def test_a_pilot_gets_jobs_only_of_what_the_central_knows_of_it() -> None:
    """Site, queue and communities are the journal's, whatever the offer claims."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1, community="d"))
        scene.submit(task(2, sites=("there",)))
        answer = await scene.ask(node=offer(communities=("c", "d"), site="there"))
        assert answer.leases == ()
        assert scene.waits() == 2

    play(scenario)


def test_a_pilot_that_drains_or_has_an_alarm_gets_nothing() -> None:
    """The reason tells the pilot not to ask again soon."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1))
        for row, reason in (
            (pilot(state=PilotState.DRAINING), "draining"),
            (pilot(OTHER, alarm="two session keys"), "banned"),
        ):
            answer = await scene.dispatcher.match(row, MatchRequest(1, offer(), wait=30))
            assert (answer.leases, answer.reason) == ((), reason)
            assert answer.retry_after > POLL
        assert not scene.store.claims

    play(scenario)


@pytest.mark.parametrize("reason", ["draining", "banned"])
def test_a_claim_refused_by_the_store_leaves_the_jobs_to_others(reason: str) -> None:
    """When the store knows better, the pilot hears the reason and whoever waits gets the jobs."""

    async def scenario(scene: Scene) -> None:
        scene.store.barred[STAMP] = reason
        scene.store.door.clear()
        scene.submit(task(1))
        barred = scene.ask()
        await settled()
        held = scene.ask(OTHER, wait=20)
        await settled()
        scene.store.door.set()
        assert (await barred).reason == reason
        assert jobs(await held) == [1]

    play(scenario)


# -- held -------------------------------------------------------------------------------------------------------------


def test_a_held_request_is_answered_when_something_fits() -> None:
    """What is added goes at once to a request that waits; what does not fit it wakes nobody."""

    async def scenario(scene: Scene) -> None:
        asked = scene.ask(wait=30)
        await scene.clock.advance(5)
        scene.submit(task(1, cores=99, max_cores=99))
        await settled()
        assert not asked.done()
        assert not scene.store.claims
        scene.submit(task(2))
        assert jobs(await asked) == [2]

    play(scenario)


def test_a_held_request_ends_with_its_time() -> None:
    """After the seconds that it may wait the request is answered with the reason, and is to be asked again soon."""

    async def scenario(scene: Scene) -> None:
        asked = scene.ask(wait=30)
        await scene.clock.advance(29.9)
        assert not asked.done()
        await scene.clock.advance(0.2)
        answer = await asked
        assert answer.reason == "nothing-waits"
        assert 0 < answer.retry_after <= 1
        scene.submit(task(1))
        assert scene.waits() == 1

    play(scenario)


def test_no_request_is_held_for_ever() -> None:
    """However long a request wants to wait, there is a bound."""

    async def scenario(scene: Scene) -> None:
        asked = scene.ask(wait=1e9)
        await scene.clock.advance(MAX_WAIT + 1)
        assert asked.done()

    play(scenario)


def test_the_longest_waiting_is_served_first() -> None:
    """Jobs that fit several held requests go to them in the order in which they came, as far as the jobs reach."""

    async def scenario(scene: Scene) -> None:
        asked = [scene.ask(f"{number:032x}", offer(cores=2), wait=30) for number in range(4)]
        await settled()
        scene.submit(task(1), 5)
        await settled()
        assert [request.done() for request in asked] == [True, True, True, False]
        assert [jobs(await request) for request in asked[:3]] == [[1, 2], [3, 4], [5]]
        asked[3].cancel()

    play(scenario)


def test_a_new_request_does_not_overtake() -> None:
    """Whoever asks in the moment in which jobs come finds them given to those who waited."""

    async def scenario(scene: Scene) -> None:
        waited = scene.ask(wait=30)
        await settled()
        late = scene.ask(OTHER)
        scene.submit(task(1))
        assert jobs(await waited) == [1]
        assert jobs(await late) == []

    play(scenario)


def test_jobs_that_come_back_wake_as_well() -> None:
    """A requeued job goes to a request that waits, also when its queue was not known here."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1))
        leases = (await scene.ask()).leases
        asked = scene.ask(OTHER, wait=30)
        await settled()
        scene.dispatcher.jobs_requeued(scene.store.put_back(leases[0]))
        assert jobs(await asked) == [1]
        scene.store.submit(task(7), 2)
        asked = scene.ask(OTHER, wait=30)
        await settled()
        scene.dispatcher.jobs_requeued([Requeued(7, 2, 5), Requeued(7, 3, 5)])
        assert jobs(await asked) == [2, 3]
        assert scene.store.calls.count("task_queue") == 1

    play(scenario)


def test_only_so_many_are_held() -> None:
    """Beyond the bound a request is refused with a time to come again, and those that wait stay."""

    async def scenario(scene: Scene) -> None:
        held = [scene.ask(f"{number:032x}", wait=30) for number in range(2)]
        await settled()
        with pytest.raises(Refusal) as caught:
            await scene.ask(OTHER, wait=30)
        assert caught.value.type == "busy"
        assert caught.value.retry_after == POLL
        scene.submit(task(1), 20)
        assert [len(jobs(await request)) for request in held] == [8, 8]
        assert len(jobs(await scene.ask(OTHER, wait=30))) == 4

    play(scenario, max_held=2)


def test_draining_answers_at_once() -> None:
    """A held request of a pilot that is to drain is answered, and it gets nothing afterwards."""

    async def scenario(scene: Scene) -> None:
        asked, other = scene.ask(wait=30), scene.ask(OTHER, wait=30)
        await settled()
        scene.dispatcher.draining(STAMP)
        assert (await asked).reason == "draining"
        scene.submit(task(1), 20)
        assert len((await other).leases) == 8
        assert (await scene.ask(wait=30)).reason == "draining"

    play(scenario)


def test_stopping_answers_everybody() -> None:
    """A central that stops lets nobody wait: they come again later."""

    async def scenario(scene: Scene) -> None:
        asked = scene.ask(wait=30)
        await settled()
        scene.dispatcher.close()
        for request in (asked, scene.ask(OTHER, wait=30)):
            with pytest.raises(Refusal) as caught:
                await request
            assert caught.value.type == "busy"

    play(scenario)


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_the_same_number_gets_the_same_answer() -> None:
    """A request repeated because its answer was lost gets what it was given, and no more."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 20)
        first = await scene.ask(number=4, most=2)
        assert jobs(await scene.ask(number=4, most=2)) == jobs(first) == [1, 2]
        assert jobs(await scene.ask(number=5, most=2)) == [3, 4]

    play(scenario)


def test_the_same_number_after_a_restart_gets_the_same_answer() -> None:
    """A central that has just started asks the store what it gave before."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 20)
        first = await scene.ask(number=4, most=2)
        again = Scene()
        again.store = scene.store
        store = cast(Store, scene.store)
        again.dispatcher = Dispatcher(store, again.presence, again.clock, 10)
        await again.dispatcher.start()
        assert jobs(await again.ask(number=4, most=2)) == jobs(first)
        assert again.waits() == 18

    play(scenario)


def test_a_number_that_another_central_answered_gets_that_answer() -> None:
    """A pilot that lost an answer of another central is not held here for want of jobs: it gets what it was given."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 2)
        await scene.ask(number=4, most=1)  # so that this central knows the pilot, by older numbers alone
        other = Dispatcher(cast(Store, scene.store), Presence(scene.clock.now), scene.clock, 10)
        await other.start()
        given = await other.match(pilot(STAMP), MatchRequest(5, offer(), most=1))
        scene.dispatcher.jobs_removed([Requeued(1, 2, 5)])  # as the other has told
        assert jobs(await scene.ask(number=5, most=1, wait=30.0)) == jobs(given) == [2]

    play(scenario)


def test_jobs_that_come_while_the_store_is_asked_are_not_missed() -> None:
    """What comes between the look for jobs and the wait for them is given at once."""

    async def scenario(scene: Scene) -> None:
        await scene.ask(number=1)
        answered = scene.store.answered

        async def slow(stamp: str, agent: int, request: int) -> tuple[Leased, ...] | None:
            scene.submit(task(1))
            return await answered(stamp, agent, request)

        scene.store.answered = slow  # type: ignore[method-assign]
        assert jobs(await scene.ask(number=2, wait=30.0)) == [1]

    play(scenario)


def test_what_a_number_was_given_is_not_given_twice() -> None:
    """When all that a number was given is over, its repetition gets nothing, and is told to ask anew."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 2)
        await scene.ask(number=4, most=1)
        scene.store.given[STAMP, 1, 4] = []
        answer = await scene.ask(number=4, most=1)
        assert (answer.leases, answer.reason) == ((), "superseded")

    play(scenario)


def test_a_newer_request_takes_the_place_of_a_held_one() -> None:
    """The older one is answered at once; what comes then goes to the newer one."""

    async def scenario(scene: Scene) -> None:
        older = scene.ask(number=1, wait=30)
        await settled()
        newer = scene.ask(number=2, wait=30)
        assert (await older).reason == "superseded"
        await settled()
        assert (await scene.ask(number=1, wait=30)).reason == "superseded"
        scene.submit(task(1))
        assert jobs(await newer) == [1]

    play(scenario)


def test_a_superseded_request_hears_whether_jobs_waited() -> None:
    """The answer to an older request says whether jobs waited that did not fit its offer."""

    async def scenario(scene: Scene) -> None:
        first = scene.ask(number=1, wait=30)
        await settled()
        second = scene.ask(number=2, wait=30)
        assert not (await first).waits
        await settled()
        scene.submit(task(1, cores=1000))
        scene.ask(number=3, wait=30)
        assert (await second).waits

    play(scenario)


def test_a_request_that_became_old_before_it_is_held_is_not_held() -> None:
    """While the store is asked about a number a newer one may come: that must not wait until the older one has."""

    async def scenario(scene: Scene) -> None:
        await scene.ask()
        answered, asked, door = scene.store.answered, asyncio.Event(), asyncio.Event()

        async def slow(stamp: str, agent: int, request: int) -> tuple[Leased, ...] | None:
            asked.set()
            await door.wait()
            return await answered(stamp, agent, request)

        scene.store.answered = slow  # type: ignore[method-assign]
        older = scene.ask(wait=30)
        await asyncio.wait_for(asked.wait(), 5)
        newer = scene.ask(wait=30)
        await settled()
        door.set()
        assert (await older).reason == "superseded"
        await settled()
        scene.submit(task(1))
        assert jobs(await newer) == [1]

    play(scenario)


def test_what_a_pilot_asked_before_it_moved_is_given_nothing() -> None:
    """A pilot that starts anew counts from 1 again: a request of before gets no job that nobody would look for."""

    async def scenario(scene: Scene) -> None:
        before, other = scene.ask(number=7, wait=30), scene.ask(OTHER, wait=30, most=1)
        await settled()
        scene.dispatcher.moved(STAMP)
        assert (await before).reason == "superseded"
        scene.submit(task(1))
        assert jobs(await other) == [1]

    play(scenario)


def test_of_requests_that_pile_up_behind_a_claim_only_the_newest_is_served() -> None:
    """A request that became old while the one before it was claiming gets nothing."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 10)
        scene.store.door.clear()
        requests = []
        for number in (1, 2, 3):
            requests.append(scene.ask(number=number, most=1))
            await settled()
        scene.store.door.set()
        first, second, third = await asyncio.gather(*requests)
        assert (jobs(first), second.reason, jobs(third)) == ([1], "superseded", [2])

    play(scenario)


def test_agents_of_one_pilot_do_not_disturb_each_other() -> None:
    """Request numbers count for one agent."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 2)
        for agent in (1, 2):
            answer = await scene.dispatcher.match(pilot(), MatchRequest(1, offer(), agent=agent))
            assert len(answer.leases) == 1

    play(scenario)


def test_a_resumed_pilot_counts_anew() -> None:
    """In a new epoch numbers begin again; a request of the old epoch gets nothing."""

    async def scenario(scene: Scene) -> None:
        old = scene.ask(number=50, wait=30)
        await settled()
        new = asyncio.create_task(scene.dispatcher.match(pilot(epoch=2), MatchRequest(1, offer(), wait=30)))
        assert (await old).reason == "superseded"
        await settled()
        assert (await scene.ask(number=51)).reason == "superseded"
        scene.submit(task(1))
        assert jobs(await new) == [1]

    play(scenario)


# -- races and trouble ------------------------------------------------------------------------------------------------


def test_a_lost_race_is_tried_again_with_what_is_left() -> None:
    """Jobs that were gone when the claim came cost another claim, not the answer."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 3, priority=9)
        scene.submit(task(2, owner="p"), 1)
        for job in (1, 2, 3):
            scene.store.kill(job)  # by somebody else; nobody tells
        assert jobs(await scene.ask()) == [4]
        assert scene.waits() == 0

    play(scenario)


def test_a_lost_race_keeps_its_place() -> None:
    """A request that was woken for nothing waits on, before those that came later, and ends with its time."""

    async def scenario(scene: Scene) -> None:
        first = scene.ask(wait=30)
        await settled()
        second = scene.ask(OTHER, wait=30)
        await settled()
        added = scene.store.submit(task(1))
        scene.store.kill(1)
        scene.dispatcher.jobs_added(added)
        await settled()
        assert not first.done()
        scene.submit(task(1))
        assert jobs(await first) == [2]
        await scene.clock.advance(31)
        assert (await second).reason == "nothing-waits"

    play(scenario)


def test_a_client_that_goes_while_it_is_held_takes_nothing() -> None:
    """A cancelled request leaves the list, and later jobs go to others."""

    async def scenario(scene: Scene) -> None:
        gone, other = scene.ask(wait=30), scene.ask(OTHER, wait=30)
        await settled()
        gone.cancel()
        await settled()
        scene.submit(task(1))
        assert jobs(await other) == [1]
        assert jobs(await scene.ask()) == []

    play(scenario)


def test_a_client_that_goes_as_its_jobs_come_leaves_them_to_the_next() -> None:
    """Jobs reserved for a request that was cancelled in the same moment go to the next that waits."""

    async def scenario(scene: Scene) -> None:
        gone, other = scene.ask(wait=30), scene.ask(OTHER, wait=30)
        await settled()
        scene.submit(task(1))
        gone.cancel()
        assert jobs(await other) == [1]

    play(scenario)


def test_a_claim_goes_on_when_its_client_goes() -> None:
    """What is under way in the store is counted when it is done; the repetition of the number gets just that."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1), 10)
        scene.store.way_back.clear()
        gone = scene.ask(number=1, most=2)
        await settled()
        gone.cancel()
        again = scene.ask(number=1, most=2)
        await settled()
        assert gone.cancelled()
        assert not again.done()
        scene.store.way_back.set()
        assert jobs(await again) == [1, 2]
        assert len(scene.store.claims) == 1
        assert scene.waits() == 8

    play(scenario)


def test_trouble_of_the_store_is_told_and_loses_nothing() -> None:
    """A claim that fails is refused to its pilot; a little later the jobs go to whoever waits."""

    async def scenario(scene: Scene) -> None:
        held = scene.ask(OTHER, offer(cores=1), wait=30)
        await settled()
        scene.store.error = Refusal("busy", "the disk is full")
        scene.submit(task(1, cores=2))
        with pytest.raises(Refusal, match="the disk is full"):
            await scene.ask(number=1)
        scene.submit(task(2))
        assert jobs(await held) == [2]
        held = scene.ask(OTHER, wait=30)
        assert jobs(await held) == [1]

    play(scenario)


def test_trouble_of_the_store_does_not_run_through_all_that_wait() -> None:
    """When a claim fails the next request is tried after a pause, not at once."""

    async def scenario(scene: Scene) -> None:
        first, second = scene.ask(wait=30), scene.ask(OTHER, wait=30)
        await settled()
        scene.store.error = Refusal("busy", "the disk is full")
        scene.submit(task(1))
        with pytest.raises(Refusal, match="the disk is full"):
            await first
        await settled()
        assert scene.store.calls.count("claim") == 1
        await scene.clock.advance(3)
        assert jobs(await second) == [1]

    play(scenario)


def test_a_queue_that_cannot_be_read_is_found_when_all_are_read() -> None:
    """A job that came back to an unknown queue while the store was in trouble is found at the next reading."""

    async def scenario(scene: Scene) -> None:
        scene.store.submit(task(7))
        scene.store.error = Refusal("busy", "the disk is full")
        scene.dispatcher.jobs_requeued([Requeued(7, 1, 5)])
        await settled()
        assert scene.waits() == 0
        asked = scene.ask(wait=30)
        await settled()
        await scene.dispatcher.refresh()
        assert jobs(await asked) == [1]

    play(scenario)


def test_what_comes_back_while_its_queue_is_read_is_not_lost() -> None:
    """A second job of an unknown queue, back after the queue was read for the first, is counted as well."""

    async def scenario(scene: Scene) -> None:
        scene.store.submit(task(7))
        read = scene.store.task_queue

        async def then_another(job: int) -> Any:
            seen = await read(job)
            scene.store.submit(task(7))
            scene.dispatcher.jobs_requeued([Requeued(7, 2, 5)])
            return seen

        scene.store.task_queue = then_another  # type: ignore[method-assign]
        scene.dispatcher.jobs_requeued([Requeued(7, 1, 5)])
        await settled()
        assert scene.waits() == 2

    play(scenario)


def test_what_is_added_while_all_is_read_is_not_lost() -> None:
    """A submission that comes in between the reading and its answer is counted."""

    async def scenario(scene: Scene) -> None:
        reading, done = asyncio.Event(), asyncio.Event()
        read = scene.store.waiting

        async def slowly() -> Any:
            seen = await read()
            reading.set()
            await done.wait()
            return seen

        scene.store.waiting = slowly  # type: ignore[method-assign]
        refresh = asyncio.create_task(scene.dispatcher.refresh())
        await reading.wait()
        scene.submit(task(1), 2)
        done.set()
        await refresh
        assert scene.waits() == 2

    play(scenario)


# -- afterwards -------------------------------------------------------------------------------------------------------


def test_what_is_left_of_an_offer_is_known() -> None:
    """After the answer the pilot counts with what it has left, and as supply only if a waiting job could use that."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1, memory=5 * GB), 4)
        await scene.ask(node=offer(cores=8, memory=16 * GB))
        (left,) = scene.presence.free(STAMP)
        assert (left.offer.cores, left.offer.memory, left.offer.empty) == (5, GB, False)
        assert scene.dispatcher.idle_cores([STAMP]) == 0
        scene.submit(task(2))
        assert scene.dispatcher.idle_cores([STAMP, OTHER]) == 5

    play(scenario)


def test_what_is_not_used_is_forgotten() -> None:
    """Empty queues and agents that no longer ask do not stay for ever; both may come again."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1))
        await scene.ask(number=7)
        scene.dispatcher.tidy()
        await scene.clock.advance(max(EMPTY_FOR, UNUSED_FOR) + 1)
        scene.dispatcher.tidy()
        assert scene.dispatcher.queues.task(1) is None
        scene.submit(task(1))
        assert jobs(await scene.ask(number=7)) == [1]  # asked of the store: it was answered before
        assert jobs(await scene.ask(number=8)) == [2]

    play(scenario)


def test_many_pilots_and_jobs_end_with_every_job_given_once() -> None:
    """However requests, submissions and disconnections interleave, each job goes out once and none is left behind."""

    async def scenario(scene: Scene) -> None:
        stamps = [f"{number:032x}" for number in range(12)]
        given: list[int] = []
        for round_ in range(30):
            requests = [scene.ask(stamp, offer(cores=1 + round_ % 3), wait=30) for stamp in stamps]
            if round_ % 2:
                scene.submit(task(1 + round_ % 4, owner=f"o{round_ % 4}"), 1 + round_ % 17)
            for number, request in enumerate(requests):
                if (number + round_) % 5 == 0:
                    request.cancel()
            await scene.clock.advance(1)
            scene.submit(task(9, owner="late"), round_ % 5)
            await scene.clock.advance(40)
            for answer in await asyncio.gather(*requests, return_exceptions=True):
                if isinstance(answer, Answer):
                    given += jobs(answer)
        lost = [lease.job for leases in scene.store.given.values() for lease in leases if lease.job not in given]
        while answer := jobs(await scene.ask(stamps[0])):
            given += answer
        assert sorted([*given, *lost]) == list(range(1, scene.store.last + 1))
        assert scene.waits() == 0
        assert not scene.store.jobs

    play(scenario)
