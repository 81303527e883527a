"""How many pilots a queue gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from central.directors.backoff import LONG_PAUSE, PAUSE_CAP, Past, PilotEnd, Setback, bad_ends, pause, rounds
from central.directors.control import Cause, Decision, Demand, Limits, Supply, wanted
from central.elements.port import Trouble
from pilot.states import PilotReason

LIMITS = Limits(slots=10, per_cycle=4, cores=8)
NOBODY = Supply(live=0, coming=0, idle_cores=0)


def end(
    at: float, reason: PilotReason | None = PilotReason.NEVER_CALLED, useful: bool = False, began: float | None = None
) -> PilotEnd:
    return PilotEnd(at, reason, useful, began=began)


def decide(
    demand: Demand, supply: Supply, limits: Limits, ends: Sequence[PilotEnd], now: float, **past: Any
) -> Decision:
    return wanted(demand, supply, limits, Past(ends, **past), now)


def test_no_demand_no_pilot() -> None:
    """A queue for which nothing waits gets no pilot, and says so."""
    decision = decide(Demand(0, 0), NOBODY, LIMITS, [], 0.0)
    assert decision.pilots == 0
    assert "no waiting job" in decision.why


def test_as_many_as_the_cores_need() -> None:
    """Twenty single-core jobs need three pilots of eight cores."""
    assert decide(Demand(20, 20), NOBODY, LIMITS, [], 0.0).pilots == 3


def test_pilots_on_their_way_count() -> None:
    """Pilots that were submitted and have not called yet are supply."""
    assert decide(Demand(16, 16), Supply(live=2, coming=2, idle_cores=0), LIMITS, [], 0.0).pilots == 0


def test_idle_cores_count() -> None:
    """What is free on running pilots is used before another pilot is sent."""
    assert decide(Demand(4, 4), Supply(live=1, coming=0, idle_cores=4), LIMITS, [], 0.0).pilots == 0
    assert decide(Demand(5, 5), Supply(live=1, coming=0, idle_cores=4), LIMITS, [], 0.0).pilots == 1


def test_slots_and_ramp_bound() -> None:
    """Neither the slots of the queue nor the submissions of a cycle are exceeded, and the reason names the bound."""
    many = Demand(1000, 1000)
    ramped = decide(many, NOBODY, LIMITS, [], 0.0)
    assert (ramped.pilots, "submissions a cycle" in ramped.why) == (4, True)
    filled = decide(many, Supply(live=9, coming=0, idle_cores=0), LIMITS, [], 0.0)
    assert (filled.pilots, "slots" in filled.why) == (1, True)
    assert decide(many, Supply(live=10, coming=0, idle_cores=0), LIMITS, [], 0.0).pilots == 0


def test_bad_ends_slow_down_then_one_probe() -> None:
    """After pilots that never called the queue pauses, longer each time, then a single probe goes ahead."""
    history = [end(100.0), end(90.0), end(80.0)]
    waiting = decide(Demand(50, 50), NOBODY, LIMITS, history, 101.0)
    assert waiting.pilots == 0
    assert "never-called" in waiting.why
    assert decide(Demand(50, 50), NOBODY, LIMITS, history, 100.0 + pause(3) + 1).pilots == 1
    probing = Supply(live=1, coming=1, idle_cores=0)
    assert decide(Demand(50, 50), probing, LIMITS, history, 100.0 + pause(3) + 1).pilots == 0


def test_a_useful_pilot_opens_the_queue_again() -> None:
    """Bad ends before the last useful pilot are forgotten."""
    assert bad_ends(Past([end(3.0), end(2.0, PilotReason.IDLE, useful=True), end(1.0)])) == [end(3.0)]
    assert decide(Demand(50, 50), NOBODY, LIMITS, [end(3.0, PilotReason.IDLE, useful=True)], 3.5).pilots == 4


@given(st.integers(0, 1000))
def test_the_pause_is_bounded_and_grows(bad: int) -> None:
    """More bad ends never shorten the pause, and it stays below its cap."""
    assert pause(bad) <= pause(bad + 1) <= PAUSE_CAP


@given(
    st.builds(Demand, st.integers(0, 10**6), st.integers(0, 10**6)),
    st.builds(Supply, st.integers(0, 50), st.integers(0, 50), st.integers(0, 400)),
    st.builds(Limits, st.integers(0, 50), st.integers(0, 20), st.integers(0, 64)),
    st.lists(st.builds(end, st.floats(0, 1000), st.sampled_from(PilotReason), st.booleans()), max_size=5),
    st.floats(0, 5000),
)
def test_never_beyond_what_is_allowed(
    demand: Demand, supply: Supply, limits: Limits, history: list[PilotEnd], now: float
) -> None:
    """Whatever comes in, no more pilots go out than slots and ramp allow, and there is always a reason."""
    decision = decide(demand, supply, limits, history, now)
    assert 0 <= decision.pilots <= max(0, limits.slots - supply.live)
    assert decision.pilots <= max(limits.per_cycle, 0)
    assert decision.why


EXPIRED = Setback(Trouble.CREDENTIAL, "proxy expired", 299.0)
DRAINED = "the site drains this computer (/etc/drain): new kernel"


def test_a_site_that_drains_slows_down_and_is_named() -> None:
    """Pilots that the site sends home pause the queue, longer each time, and the decision gives the site's reason."""
    history = [PilotEnd(at, PilotReason.DRAINED, False, DRAINED) for at in (100.0, 70.0, 50.0, 40.0)]
    paused = decide(Demand(50, 50), NOBODY, LIMITS, history, 101.0)
    assert (paused.pilots, paused.why) == (
        0,
        f"{DRAINED}: the last 4 pilots ended without a job; trying again in 1m 19s",
    )
    probe = decide(Demand(50, 50), NOBODY, LIMITS, history, 100.0 + pause(4))
    assert (probe.pilots, "new kernel" in probe.why) == (1, True)


def test_an_operators_order_slows_nothing_down() -> None:
    """Pilots drained or halted by an order, as by `pilotage down`, are no reason to wait."""
    history = [
        PilotEnd(100.0, PilotReason.DRAINED, False, "drain ordered by ada: the central is being stopped"),
        PilotEnd(99.0, PilotReason.HALTED, False, "halt ordered by ada"),
    ]
    assert decide(Demand(50, 50), NOBODY, LIMITS, history, 101.0).pilots == LIMITS.per_cycle


def test_an_idle_pilot_does_not_renew_the_pause() -> None:
    """The pause is counted from the last bad end, whatever ended after it."""
    history = [PilotEnd(500.0, PilotReason.IDLE, False), end(100.0), end(90.0)]
    assert decide(Demand(50, 50), NOBODY, LIMITS, history, 501.0).pilots == 1


def test_pilots_that_failed_together_count_as_one_failure() -> None:
    """Ten pilots of one cycle that end badly pause the queue as one does; those sent later, knowing of it, count on."""
    together = [end(100.0 + n, began=50.0) for n in range(10, 0, -1)]
    assert rounds(together) == 1
    assert rounds([end(200.0, began=150.0), *together]) == 2
    paused = decide(Demand(50, 50), NOBODY, LIMITS, together, 111.0)
    assert (paused.pilots, paused.until) == (0, 110.0 + pause(1))


def test_pilots_that_find_nothing_slow_down_when_it_happens_again() -> None:
    """Pilots that found no job though jobs waited all the time, twice in a row, show that the queue is not what its
    settings say; one may have come too late, and where nothing waited meanwhile it proves nothing."""
    many = Demand(50, 50)
    once, twice = [end(100.0, PilotReason.IDLE)], [end(100.0, PilotReason.IDLE), end(50.0, PilotReason.IDLE)]
    assert decide(many, NOBODY, LIMITS, once, 101.0, wanting=1.0).pilots == LIMITS.per_cycle
    assert decide(many, NOBODY, LIMITS, twice, 101.0, wanting=60.0).pilots == LIMITS.per_cycle
    told = decide(many, NOBODY, LIMITS, twice, 101.0, wanting=1.0)
    assert (told.pilots, told.cause) == (0, Cause.BACK_OFF)
    assert "found no job there" in told.why


def test_a_live_pilot_with_a_job_opens_the_queue() -> None:
    """A pilot that has got a job since the last bad end shows that the queue is well, and need not end first."""
    history, working = [end(100.0), end(90.0)], Supply(live=1, coming=0, idle_cores=0)
    assert decide(Demand(50, 50), working, LIMITS, history, 106.0, good=105.0).pilots == LIMITS.per_cycle
    assert decide(Demand(50, 50), working, LIMITS, history, 106.0, good=95.0).pilots == 0


def test_what_the_computing_element_refuses_shuts_the_queue() -> None:
    """A full queue is tried again after a minute with one pilot, later after each refusal; one whose credential is no
    good waits for a person. An acceptance, and not the pilot's end, is the proof: others on their way do not matter."""
    full = Setback(Trouble.FULL, "quota exceeded", 100.0)
    shut = decide(Demand(50, 50), NOBODY, LIMITS, [], 130.0, setback=full)
    assert (shut.pilots, shut.cause, shut.until) == (0, Cause.FULL, 160.0)
    assert shut.why == "the computing element takes no more pilots (quota exceeded); trying again in 30s"
    assert decide(Demand(50, 50), Supply(2, 2, 0), LIMITS, [], 160.0, setback=full).pilots == 1
    again = full.again(Trouble.FULL, "quota exceeded", 160.0)
    assert again.until == 160.0 + 120.0
    assert again.again(Trouble.CREDENTIAL, "expired", 300.0).until == 300.0 + LONG_PAUSE
    barred = decide(Demand(5, 5), NOBODY, LIMITS, [], 300.0, setback=EXPIRED)
    assert (barred.cause, "accepts no credential of ours (proxy expired)" in barred.why) == (Cause.CREDENTIAL, True)


def test_little_demand_at_a_busy_queue_is_believed_when_it_is_seen_twice() -> None:
    """Where a hundred pilots run, jobs for two more may be taken by these; at a small queue there is no wait."""
    busy = Supply(live=100, coming=0, idle_cores=0)
    limits = Limits(slots=500, per_cycle=50, cores=8)
    first = decide(Demand(16, 16), busy, limits, [], 0.0)
    assert (first.pilots, first.cause, first.need) == (0, Cause.BRIEF, 2)
    assert decide(Demand(16, 16), busy, limits, [], 0.0, need=1).pilots == 1
    assert decide(Demand(16, 16), busy, limits, [], 0.0, need=2).pilots == 2
    assert decide(Demand(800, 800), busy, limits, [], 0.0).pilots == 50
    assert decide(Demand(1, 1), Supply(live=1, coming=0, idle_cores=0), limits, [], 0.0).pilots == 1


def test_jobs_that_others_serve_are_told() -> None:
    """Where pilots on their way to other queues will do, none is sent, and this is the reason."""
    told = decide(Demand(0, 0, elsewhere=3), NOBODY, LIMITS, [], 0.0)
    assert (told.pilots, told.cause) == (0, Cause.ELSEWHERE)
    assert told.why == "pilots on the way to other queues will do for the 3 jobs that wait"
