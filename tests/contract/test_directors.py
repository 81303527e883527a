"""A site director over each store, and a computing element that behaves as real ones do on bad days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from central.directors.board import Board, Wait
from central.directors.control import Cause, Limits
from central.directors.following import ONE_LINE
from central.directors.site import LOOKS_AROUND, SiteDirector, in_one_line
from central.directors.tidying import WORDS_ARE
from central.elements.port import ComputingError, Standing, Trouble
from central.records import PilotRow
from central.store.port import Store
from pilot.states import LIVE_PILOT, PilotReason, PilotState
from tests.contract.stores import FAR, Clock, digest, enrolment, intent, stamp
from tests.director_scene import DUTY, Work, director
from tests.fake_element import FakeElement

pytestmark = pytest.mark.anyio

FULL = ComputingError("sbatch: QOSMaxSubmitJobPerUserLimit", Trouble.FULL)
DEAF = ComputingError("it did not answer in 60 s", Trouble.UNREACHABLE)
BARRED = ComputingError("the proxy expired at 12:00", Trouble.CREDENTIAL)


async def leading(store: Store, holder: str = "this central") -> int:
    epoch = await store.lead(DUTY, holder, FAR)
    assert epoch is not None
    return epoch


async def live(store: Store) -> list[PilotRow]:
    return list((await store.pilots(None, states=sorted(LIVE_PILOT), limit=1000))[0])


async def enrolled(store: Store, element: FakeElement) -> int:
    """Have everything at the computing element start and call; how many pilots there are then."""
    for job in element.live:
        job.standing = Standing.RUNNING
        await store.enrol(job.stamp, digest(job.secret), digest(f"key {job.stamp}"), enrolment())
    return len(element.live)


# -- killed at every step ---------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The director's process ends here."""


class Mortal:
    """Something of the director's that counts its calls together with others, and kills it at one of them."""

    def __init__(self, of: object, doom: Doom) -> None:
        self._of = of
        self._doom = doom

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: object, **options: object) -> object:
            self._doom.strike(before=True)
            answer = await found(*arguments, **options)
            self._doom.strike(before=False)
            return answer

        return call


class Doom:
    """Strikes at the call with that number: before it has an effect, or after it."""

    def __init__(self, number: int, before: bool) -> None:
        self.left = number
        self.before = before

    def strike(self, before: bool) -> None:
        if before is self.before:
            self.left -= 1
            if self.left < 0:
                raise Killed


@pytest.mark.parametrize("lag", [0.0, 60.0])
@pytest.mark.parametrize("before", [True, False])
async def test_killed_at_any_step_it_neither_loses_nor_doubles_a_pilot(
    store: Store, clock: Clock, lag: float, before: bool
) -> None:
    """Wherever between journal and record the director is killed, and killed again: started anew it brings about two
    pilots for two jobs, each of which can enrol, and the computing element never has more."""
    for number in range(40):
        element, work, doomed = FakeElement(clock, lag), Work([Wait(1, 2, 1.0)]), False
        for _ in range(2):
            doom = Doom(number, before)
            epoch = await leading(store)
            mortal = director(Mortal(store, doom), Mortal(element, doom), work)
            try:
                await mortal.cycle(epoch)
            except Killed:
                doomed = True
            clock.forward(lag / 4)
        fresh = director(store, element, work)
        for _ in range(6):
            await fresh.cycle(await leading(store))
            assert len({job.stamp for job in element.live}) == len(element.live) <= 2, number
            clock.forward(lag / 4 + 1)
        assert await enrolled(store, element) == 2, number
        for row in await live(store):
            await store.end_pilot(row.stamp, PilotState.CANCELLED, PilotReason.CANCELLED)
        if not doomed:
            return
    raise AssertionError("a turn has more calls than were tried")


async def test_two_directors_of_one_queue_do_not_double(store: Store, clock: Clock) -> None:
    """One that has lost the lead and not noticed submits nothing, journals nothing that stays, and does not spoil the
    secrets of what the new leader has submitted."""
    element = FakeElement(clock)
    old_epoch = await store.lead(DUTY, "one central", 10.0)
    assert old_epoch is not None
    old, new = (director(store, element, Work()) for _ in range(2))
    element.trouble["submit"] = DEAF
    await old.cycle(old_epoch)  # three are in the journal now
    element.trouble.clear()
    clock.forward(60.0)
    epoch = await store.lead(DUTY, "another central", FAR)
    assert epoch is not None
    await new.cycle(epoch)
    clock.forward(60.0)
    submitted = element.calls["submit"]
    await old.cycle(old_epoch)
    old.board = Board()
    await old.cycle(old_epoch)
    assert element.calls["submit"] == submitted
    for _ in range(3):
        await new.cycle(epoch)
        clock.forward(100.0)
    assert await enrolled(store, element) == 3
    assert len(await live(store)) == 3


async def test_a_leader_that_lost_its_lock_submits_nothing(store: Store, clock: Clock) -> None:
    """Under an epoch that is over nothing reaches the computing element, and nothing is left in the journal."""
    element = FakeElement(clock)
    epoch = await store.lead(DUTY, "one central", 10.0)
    assert epoch is not None
    clock.forward(11.0)
    await director(store, element, Work()).cycle(epoch)
    assert (element.calls["submit"], await live(store)) == (0, [])


# -- a computing element on bad days ----------------------------------------------------------------------------------


async def cycles(store: Store, clock: Clock, of: SiteDirector, number: int, seconds: float = 30.0) -> None:
    for _ in range(number):
        await of.cycle(await leading(store))
        clock.forward(seconds)


async def test_half_of_a_submission_fails(store: Store, clock: Clock) -> None:
    """Of three pilots one is taken, one is not, and the answer about one is lost: in the end there are three."""
    element, work = FakeElement(clock, lag=20.0), Work()
    element.refuses, element.loses = {1: DEAF}, {2}
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1)
    assert "1 of 3 pilots was taken" in mine.decision.why
    assert mine.decision.cause is Cause.UNREACHABLE
    element.refuses, element.loses = {}, set()
    await cycles(store, clock, mine, 4)
    assert await enrolled(store, element) == 3
    assert mine.decision.cause is Cause.COMING


async def test_one_that_is_refused_is_closed_with_its_words(store: Store, clock: Clock) -> None:
    """What the computing element will not have ends as submit-failed, with what it said, and slows the queue down."""
    element, work = FakeElement(clock), Work()
    element.refuses = dict.fromkeys(range(4), ComputingError("invalid account", Trouble.REFUSED))
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1, seconds=1.0)
    assert {(state, reason) for _, state, reason in work.ends} == {(PilotState.FAILED, PilotReason.SUBMIT_FAILED)}
    await cycles(store, clock, mine, 1, seconds=600.0)
    assert "invalid account" in mine.decision.why
    assert mine.decision.cause is Cause.BACK_OFF
    element.refuses = {}
    await cycles(store, clock, mine, 1)
    assert (len(element.live), mine.decision.pilots) == (1, 1), "a single one goes ahead"


@pytest.mark.parametrize(
    ("trouble", "cause", "words"),
    [
        (FULL, Cause.FULL, "takes no more pilots (sbatch: QOSMaxSubmitJobPerUserLimit)"),
        (BARRED, Cause.CREDENTIAL, "accepts no credential of ours (the proxy expired at 12:00)"),
        (DEAF, Cause.UNREACHABLE, "does not answer (it did not answer in 60 s)"),
    ],
)
async def test_what_the_element_refuses_shuts_the_queue_for_a_while(
    store: Store, clock: Clock, trouble: ComputingError, cause: Cause, words: str
) -> None:
    """After such an answer nothing is handed over, old pilots or new ones, until the pause is over; then a single one;
    once that is taken all the others. The reason is told in the element's own words."""
    element = FakeElement(clock)
    element.trouble["submit"] = trouble
    mine = director(store, element, Work())
    await cycles(store, clock, mine, 1, seconds=5.0)
    assert words in mine.decision.why
    assert (mine.decision.cause, element.calls["submit"]) == (cause, 1)
    await cycles(store, clock, mine, 1, seconds=0.0)
    assert (mine.decision.pilots, mine.decision.cause, element.calls["submit"]) == (0, cause, 1)
    assert "trying again in" in mine.decision.why
    assert mine.decision.until is not None
    clock.time = mine.decision.until + 0.5
    element.trouble.clear()
    await cycles(store, clock, mine, 1, seconds=1.0)
    assert len(element.live) == 1
    await cycles(store, clock, mine, 1)
    assert len(element.live) == 3
    assert len(await live(store)) == 3


async def test_a_quota_that_is_filled_leaves_what_was_taken(store: Store, clock: Clock) -> None:
    """Where there is room for two of three, two are taken, and the third goes when there is room again."""
    element = FakeElement(clock)
    element.room = 2
    mine = director(store, element, Work())
    await cycles(store, clock, mine, 1)
    assert (len(element.live), mine.decision.cause) == (2, Cause.FULL)
    element.room = None
    await cycles(store, clock, mine, 5)
    assert len(element.live) == 3
    assert mine.decision.cause is Cause.COMING


async def test_no_list_no_submission_and_nothing_is_gone(store: Store, clock: Clock) -> None:
    """While the computing element cannot be asked nothing is submitted and no pilot is given up, however long."""
    element, work = FakeElement(clock), Work()
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1)
    work.waits = [Wait(1, 9, 1.0)]
    element.trouble["listing"] = DEAF
    await cycles(store, clock, mine, 3, seconds=3000.0)
    assert (element.calls["submit"], len(await live(store)), work.ends) == (1, 3, [])
    assert "could not be asked: it did not answer in 60 s" in mine.decision.why


async def test_one_that_loses_all_jobs_and_comes_back(store: Store, clock: Clock) -> None:
    """Jobs that are not listed any more are not gone before an hour; then they are closed, others are sent, and what
    turns up again after that is ended."""
    element, work = FakeElement(clock), Work()
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1)
    lost, element.jobs = element.jobs, {}
    await cycles(store, clock, mine, 1, seconds=3500.0)
    assert (work.ends, element.live) == ([], [])
    await cycles(store, clock, mine, 4, seconds=200.0)
    assert {reason for _, _, reason in work.ends} == {PilotReason.NEVER_CALLED}
    assert element.live
    element.jobs |= lost
    await cycles(store, clock, mine, 1)
    assert all(job.standing is Standing.ENDED for job in lost.values())
    assert any(job.standing is Standing.QUEUED for job in element.jobs.values())


async def test_unknown_right_after_submission(store: Store, clock: Clock) -> None:
    """A computing element whose list lacks for longer than it says what it has taken is given no second one."""
    element = FakeElement(clock, lag=5.0)
    element.hides = 300.0
    mine = director(store, element, Work())
    await cycles(store, clock, mine, 12)
    assert element.numbers == 3


async def test_one_that_hangs_holds_up_no_other(store: Store, clock: Clock) -> None:
    """While one queue's computing element never answers, the director of another goes on."""
    stuck, well = FakeElement(clock), FakeElement(clock)
    stuck.hangs = asyncio.Event()
    board = Board()
    first = director(store, stuck, Work(), board=board, name="stuck")
    second = director(store, well, Work(), board=board, name="well")
    hanging = asyncio.create_task(first.cycle(await leading(store)))
    await cycles(store, clock, second, 2)
    assert (len(well.live), hanging.done()) == (3, False)
    stuck.hangs.set()
    await hanging
    assert stuck.live == [], "the jobs have their pilots"


# -- two queues -------------------------------------------------------------------------------------------------------


async def test_queues_that_fit_the_same_jobs_share_them(store: Store, clock: Clock) -> None:
    """For six jobs that fit two queues of four slots there are six pilots, not eight; when those of one have waited in
    the batch queue for long, the other sends some too."""
    one, two, board = FakeElement(clock), FakeElement(clock), Board()
    work = Work([Wait(1, 6, 1.0)])
    first = director(store, one, work, board=board, name="one")
    second = director(store, two, work, Limits(slots=9, per_cycle=9, cores=1), board=board, name="two")
    for _ in range(3):
        await cycles(store, clock, first, 1, 10.0)
        await cycles(store, clock, second, 1, 10.0)
    assert (len(one.live), len(two.live)) == (4, 2)
    clock.forward(600.0)
    await cycles(store, clock, first, 1, 0.0)
    await cycles(store, clock, second, 1)
    assert (len(one.live), len(two.live)) == (4, 6)


# -- what is told and kept --------------------------------------------------------------------------------------------


async def test_what_the_element_says_of_waiting_pilots_is_told(store: Store, clock: Clock) -> None:
    """Pilots in the batch queue are counted by what the batch system says of them, and the decision tells it."""
    element = FakeElement(clock)
    mine = director(store, element, Work())
    await cycles(store, clock, mine, 1)
    for job, why in zip(element.jobs.values(), ("PENDING (Resources)", "PENDING (Resources)", ""), strict=True):
        job.why = why
    await cycles(store, clock, mine, 1)
    assert mine.waits == (("PENDING (Resources)", 2), ("it does not say why", 1))
    assert "3 pilots on the way will do for the 3 jobs that wait" in mine.decision.why
    assert "in the batch queue (2 of them: PENDING (Resources); 1 of them: it does not say why)" in mine.decision.why


async def test_the_end_is_kept_and_what_is_left_is_cleared(store: Store, clock: Clock) -> None:
    """A pilot that ended without calling is closed with its exit code, the system's word and its last words; what it
    printed is kept, and the computing element forgets it."""
    element, work = FakeElement(clock), Work([Wait(1, 1, 1.0)])
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1)
    (job,) = element.jobs.values()
    job.standing, job.exit_code, job.why = Standing.ENDED, 92, "TIMEOUT"
    element.printed[job.stamp] = b"no python here\n"
    work.waits = []
    await cycles(store, clock, mine, 2)
    row = await store.pilot(job.stamp)
    assert row.message == "never-called, exit code 92, TIMEOUT; its last words: no python here"
    assert work.kept == {job.stamp: b"no python here\n\n[exit code 92, TIMEOUT, says the computing element]\n"}
    assert (element.jobs, element.calls["output"], element.calls["forget"]) == ({}, 1, 1)


async def test_last_words_are_told_without_the_greeting(store: Store, clock: Clock) -> None:
    """Why a pilot died is told in the decision, in one line, and not where and when its wrapper began."""
    element, work = FakeElement(clock), Work([Wait(1, 1, 1.0)])
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1)
    (job,) = element.jobs.values()
    job.standing, job.exit_code = Standing.ENDED, 93
    element.printed[job.stamp] = f"pilot {job.stamp} on node7 at noon\nNo work directory:\n no space left\n".encode()
    await cycles(store, clock, mine, 2, 1.0)
    assert (await store.pilot(job.stamp)).message.endswith("its last words: No work directory:\n no space left")
    assert "exit code 93; its last words: No work directory: no space left)" in mine.decision.why


def test_long_last_words_are_told_by_their_end() -> None:
    """One line of bounded length: how it ended, and the end of what it printed; of other messages the first line."""
    line = in_one_line(f"gone, exit code 1{WORDS_ARE}" + "on and on\n" * 100 + "the reason")
    assert line.startswith(f"gone, exit code 1{WORDS_ARE}…")
    assert line.endswith("on and on the reason")
    assert len(line) == ONE_LINE
    assert in_one_line("drained by the site\nmore") == "drained by the site"


async def test_what_cannot_be_fetched_or_cleared_stops_nothing(store: Store, clock: Clock) -> None:
    """When output, forgetting and cancelling fail, pilots are closed all the same, and others are sent."""
    element, work = FakeElement(clock), Work([Wait(1, 1, 1.0)])
    element.trouble = dict.fromkeys(("output", "forget", "cancel"), DEAF)
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1)
    next(iter(element.jobs.values())).standing = Standing.ENDED
    await cycles(store, clock, mine, 3)
    assert [reason for _, _, reason in work.ends] == [PilotReason.NEVER_CALLED]
    assert len(element.live) == 1
    assert "cannot be had" in (await store.pilot(work.ends[0][0])).message
    element.trouble.clear()
    await cycles(store, clock, mine, 1)
    assert len(element.jobs) == 1


async def test_one_that_is_in_no_journal_is_ended_and_cleared(store: Store, clock: Clock) -> None:
    """A submission with a stamp that no journal has is cancelled and then cleared away; nothing is kept of it."""
    element, work = FakeElement(clock), Work([])
    await element.submit([])
    other = director(store, element, Work([Wait(1, 1, 1.0)]), name="elsewhere")
    await cycles(store, clock, other, 1)
    (job,) = element.jobs.values()
    job.stamp = stamp(77)
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1)
    assert job.standing is Standing.ENDED
    await cycles(store, clock, mine, 1)
    assert (element.jobs, work.kept) == ({}, {})


async def test_the_calls_of_a_cycle_do_not_grow(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pilots there are, the computing element is asked for one list, and the store as often as for few."""
    counted: list[int] = []
    for number in (2, 60):
        element, work = FakeElement(clock), Work([Wait(1, number, 1.0)])
        mine = director(store, element, work, Limits(number, number, 1), name=f"queue-{number}")
        await cycles(store, clock, mine, 1)
        for job in list(element.jobs.values())[::2]:  # half of them are over and not cleared away yet
            job.standing = Standing.ENDED
            await store.end_pilot(job.stamp, PilotState.CANCELLED, PilotReason.CANCELLED)
        work.waits = []
        element.calls.clear()
        calls = counting(mine, monkeypatch)
        await cycles(store, clock, mine, 1)
        assert (element.calls["listing"], element.calls["submit"], element.calls["cancel"]) == (1, 0, 0)
        counted.append(calls())
    assert counted[0] == counted[1]


def counting(mine: SiteDirector, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count what the director asks of the store from now on."""
    calls: list[str] = []
    store = mine.store

    class Counted:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(store, name)

    monkeypatch.setattr(mine, "store", Counted())
    return lambda: len(calls)


async def test_every_pilot_counts_however_it_came(store: Store, clock: Clock) -> None:
    """Pilots that another director has journalled take slots; those of other queues, or that are over, do not."""
    epoch = await leading(store)
    for number in range(1, 8):
        await store.plan_pilot(intent(number))
        await store.submitting(stamp(number), DUTY, epoch)
        await store.submitted(stamp(number), str(number))
    assert [row.stamp for row in await store.live_pilots("local")] == [stamp(number) for number in range(7, 0, -1)]
    await store.plan_pilot(intent(8, queue="other"))
    element = FakeElement(clock)
    mine = director(store, element, Work([Wait(1, 50, 1.0)]), Limits(slots=7, per_cycle=9, cores=1))
    await mine.cycle(epoch)
    assert (element.calls["submit"], mine.decision.cause) == (0, Cause.SLOTS)
    await store.end_pilot(stamp(1), PilotState.CANCELLED, PilotReason.CANCELLED)
    await mine.cycle(epoch)
    assert len(element.live) == 1


async def test_little_demand_at_a_busy_queue_is_looked_at_twice(store: Store, clock: Clock) -> None:
    """Where many pilots run, a job for one more is looked at again a moment later, in the same turn."""
    element, work = FakeElement(clock), Work([Wait(1, 30, 1.0)])
    mine = director(store, element, work, Limits(slots=99, per_cycle=99, cores=1))
    await cycles(store, clock, mine, 1)
    await enrolled(store, element)
    work.waits = [Wait(1, 1, 1.0)]
    await cycles(store, clock, mine, 1)
    assert (len(element.live), len(work.rested)) == (31, 1)
    await enrolled(store, element)
    rest = work.rest

    async def meanwhile(seconds: float) -> None:
        await rest(seconds)
        work.waits = []

    mine.rest = meanwhile
    await cycles(store, clock, mine, 1)
    assert (len(element.live), mine.decision.cause) == (31, Cause.NO_DEMAND)


async def test_what_is_sent_as_a_test_goes_whatever_waits(store: Store, clock: Clock) -> None:
    """A pilot that somebody has planned, and that drains before it has begun, is handed over though nothing waits and
    the queue is paused; jobs that wait get pilots of their own beside it."""
    element, work = FakeElement(clock, lag=60.0), Work([])
    mine = director(store, element, work)
    await store.pause_queue("local", "ada", "new disks")
    await store.plan_pilot(intent(5))
    await store.drain(stamp(5))
    await cycles(store, clock, mine, 1)
    assert [job.stamp for job in element.live] == [stamp(5)]
    assert mine.decision.cause is Cause.CLOSED
    await store.resume_queue("local", "ada")
    work.waits = [Wait(1, 3, 1.0)]
    await cycles(store, clock, mine, 1)
    assert len(element.live) == 4


async def test_the_lag_counts_from_the_last_submission(store: Store, clock: Clock) -> None:
    """A pilot that is handed over once more, the answer lost, is not handed over again before the list must have it."""
    element = FakeElement(clock, lag=120.0)
    mine = director(store, element, Work([Wait(1, 1, 1.0)]))
    element.trouble["submit"] = DEAF
    await cycles(store, clock, mine, 1, seconds=300.0)
    element.trouble.clear()
    element.loses = {0}
    await cycles(store, clock, mine, 1, seconds=60.0)
    assert element.numbers == 1
    element.loses = set()
    await cycles(store, clock, mine, 3, seconds=61.0)
    assert element.numbers == 1
    assert await enrolled(store, element) == 1


async def test_a_pilot_that_looks_at_its_machine_is_on_its_way(store: Store, clock: Clock) -> None:
    """A pilot that has enrolled and not asked for jobs yet is no reason to send another for the same jobs; when it has
    not asked for long it does not count any more."""
    element, work = FakeElement(clock), Work([Wait(1, 1, 1.0)])
    mine = director(store, element, work)
    await cycles(store, clock, mine, 1)
    assert await enrolled(store, element) == 1
    work.looking = {job.stamp for job in element.live}
    await cycles(store, clock, mine, 3, seconds=30.0)
    assert (element.numbers, mine.decision.cause) == (1, Cause.COMING)
    await cycles(store, clock, mine, 2, seconds=LOOKS_AROUND)
    assert element.numbers == 2
