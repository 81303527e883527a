"""The state machines, as tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot import states
from pilot.states import FINAL, JOB_TRANSITIONS, LIVE_PILOT, PILOT_TRANSITIONS, JobState, Outcome, PilotState


def test_final_is_final() -> None:
    """No job and no pilot leaves a final state, and every other state can be left."""
    assert {state for state, following in JOB_TRANSITIONS.items() if not following} == FINAL
    assert {state for state, following in PILOT_TRANSITIONS.items() if not following} == set(PilotState) - LIVE_PILOT


def test_tables_are_whole() -> None:
    """Every state has its row, and every outcome is charged, blameless, or final by itself."""
    assert set(JOB_TRANSITIONS) == set(JobState)
    assert set(PILOT_TRANSITIONS) == set(PilotState)
    assert states.CHARGED | states.BLAMELESS | {Outcome.SUCCESS, Outcome.KILLED} == set(Outcome)
    assert not states.CHARGED & states.BLAMELESS


@pytest.mark.parametrize("start", list(JobState))
def test_every_live_job_can_end(start: JobState) -> None:
    """From every live state each of done, failed and killed can be reached."""
    reached, edge = {start}, {start}
    while edge:
        edge = {following for state in edge for following in JOB_TRANSITIONS[state]} - reached
        reached |= edge
    assert start in FINAL or reached >= FINAL


@given(st.sampled_from(Outcome), st.integers(0, 5), st.integers(0, 20))
def test_what_follows_an_end(outcome: Outcome, retries_left: int, blameless_ends: int) -> None:
    """Blameless ends never use retries and are bounded; charged ones use them; success and kill are final."""
    state = states.after(outcome, retries_left, blameless_ends)
    if outcome in states.BLAMELESS:
        assert state is (JobState.WAITING if blameless_ends < states.BLAMELESS_BOUND else JobState.HELD)
    elif outcome in states.CHARGED:
        assert state is (JobState.WAITING if retries_left else JobState.FAILED)
    else:
        assert state is {Outcome.SUCCESS: JobState.DONE, Outcome.KILLED: JobState.KILLED}[outcome]
    assert state in JOB_TRANSITIONS[JobState.RUNNING]
