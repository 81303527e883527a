"""Attacks on the audit by somebody who owns the database, and has neither the central's keys nor its folder."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from central.auditing import AuditQuery, packed
from central.store.port import Store
from central.store.postgres import PostgresStore
from central.store.sqlite import SqliteStore
from pilot import audit
from pilot.audit import AuditLine, AuditLink, digest, link_hash
from pilot.auditing import Anchor
from tests.contract.audit_scene import KEY, OTHER, Leader
from tests.contract.stores import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def leader(store: Store, tmp_path: Path, clock: Clock) -> Leader:
    """A chain of three links: lines 1 and 2, lines 3 and 4, line 5; a minute apart."""
    leader = Leader(store, tmp_path)
    for subjects in (("a", "b"), ("c", "d"), ("e",)):
        clock.forward(60)
        await leader.turn(*subjects)
    return leader


class Owner:
    """Somebody who may do everything to the database: triggers are no hindrance."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def does(self, *statements: str, values: Sequence[object] = ()) -> None:
        """Statements with `?` for values, which go to each."""
        if isinstance(self.store, SqliteStore):
            self._sqlite(self.store.path, statements, values)
        elif isinstance(self.store, PostgresStore):
            await self._postgres(self.store.url, statements, values)

    def _sqlite(self, path: Path, statements: Sequence[str], values: Sequence[object]) -> None:
        with contextlib.closing(sqlite3.connect(path)) as database:
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                if name.startswith("audit"):
                    database.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                database.execute(statement.replace("OVERRIDING SYSTEM VALUE", ""), values)
            database.commit()

    async def _postgres(self, url: str, statements: Sequence[str], values: Sequence[object]) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("SET session_replication_role = replica")  # no trigger fires
        for statement in statements:
            pieces = statement.split("?")
            numbered = "".join(f"{piece}${number}" for number, piece in enumerate(pieces[:-1], 1)) + pieces[-1]
            await connection.execute(numbered, *values)
        await connection.close()

    async def replaces(self, link: AuditLink) -> None:
        """Put a link in the place of the one with its number."""
        values = (link.previous, link.hash, link.key_id, link.seal, packed(link.digests), link.number)
        await self.does(
            "UPDATE audit_links SET previous = ?, hash = ?, key_id = ?, seal = ?, digests = ? WHERE number = ?",
            values=values,
        )

    async def links_anew(self, key: bytes | None, key_id: str = "k1") -> None:
        """Compute every link anew from the lines that are there. Without a key the seals stay as they are."""
        previous = audit.BEGINNING
        for one in (await self.store.chain(0, 10)).links:
            made = replace(one.link, previous=previous, digests=tuple(map(digest, one.lines)), key_id=key_id)
            made = replace(made, hash=link_hash(made))
            await self.replaces(replace(made, seal=audit.seal(key, made.hash)) if key else made)
            previous = made.hash


@pytest.fixture
def owner(store: Store, leader: Leader) -> Owner:
    return Owner(store)


async def test_a_line_is_removed(leader: Leader, owner: Owner, clock: Clock) -> None:
    """Which line is said, and since when what is there proves nothing."""
    await owner.does("DELETE FROM audit WHERE id = 3")
    verdict = await leader.verdict()
    assert verdict.problems == ("line 3 is missing (link 2)",)
    assert verdict.since == clock.time - 120


async def test_a_line_is_changed(leader: Leader, owner: Owner) -> None:
    """In whichever of its fields."""
    for field, value in (("who", "'eve'"), ("what", "'x'"), ("time", "7"), ("job", "8"), ("detail", "'y'")):
        await owner.does(f"UPDATE audit SET {field} = {value} WHERE id = 4")
        (problem,) = (await leader.verdict()).problems
        assert problem.startswith("line 4 was changed (link 2): "), field


async def test_a_line_is_put_in_before_others(leader: Leader, owner: Owner) -> None:
    """With an id that no link has, wherever it is."""
    await owner.does(
        "INSERT INTO audit (id, time, who, what, community, owner, subject, detail) OVERRIDING SYSTEM VALUE"
        " VALUES (-7, 1, 'eve', 'queue.add', '', '', 'mine', '')"
    )
    (problem,) = (await leader.verdict()).problems
    assert problem.startswith("line -7 was put in later (link 1): ")
    assert "eve queue.add mine" in problem


async def test_a_line_is_put_in_the_place_of_another(leader: Leader, owner: Owner) -> None:
    """What was taken away and what stands there instead are one finding."""
    await owner.does(
        "DELETE FROM audit WHERE id = 5",
        "INSERT INTO audit (id, time, who, what, community, owner, subject, detail) OVERRIDING SYSTEM VALUE"
        " VALUES (5, 1, 'eve', 'queue.add', '', '', 'mine', '')",
    )
    (problem,) = (await leader.verdict()).problems
    assert problem.startswith("line 5 was changed (link 3)")


async def test_the_last_lines_are_cut_off_with_their_links(leader: Leader, owner: Owner) -> None:
    """What is left is a sound chain: the newest link in the folder, and in the leader's memory, says that it is not
    all. The audit itself has that it was found out, and so have the figures."""
    anchor = leader.file.read()
    assert anchor is not None
    assert anchor.number == 3
    await owner.does("DELETE FROM audit WHERE id > 2", "DELETE FROM audit_links WHERE number > 1")
    assert (await leader.verdict()).sound
    (problem,) = (await leader.verdict(anchor)).problems
    assert problem == "the end is cut off: the newest link is 1, and link 3 was written down"
    await leader.turn()
    assert leader.broken()
    (found,) = await leader.store.audit(AuditQuery(what="audit.broken"), 10)
    assert anchor.hash in found.detail


async def test_the_end_is_cut_off_while_no_central_runs(leader: Leader, owner: Owner) -> None:
    """The file knows what the next leader cannot; that it goes on does not cover up anything."""
    await owner.does("DELETE FROM audit WHERE id > 4", "DELETE FROM audit_links WHERE number > 2")
    leader.restart()
    await leader.turn("f")
    assert leader.broken()
    assert len(await leader.store.audit(AuditQuery(what="audit.broken"), 10)) == 1
    leader.restart()
    await leader.turn("g")
    assert not leader.broken(), "the file has the new end by now; the line about the old one is in the chain"
    assert len(await leader.store.audit(AuditQuery(what="audit.broken"), 10)) == 1


async def test_the_end_is_cut_off_and_grown_again(leader: Leader, owner: Owner) -> None:
    """As many links as before are not the same links, for whoever wrote one of them down."""
    anchor = leader.file.read()
    assert anchor is not None
    await owner.does("DELETE FROM audit WHERE id > 4", "DELETE FROM audit_links WHERE number > 2")
    leader.file.path.unlink()
    leader.restart()
    await leader.turn("f")
    assert (await leader.verdict()).sound
    (problem,) = (await leader.verdict(anchor)).problems
    assert problem.startswith("link 3 is not the one that was written down")


async def test_everything_is_removed(leader: Leader, owner: Owner) -> None:
    """An empty audit is sound only for whoever never saw another."""
    anchor = Anchor(1, "x")
    await owner.does("DELETE FROM audit", "DELETE FROM audit_links")
    (problem,) = (await leader.verdict(anchor)).problems
    assert problem == "the end is cut off: the newest link is 0, and link 1 was written down"
    await leader.turn()
    assert leader.broken()


async def test_links_are_computed_anew_without_the_key(leader: Leader, owner: Owner) -> None:
    """Hashes need no key, and fit; the seals do not."""
    await owner.does("UPDATE audit SET who = 'eve' WHERE id = 1")
    await owner.links_anew(None)
    verdict = await leader.verdict()
    assert [problem.split(" was ")[0] for problem in verdict.problems] == ["link 1", "link 2", "link 3"]
    assert all("without the central's key" in problem for problem in verdict.problems)
    await owner.links_anew(b"a key of the attacker's own")
    assert len((await leader.verdict()).problems) == 3
    await leader.turn()
    assert leader.broken(), "the leader sees as well that its newest link is another"


async def test_links_name_a_key_that_is_not_there(leader: Leader, owner: Owner) -> None:
    """As if it had left the ring: nothing is proved by such a seal, unless a later link has a good one."""
    await owner.does("UPDATE audit SET who = 'eve' WHERE id = 1")
    await owner.links_anew(b"a key of the attacker's own", "k0")
    (problem,) = (await leader.verdict()).problems
    assert problem == "nothing proves who made link 3: its key is gone, and no later seal is good"


async def test_keys_that_left_the_ring_are_missed_by_nobody(leader: Leader, tmp_path: Path) -> None:
    """A later link proves the earlier ones, whose keys are gone."""
    later = Leader(leader.store, tmp_path, (OTHER,))
    await later.turn("f")
    verdict = await later.verdict()
    assert (verdict.problems, verdict.sealed_through) == ((), 4)


async def test_one_link_is_changed(leader: Leader, owner: Owner) -> None:
    """In any of its columns; where its hash is made to fit, the next does not follow from it."""
    link = await leader.store.audit_link(2)
    assert link is not None
    for column, value in (("time", "1"), ("first", "2"), ("previous", "'x'"), ("hash", "'x'"), ("seal", "'x'")):
        before = (await leader.verdict()).problems
        assert before == (), column
        await owner.does(f"UPDATE audit_links SET {column} = {value} WHERE number = 2")
        assert "link 2" in (await leader.verdict()).problems[0], column
        await owner.does(
            "UPDATE audit_links SET time = ?, first = ?, previous = ?, hash = ?, seal = ? WHERE number = 2",
            values=(link.time, link.first, link.previous, link.hash, link.seal),
        )
    await owner.does("UPDATE audit_links SET digests = ? WHERE number = 2", values=(b"",))
    problems = (await leader.verdict()).problems
    assert problems[0].startswith("link 2 is not as it was made")
    assert problems[1].startswith("line 3 was put in later")


async def test_links_are_removed(leader: Leader, owner: Owner) -> None:
    """At the beginning or in the middle, with their lines or without."""
    await owner.does("DELETE FROM audit_links WHERE number = 2")
    assert "link 2 missing" in (await leader.verdict()).problems[0]
    await owner.does("DELETE FROM audit_links WHERE number = 1", "DELETE FROM audit WHERE id < 5")
    (problem,) = (await leader.verdict()).problems
    assert problem == "links 1 to 2 missing, and nothing says that the central let go of it"


async def test_the_beginning_is_let_go_of_by_somebody_else(leader: Leader, owner: Owner) -> None:
    """What is old goes with a seal of the central; nobody else can make one."""
    link = await leader.store.audit_link(2)
    assert link is not None
    for key_id, expected in (("k1", "its seal is not the central's"), ("k9", "the key of its seal is gone")):
        await owner.does("DELETE FROM audit_starts")
        await owner.does(
            "INSERT INTO audit_starts (through, hash, last, time, key_id, seal) VALUES (2, ?, 4, 1, ?, ?)",
            values=(link.hash, key_id, audit.seal(b"mine", link.hash)),
        )
        await owner.does("DELETE FROM audit_links WHERE number < 3", "DELETE FROM audit WHERE id < 5")
        (problem,) = (await leader.verdict()).problems
        assert problem == f"nothing proves that the central let go of the links to 2: {expected}"


async def test_a_good_start_is_moved(leader: Leader, owner: Owner, clock: Clock) -> None:
    """Its seal is of one place, and of no other."""
    clock.forward(1000)
    await leader.chain.retire(1100)
    start = (await leader.store.chain(0, 1)).start
    assert start is not None
    assert (start.through, (await leader.verdict()).sound) == (1, True)
    link = await leader.store.audit_link(2)
    assert link is not None
    await owner.does("DELETE FROM audit_links WHERE number = 2", "DELETE FROM audit WHERE id < 5")
    await owner.does("UPDATE audit_starts SET through = 2, last = 4, hash = ?", values=(link.hash,))
    assert "its seal is not the central's" in (await leader.verdict()).problems[0]


async def test_a_link_of_another_central_is_put_in(leader: Leader, owner: Owner) -> None:
    """A seal under a key of another ring is none."""
    link = await leader.store.audit_link(3)
    assert link is not None
    await owner.replaces(replace(link, seal=audit.seal(OTHER.secret, link.hash)))
    (problem,) = (await leader.verdict()).problems
    assert problem == "link 3 was made by somebody without the central's key"
    assert leader.keys == (KEY,)


async def test_lines_cannot_be_written_so_that_they_read_as_others() -> None:
    """What stands in one field is never taken for the next, nor a number for a text."""
    lines = [
        AuditLine(1, 1.0, "a", "b", "", "", ""),
        AuditLine(1, 1.0, 'a","b', "", "", "", ""),
        AuditLine(1, 1.0, "a", "b", "", "", "", 1),
        AuditLine(1, 1.0, "a", "b", "", "", "", None, 1),
        AuditLine(1, 1.0, "a", "b", "", "", "1"),
        AuditLine(11, 1.0, "a", "b", "", "", ""),
        AuditLine(1, 1.5, "a", "b", "", "", ""),
    ]
    assert len({digest(one).sha256 for one in lines}) == len(lines)
