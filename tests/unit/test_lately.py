"""What a central tells pilots, with their heartbeats, of credentials that were set anew."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from central.records import LiveAttempt
from central.store.port import Store
from central.store.port_vault import Entitled
from central.trust.lately import MOST, SPAN, Lately
from pilot.protocol import CredentialVersions
from pilot.states import Phase

STAMP = "a" * 32


class Rows:
    """The store, as far as it is asked here."""

    def __init__(self) -> None:
        self.entitled_there: tuple[Entitled, ...] = ()
        self.reads = 0

    async def entitled(self, stamp: str) -> tuple[Entitled, ...]:
        self.reads += 1
        return self.entitled_there


class Scene:
    """One central's memory."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rows = Rows()
        self.rows.entitled_there = (Entitled(1, 1, "physics", "ann", ("eos", "lake")),)
        self.lately = Lately(cast(Store, self.rows), lambda: self.now)

    def told(self, *jobs: int) -> tuple[CredentialVersions, ...]:
        held = [LiveAttempt(job, 1, STAMP, "physics", Phase.RUNNING, 1, 1, 1) for job in jobs]
        return asyncio.run(self.lately.of(STAMP, held))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_heartbeat_costs_nothing_where_nothing_was_set(scene: Scene) -> None:
    """Nothing at all, or nothing in the communities of what is held: the store is not asked."""
    assert scene.told(1) == ()
    scene.lately.changed("chemistry", "ann", "eos", "2")
    assert scene.told(1) == scene.told() == ()
    assert scene.rows.reads == 0


def test_the_holders_hear_of_it_for_a_while(scene: Scene) -> None:
    """With the newest version; the store is asked once for each attempt, however many heartbeats there are."""
    scene.lately.changed("physics", "ann", "eos", "2")
    scene.lately.changed("physics", "ann", "eos", "3")
    scene.lately.changed("physics", "ben", "lake", "7")
    for _ in range(5):
        scene.now += 10
        assert scene.told(1, 2) == (CredentialVersions(1, 1, {"eos": "3"}),)
    assert scene.rows.reads == 1
    scene.now += SPAN
    assert scene.told(1, 2) == ()


def test_others_hear_nothing(scene: Scene) -> None:
    """Of another owner's, or of one that their job does not name."""
    scene.lately.changed("physics", "ben", "eos", "2")
    scene.lately.changed("physics", "ann", "unused", "2")
    assert scene.told(1) == ()


def test_what_is_remembered_is_bounded(scene: Scene) -> None:
    """The oldest changes go first."""
    for number in range(MOST + 1):
        scene.lately.changed("physics", "ann", "eos" if number == 0 else f"c{number}", "2")
    assert scene.told(1) == ()
    scene.lately.changed("physics", "ann", "eos", "3")
    assert scene.told(1) == (CredentialVersions(1, 1, {"eos": "3"}),)
