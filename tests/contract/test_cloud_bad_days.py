"""The bad days of a cloud that everybody meets, each by itself: afterwards no machine is left over, none that works was
deleted, and every job has ended once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from central.clouds.faults import Fault
from tests.contract.cloud_storm import Storm, Story, lighten, several


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    lighten(monkeypatch)


def on(fault: Fault) -> Story:
    return [(Storm.one_fault, list(Fault).index(fault))]


TURN: Story = [(Storm.a_turn, 0)]
SOON: Story = [(Storm.time_passes, 10), *TURN]  # 100 seconds, and a turn
LATER: Story = [(Storm.hours_pass, 2), *TURN]
JOBS: Story = [(Storm.jobs_come, 4), *TURN]
WORK: Story = [*JOBS, *SOON, *SOON]  # machines run, and have jobs

BAD_DAYS: Mapping[str, Story] = {
    "nothing is wrong": [*WORK, *LATER, *LATER],
    "the answer to a creation is lost": [*on(Fault.ANSWER_LOST), *JOBS, *SOON, *SOON],
    "a creation fails after the machine is there": [*on(Fault.FAILS_AFTER), *JOBS, *SOON, *SOON],
    "two machines are started for one": [*on(Fault.TWICE), *JOBS, *SOON, *SOON],
    "there is no capacity": [*on(Fault.NO_CAPACITY), *JOBS, *SOON, *SOON],
    "machines do not come up": [*on(Fault.BOOT_FAILURE), *JOBS, *SOON, *SOON],
    "machines boot and never call": [*on(Fault.NEVER_CALLS), *JOBS, *SOON, *LATER, *LATER, *LATER],
    "the interface fails": [*WORK, *on(Fault.ERRORS), *SOON, *LATER],
    "the interface hangs": [*on(Fault.HANGS), *JOBS, *SOON, *SOON, *LATER],
    "the list is late": [*on(Fault.LIST_LAGS), *JOBS, *TURN, *TURN, *SOON],
    "the list leaves machines out": [*WORK, *on(Fault.LIST_INCOMPLETE), *SOON, *SOON, *LATER],
    "the list has another order each time": [*WORK, *on(Fault.LIST_ORDER), *SOON, *SOON],
    "machines lie": [*WORK, *on(Fault.LIES), *SOON, *SOON, *LATER],
    "machines lie while the central is cut off": [
        *WORK,
        (Storm.the_central_is_cut_off, 12),
        (Storm.time_passes, 16),
        *on(Fault.LIES),
        *(3 * TURN),
    ],
    "the clock of the cloud is off": [*on(Fault.CLOCK_OFF), *WORK, *LATER],
    "deletions are ignored": [*WORK, (Storm.one_hangs, 0), (Storm.hours_pass, 12), (Storm.deletions_are_ignored, 0)],
    "deletions are refused": [*WORK, (Storm.one_hangs, 0), (Storm.hours_pass, 12), (Storm.deletions_are_refused, 0)],
    "deletions take long": [
        *on(Fault.DELETE_SLOW),
        *on(Fault.DELETING_REFUSED),
        *WORK,
        (Storm.one_powers_off, 0),
        *LATER,
    ],
    "a machine hangs": [*WORK, (Storm.one_hangs, 0), *SOON, *LATER, *LATER],
    "a machine powers off": [*WORK, (Storm.one_powers_off, 0), *SOON, *LATER],
    "a machine vanishes": [*WORK, (Storm.one_vanishes, 0), *SOON, *LATER],
    "a machine is cut off for less than its lease": [*WORK, (Storm.one_is_cut_off, 12), *(5 * SOON)],
    "a machine is cut off for longer than its lease": [*WORK, (Storm.one_is_cut_off, 5), *(9 * SOON), *LATER],
    "a spot machine is taken back with two minutes' notice": [*WORK, (Storm.one_is_reclaimed, 1), *SOON, *SOON],
    "a spot machine is taken back without notice": [*WORK, (Storm.one_is_reclaimed, 2), *SOON, *SOON],
    "a spot machine is taken back and is in no list": [*WORK, (Storm.one_is_reclaimed, 6), *SOON, *LATER],
    "the quota shrinks": [*WORK, (Storm.the_quota_changes, 1), *JOBS, *SOON, *SOON],
    "a secret is used twice": [*WORK, (Storm.a_secret_is_stolen, 0), *SOON, *SOON],
    "a machine reboots": [*WORK, (Storm.one_reboots, 0), *SOON, *SOON],
    "a queue is taken away whose machine works": [*WORK, (Storm.a_queue_is_taken_away, 1), *SOON, *LATER],
    "a queue is taken away whose machine never calls": [*WORK, (Storm.a_queue_is_taken_away, 0), *SOON, *LATER],
    "machines of nobody, of others, of another queue": [
        *((Storm.a_machine_of_nobody, number) for number in range(8)),
        *WORK,
        *LATER,
    ],
}


@pytest.mark.parametrize("what", BAD_DAYS)
def test_a_bad_day(what: str) -> None:
    """What is wrong goes by: nothing is left over, and all that worked has worked on."""
    found = asyncio.run(several(range(4), lambda _: BAD_DAYS[what]))
    assert found is None, f"seed {found[0]}: {found[1]}"


@pytest.mark.parametrize("happening", [Storm.killed_before, Storm.killed_after])
def test_killed_at_every_step(happening: object) -> None:
    """A director that is killed before or after any of its calls, while machines start, run and end, leaves nothing
    over, and nothing of what works is ended by who comes after it."""
    killed = Storm.killed_before if happening is Storm.killed_before else Storm.killed_after
    starting: Story = [(Storm.jobs_come, 4)]
    ending: Story = [*WORK, (Storm.one_powers_off, 0), (Storm.one_hangs, 0), *LATER, *LATER]
    for before in (starting, ending):
        found = asyncio.run(several(range(40), lambda seed, told=before: [*told, (killed, seed), *TURN, *SOON]))  # type: ignore[misc]
        assert found is None, f"killed at call {found[0]}: {found[1]}"


def test_what_machines_printed_that_never_called_is_kept() -> None:
    """Of each machine that came up and was never heard of, the console is kept before it is deleted."""

    def look(storm: Storm) -> None:
        mute = [machine for machine in storm.cloud.machines.values() if not machine.calls]
        assert mute, "all have called"
        for machine in mute:
            assert machine.printed in storm.work.kept.get(machine.intent.stamp, b""), f"of {machine.id} nothing is kept"

    found = asyncio.run(several(range(4), lambda _: BAD_DAYS["machines boot and never call"], look))
    assert found is None, f"seed {found[0]}: {found[1]}"
