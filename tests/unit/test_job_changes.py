"""Who is told of what becomes of jobs at a pilot: their own communities, whoever else the pilot serves."""

from __future__ import annotations

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from central.events import Hub, JobChanged, Watcher
from central.job_changes import JobChanges
from central.store.port import Store
from pilot.errors import Refusal
from pilot.states import JobState

BOTH = ("atlas", "belle")


class Scene:
    """Two who watch, and a store that knows whose jobs are."""

    def __init__(self, atlas: Watcher, belle: Watcher, hub: Hub, kept: int = 100) -> None:
        self.watchers = {"atlas": atlas, "belle": belle}
        self.changes = JobChanges(cast(Store, self), hub, kept)
        self.whose = {1: "atlas", 2: "belle"}
        self.trouble: Exception | None = None
        self.read: list[int] = []
        self.work: list[Coroutine[Any, Any, None]] = []

    async def job(self, community: str | None, job: int) -> object:
        self.read.append(job)
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        return SimpleNamespace(job=SimpleNamespace(community=self.whose[job]))

    def tell(self, *jobs: int, serving: tuple[str, ...] = BOTH) -> None:
        self.changes.tell(serving, [JobChanged(job, JobState.DONE, 1) for job in jobs], self.work.append)

    async def look(self) -> None:
        for one in self.work:
            await one
        self.work.clear()

    def heard(self, community: str) -> list[int]:
        waiting = self.watchers[community].waiting
        found = [event.job for event in waiting if isinstance(event, JobChanged)]
        waiting.clear()
        return found


@pytest.fixture
def scene() -> Any:
    hub = Hub()
    with hub.watching("atlas") as atlas, hub.watching("belle") as belle:
        yield Scene(atlas, belle, hub)


pytestmark = pytest.mark.anyio


async def test_each_community_hears_of_its_own_jobs(scene: Scene) -> None:
    """Of those that were leased here nobody has to be asked."""
    scene.changes.remember(1, "atlas")
    scene.changes.remember(2, "belle")
    scene.tell(1, 2)
    assert (scene.heard("atlas"), scene.heard("belle")) == ([1], [2])
    assert (scene.work, scene.read) == ([], [])


async def test_of_jobs_that_were_leased_elsewhere_the_store_is_asked_once(scene: Scene) -> None:
    """Nobody hears of them before it is known whose they are."""
    scene.tell(1, 2)
    assert (scene.heard("atlas"), scene.heard("belle")) == ([], [])
    await scene.look()
    assert (scene.heard("atlas"), scene.heard("belle")) == ([1], [2])
    scene.tell(2)
    assert (scene.heard("belle"), scene.read) == ([2], [1, 2])


async def test_a_pilot_for_one_community_has_its_jobs_alone(scene: Scene) -> None:
    """Nothing is looked up."""
    scene.tell(1, serving=("atlas",))
    assert (scene.heard("atlas"), scene.heard("belle"), scene.read) == ([1], [], [])


async def test_what_happens_while_a_job_is_looked_up_is_told_after(scene: Scene) -> None:
    """In its order, whoever asks meanwhile."""
    scene.changes.tell(BOTH, [JobChanged(1, JobState.RUNNING, 1)], scene.work.append)
    scene.changes.remember(1, "atlas")
    scene.tell(1)
    assert scene.heard("atlas") == []
    await scene.look()
    states = [event.state for event in scene.watchers["atlas"].waiting if isinstance(event, JobChanged)]
    assert (states, scene.read) == ([JobState.RUNNING, JobState.DONE], [1])


@pytest.mark.parametrize("trouble", [Refusal("not-found", "it is gone"), OSError("the database is away")])
async def test_a_job_that_cannot_be_looked_up_is_told_to_nobody(scene: Scene, trouble: Exception) -> None:
    """The others are."""
    scene.trouble = trouble
    scene.tell(1, 2)
    await scene.look()
    assert (scene.heard("atlas"), scene.heard("belle")) == ([], [2])


async def test_so_many_are_remembered(scene: Scene) -> None:
    """Those that were leased longest ago are asked for again."""
    for job in range(10, 200):
        scene.changes.remember(job, "atlas")
    scene.changes.remember(1, "atlas")
    scene.tell(10, 1)
    assert scene.heard("atlas") == [1]
    scene.whose[10] = "atlas"
    await scene.look()
    assert scene.heard("atlas") == [10]
