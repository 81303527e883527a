"""How a central has access tokens made: one question at a time, and what came is kept whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import pytest

from central.records import CredentialRow, Note
from central.store.port import Store
from central.trust import refreshing
from central.trust.access_tokens import Question, Said, delivery
from central.trust.refreshing import AT_ONCE, MOST_ANSWERED, OF_ONE, PATIENCE, Refreshing, body_of
from central.trust.seal import Key
from central.trust.vault import Vault
from pilot.errors import Refusal
from pilot.protocol import Credential

GIVEN = {"token_url": "https://login.example/token", "client_id": "pilotage", "refresh_token": "refresh-1"}
BARE = CredentialRow("physics", "ann", "eos", "refresh-token", (), None, "", b"", 5.0)
VAULT = Vault([Key("k1", b"k" * 32, 0.0)])


class Rows:
    """One row of a store, that several centrals share."""

    def __init__(self, row: CredentialRow) -> None:
        self.row: CredentialRow | None = row
        self.notes: list[Note] = []
        self.trouble: list[Exception | None] = []  # of each write that comes

    async def credentials(self, community: str, owner: str, names: Sequence[str]) -> tuple[CredentialRow, ...]:
        return () if self.row is None else (self.row,)

    async def reseal_credential(self, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
        if self.trouble and (trouble := self.trouble.pop(0)):
            raise trouble
        if self.row is None or self.row.sealed != old.sealed:
            return False
        self.row = replace(self.row, key_id=key_id, sealed=sealed)
        return True

    async def note(self, notes: Sequence[Note]) -> None:
        self.notes += notes


class Scene:
    """A token endpoint whose refresh tokens are good once, and a row."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.good = "refresh-1"
        self.problem: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.rows = Rows(VAULT.seal(BARE, GIVEN))

    def central(self, *allowed: str, rows: object = None) -> Refreshing:
        store = cast(Store, rows or self.rows)
        return Refreshing(store, VAULT, self.ask, lambda: allowed or ("https://login.example/",), self.wall, self.sleep)

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0.001)

    def ask(self, what: Question) -> Said:
        self.asked.append(what.form["refresh_token"])
        self.meanwhile()
        if self.problem is not None:
            raise self.problem
        if what.form["refresh_token"] != self.good:
            return Said(400, b'{"error": "invalid_grant"}')
        number = len(self.asked) + 1
        self.good = f"refresh-{number}"
        answer = {"access_token": f"access-{number}", "token_type": "bearer", "expires_in": 1000}
        return Said(200, json.dumps({**answer, "refresh_token": self.good}).encode())

    def token(self, row: CredentialRow) -> str:
        """What would go out of a row."""
        out = delivery(row, VAULT.open(row), self.now)
        return out.values["token"] if isinstance(out, Credential) else out

    def kept(self) -> CredentialRow:
        assert self.rows.row is not None
        return self.rows.row


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_token_is_made_kept_and_made_again(scene: Scene) -> None:
    """Not before its time; each with the refresh token that came with the one before."""

    async def story() -> None:
        central = scene.central()
        for _ in range(3):
            assert scene.token(await central.row(scene.kept())) == "access-2"
        scene.now += 400
        assert scene.token(await central.row(scene.kept())) == "access-3"

    asyncio.run(story())
    assert scene.asked == ["refresh-1", "refresh-2"]
    assert [(line.what, line.who, line.subject) for line in scene.rows.notes] == [
        ("credential.refreshed", "the central", "eos")
    ] * 2
    assert not any("refresh-" in line.detail or "access-" in line.detail for line in scene.rows.notes)


def test_of_many_who_need_it_one_asks(scene: Scene) -> None:
    """In one central and in another over the same database; all get what came."""

    async def story() -> None:
        one, two = scene.central(), scene.central()
        row = scene.kept()
        found = await asyncio.gather(*(central.row(row) for central in (one, two) for _ in range(10)))
        assert {scene.token(row) for row in found} == {"access-2"}

    asyncio.run(story())
    assert scene.asked == ["refresh-1"]


def test_an_endpoint_that_is_away(scene: Scene) -> None:
    """Is not asked by everybody; what is there stays good, and later it works again."""

    async def story() -> None:
        central = scene.central()
        await central.row(scene.kept())
        scene.problem, scene.now = OSError("refresh-2 at https://login.example"), scene.now + 500
        for _ in range(5):
            assert scene.token(await central.row(scene.kept())) == "access-2"
        assert len(scene.asked) == 2
        scene.now += 600
        assert scene.token(await central.row(scene.kept())) == "could not be refreshed: no answer (OSError)"
        scene.problem, scene.now = None, scene.now + 60
        assert scene.token(await central.row(scene.kept())) == "access-5"

    asyncio.run(story())
    assert scene.rows.notes[1].what == "credential.refused"
    assert not any("refresh-2" in line.detail for line in scene.rows.notes)


def test_who_asked_may_go(scene: Scene) -> None:
    """What comes for a request that was cancelled is kept all the same, and waited for when the central stops."""
    door, under_way = threading.Event(), threading.Event()

    def slow() -> None:
        under_way.set()
        assert door.wait(30)

    scene.meanwhile = slow

    async def story() -> None:
        central = scene.central()
        asking = asyncio.create_task(central.row(scene.kept()))
        assert await asyncio.to_thread(under_way.wait, 30)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        closing = asyncio.create_task(central.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        door.set()
        await closing

    asyncio.run(story())
    assert scene.asked == ["refresh-1"]
    assert scene.token(scene.kept()) == "access-2"


def test_a_slow_endpoint_keeps_nobody_waiting_for_long(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits goes on with what is there; what comes is kept."""
    monkeypatch.setattr(refreshing, "WAIT", 0.05)
    door = threading.Event()
    scene.meanwhile = lambda: None if door.wait(30) else pytest.fail("nobody opened")

    async def story() -> None:
        central = scene.central()
        row = await central.row(scene.kept())
        assert scene.token(row) == "could not be refreshed: no token endpoint has answered yet"
        door.set()
        await central.close()

    asyncio.run(story())
    assert scene.token(scene.kept()) == "access-2"


def test_slow_endpoints_are_asked_side_by_side(scene: Scene) -> None:
    """Those of several owners for one answer too, and one question is for all that wait for it."""
    both = threading.Barrier(2, timeout=30)

    def together() -> None:
        both.wait()

    scene.meanwhile = together
    scene.problem = OSError()
    others = {owner: VAULT.seal(replace(BARE, owner=owner), GIVEN) for owner in ("ann", "ben")}

    class Several(Rows):
        async def credentials(self, community: str, owner: str, names: Sequence[str]) -> tuple[CredentialRow, ...]:
            return (others[owner],)

        async def reseal_credential(self, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
            if others[old.owner].sealed != old.sealed:
                return False
            others[old.owner] = replace(old, key_id=key_id, sealed=sealed)
            return True

    async def story() -> None:
        central = scene.central(rows=Several(BARE))
        rows = {("physics", owner): {"eos": row} for owner, row in others.items()}
        first, second = await asyncio.gather(central.fresh(rows), central.fresh(rows))
        assert first == second
        assert first.keys() == rows.keys()
        assert all("no answer" in scene.token(first["physics", owner]["eos"]) for owner in others)

    asyncio.run(story())
    assert len(scene.asked) == 2


def test_an_endpoint_that_is_slow_keeps_nobody_from_asking_another(scene: Scene) -> None:
    """However many wait for the slow one."""
    door = threading.Event()

    def ask(what: Question) -> Said:
        if "slow" in what.url:
            door.wait(30)
        return Said(200, b'{"access_token": "access-one", "token_type": "bearer"}')

    class Many(Rows):
        async def reseal_credential(self, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
            return True

    async def story() -> None:
        allowed = ("https://slow.example/", "https://login.example/")
        store = cast(Store, Many(BARE))
        central = Refreshing(store, VAULT, ask, lambda: allowed, scene.wall, scene.sleep)
        slow = {**GIVEN, "token_url": "https://slow.example/token"}
        owners = [f"ann{number}" for number in range(2 * AT_ONCE)]
        waiting = [asyncio.create_task(central.row(VAULT.seal(replace(BARE, owner=owner), slow))) for owner in owners]
        await asyncio.sleep(0)
        quick = await central.row(VAULT.seal(replace(BARE, owner="ben"), GIVEN))
        assert scene.token(quick) == "access-one"
        assert not any(task.done() for task in waiting)
        door.set()
        assert {scene.token(row) for row in await asyncio.gather(*waiting)} == {"access-one"}
        await central.close()

    asyncio.run(story())


def test_an_answer_that_trickles_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly it comes, byte by byte; one that is too long is cut."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Trickle:
        def read1(self, most: int, decode_content: bool) -> bytes:
            now[0] += 4.0
            return b"{"

    class Flood:
        def read1(self, most: int, decode_content: bool) -> bytes:
            return b"x" * most

    with pytest.raises(TimeoutError):
        body_of(Trickle(), PATIENCE)
    assert now[0] <= PATIENCE + 4.0
    now[0] = 0.0
    assert len(body_of(Flood(), PATIENCE)) == MOST_ANSWERED


def test_what_came_is_kept_when_the_row_was_sealed_anew(scene: Scene) -> None:
    """Under another key, in the middle of it: the refresh token of before is good for nothing."""

    def sealed_anew() -> None:
        scene.rows.row = VAULT.seal(scene.kept(), VAULT.open(scene.kept()))

    scene.meanwhile = sealed_anew
    row = asyncio.run(scene.central().row(scene.kept()))
    assert scene.token(row) == scene.token(scene.kept()) == "access-2"
    assert VAULT.open(scene.kept())["refresh_token"] == "refresh-2"


def test_what_came_is_kept_when_the_store_is_in_trouble(scene: Scene) -> None:
    """It is written as soon as that works: the refresh token of before is good for nothing."""
    away = Refusal("busy", "the database is away")
    scene.rows.trouble = [None, away, OSError(5, "input/output error")]
    row = asyncio.run(scene.central().row(scene.kept()))
    assert scene.token(row) == scene.token(scene.kept()) == "access-2"
    assert VAULT.open(scene.kept())["refresh_token"] == "refresh-2"


def test_what_the_owner_sets_meanwhile_stays(scene: Scene) -> None:
    """What came for the one before is not put over it; nor does one come back that was removed."""
    newer = VAULT.seal(replace(BARE, changed=6.0), {**GIVEN, "refresh_token": "refresh-9"})

    def set_anew() -> None:
        scene.rows.row = newer

    scene.meanwhile = set_anew
    assert asyncio.run(scene.central().row(scene.kept())).changed == 6.0
    assert VAULT.open(scene.kept())["refresh_token"] == "refresh-9"
    scene.now += 3600

    def removed() -> None:
        scene.rows.row = None

    scene.meanwhile = removed
    asyncio.run(scene.central().row(newer))
    assert scene.rows.row is None


def test_nobody_is_asked_whom_the_operator_does_not_name(scene: Scene) -> None:
    """Also not with what was kept when it was allowed; whole segments of a path count."""
    row = asyncio.run(scene.central("https://login.example/tok").row(scene.kept()))
    assert scene.asked == []
    assert "not allowed" in scene.token(row)
    central = scene.central("https://login.example/", "https://other.example/oauth")
    allowed = ("https://login.example/x", "https://other.example/oauth/token")
    refused = (
        "https://login.example.org/x",
        "https://other.example/oauth2",
        "http://login.example/x",
        "https://127.0.0.1/",
    )
    assert all(map(central.may_ask, allowed))
    assert not any(map(central.may_ask, (*refused, "https://other.example/oauth/../x")))


def test_an_owner_has_so_much_asked_in_a_minute(scene: Scene) -> None:
    """However often something is set: nobody tries out an endpoint by way of a central."""
    scene.problem = OSError()

    async def story() -> None:
        central, row = scene.central(), scene.kept()
        for number in range(OF_ONE + 5):
            row = VAULT.seal(replace(BARE, changed=float(number)), GIVEN)
            scene.rows.row = row
            row = await central.row(row)
        assert len(scene.asked) == OF_ONE
        assert "too many" in scene.token(row)
        other = VAULT.seal(replace(BARE, owner="ben"), GIVEN)
        scene.rows.row = other
        await central.row(other)
        assert len(scene.asked) == OF_ONE + 1

    asyncio.run(story())


def test_other_kinds_are_left_alone(scene: Scene) -> None:
    """As they are, without a question."""
    plain = replace(BARE, kind="bearer", name="plain")
    rows = {("physics", "ann"): {"plain": plain}}
    assert asyncio.run(scene.central().fresh(rows)) is rows
    both = asyncio.run(scene.central().fresh({("physics", "ann"): {"plain": plain, "eos": scene.kept()}}))
    assert both["physics", "ann"]["plain"] is plain
    assert scene.token(both["physics", "ann"]["eos"]) == "access-2"
