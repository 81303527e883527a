"""What the pilot holds, and what its heartbeats say of it."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pilot.monitor.holdings import Holdings
from pilot.protocol import (
    Acknowledgement,
    Fact,
    HeartbeatReply,
    HeartbeatRequest,
    JobSpec,
    Lease,
    LeaseRenewal,
    LeaseReport,
    Order,
    Spool,
    Usage,
)
from pilot.states import OrderVerb, Phase, PilotState

AGENT = 1


def lease(job: int) -> Lease:
    return Lease(job, 1, 600, JobSpec(("true",)), "token", 1)


class Changes:
    """Counts the calls to hurry."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def holdings(changes: Changes) -> Holdings:
    return Holdings(changes)


def composed(holdings: Holdings) -> HeartbeatRequest:
    return holdings.compose(3, 1, Spool())


def matched(holdings: Holdings, *jobs: int) -> int:
    """A request that was answered with these jobs, and the answer confirmed. Returns its number."""
    number = holdings.ask(AGENT)
    holdings.hand(AGENT, number, [lease(job) for job in jobs])
    holdings.got(AGENT, number)
    return number


def test_an_answer_counts_once_the_agent_has_it(holdings: Holdings, changes: Changes) -> None:
    """Not before the agent confirmed an answer is its number told, and then its leases are listed with it."""
    number = holdings.ask(AGENT)
    assert composed(holdings).matched_through == {"1": 0}
    holdings.hand(AGENT, number, [lease(7)])
    before = composed(holdings)
    assert (before.matched_through, before.leases) == ({"1": 0}, ())
    assert holdings.got(AGENT, number) == (lease(7),)
    after = composed(holdings)
    assert (after.matched_through, after.leases) == ({"1": 1}, (LeaseReport(7, 1),))
    assert changes.count == 1


def test_numbers_in_order(holdings: Holdings) -> None:
    """A later answer does not cover an earlier one that is still out."""
    older, newer = holdings.ask(AGENT), holdings.ask(AGENT)
    holdings.hand(AGENT, newer, [lease(2)])
    holdings.got(AGENT, newer)
    assert composed(holdings).matched_through == {"1": 0}
    holdings.hand(AGENT, older, [])
    holdings.got(AGENT, older)
    assert composed(holdings).matched_through == {"1": newer}


def test_a_number_without_an_answer_is_used_again(holdings: Holdings) -> None:
    """A request that nobody answered is asked again under its number, before any new one."""
    number = holdings.ask(AGENT)
    holdings.give_up(AGENT, number)
    assert holdings.ask(AGENT) == number
    assert holdings.ask(AGENT) == number + 1


def test_leases_that_nobody_wants(holdings: Holdings) -> None:
    """An answer that came too late is over, and its leases are to be given back."""
    number = holdings.ask(AGENT)
    holdings.hand(AGENT, number, [lease(1)])
    assert holdings.settle(AGENT, number) == (lease(1),)
    assert composed(holdings).matched_through == {"1": number}
    other = holdings.ask(AGENT)
    holdings.hand(AGENT, other, [lease(2)])
    assert holdings.unseen() == (lease(2),)
    assert holdings.got(AGENT, other) == ()


def test_phases_only_advance(holdings: Holdings, changes: Changes) -> None:
    """A phase that comes late changes nothing; a new one makes the heartbeat come early, usage alone does not."""
    matched(holdings, 1)
    changes.count = 0
    holdings.progress([LeaseReport(1, 1, Phase.RUNNING)])
    assert changes.count == 1
    holdings.progress([LeaseReport(1, 1, Phase.RUNNING, Usage(wall=5.0)), LeaseReport(99, 1, Phase.RUNNING)])
    assert changes.count == 1
    assert composed(holdings).leases == (LeaseReport(1, 1, Phase.RUNNING, Usage(wall=5.0)),)
    holdings.advance(1, 1, Phase.ENDED)
    holdings.progress([LeaseReport(1, 1, Phase.RUNNING)])
    assert composed(holdings).leases == (LeaseReport(1, 1, Phase.ENDED, Usage(wall=5.0)),)
    assert holdings.running() == ()


def test_a_lease_is_listed_until_its_end_was_accepted(holdings: Holdings) -> None:
    """From the match to the answer to the last report."""
    matched(holdings, 1)
    holdings.advance(1, 1, Phase.ENDED)
    assert [lease.job for lease in composed(holdings).leases] == [1]
    holdings.drop(1, 1)
    assert composed(holdings).leases == ()


def test_gone(holdings: Holdings) -> None:
    """A lease that the central took away is told once; not if it has ended, nor if the heartbeat did not list it."""
    matched(holdings, 1, 2)
    holdings.advance(2, 1, Phase.ENDED)
    request = composed(holdings)
    matched(holdings, 3)
    reply = HeartbeatReply(1, tuple(LeaseRenewal(job, 1, 0) for job in (1, 2, 3)))
    assert holdings.answered(request, reply).gone == ((1, 1),)
    assert holdings.answered(request, reply).gone == ()
    assert [lease.job for lease in composed(holdings).leases] == [2, 3]


def test_renewed(holdings: Holdings) -> None:
    """A lease with time left is not gone."""
    matched(holdings, 1)
    assert holdings.answered(composed(holdings), HeartbeatReply(1, (LeaseRenewal(1, 1, 600),))).gone == ()


def test_said_until_answered(holdings: Holdings, changes: Changes) -> None:
    """Acknowledgements and facts are in each heartbeat until one was answered; what came meanwhile is in the next."""
    holdings.acknowledge(Acknowledgement(1, "received"))
    holdings.acknowledge(Acknowledgement(1, "received"))
    holdings.found([Fact("cores", 4, "affinity")])
    assert changes.count == 3
    request = composed(holdings)
    assert request.acknowledgements == (Acknowledgement(1, "received"),)
    assert composed(holdings) == request
    holdings.acknowledge(Acknowledgement(1, "done", "draining"))
    holdings.found([Fact("gpus", 0, "nowhere")])
    assert holdings.unsaid
    holdings.answered(request, HeartbeatReply(1))
    after = composed(holdings)
    assert after.acknowledgements == (Acknowledgement(1, "done", "draining"),)
    assert [fact.name for fact in after.facts] == ["gpus"]
    holdings.answered(after, HeartbeatReply(2))
    assert not holdings.unsaid


def test_draining(holdings: Holdings, changes: Changes) -> None:
    """A draining pilot says so, early, and once."""
    assert composed(holdings).state is PilotState.RUNNING
    holdings.drain()
    holdings.drain()
    assert composed(holdings).state is PilotState.DRAINING
    assert changes.count == 1


def test_what_a_reply_asks_for(holdings: Holdings) -> None:
    """Orders, followed streams and the time of the next heartbeat are handed on."""
    order = Order(1, OrderVerb.DRAIN)
    heard = holdings.answered(composed(holdings), HeartbeatReply(1, (), (order,), 10.0, ("pilot",)))
    assert (heard.orders, heard.next_beat, heard.followed) == ((order,), 10.0, ("pilot",))


def test_each_agent_has_its_own(holdings: Holdings) -> None:
    """What one agent holds and never saw can be told from what others do."""
    for agent, job in ((1, 10), (2, 20)):
        number = holdings.ask(agent)
        holdings.hand(agent, number, [lease(job)])
        holdings.got(agent, number)
        holdings.hand(agent, holdings.ask(agent), [lease(job + 1)])
    assert [report.job for report in holdings.running(2)] == [20]
    assert [report.job for report in holdings.running()] == [10, 20]
    assert holdings.unseen(2) == (lease(21),)
    holdings.drop(20, 1)
    assert holdings.running(2) == ()
    assert holdings.unseen() == (lease(11),)


class NothingIsLost(RuleBasedStateMachine):
    """Whatever order things happen in, the central never takes back a lease that the agent has or will have."""

    numbers = Bundle("numbers")
    handed = Bundle("handed")

    def __init__(self) -> None:
        super().__init__()
        self.holdings = Holdings(lambda: None)
        self.jobs = 0
        self.granted: dict[int, set[int]] = {}  # number → jobs, as the central has them
        self.over: set[int] = set()

    @rule(target=numbers)
    def ask(self) -> int:
        return self.holdings.ask(AGENT)

    @rule(number=consumes(numbers))
    def no_answer(self, number: int) -> None:
        self.holdings.give_up(AGENT, number)

    @rule(target=handed, number=consumes(numbers), count=st.integers(0, 3))
    def answer(self, number: int, count: int) -> int:
        jobs = self.granted.setdefault(number, {self.jobs + index for index in range(count)})
        self.jobs += count
        self.holdings.hand(AGENT, number, [lease(job) for job in sorted(jobs)])
        return number

    @rule(number=consumes(handed))
    def got(self, number: int) -> None:
        self.holdings.got(AGENT, number)

    @rule(number=consumes(handed))
    def too_late(self, number: int) -> None:
        self.over |= {lost.job for lost in self.holdings.settle(AGENT, number)}

    @rule(data=st.data())
    def end(self, data: Any) -> None:
        running = sorted(held.job for held in self.holdings.running())
        if running:
            job = data.draw(st.sampled_from(running))
            self.holdings.drop(job, 1)
            self.over.add(job)

    @invariant()
    def listed(self) -> None:
        beat = composed(self.holdings)
        through = beat.matched_through.get("1", 0)
        seen = {job for number, jobs in self.granted.items() if number <= through for job in jobs}
        assert seen - self.over == seen & {held.job for held in beat.leases}


NothingIsLost.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestNothingIsLost = NothingIsLost.TestCase


def test_what_moves_waits_for_the_next_heartbeat_and_is_told_by_its_newest_word(
    holdings: Holdings, changes: Changes
) -> None:
    """A value that moves hurries nobody and does not pile up while nobody listens; what came meanwhile is not lost."""
    holdings.found([Fact("arch", "x86_64", "uname")])
    hurried = changes.count
    for load in range(1000):
        holdings.note([Fact("load_1", load, "x"), Fact("jobs", 2, "x")])
    said = composed(holdings)
    assert {fact.name: fact.value for fact in said.facts} == {"arch": "x86_64", "load_1": 999, "jobs": 2}
    assert changes.count == hurried
    holdings.note([Fact("load_1", 1000, "x")])
    holdings.answered(said, HeartbeatReply(1))
    assert [(fact.name, fact.value) for fact in composed(holdings).facts] == [("load_1", 1000)]


def test_who_works(holdings: Holdings) -> None:
    """An agent works that has a lease whose end is not being reported."""
    assert holdings.busy() == frozenset()
    matched(holdings, 1, 2)
    assert holdings.busy() == {AGENT}
    holdings.advance(1, 1, Phase.ENDED)
    assert holdings.busy() == {AGENT}
    holdings.advance(2, 1, Phase.ENDED)
    assert holdings.busy() == frozenset()
