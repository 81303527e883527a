"""What leaves a line in the audit: every route that changes something, refusals within bounds, and nothing unclean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from central.records import Identity, Note
from central.routes import EVERY_ROUTE
from central.trust.noting import MAX_DETAIL, NOTED, OF_ALL, OF_ONE, SPAN, WAITING, Bounds, Noting, clean
from central.trust.rules import PayloadCaller, PilotCaller
from central.trust.seal import JobToken, PilotToken
from pilot.errors import REFUSALS, PilotageError

#: Routes that change something and write their lines themselves, in the transaction of the change or because one
#: request may be several lines.
NOTED_BY_THEMSELVES = {
    ("POST", "/v1/jobs/{verb:verb}"),
    ("PUT", "/v1/credentials/{name:name}"),
    ("DELETE", "/v1/credentials/{name:name}"),
    ("POST", "/v1/members"),
    ("POST", "/v1/members/role"),
    ("POST", "/v1/members/revoke"),
    ("POST", "/v1/tokens"),
    ("DELETE", "/v1/tokens/{number:number}"),
    ("POST", "/v1/login"),
    ("POST", "/v1/login/certificate"),
    ("POST", "/v1/login/device"),
    ("POST", "/v1/login/token"),
    ("POST", "/v1/logout"),
}
#: What is of everyday life and lives in the history of jobs and pilots, and what changes nothing.
EVERYDAY = {
    ("POST", "/v1/jobs"),
    ("POST", "/v1/jobs/explain"),
    ("POST", "/v1/jobs/{job:number}/peeks"),
    ("POST", "/v1/queues/{name:name}/check"),
    ("PUT", "/v1/sandboxes/{sha256:sha256}"),
    ("PUT", "/v1/logs/{stamp:stamp}/{stream}"),
    ("POST", "/v1/attempts/{job:number}/{attempt:number}/report"),
    ("POST", "/v1/attempts/{job:number}/{attempt:number}/uploads"),
    ("POST", "/v1/attempts/{job:number}/{attempt:number}/downloads"),
    *(
        ("POST", f"/v1/pilots/{{stamp:stamp}}/{verb}")
        for verb in ("match", "heartbeat", "release", "steps", "renew", "credentials", "bye")
    ),
}
PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
ADA = Identity("ada", "atlas", "physics", "member")
OPS = Identity("ops", "atlas", "physics", "operator")


def test_every_route_that_changes_something_is_in_the_audit_or_says_why_not() -> None:
    """Whoever adds a route has to think of it."""
    changing = {(route.method, route.path) for route in EVERY_ROUTE if route.method not in ("GET", "HEAD")}
    noted = {(route.method, route.path) for route in EVERY_ROUTE if route.audit}
    assert changing - noted == NOTED_BY_THEMSELVES | EVERYDAY
    assert not noted - changing, "who reads something leaves no line"


def test_every_word_of_the_audit_is_documented() -> None:
    """With what it means; and every refusal that is noted."""
    known = set(re.findall(r"`([a-z]+(?:[.-][a-z-]+)?)`", PAGE.read_text()))
    assert {route.audit for route in EVERY_ROUTE if route.audit} <= known
    assert known >= NOTED
    assert set(REFUSALS) >= NOTED


class Clock:
    """Stands until a test turns it."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")


class Lines:
    """A store that keeps lines, unless it is away."""

    def __init__(self) -> None:
        self.kept: list[Note] = []
        self.away = False

    async def note(self, notes: Sequence[Note]) -> None:
        if self.away:
            raise PilotageError("the disk is full")
        self.kept += notes


class Scene:
    """A central that notes."""

    def __init__(self) -> None:
        self.clock, self.store = Clock(), Lines()
        self.noting = Noting(self.store, self.clock)  # type: ignore[arg-type]  # all of a store that it uses

    def refuse(self, caller: object = None, address: str = "192.0.2.1", type: str = "forbidden") -> None:
        self.noting.refused(caller, address, "GET /metrics", type, "this is for: operator")  # type: ignore[arg-type]

    def flushed(self) -> list[Note]:
        """What is written now."""
        before = len(self.store.kept)
        asyncio.run(self.noting.flush())
        return self.store.kept[before:]


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.flushed()  # a span begins
    return scene


def test_a_caller_has_so_many_lines_in_a_span(scene: Scene) -> None:
    """What is more is counted, and told in one line when the span is over."""
    for _ in range(OF_ONE + 7):
        scene.refuse(ADA)
    scene.refuse(OPS)
    lines = scene.flushed()
    assert [line.who for line in lines] == ["ada"] * OF_ONE + ["ops"]
    assert lines[0].detail == "forbidden: this is for: operator (from 192.0.2.1)"
    assert [line.community for line in lines[-2:]] == ["atlas", ""]
    scene.clock.time += SPAN
    (more,) = scene.flushed()
    assert (more.who, more.what, more.detail) == ("ada", "audit.omitted", "7 more lines in a minute")
    scene.refuse(ADA)
    assert len(scene.flushed()) == 1, "the next span has lines again"


def test_all_callers_together_have_so_many_lines(scene: Scene) -> None:
    """However many addresses there are: the others are counted as one."""
    for number in range(OF_ALL + 500):
        scene.refuse(address=f"2001:db8:{number:x}::1")
    assert len(scene.flushed()) == OF_ALL
    scene.clock.time += SPAN
    (more,) = scene.flushed()
    assert (more.who, more.detail) == ("others", "500 more lines in a minute")


def test_a_network_of_strangers_is_one_caller(scene: Scene) -> None:
    """Who has a /64 has more addresses than anybody could count."""
    for number in range(100):
        scene.refuse(address=f"2001:db8::{number:x}")
    lines = scene.flushed()
    assert len(lines) == OF_ONE
    assert {line.who for line in lines} == {"nobody at 2001:db8::/64"}


def test_bounds_stay_small() -> None:
    """What is remembered of callers who have no line is one number."""
    bounds = Bounds()
    for number in range(10_000):
        bounds.allow(str(number))
    assert len(bounds._lines) <= OF_ALL
    assert bounds.passed(0.0) == {"": 10_000 - OF_ALL}


def test_callers_are_called_by_what_they_showed(scene: Scene) -> None:
    """A pilot by its stamp, a payload by its attempt; and what is of everyday life is not noted."""
    stamp = "a" * 32
    scene.refuse(PilotCaller(PilotToken(stamp, 1, b"", 0.0, 0.0), aged=False), type="bad-signature")
    scene.refuse(PayloadCaller(JobToken(7, 2, stamp, "atlas", 0.0)))
    scene.refuse(address="")
    scene.refuse(ADA, type="not-found")
    scene.refuse(ADA, type="invalid")
    assert [line.who for line in scene.flushed()] == [f"pilot {stamp}", "payload 7.2", "nobody"]


def test_what_could_not_be_written_is_written_later(scene: Scene) -> None:
    """Up to a bound."""
    scene.refuse(ADA)
    scene.store.away = True
    with pytest.raises(PilotageError):
        scene.flushed()
    for _ in range(3 * WAITING // OF_ALL):
        scene.clock.time += SPAN
        for number in range(OF_ALL):
            scene.refuse(address=f"192.0.2.{number}")
        with pytest.raises(PilotageError):
            scene.flushed()
    scene.store.away = False
    lines = scene.flushed()
    assert lines[0].who == "ada"
    assert len(lines) <= WAITING


def test_lines_are_clean() -> None:
    """Whoever reads them in a terminal is moved nowhere, and no text is long."""
    note = clean(Note("a\x1b[2J", "refused", "", "", "GET /\r\nSet-Cookie: x\0\ud800", detail="y" * 10_000))
    assert note.who == "a?[2J"
    assert note.subject == "GET / Set-Cookie: x??"
    assert len(note.detail) == MAX_DETAIL
