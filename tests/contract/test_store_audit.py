"""The contract of a store: the audit, the links of its chain, and letting go of what is old."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from central.auditing import AuditQuery
from central.records import Note
from central.store.port import Store
from central.store.postgres import PostgresStore
from central.store.sqlite import SqliteStore
from central.trust.chain import LINKED, linked
from pilot.audit import BEGINNING, AuditStart
from tests.contract.audit_scene import OTHER, Leader, line
from tests.contract.stores import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def leader(store: Store, tmp_path: Path) -> Leader:
    return Leader(store, tmp_path)


async def subjects(store: Store, query: AuditQuery, limit: int = 100) -> list[str]:
    return [one.subject for one in await store.audit(query, limit)]


async def test_lines_are_found_by_what_they_say(store: Store, clock: Clock) -> None:
    """By community, time, who, what and its first word, owner, subject, job; the newest first, page by page."""
    await store.note([line("a"), line("b", community="atlas", who="ada")])
    clock.forward(10)
    await store.note([Note("pilot 1", "credential.delivered", "lhcb", "eve", "c", 7, 1), line("d", what="queues")])
    assert await subjects(store, AuditQuery()) == ["d", "c", "b", "a"]
    assert await subjects(store, AuditQuery(community="atlas")) == ["b"]
    assert await subjects(store, AuditQuery(since=clock.time)) == ["d", "c"]
    assert await subjects(store, AuditQuery(until=clock.time)) == ["b", "a"]
    assert await subjects(store, AuditQuery(who="ada")) == ["b"]
    assert await subjects(store, AuditQuery(what="queue")) == ["b", "a"]
    assert await subjects(store, AuditQuery(what="queue.pause", who="ops")) == ["a"]
    assert await subjects(store, AuditQuery(what="queue.")) == []
    assert await subjects(store, AuditQuery(owner="eve", subject="c", job=7)) == ["c"]
    newest = await store.audit(AuditQuery(), 2)
    assert await subjects(store, AuditQuery(before=newest[-1].id), 1) == ["b"]


async def test_what_is_new_is_linked(store: Store, leader: Leader, clock: Clock) -> None:
    """Each link covers all lines since the one before, and says what they were."""
    assert await store.unlinked(10) == await store.unlinked(10)
    await leader.turn("a", "b")
    clock.forward(1)
    await leader.turn()
    await leader.turn("c")
    part = await store.chain(0, 10)
    assert [(one.link.number, one.link.count) for one in part.links] == [(1, 2), (2, 1)]
    assert [[each.subject for each in one.lines] for one in part.links] == [["a", "b"], ["c"]]
    first, second = (one.link for one in part.links)
    assert (first.previous, second.previous) == (BEGINNING, first.hash)
    assert second.time == first.time + 1 == clock.time
    assert await store.audit_link(2) == second
    assert await store.audit_link(3) is None
    assert not part.more
    assert part.unlinked == ()
    assert (await leader.verdict()).sound


async def test_the_chain_is_read_in_parts(store: Store, leader: Leader) -> None:
    """So many links at a time; with the last of them come the lines that wait for a link."""
    for subject in "abc":
        await leader.turn(subject)
    await store.note([line("d")])
    part = await store.chain(0, 2)
    assert ([one.link.number for one in part.links], part.more, part.unlinked) == ([1, 2], True, ())
    part = await store.chain(2, 2)
    assert ([one.link.number for one in part.links], part.more) == ([3], False)
    assert [one.subject for one in part.links[0].lines] == ["c"]
    assert [one.subject for one in part.unlinked] == ["d"]


async def test_many_lines_become_many_links(store: Store, leader: Leader) -> None:
    """One link is of bounded size; a turn makes as many as it takes."""
    await leader.turn(*(str(number) for number in range(LINKED + 5)))
    assert [one.link.count for one in (await store.chain(0, 10)).links] == [LINKED, 5]
    assert (await leader.verdict()).lines == LINKED + 5


async def test_a_link_that_does_not_follow_the_newest_is_refused(store: Store, leader: Leader) -> None:
    """Of two leaders who link the same lines one has its way, and the chain stays one."""
    await leader.turn("a")
    await store.note([line("b")])
    found = await store.unlinked(10)
    assert await store.link(linked(found, 1.0, leader.seals))
    assert not await store.link(linked(found, 2.0, leader.seals))
    ahead = linked(found, 2.0, leader.seals)
    assert not await store.link(replace(ahead, number=9))
    assert (await leader.verdict()).links == 2


async def test_old_lines_go_with_their_links(store: Store, leader: Leader, clock: Clock) -> None:
    """A sealed start takes their place, what was done is noted, and the chain holds as before."""
    for subject in "abc":
        await leader.turn(subject)
        clock.forward(100)
    assert await leader.chain.retire(1000) == 0
    assert await leader.chain.retire(150) == 2
    start = (await store.chain(0, 10)).start
    assert start is not None
    assert (start.through, start.time) == (2, clock.time)
    assert await subjects(store, AuditQuery()) == ["links to 2", "c"]
    verdict = await leader.verdict()
    assert (verdict.problems, verdict.links) == ((), 1)
    await leader.turn("d")
    clock.forward(1000)
    assert await leader.chain.retire(10) == 1
    assert await subjects(store, AuditQuery()) == ["links to 3", "d", "links to 2"], "the newest link stays"
    assert (await leader.verdict()).sound
    assert not leader.broken()


async def test_a_start_comes_under_the_newest_key(store: Store, leader: Leader, tmp_path: Path, clock: Clock) -> None:
    """Before the key leaves the ring that it was sealed with."""
    await leader.turn("a")
    await leader.turn("b")
    clock.forward(100)
    await leader.chain.retire(10)
    later = Leader(store, tmp_path, (*leader.keys, OTHER))
    await later.turn()
    start = (await store.chain(0, 10)).start
    assert start is not None
    assert (start.through, start.key_id) == (1, "k2")
    assert (await later.verdict()).sound


async def test_the_newest_link_and_what_is_not_old_stay(store: Store, leader: Leader, clock: Clock) -> None:
    """However old it is, the newest link is what the next one follows."""
    await leader.turn("a")
    clock.forward(1000)
    assert await store.old_link(clock.time, 10) is None
    await leader.turn("b")
    assert await store.old_link(clock.time - 2000, 10) is None
    old = await store.old_link(clock.time, 10)
    assert old is not None
    assert old.number == 1


#: What somebody who may write to the database tries without taking the triggers away.
TAMPERING = (
    "UPDATE audit SET who = 'eve' WHERE id = 1",
    "DELETE FROM audit WHERE id = 1",
    "DELETE FROM audit",
    "UPDATE audit_links SET hash = 'x'",
    "DELETE FROM audit_links WHERE number = 2",
    "DELETE FROM audit_links",
    (
        "INSERT INTO audit_links (number, first, last, time, previous, hash, key_id, seal, digests)"
        " SELECT 1, first, last, time, previous, 'x', key_id, seal, digests FROM audit_links WHERE number = 1"
    ),
    "INSERT INTO audit_starts (through, hash, last, time, key_id, seal) VALUES (1, 'x', 1, 0, 'k1', 'x')",
    (
        "INSERT INTO audit_starts (through, hash, last, time, key_id, seal)"
        " SELECT number, hash, last, time, key_id, seal FROM audit_links WHERE number = 2"
    ),
)
OF_SQLITE = (
    (
        "INSERT OR REPLACE INTO audit SELECT id, time, 'eve', what, community, owner, subject, job, attempt, detail"
        " FROM audit WHERE id = 1"
    ),
    "INSERT INTO audit SELECT 0, time, 'eve', what, community, owner, subject, job, attempt, detail FROM audit",
    "INSERT OR REPLACE INTO audit_links SELECT * FROM audit_links WHERE number = 1",
)
OF_POSTGRES = (
    "TRUNCATE audit",
    "TRUNCATE audit_links",
    (
        "INSERT INTO audit (id, time, who, what, community, owner, subject, detail) OVERRIDING SYSTEM VALUE"
        " VALUES (-5, 0, 'eve', '', '', '', '', '')"
    ),
)


async def test_the_chain_is_only_added_to(store: Store, leader: Leader) -> None:
    """The database itself refuses to change a line, a link or a start, to take one away, and to put one before."""
    await leader.turn("a")
    await leader.turn("b")
    before = await store.chain(0, 10)
    if isinstance(store, SqliteStore):
        with contextlib.closing(sqlite3.connect(store.path)) as beside:
            for statement in (*TAMPERING, *OF_SQLITE):
                with pytest.raises(sqlite3.IntegrityError, match="audit"):
                    beside.execute(statement)
                beside.rollback()
    elif isinstance(store, PostgresStore):
        connection = await asyncpg.connect(store.url)
        try:
            for statement in (*TAMPERING, *OF_POSTGRES):
                with pytest.raises(asyncpg.PostgresError, match="audit"):
                    await connection.execute(statement)
        finally:
            await connection.close()
    assert await store.chain(0, 10) == before
    assert (await leader.verdict()).sound


async def test_a_start_goes_no_further_than_it_says(store: Store, leader: Leader) -> None:
    """Letting go is of whole links behind the newest."""
    await leader.turn("a")
    await leader.turn("b")
    link = await store.audit_link(2)
    assert link is not None
    with pytest.raises((sqlite3.IntegrityError, asyncpg.PostgresError)):
        await store.let_go(AuditStart(2, link.hash, link.last, 0.0, "k1", "x"))
    assert (await leader.verdict()).links == 2


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
async def test_a_line_whose_transaction_is_still_open_is_waited_for(store: Store, leader: Leader) -> None:
    """Its id is drawn before it can be seen: no link passes over it."""
    assert isinstance(store, PostgresStore)  # SQLite has one writer, and ids can be seen in their order
    connection = await asyncpg.connect(store.url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "INSERT INTO audit (time, who, what, community, owner, subject, detail) VALUES (0, '', '', '', '', 'slow', '')"
    )
    quick = asyncio.create_task(leader.store.note([line("quick")]))
    await quick
    turn = asyncio.create_task(leader.turn())
    done, _ = await asyncio.wait({turn}, timeout=0.2)
    assert not done
    await transaction.commit()
    await connection.close()
    await turn
    (link,) = (await store.chain(0, 10)).links
    assert [one.subject for one in link.lines] == ["slow", "quick"]
    assert (await leader.verdict()).sound
