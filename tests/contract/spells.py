"""Attempts with all that accounting tells apart: a test runs them, and keeps what it saw of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from central.records import Identity
from central.store.port import Store
from pilot.protocol import Usage
from pilot.states import Outcome
from pilot.views import AttemptView
from tests.contract.stores import ADA, BOB, EVE, Clock, Worker, enrol, queue_of, submit


def wall_of(row: AttemptView) -> float:
    assert row.ended is not None
    held = row.ended - row.started
    given_up = row.outcome in (Outcome.LOST, Outcome.PREEMPTED, Outcome.NODE_FAULT)
    return held if given_up or row.usage.wall <= 0 else min(row.usage.wall, held)


@dataclass(frozen=True)
class Row:
    """An attempt that ended, as the test saw it."""

    keys: Mapping[str, str]
    cores: int
    ended: float
    wall: float
    cpu: float
    memory: int
    outcome: Outcome


@dataclass(frozen=True)
class Spell:
    """A job that runs for a while, and a pause after it."""

    who: Identity
    site: str
    cores: int
    held: float
    wall: float  # as the pilot measured it
    cpu: float | None
    memory: int | None
    outcome: Outcome
    pause: float


SPELLS = st.lists(
    st.builds(
        Spell,
        who=st.sampled_from([ADA, BOB, EVE]),
        site=st.sampled_from(["here", "there"]),
        cores=st.sampled_from([1, 3]),
        held=st.sampled_from([0.0, 5.5, 600.0, 5000.0]),
        wall=st.sampled_from([0.0, 4.25, 1000.0]),
        cpu=st.sampled_from([None, 3.5]),
        memory=st.sampled_from([None, 7, 1 << 40]),
        outcome=st.sampled_from([Outcome.SUCCESS, Outcome.PAYLOAD_ERROR, Outcome.KILLED]),
        pause=st.sampled_from([0.0, 0.5, 1200.0, 4000.0]),
    ),
    min_size=1,
    max_size=12,
)


async def play(store: Store, clock: Clock, spells: Sequence[Spell], workers: Mapping[str, Worker]) -> list[Row]:
    """Run the jobs one after another."""
    rows = []
    for spell in spells:
        job = (await submit(store, 1, spell.who))[0]
        worker = workers[spell.site]
        (leased,) = (await worker.claim(await queue_of(store, job), 1, spell.cores)).leases
        clock.forward(spell.held)
        usage = Usage(wall=spell.wall, cpu=spell.cpu, memory_peak=spell.memory)
        await worker.ended(leased, spell.outcome, usage=usage)
        view = (await store.attempts(None, job))[0]
        assert view.ended is not None
        who = {"community": spell.who.community, "group": spell.who.group, "owner": spell.who.user}
        row = Row(
            {**who, "site": spell.site},
            spell.cores,
            view.ended,
            wall_of(view),
            spell.cpu or 0.0,
            spell.memory or 0,
            spell.outcome,
        )
        rows.append(row)
        clock.forward(spell.pause)
    return rows


async def both(store: Store) -> dict[str, Worker]:
    every = ("atlas", "lhcb")
    return {
        "here": await enrol(store, 1, communities=every),
        "there": await enrol(store, 2, site="there", communities=every),
    }
