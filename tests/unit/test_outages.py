"""Jobs that wait while a token endpoint is away: how long, what ends it, and what the next of them meets then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from central.dispatching.dispatch import Dispatcher
from central.fleet.presence import Presence
from central.records import CredentialRow, Leased, Note
from central.store.port import Store
from central.trust import outages
from central.trust.access_tokens import Question, Said
from central.trust.refreshing import Refreshing
from central.trust.seal import Key
from central.trust.vault import Vault
from pilot.errors import Refusal
from pilot.protocol import JobSpec
from tests.unit.clockwork import Clockwork, settled
from tests.unit.matching_scene import task
from tests.unit.matching_store import MatchingStore

GIVEN = {"token_url": "https://login.example/token", "client_id": "pilotage", "refresh_token": "refresh-one"}
VAULT = Vault([Key("k1", b"k" * 32, 0.0)])
ROW = VAULT.seal(CredentialRow("physics", "ann", "iam", "refresh-token", (), None, "", b"", 5.0), GIVEN)
TOKEN = b'{"access_token": "access-one", "token_type": "bearer"}'


class Rows(MatchingStore):
    """A store with one credential."""

    def __init__(self) -> None:
        super().__init__()
        self.row: CredentialRow | None = ROW
        self.trouble: Exception | None = None

    async def credentials(self, community: str, owner: str, names: Sequence[str]) -> tuple[CredentialRow, ...]:
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        return () if self.row is None else (self.row,)

    async def reseal_credential(self, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
        if self.row is None or self.row.sealed != old.sealed:
            return False
        self.row = replace(self.row, key_id=key_id, sealed=sealed)
        return True

    async def note(self, notes: Sequence[Note]) -> None:
        pass


class Scene:
    """What of a central takes part, and an endpoint."""

    def __init__(self) -> None:
        self.clock = Clockwork()
        self.wall = self.clock.now
        self.store = Rows()
        store = cast(Store, self.store)
        self.dispatcher = Dispatcher(store, Presence(self.clock.now), self.clock, 10)
        self.refreshing = Refreshing(
            store, VAULT, self.ask, lambda: ("https://login.example/",), self.wall, self.clock.sleep
        )
        self.answer = Said(503, b"")
        self.asked: list[float] = []
        self.tasks: list[asyncio.Task[None]] = []
        queue = task(1)
        self.dispatcher.jobs_added(self.store.submit(queue))
        self.leased = Leased(1, 1, 1, 5, 1, JobSpec(("true",)), "physics", "muons", "ann")

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    def ask(self, what: Question) -> Said:
        self.asked.append(self.clock.now() - 1000.0)
        return self.answer

    def begin(self, queue: int = 1) -> None:
        outages.begin(cast(Any, self), replace(self.leased, queue=queue), "iam", "is away")

    def rests(self, queue: int = 1) -> bool:
        return bool(self.dispatcher.queues.resting.names(queue))

    async def advance(self, seconds: int) -> None:
        """Second by second: what is asked is asked by a thread."""
        for _ in range(seconds):
            await self.clock.advance(1.0)
            await self.refreshing.idle()
            await settled()


def play(story: Callable[[Scene], Coroutine[Any, Any, None]], trouble: Exception | None = None) -> None:
    async def run() -> None:
        scene = Scene()
        scene.store.trouble = trouble
        scene.begin()
        try:
            await asyncio.wait_for(story(scene), 60)
        finally:
            for one in scene.tasks:
                one.cancel()

    asyncio.run(run())


def test_the_endpoint_is_asked_less_and_less_until_it_answers() -> None:
    """By the clock alone, however many jobs there are; then all of them are offered again."""

    async def story(scene: Scene) -> None:
        scene.begin()
        await scene.advance(40)
        assert len(scene.tasks) == 1
        assert [round(at) for at in scene.asked] == pytest.approx([0, 5, 15, 35], abs=3)
        assert scene.rests()
        reads = scene.store.calls.count("waiting")
        scene.answer = Said(200, TOKEN)
        await scene.advance(45)
        assert not scene.rests()
        assert scene.store.calls.count("waiting") == reads + 1
        assert len(scene.asked) == 5

    play(story)


def test_however_many_queues_wait_for_it_one_looks() -> None:
    """What waits is counted once when it is there again, and not once for each queue."""

    async def story(scene: Scene) -> None:
        for queue in range(2, 100):
            scene.begin(queue)
        await scene.advance(10)
        assert len(scene.tasks) == 1
        assert all(map(scene.rests, range(1, 100)))
        reads = scene.store.calls.count("waiting")
        scene.answer = Said(200, TOKEN)
        await scene.advance(15)
        assert not any(map(scene.rests, range(1, 100)))
        assert scene.store.calls.count("waiting") == reads + 1

    play(story)


@pytest.mark.parametrize("what", ["removed", "refused", "another kind", "set anew"])
def test_what_else_ends_it(what: str) -> None:
    """What its owner does, or must do: within a look. The next of the jobs is matched, and held where it must be."""

    async def story(scene: Scene) -> None:
        await scene.advance(60)
        assert scene.rests()
        if what == "removed":
            scene.store.row = None
        elif what == "another kind":
            scene.store.row = replace(ROW, kind="bearer")
        elif what == "set anew":
            scene.store.row, scene.answer = VAULT.seal(replace(ROW, changed=6.0), GIVEN), Said(200, TOKEN)
        else:
            scene.answer = Said(400, b'{"error": "invalid_grant"}')
        await scene.advance(90 if what == "refused" else int(outages.LOOK) + 1)
        assert not scene.rests()

    play(story)


def test_a_store_that_is_away_is_no_end() -> None:
    """It is looked at again."""

    async def story(scene: Scene) -> None:
        await scene.advance(3)
        assert scene.rests()
        assert scene.asked == []
        scene.answer = Said(200, TOKEN)
        await scene.advance(11)
        assert scene.asked == []
        scene.store.error = Refusal("busy", "the database is away")  # of the next call: the counting
        await scene.advance(30)
        assert len(scene.asked) == 1
        assert not scene.rests()
        assert scene.store.calls.count("waiting") == 2

    play(story, Refusal("busy", "the database is away"))
