"""The ledger: every core-microsecond of a pilot's life has exactly one cause, and the causes are the right ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.ledger import Account, Event, Happened, cause_of, completed, problem, summed
from pilot.monitor.books import Books
from pilot.protocol import Booking, Ledger
from pilot.states import Cause, Outcome

#: What may be told of an agent, sensible or not: attempts that are not known, cores that are not there, the past.
EVENTS = st.lists(
    st.one_of(
        st.builds(
            Happened,
            at=st.integers(0, 10_000),
            event=st.sampled_from(Event),
            job=st.integers(1, 3),
            attempt=st.integers(1, 2),
            cores=st.integers(-1, 9),
            community=st.sampled_from(["", "hep", "bio"]),
            cause=st.sampled_from([None, Cause.IMAGE, Cause.STAGE_IN, Cause.PAYLOAD, Cause.STAGE_OUT]),
        ),
        st.tuples(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 2), st.sampled_from(Outcome)),
        st.tuples(st.integers(0, 10_000), st.sampled_from(["validating", "wanted", "unwanted", "closing", "ended"])),
    ),
    max_size=30,
)


def told(account: Account, event: object) -> Account:
    if isinstance(event, Happened):
        return account.take(event)
    assert isinstance(event, tuple)
    if len(event) == 4:
        at, job, attempt, outcome = event
        return account.settle(at, job, attempt, cause_of(outcome))
    at, what = event
    changes: dict[str, Callable[[], Account]] = {
        "validating": lambda: account.validating(at),
        "wanted": lambda: account.answered(at, True),
        "unwanted": lambda: account.answered(at, False),
        "closing": lambda: account.closing(at),
        "ended": lambda: account.ended(at),
    }
    return changes[what]()


def amounts(ledger: Ledger) -> dict[Cause | tuple[Cause, str], int]:
    return {
        (booking.cause, booking.community) if booking.community else booking.cause: booking.amount
        for booking in ledger.bookings
    }


class Agent:
    """One agent whose story is told in microseconds."""

    def __init__(self, cores: int = 4) -> None:
        self.account = Account.begun(0)
        self.cores = cores

    def tells(self, at: int, event: Event, job: int = 0, cores: int = 0, cause: Cause | None = None) -> None:
        attempt, community = (1, "hep") if job else (0, "")
        self.account = self.account.take(Happened(at, event, job, attempt, cores, community, cause))

    def opens(self, at: int = 0) -> Agent:
        self.tells(at, Event.OPEN, cores=self.cores)
        return self

    def runs(self, at: int, job: int, cores: int = 1) -> None:
        self.tells(at, Event.BEGIN, job, cores)
        self.tells(at, Event.TURN, job, cause=Cause.PAYLOAD)

    def stops(self, at: int, job: int, outcome: Outcome) -> None:
        self.tells(at, Event.FREE, job)
        self.tells(at, Event.END, job)
        self.account = self.account.settle(at, job, 1, cause_of(outcome))

    def now(self, at: int) -> dict[Cause | tuple[Cause, str], int]:
        return amounts(summed([(self.account.until(at), 1)]))

    def finally_(self, at: int) -> dict[Cause | tuple[Cause, str], int]:
        return amounts(summed([(self.account.final(at), 1)]))


# -- the law


@given(stories=st.lists(EVENTS, min_size=1, max_size=3), last=st.integers(0, 20_000), final=st.booleans())
def test_every_core_microsecond_has_one_cause(stories: list[list[object]], last: int, final: bool) -> None:
    """Whatever is told of the agents of a pilot, in whatever order, what is booked is lifetime × cores."""
    accounts = []
    for story in stories:
        account = Account.begun(0)
        for event in story:
            account = told(account, event)
        accounts.append(account)
    end = max([last, *(account.now for account in accounts)])
    closed = [account.final(end) if final else account.until(end) for account in accounts]
    ledger = summed((account, 2) for account in closed)
    assert sum(booking.amount for booking in ledger.bookings) == ledger.cores * ledger.lifetime
    assert ledger.cores == sum(account.cores or 2 for account in closed)
    assert problem(ledger, ("hep", "bio")) == ""
    assert not final or Cause.PAYLOAD not in {booking.cause for booking in ledger.bookings}


@given(story=EVENTS, silence=st.integers(0, 10**12))
def test_the_law_holds_for_pilots_that_say_no_more(story: list[object], silence: int) -> None:
    """A ledger that the central completes for a pilot obeys the law, and leaves no payload open."""
    account = Account.begun(0)
    for event in story:
        account = told(account, event)
    ledger = summed([(account, 3)])
    whole = completed(ledger, silence)
    assert problem(whole, ("hep", "bio")) == ""
    assert whole.lifetime == ledger.lifetime + silence
    assert Cause.PAYLOAD not in {booking.cause for booking in whole.bookings}


# -- the causes


def test_the_start_is_of_all_cores() -> None:
    """Time before the number of cores was known counts for all of them once it is: boot, then validate."""
    agent = Agent(cores=8)
    agent.account = agent.account.validating(10)
    assert agent.now(15) == {Cause.BOOT: 10, Cause.VALIDATE: 5}
    agent.opens(20)
    assert agent.now(20) == {Cause.BOOT: 80, Cause.VALIDATE: 80}


def test_an_attempt_goes_through_its_causes() -> None:
    """Inputs, image and payload of an attempt are booked apart, to its community, by its cores; the rest is idle."""
    agent = Agent().opens()
    agent.tells(0, Event.BEGIN, job=1, cores=3)
    agent.tells(10, Event.TURN, job=1, cause=Cause.IMAGE)
    agent.tells(14, Event.TURN, job=1, cause=Cause.PAYLOAD)
    assert agent.now(20) == {
        Cause.NO_MATCH: 20,
        (Cause.STAGE_IN, "hep"): 30,
        (Cause.IMAGE, "hep"): 12,
        (Cause.PAYLOAD, "hep"): 18,
    }


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Outcome.SUCCESS, Cause.GOOD),
        (Outcome.PAYLOAD_ERROR, Cause.FAILED),
        (Outcome.LIMIT_EXCEEDED, Cause.FAILED),
        (Outcome.KILLED, Cause.FAILED),
        (Outcome.INPUT_ERROR, Cause.FAILED),
        (Outcome.OUTPUT_ERROR, Cause.FAILED),
        (Outcome.NODE_FAULT, Cause.LOST),
        (Outcome.LOST, Cause.LOST),
        (Outcome.PREEMPTED, Cause.PREEMPTED),
    ],
)
def test_a_payload_is_what_its_end_was(outcome: Outcome, cause: Cause) -> None:
    """How an attempt ended says what all the time of its payload was."""
    agent = Agent(cores=1).opens()
    agent.runs(0, job=1)
    agent.stops(100, 1, outcome)
    assert agent.now(100) == {(cause, "hep"): 100}


def test_an_end_that_is_not_accepted_is_a_loss() -> None:
    """The payload of an attempt whose end nobody accepted is open while the pilot lives, and lost afterwards."""
    agent = Agent(cores=1).opens()
    agent.runs(0, job=1)
    agent.tells(50, Event.END, job=1)
    assert agent.now(50) == {(Cause.PAYLOAD, "hep"): 50}
    assert agent.finally_(60) == {(Cause.LOST, "hep"): 50, Cause.NO_MATCH: 10}


def test_the_end_may_be_accepted_before_the_cores_are_free() -> None:
    """An acceptance that comes before the attempt's last event counts all the same."""
    agent = Agent(cores=1).opens()
    agent.runs(0, job=1)
    agent.account = agent.account.settle(40, 1, 1, Cause.GOOD)
    agent.tells(50, Event.END, job=1)
    assert agent.finally_(50) == {(Cause.GOOD, "hep"): 50}


def test_an_agent_that_dies_loses_what_runs() -> None:
    """When an agent is gone, its payloads do not go on; without an accepted end they are lost."""
    agent = Agent(cores=2).opens()
    agent.runs(0, job=1)
    agent.account = agent.account.ended(30)
    assert agent.finally_(50) == {(Cause.LOST, "hep"): 30, Cause.NO_MATCH: 30, Cause.DRAIN: 40}


def test_free_cores_beside_jobs_that_want_more_are_fragments() -> None:
    """Cores that were free beside what runs were fragments when the next answer says that jobs waited which did not
    fit; without any that waited, or with nothing that runs, there was no match."""
    agent = Agent(cores=4).opens()
    agent.account = agent.account.answered(8, wanted=True)
    agent.runs(10, job=1, cores=3)
    assert agent.now(20) == {(Cause.PAYLOAD, "hep"): 30, Cause.NO_MATCH: 40 + 10}
    agent.account = agent.account.answered(20, wanted=True)
    agent.account = agent.account.answered(25, wanted=False)
    agent.stops(30, 1, Outcome.SUCCESS)
    assert agent.now(30) == {(Cause.GOOD, "hep"): 60, Cause.NO_MATCH: 40 + 5 + 5, Cause.FRAGMENTS: 10}


def test_a_pilot_that_drains_waits_for_outputs() -> None:
    """Cores that are free while no job is taken wait for the outputs of their attempt; the others drain."""
    agent = Agent(cores=4).opens()
    agent.runs(0, job=1, cores=3)
    agent.account = agent.account.settle(10, 1, 1, Cause.GOOD)
    agent.tells(10, Event.FREE, job=1)
    agent.tells(20, Event.CLOSE)
    agent.tells(30, Event.END, job=1)
    assert agent.now(35) == {
        (Cause.GOOD, "hep"): 30,
        Cause.NO_MATCH: 10 + 40,
        (Cause.STAGE_OUT, "hep"): 30,
        Cause.DRAIN: 10 + 20,
    }


def test_a_vanished_pilot_is_completed() -> None:
    """Of a pilot that vanished, open payloads are lost, and nobody can tell what its cores did since its last word."""
    said = Ledger(2, 50, (Booking(Cause.NO_MATCH, 60), Booking(Cause.PAYLOAD, 40, "hep")))
    assert amounts(completed(said, 10)) == {Cause.NO_MATCH: 60, (Cause.LOST, "hep"): 40, Cause.VANISHED: 20}


@pytest.mark.parametrize(
    ("ledger", "why"),
    [
        (Ledger(2, 10, (Booking(Cause.BOOT, 19),)), "expected 2 cores × 10 µs, got 19 in sum"),
        (Ledger(1, 10, (Booking(Cause.BOOT, 20), Booking(Cause.GOOD, -10))), "expected amounts of zero and more"),
        (Ledger(1, 10, (Booking(Cause.GOOD, 10, "evil"),)), "expected communities of the pilot, got 'evil'"),
        (Ledger(1, 10, (Booking(Cause.BOOT, 5), Booking(Cause.BOOT, 5))), "one amount for each cause and community"),
    ],
)
def test_a_ledger_that_cannot_be_is_seen(ledger: Ledger, why: str) -> None:
    """The central sees a ledger that breaks the law, and why."""
    assert why in problem(ledger, ("hep",))


# -- the books of a monitor


class Hand:
    """A clock that is turned by hand, in seconds."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_agents_make_one_ledger() -> None:
    """The ledger of a pilot is of all its agents, from before they were started; cores not known yet are guessed."""
    hand = Hand()
    books = Books(98.0, 5, hand, 10.0)
    books.begin([1, 2])
    books.happened(1, Happened(100_000_000, Event.OPEN, cores=3))
    hand.time = 101.0
    ledger = books.final()
    assert (ledger.cores, ledger.lifetime) == (5, 3_000_000)
    assert amounts(ledger) == {Cause.BOOT: 6_000_000 + 6_000_000, Cause.NO_MATCH: 3_000_000}


def test_a_ledger_is_told_once_in_a_while() -> None:
    """Heartbeats bring the ledger at first, and then as often as they are due, however often they come."""
    hand = Hand()
    books = Books(98.0, 1, hand, 10.0)
    books.begin([1])
    assert books.news() == Ledger(1, 2_000_000, (Booking(Cause.BOOT, 2_000_000),))
    hand.time += 9
    assert books.news() is None
    hand.time += 1
    assert books.news() is not None


def test_an_agent_cannot_book_the_future() -> None:
    """An event that an agent dates ahead counts from when it was heard: agents of one pilot stay at one time."""
    hand = Hand()
    books = Books(98.0, 1, hand, 10.0)
    books.begin([1])
    books.happened(1, Happened(10**15, Event.OPEN, cores=2))
    assert books.final() == Ledger(2, 2_000_000, (Booking(Cause.BOOT, 4_000_000),))
