"""How many pilots a queue gets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from central.directors.control import PAUSE_CAP, Demand, Limits, PilotEnd, Supply, bad_ends, pause, wanted
from pilot.states import PilotReason

LIMITS = Limits(slots=10, per_cycle=4, cores=8)
NOBODY = Supply(live=0, coming=0, idle_cores=0)


def end(at: float, reason: PilotReason | None = PilotReason.NEVER_CALLED, useful: bool = False) -> PilotEnd:
    return PilotEnd(at, reason, useful)


def test_no_demand_no_pilot() -> None:
    """A queue for which nothing waits gets no pilot, and says so."""
    decision = wanted(Demand(0, 0), NOBODY, LIMITS, [], 0.0)
    assert decision.pilots == 0
    assert "no waiting job" in decision.why


def test_as_many_as_the_cores_need() -> None:
    """Twenty single-core jobs need three pilots of eight cores."""
    assert wanted(Demand(20, 20), NOBODY, LIMITS, [], 0.0).pilots == 3


def test_pilots_on_their_way_count() -> None:
    """Pilots that were submitted and have not called yet are supply."""
    assert wanted(Demand(16, 16), Supply(live=2, coming=2, idle_cores=0), LIMITS, [], 0.0).pilots == 0


def test_idle_cores_count() -> None:
    """What is free on running pilots is used before another pilot is sent."""
    assert wanted(Demand(4, 4), Supply(live=1, coming=0, idle_cores=4), LIMITS, [], 0.0).pilots == 0
    assert wanted(Demand(5, 5), Supply(live=1, coming=0, idle_cores=4), LIMITS, [], 0.0).pilots == 1


def test_slots_and_ramp_bound() -> None:
    """Neither the slots of the queue nor the submissions of a cycle are exceeded, and the reason names the bound."""
    many = Demand(1000, 1000)
    ramped = wanted(many, NOBODY, LIMITS, [], 0.0)
    assert (ramped.pilots, "submissions a cycle" in ramped.why) == (4, True)
    filled = wanted(many, Supply(live=9, coming=0, idle_cores=0), LIMITS, [], 0.0)
    assert (filled.pilots, "slots" in filled.why) == (1, True)
    assert wanted(many, Supply(live=10, coming=0, idle_cores=0), LIMITS, [], 0.0).pilots == 0


def test_bad_ends_slow_down_then_one_probe() -> None:
    """After pilots that never called the queue pauses, longer each time, then a single probe goes ahead."""
    history = [end(100.0), end(90.0), end(80.0)]
    waiting = wanted(Demand(50, 50), NOBODY, LIMITS, history, 101.0)
    assert waiting.pilots == 0
    assert "never-called" in waiting.why
    assert wanted(Demand(50, 50), NOBODY, LIMITS, history, 100.0 + pause(3) + 1).pilots == 1
    probing = Supply(live=1, coming=1, idle_cores=0)
    assert wanted(Demand(50, 50), probing, LIMITS, history, 100.0 + pause(3) + 1).pilots == 0


def test_a_useful_pilot_opens_the_queue_again() -> None:
    """Bad ends before the last useful pilot are forgotten."""
    assert bad_ends([end(3.0), end(2.0, PilotReason.IDLE, useful=True), end(1.0)]) == [end(3.0)]
    assert wanted(Demand(50, 50), NOBODY, LIMITS, [end(3.0, PilotReason.IDLE, useful=True)], 3.5).pilots == 4


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
    decision = wanted(demand, supply, limits, history, now)
    assert 0 <= decision.pilots <= max(0, limits.slots - supply.live)
    assert decision.pilots <= max(limits.per_cycle, 0)
    assert decision.why


DRAINED = "the site drains this computer (/etc/drain): new kernel"


def test_a_site_that_drains_slows_down_and_is_named() -> None:
    """Pilots that the site sends home pause the queue, longer each time, and the decision gives the site's reason."""
    history = [PilotEnd(at, PilotReason.DRAINED, False, DRAINED) for at in (100.0, 70.0, 50.0, 40.0)]
    paused = wanted(Demand(50, 50), NOBODY, LIMITS, history, 101.0)
    assert (paused.pilots, paused.why) == (
        0,
        f"{DRAINED}: the last 4 pilots ended without a job; trying again in 1m 19s",
    )
    probe = wanted(Demand(50, 50), NOBODY, LIMITS, history, 100.0 + pause(4))
    assert (probe.pilots, "new kernel" in probe.why) == (1, True)


def test_an_operators_order_slows_nothing_down() -> None:
    """Pilots drained or halted by an order, as by `pilotage down`, are no reason to wait."""
    history = [
        PilotEnd(100.0, PilotReason.DRAINED, False, "drain ordered by ada: the central is being stopped"),
        PilotEnd(99.0, PilotReason.HALTED, False, "halt ordered by ada"),
    ]
    assert wanted(Demand(50, 50), NOBODY, LIMITS, history, 101.0).pilots == LIMITS.per_cycle


def test_an_idle_pilot_does_not_renew_the_pause() -> None:
    """The pause is counted from the last bad end, whatever ended after it."""
    history = [PilotEnd(500.0, PilotReason.IDLE, False), end(100.0), end(90.0)]
    assert wanted(Demand(50, 50), NOBODY, LIMITS, history, 501.0).pilots == 1
