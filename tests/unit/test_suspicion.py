"""When a machine is suspect, and when it is trusted again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.store.suspicion import (
    FAILURES,
    FAST,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    STREAK,
    HostRow,
    after_end,
    at_most,
    concerns,
    may_claim,
    suspicion,
    whose,
)
from pilot.states import Outcome

ADA, BOB = whose("atlas", "ada"), whose("atlas", "bob")
NOW = 1000.0


def failed(
    row: HostRow | None,
    times: int = 1,
    outcome: Outcome = Outcome.PAYLOAD_ERROR,
    owners: tuple[str, ...] = (ADA, BOB),
    seconds: float = 1.0,
    now: float = NOW,
) -> HostRow | None:
    """The row after so many such ends, of these owners in turn."""
    for number in range(times):
        row = after_end(row, outcome, seconds, owners[number % len(owners)], now, again=False)
    return row


def suspect(now: float = NOW) -> HostRow:
    row = failed(None, STREAK, now=now)
    assert row is not None
    assert row.suspected == now
    return row


@pytest.mark.parametrize("outcome", sorted(FAILURES))
def test_a_row_of_fast_failures_makes_a_machine_suspect(outcome: Outcome) -> None:
    """The tenth fast failure in a row does, no earlier one."""
    assert suspicion(failed(None, STREAK - 1, outcome), 0) is None
    doubt = suspicion(failed(None, STREAK, outcome), 0)
    assert doubt is not None
    assert (doubt.failures, doubt.since, doubt.next) == (STREAK, NOW, NOW + FIRST_PAUSE)


def test_one_owners_failures_are_the_owners() -> None:
    """A broken program of one owner makes no machine suspect, until another owner's job fails there too."""
    row = failed(None, 5 * STREAK, owners=(ADA,))
    assert suspicion(row, 0) is None
    assert suspicion(failed(row, owners=(BOB,)), 0) is not None


def test_owners_of_one_name_in_two_communities_are_two() -> None:
    """A name means a person only within its community."""
    assert suspicion(failed(None, STREAK, owners=(whose("atlas", "ada"), whose("lhcb", "ada"))), 0) is not None


def test_faults_of_the_node_need_no_second_owner() -> None:
    """The pilot itself says that it was the node; a row of them counts from the last other failure."""
    assert suspicion(failed(None, STREAK, Outcome.NODE_FAULT, owners=(ADA,)), 0) is not None
    row = failed(failed(None, 3, owners=(ADA,)), STREAK - 1, Outcome.NODE_FAULT, owners=(ADA,))
    assert suspicion(row, 0) is None
    assert suspicion(failed(row, 1, Outcome.NODE_FAULT, owners=(ADA,)), 0) is not None


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - FAILURES - {Outcome.SUCCESS}))
def test_ends_that_say_nothing_about_the_machine(outcome: Outcome) -> None:
    """They neither add to the row nor end it."""
    assert failed(None, STREAK, outcome) is None
    row = failed(None, STREAK - 1)
    assert failed(row, 3, outcome) == row
    assert failed(suspect(), 1, outcome, now=NOW + 100) == suspect()


def test_slow_failures_make_no_black_hole() -> None:
    """What ran for a minute before it failed does not empty a queue."""
    assert failed(None, 2 * STREAK, seconds=FAST) is None
    assert suspicion(failed(None, STREAK, seconds=FAST - 0.1), 0) is not None


@pytest.mark.parametrize("seconds", [0.0, 1.0, 86400.0])
def test_a_success_clears(seconds: float) -> None:
    """Of any length, before and under suspicion, by a job of before the suspicion too."""
    for row in (failed(None, STREAK - 1), suspect()):
        assert after_end(row, Outcome.SUCCESS, seconds, ADA, NOW + 10, again=False) is None
        assert after_end(row, Outcome.SUCCESS, seconds, ADA, NOW + 10, again=True) is None


def test_a_suspect_machine_pauses_and_then_tries_one_job() -> None:
    """Nothing before the pause is over, then one, and no second while that one is out."""
    row = suspect()
    assert not may_claim(row, NOW + FIRST_PAUSE - 1, 0)
    assert may_claim(row, NOW + FIRST_PAUSE, 0)
    assert not may_claim(row, NOW + FIRST_PAUSE, 1)
    assert at_most(row, 8) == 1
    doubt = suspicion(row, 1)
    assert doubt is not None
    assert doubt.trying


@pytest.mark.parametrize("row", [None, failed(None, STREAK - 1)])
def test_a_machine_that_is_not_suspect_is_free(row: HostRow | None) -> None:
    """Failures that are no row yet hold nothing back."""
    assert may_claim(row, NOW, 50)
    assert at_most(row, 8) == 8


def test_each_failed_trial_doubles_the_pause() -> None:
    """From one minute to one hour, whether the trial failed fast or not."""
    row, now, pauses = suspect(), NOW, []
    for _ in range(8):
        now = row.next + 500
        row = failed(row, seconds=400, now=now) or pytest.fail("a failure ended the suspicion")
        pauses.append(row.next - now)
    assert pauses == [120, 240, 480, 960, 1920, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert row.failures == STREAK + 8


def test_failures_of_jobs_leased_before_do_not_double_the_pause() -> None:
    """The other slots of a node that was just found suspect fail as well: that is no news."""
    row = suspect()
    assert failed(row, 7, seconds=5.0, now=NOW + 4) == row


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(sorted(FAILURES))), max_size=80))
def test_few_jobs_make_no_machine_suspect(ends: list[tuple[int, Outcome]]) -> None:
    """However often they fail: each counts once."""
    row: HostRow | None = None
    failed_there: set[int] = set()
    for job, outcome in ends:
        row = after_end(row, outcome, 1.0, (ADA, BOB)[job % 2], NOW, again=job in failed_there)
        failed_there.add(job)
    assert (row.failures if row else 0) == len(failed_there)
    assert suspicion(row, 0) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Outcome)), st.sampled_from([1.0, 90.0]), st.sampled_from([ADA, BOB]), st.booleans()
        ),
        max_size=60,
    )
)
def test_laws(ends: list[tuple[Outcome, float, str, bool]]) -> None:
    """A row is kept only since the last success, its pause stays in bounds, and what does not concern it, or is of a
    job that has failed there before, leaves it."""
    row: HostRow | None = None
    now = NOW
    for outcome, seconds, owner, again in ends:
        now += 100
        before = row
        row = after_end(before, outcome, seconds, owner, now, again=again)
        if not concerns(before, outcome, seconds) or (again and outcome is not Outcome.SUCCESS):
            assert row == before
        if outcome is Outcome.SUCCESS:
            assert row is None
        if row is not None and row.suspected is not None:
            assert FIRST_PAUSE <= row.pause <= LONGEST_PAUSE
            assert row.failures >= STREAK
            assert row.next >= row.suspected + FIRST_PAUSE
