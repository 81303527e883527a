"""The loop that asks for jobs: when it asks, what it starts, when and why it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from commands.asking import Answer, Pace, backoff
from commands.context import Capacity, Context, Faults
from commands.run_jobs import TURN, run_jobs
from pilot.errors import PilotageError
from pilot.halting import STATIC, Halting
from pilot.protocol import Amount, Lease, MatchReply, Offer, Settings
from pilot.states import PilotReason
from tests.pilot_fakes import FakeCentral, FakeNode, make_lease


class Clock:
    """Time that goes on only when the loop sleeps."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class FakeComputing:
    """Slots for single cores; each job ends after `length` seconds of the clock."""

    def __init__(self, clock: Clock, cores: int = 2, length: float = 10.0) -> None:
        self.clock = clock
        self.cores = cores
        self.length = length
        self.end_of_life: float | None = None
        self.jobs: dict[int, float] = {}
        self.started: list[int] = []
        self.full: set[int] = set()  # jobs for which there is no room
        self.bad: set[int] = set()  # jobs that end by a fault of the node
        self.met = Faults()
        self.stopped: tuple[PilotReason, str] | None = None
        self.killed: list[float] = []
        self.after: list[tuple[float, Callable[[], None]]] = []
        self.news = threading.Event()
        self.beside = False

    def open(self, capacity: Capacity, environment: Mapping[str, str]) -> None: ...

    def offer(self) -> Offer:
        left: Amount = "unlimited" if self.end_of_life is None else max(0, int(self.end_of_life - self.clock.time))
        return Offer("here", "test", cores=self.cores - len(self.jobs), seconds_left=left)

    def start(self, lease: Lease) -> None:
        if lease.job in self.full or len(self.jobs) >= self.cores:
            raise PilotageError("no room")
        self.started.append(lease.job)
        self.jobs[lease.job] = self.clock.time + self.length

    def running(self) -> int:
        return len(self.jobs)

    def busy_beside(self) -> bool:
        return self.beside

    def wait(self, seconds: float) -> bool:
        for thread in threading.enumerate():
            if thread.name == "match":
                thread.join(10)  # an answer that is on its way takes no time of this clock
        if self.news.is_set():
            self.news.clear()
            return True
        self.clock.time += min([seconds, *(max(0.0, end - self.clock.time) for end in self.jobs.values())])
        for job in [job for job, end in self.jobs.items() if end <= self.clock.time]:
            del self.jobs[job]
            self.met = Faults(self.met.row + 1, self.met.total + 1) if job in self.bad else Faults(0, self.met.total)
        due = [act for when, act in self.after if when <= self.clock.time]
        self.after = [(when, act) for when, act in self.after if when > self.clock.time]
        for act in due:
            act()
        return bool(due)

    def faults(self) -> Faults:
        return self.met

    def wake(self) -> None:
        self.news.set()

    def stop(self, reason: PilotReason, message: str, grace: float, files: float = 0.0) -> None:
        self.stopped = (reason, message)
        self.killed.append(grace)
        self.jobs.clear()

    def stopping(self) -> tuple[PilotReason, str] | None:
        return self.stopped

    def close(self) -> None: ...


class Scene:
    def __init__(self, **settings: float) -> None:
        self.clock = Clock()
        self.central = FakeCentral()
        self.computing = FakeComputing(self.clock)
        self.halting = Halting()
        self.settings = Settings(**{"idle": 60, "match_wait": 0, **settings})  # type: ignore[arg-type]

    def run(self) -> Context:
        return run_jobs(
            Context(
                stamp="0" * 32,
                site="here",
                queue="test",
                work=Path("/nowhere"),
                settings=self.settings,
                clock=self.clock,
                random=lambda: 0.0,
                node=FakeNode(),
                central=self.central,
                computing=self.computing,
                say=lambda line: None,
                halting=self.halting,
            )
        )


def leases(*jobs: int) -> MatchReply:
    return MatchReply(1, leases=tuple(make_lease(job, "true") for job in jobs))


def test_jobs_are_asked_for_until_none_comes_for_long() -> None:
    """Several jobs of one answer are started at once, more are asked for as slots get free, and idleness ends it."""
    scene = Scene()
    scene.central.replies = [leases(1, 2), leases(3)]
    ended = scene.run()
    assert scene.computing.started == [1, 2, 3]
    assert (ended.reason, ended.message) == (PilotReason.IDLE, "no job for 60 s")
    assert 60 <= scene.clock.time - 1000 - 20 < 75
    assert scene.central.offers[0].cores == 2
    assert scene.central.ticks > 3


def test_an_absent_central_is_asked_less_and_less() -> None:
    """Empty answers in a row are followed by longer and longer waits."""
    scene = Scene(idle=300)
    scene.central.replies = [MatchReply(0, detail="nobody answers")] * 100
    scene.run()
    assert 6 <= len(scene.central.offers) <= 20


def test_the_central_says_when_to_ask_again() -> None:
    """A refusal with a time is followed by the next question after that time."""
    scene = Scene(idle=100)
    scene.central.replies = [MatchReply(1, reason="nothing-waits", retry_after=40)] * 3
    scene.run()
    assert len(scene.central.offers) == 3


def test_drain_ends_it_when_the_last_job_has_ended() -> None:
    """A draining pilot starts nothing more, waits for what runs, and gives the reason."""
    scene = Scene()
    scene.central.replies = [leases(1), leases(2), leases(3), leases(4)]
    scene.computing.length = 100.0

    def drain() -> None:
        scene.computing.stopped = (PilotReason.DRAINED, "ordered")

    scene.computing.after = [(1020.0, drain)]
    ended = scene.run()
    assert (ended.reason, ended.message) == (PilotReason.DRAINED, "ordered")
    assert scene.computing.started == [1, 2]
    assert not scene.computing.jobs
    assert scene.clock.time >= 1100


def test_what_cannot_be_started_goes_back() -> None:
    """A lease for which there is no room is released with the reason, the others are started."""
    scene = Scene()
    scene.computing.full = {2}
    scene.central.replies = [leases(1, 2)]
    scene.run()
    assert scene.computing.started == [1]
    assert [(lease.job, why) for lease, why in scene.central.released] == [(2, "no room")]


def test_no_job_is_asked_for_when_time_is_short() -> None:
    """With too few seconds left nothing is asked for, and the pilot ends for want of time."""
    scene = Scene()
    scene.computing.end_of_life = 1005.0
    ended = scene.run()
    assert ended.reason is PilotReason.NO_TIME
    assert scene.central.offers == []


def no_time(least: int) -> MatchReply:
    return MatchReply(1, reason="nothing-fits", detail="too short", retry_after=40, least_time=least)


def test_it_ends_when_every_job_that_waits_is_too_long() -> None:
    """Once the central says that nothing but time is lacking, a pilot that has had jobs makes room for a fresh one."""
    scene = Scene(idle=300)
    scene.computing.cores = 1
    scene.computing.end_of_life = 2000.0
    scene.central.replies = [leases(1), no_time(3600)]
    ended = scene.run()
    assert ended.reason is PilotReason.NO_TIME
    assert "the shortest job that waits needs 3600 s" in ended.message
    assert scene.clock.time < 1030


def test_a_pilot_without_any_job_stays_until_it_is_idle() -> None:
    """Where even the first job is too long, a fresh pilot would be no better: it waits for shorter ones."""
    scene = Scene(idle=60)
    scene.computing.end_of_life = 2000.0
    scene.central.replies = [no_time(3600)] * 100
    assert scene.run().reason is PilotReason.IDLE


def test_what_is_too_long_beside_other_jobs_is_asked_again() -> None:
    """An answer to an offer of less than is free now says nothing: the pilot asks once more before it ends."""
    scene = Scene(idle=60)
    scene.computing.end_of_life = 2000.0
    scene.central.replies = [leases(1), no_time(3600), leases(2), no_time(3600), no_time(3600)]
    ended = scene.run()
    assert scene.computing.started == [1, 2]
    assert ended.reason is PilotReason.NO_TIME


def test_what_runs_at_the_end_of_life_is_preempted() -> None:
    """When the time is up what still runs is stopped, within the margin that was kept for it."""
    scene = Scene(margin=30)
    scene.computing.length = 10_000.0
    scene.computing.end_of_life = 1200.0
    scene.central.replies = [leases(1)]
    ended = scene.run()
    assert ended.reason is PilotReason.NO_TIME
    assert scene.computing.killed == [15.0]
    assert scene.clock.time < 1210


def test_waits_are_spread() -> None:
    """Waits double up to a bound, and are drawn from their upper half."""
    assert [backoff(n, 1.0) for n in (1, 2, 3, 10)] == [1.0, 2.0, 4.0, 60.0]
    assert [backoff(n, 0.0) for n in (1, 2, 3, 10)] == [0.5, 1.0, 2.0, 30.0]


ONE, TWO = Offer("here", "test", cores=1), Offer("here", "test", cores=2)


def answer(reply: MatchReply, asked: float = 0.0, wait: float = 0.0) -> Answer:
    return Answer(reply, ONE, wait, asked)


def test_a_request_that_waits_is_replaced_when_more_is_free() -> None:
    """A request that is held at the central is superseded by a larger offer, but not while it may just be answered."""
    pace = Pace().asking(ONE, now=100.0)
    assert not pace.may_ask(TWO, pending=True, now=100.2)
    assert pace.may_ask(TWO, pending=True, now=101.0)
    assert not pace.may_ask(ONE, pending=True, now=101.0)


def test_a_request_that_was_held_is_followed_at_once() -> None:
    """An empty answer after a long wait is no failure."""
    pace = Pace().asking(ONE, 0.0).answered(answer(MatchReply(1, reason="nothing-waits"), wait=30), 30.0, 0.5, 0)
    assert pace.may_ask(ONE, pending=False, now=30.0)
    assert pace.failures == 0


@pytest.mark.parametrize(("reason", "asks"), [("nothing-fits", True), ("banned", False), ("nothing-waits", False)])
def test_another_offer_may_get_another_answer(reason: str, asks: bool) -> None:
    """Where nothing fitted a changed offer is worth another request before its time; elsewhere it is not."""
    reply = MatchReply(1, reason=reason, retry_after=60)  # type: ignore[arg-type]
    pace = Pace().asking(ONE, 0.0).answered(answer(reply), 0.0, 0.5, 0)
    assert pace.may_ask(TWO, pending=False, now=1.0) is asks
    assert not pace.may_ask(ONE, pending=False, now=59.0)
    assert pace.may_ask(ONE, pending=False, now=75.0)


def test_waits_grow_though_the_central_asks_for_less() -> None:
    """Empty answers that came at once are followed by longer and longer waits, up to a minute, until a job comes."""
    pace, waits = Pace(), []
    for turn in range(8):
        pace = pace.asking(ONE, 100.0 * turn).answered(
            answer(MatchReply(1, reason="nothing-waits", retry_after=3), asked=100.0 * turn), 100.0 * turn, 0.5, 0
        )
        waits.append(pace.not_before - 100.0 * turn)
    assert waits == [pytest.approx(3.3), pytest.approx(3.3), pytest.approx(3.3), 6.0, 12.0, 24.0, 45.0, 45.0]
    assert pace.answered(answer(leases(1)), 900.0, 0.5, 1).failures == 0


def test_jobs_of_which_none_could_be_started_are_not_asked_for_again_and_again() -> None:
    """Where every lease goes back, as for want of a user to run it, the waits grow as after empty answers."""
    pace = Pace().asking(ONE, 10.0).answered(answer(leases(1, 2), asked=10.0, wait=30), 10.0, 0.5, 0)
    assert not pace.may_ask(ONE, pending=False, now=10.5)
    again = pace.asking(ONE, 11.0).answered(answer(leases(1, 2), asked=11.0, wait=30), 11.0, 0.5, 0)
    assert again.not_before - 11.0 == 2 * (pace.not_before - 10.0)
    assert again.may_ask(TWO, pending=False, now=11.1)


def test_leases_are_followed_at_once() -> None:
    """After jobs came there may be more."""
    failed = Pace(not_before=500.0, failures=5)
    assert failed.answered(answer(leases(1)), 10.0, 0.5, 1).may_ask(ONE, pending=False, now=10.0)


def test_after_faults_of_the_node_it_rests() -> None:
    """A job that comes back after each fault is taken again later and later; after another end, at once."""
    scene = Scene(idle=200)
    scene.computing.cores, scene.computing.length = 1, 0.1
    scene.computing.bad = {1}
    began: list[float] = []
    start = scene.computing.start

    def note(lease: Lease) -> None:
        began.append(scene.clock.time)
        start(lease)

    scene.computing.start = note  # type: ignore[method-assign]
    scene.central.replies = [leases(1), leases(1), leases(1), leases(1), leases(2), leases(3)]
    scene.run()
    waits = [round(after - before - 0.1, 1) for before, after in zip(began, began[1:])]  # noqa: B905, RUF007 - for 3.9
    assert waits == [0.5, 1.0, 2.0, 4.0, 0.0]


def test_rests_have_a_bound_and_end_with_any_other_end() -> None:
    """The rest after faults of the node is a minute at most, also for another offer, and ends with the row."""
    pace = Pace().asking(ONE, 0.0).seen(Faults(20, 20), 0.0, 1.0)
    assert not pace.may_ask(TWO, pending=False, now=59.0)
    assert pace.next_turn(pending=False, now=0.0) == 60.0
    assert pace.may_ask(TWO, pending=False, now=60.0)
    assert pace.seen(Faults(20, 20), 50.0, 1.0).rests_until == 60.0
    assert pace.seen(Faults(0, 20), 10.0, 1.0).may_ask(TWO, pending=False, now=10.0)


def test_a_static_machine_stays_to_its_end_whatever_it_finds() -> None:
    """It asks for jobs for all its life, though there are none, or too long ones; then it has no time left."""
    scene = Scene(idle=60)
    scene.halting = Halting(STATIC)
    scene.computing.end_of_life = 5000.0
    scene.central.replies = [leases(1), no_time(9000)]
    ended = scene.run()
    assert ended.reason is PilotReason.NO_TIME
    assert 4900 < scene.clock.time <= 5000
    assert len(scene.central.offers) > 20


def test_a_machine_that_is_paid_by_the_hour_stays_for_what_is_paid() -> None:
    """Long idle it takes jobs still, and ends in the last minutes of the hour, by the time since it was started."""
    scene = Scene(idle=60)
    scene.halting = Halting(period=3600)
    scene.computing.after = [(3000.0, lambda: scene.central.replies.insert(0, leases(7)))]
    ended = scene.run()
    assert scene.computing.started == [7]
    assert (ended.reason, ended.message) == (PilotReason.IDLE, "no job, and the period that is paid for ends")
    assert 3300 <= scene.clock.time < 3310


def test_a_payload_keeps_a_machine_beyond_what_is_paid() -> None:
    """While one runs nothing halts; when it has ended in the next hour, that one is used."""
    scene = Scene(idle=60)
    scene.halting = Halting(period=3600)
    scene.computing.length = 2900.0
    scene.central.replies = [leases(1)]
    scene.run()
    assert 6900 <= scene.clock.time < 6910


def test_an_agent_stays_while_others_of_its_machine_work() -> None:
    """Idle beside payloads of other agents it asks on, since the machine is not free anyway; it ends when they are done
    and nothing has come for long."""
    scene = Scene(idle=60)
    scene.computing.beside = True
    scene.computing.after = [(3000.0, lambda: setattr(scene.computing, "beside", False))]
    ended = scene.run()
    assert (ended.reason, ended.message) == (PilotReason.IDLE, "no job for 60 s")
    assert 3000 + 60 - TURN <= scene.clock.time < 3075
