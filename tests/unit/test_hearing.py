"""When a central may say that somebody is silent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from central.fleet.hearing import Hearing

BEAT = 10.0


def test_whoever_starts_waits_for_two_beats() -> None:
    """Nobody is silent before everybody has had the time to be heard."""
    hearing = Hearing.begun(BEAT, 100.0)
    assert not hearing.judges(100.0)
    hearing = hearing.look(110.0, 5000.0).look(119.9, 5009.9)
    assert not hearing.judges(119.9)
    assert hearing.judges(120.0)


def test_pilots_that_back_off_get_the_time_to_call_again() -> None:
    """Where they may take longer than two beats to try again, they are waited for."""
    hearing = Hearing.begun(BEAT, 0.0, call_back=60.0)
    for second in range(0, 61, 5):
        hearing = hearing.look(float(second), 5000.0 + second)
        assert hearing.judges(float(second)) == (second >= 60)


def test_whoever_has_not_looked_for_a_beat_does_not_judge() -> None:
    """Without a look nobody knows whether something was missed."""
    hearing = Hearing.begun(BEAT, 0.0)
    for second in range(0, 40, 5):
        hearing = hearing.look(float(second), 5000.0 + second)
    assert hearing.judges(40.0)
    assert not hearing.judges(46.0)


def test_a_clock_of_the_database_that_is_set_back_is_no_standstill() -> None:
    """Leases last longer then; nobody is lost by it."""
    hearing = Hearing.begun(BEAT, 0.0)
    for second in range(0, 40, 5):
        hearing = hearing.look(float(second), 5000.0 - second)
    assert hearing.judges(35.0)


GAPS = st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)), max_size=20)


@given(GAPS)
def test_nobody_is_judged_within_two_beats_of_a_gap(gaps: list[tuple[float, float]]) -> None:
    """However the two clocks moved: when one of them jumped by more than a beat, two more must pass."""
    hearing, now, time = Hearing.begun(BEAT, 0.0), 0.0, 1000.0
    unbroken = 0.0
    for number, (mine, theirs) in enumerate(gaps):
        now, time = now + mine, time + theirs
        hearing = hearing.look(now, time)
        broken = mine > BEAT or (number and theirs > BEAT)
        unbroken = 0.0 if broken else unbroken + mine
        if hearing.judges(now):
            assert unbroken >= 2 * BEAT - 1e-6
