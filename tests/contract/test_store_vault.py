"""The contract of a store: secrets of people, and the audit of what was done with them."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace

import asyncpg
import pytest

from central.records import CredentialRow, Note, Pick
from central.store.port import Store
from central.store.port_vault import Entitled
from central.store.postgres import PostgresStore
from central.store.sqlite import SqliteStore
from pilot.states import JobState
from tests.contract.stores import ADA, WIDE, Clock, enrol, ids, queue_of, refused, state_of, submit

pytestmark = pytest.mark.anyio

MOST = 3


def row(name: str = "grid", owner: str = "ada", community: str = "atlas", **changes: object) -> CredentialRow:
    made = CredentialRow(community, owner, name, "bearer", ("https://store.example/",), None, "k1", b"\x00sealed")
    return replace(made, **changes)  # type: ignore[arg-type]


def line(what: str = "set", subject: str = "grid", owner: str = "ada", **changes: object) -> Note:
    return replace(Note("ada", what, "atlas", owner, subject), **changes)  # type: ignore[arg-type]


async def keep(store: Store, *rows: CredentialRow) -> None:
    for each in rows:
        await store.keep_credential(each, line(subject=each.name, owner=each.owner), MOST)


async def test_a_credential_is_kept_as_it_was_given(store: Store, clock: Clock) -> None:
    """Every field comes back, with the time at which it was kept."""
    given = row(expires=clock.time + 5.5, urls=("s3://bucket/a", "s3://bucket/b"), kind="s3")
    assert await store.keep_credential(given, line(), MOST) == clock.time
    assert await store.credentials("atlas", "ada") == (replace(given, changed=clock.time),)


async def test_a_credential_takes_the_place_of_the_one_of_its_name(store: Store, clock: Clock) -> None:
    """Setting a name again replaces all of what was there."""
    await keep(store, row(expires=1.0))
    clock.forward(10)
    new = row(kind="text", urls=(), sealed=b"other", key_id="k2")
    await keep(store, new)
    assert await store.credentials("atlas") == (replace(new, changed=clock.time),)


async def test_credentials_are_found_by_community_owner_and_names(store: Store) -> None:
    """Each question gets exactly what it asks for, by owner and name; nobody gets another community's."""
    await keep(store, row("b"), row("A"), row("b", "bob"), row("b", "ada", "lhcb"))

    async def found(*question: object) -> list[tuple[str, str]]:
        return [(one.owner, one.name) for one in await store.credentials(*question)]  # type: ignore[arg-type]

    assert await found("atlas") == [("ada", "A"), ("ada", "b"), ("bob", "b")]
    assert await found("atlas", "ada") == [("ada", "A"), ("ada", "b")]
    assert await found("atlas", "ada", ["b", "c"]) == [("ada", "b")]
    assert await found("atlas", "ada", []) == []
    assert await found("cms") == []


async def test_an_owner_has_a_bounded_number(store: Store) -> None:
    """One more than the bound is refused; setting one that is there is not, nor is another owner's."""
    await keep(store, *(row(f"c{number}") for number in range(MOST)))
    assert await refused(store.keep_credential(row("more"), line(), MOST)) == "too-large"
    await keep(store, row("c0"), row("more", "bob"))
    assert len(await store.credentials("atlas", "ada")) == MOST


async def test_a_removed_credential_is_gone(store: Store) -> None:
    """It is not found any more, and removing it again is refused; another owner's of that name stays."""
    await keep(store, row(), row(owner="bob"))
    await store.remove_credential("atlas", "ada", "grid", line("removed"))
    assert [one.owner for one in await store.credentials("atlas")] == ["bob"]
    assert await refused(store.remove_credential("atlas", "ada", "grid", line("removed"))) == "not-found"
    assert await refused(store.remove_credential("lhcb", "bob", "grid", line("removed"))) == "not-found"


async def test_credentials_under_old_keys_are_found_and_sealed_anew(store: Store, clock: Clock) -> None:
    """Those of other keys are handed out, and one that was changed meanwhile is left alone."""
    await keep(store, row("a"), row("b", key_id="k2"), row("c"))
    old = sorted(await store.credentials_under_others(["k2", "k3"], 10), key=lambda one: one.name)
    assert [one.name for one in old] == ["a", "c"]
    assert len(await store.credentials_under_others(["k2"], 1)) == 1
    await keep(store, row("c", sealed=b"newer"))
    assert await store.reseal_credential(old[0], "k2", b"again")
    assert not await store.reseal_credential(old[1], "k2", b"again")
    a, _, c = await store.credentials("atlas", "ada")
    assert (a.key_id, a.sealed, a.changed) == ("k2", b"again", clock.time)
    assert (c.key_id, c.sealed) == ("k1", b"newer")


async def test_jobs_that_wait_for_a_credential(store: Store) -> None:
    """Those that wait in that queue and name it among others, up to the bound; not those that run or are held."""
    both = await submit(store, 3, credentials=("grid", "lake"))
    await submit(store, 2, credentials=("gridding",))
    await submit(store, 2)
    await submit(store, 1, needs=WIDE, credentials=("grid",))
    queue = await queue_of(store, both[0])
    assert await store.waiting_for(queue, "grid", 10) == tuple(both)
    assert await store.waiting_for(queue, "lake", 2) == tuple(both[:2])
    assert await store.waiting_for(queue, "absent", 10) == ()
    await store.change(ADA, "atlas", "hold", ids(both[1]))
    assert await store.waiting_for(queue, "grid", 10) == (both[0], both[2])


async def test_a_claim_passes_over_jobs_that_name_a_credential(store: Store) -> None:
    """In their order those that name none of them, of each queue as it is asked for; the others wait still."""
    grid = await submit(store, 2, credentials=("grid", "lake"))
    bare = await submit(store, 2)
    lake = await submit(store, 2, credentials=("lake",))
    wide = (await submit(store, 1, needs=WIDE, credentials=("grid",)))[0]
    narrow, other = await queue_of(store, grid[0]), await queue_of(store, wide)
    worker = await enrol(store)

    async def claim(count: int, *without: str) -> list[int]:
        claim = await worker.ask(Pick(narrow, count, 1, (), without), Pick(other, 1, 8))
        return [leased.job for leased in claim.leases]

    assert await claim(1, "absent") == [grid[0], wide]
    assert await claim(2, "grid") == bare
    assert await claim(3, "lake", "grid") == []
    assert await claim(5, "grid") == lake
    assert await state_of(store, grid[1]) is JobState.WAITING
    assert await claim(5) == [grid[1]]


async def test_attempts_that_have_credentials(store: Store) -> None:
    """Of a pilot those that it holds, of jobs that name some and are not over; nobody else's, and none that ended."""
    first, second = await submit(store, 2, credentials=("lake", "grid"))
    bare = (await submit(store))[0]
    third = (await submit(store, credentials=("grid",), needs=WIDE))[0]
    worker, other = await enrol(store, 1), await enrol(store, 2)
    leased = await worker.take(first)
    assert await store.entitled(worker.stamp) == (Entitled(first, 1, "atlas", "ada", ("lake", "grid")),)
    await worker.take(second)
    await other.take(third)
    await worker.take(bare)
    await worker.running(leased)
    assert [one.job for one in await store.entitled(worker.stamp)] == [first, second]
    assert [one.names for one in await store.entitled(other.stamp)] == [("grid",)]
    await store.change(ADA, "atlas", "kill", ids(second))
    assert [one.job for one in await store.entitled(worker.stamp)] == [first]
    await worker.ended(leased)
    assert await store.entitled(worker.stamp) == ()
    assert await store.entitled("f" * 32) == ()


async def test_jobs_that_run_with_a_credential(store: Store) -> None:
    """Those of the owner that are out on pilots and name it, up to the limit; not those that wait or have ended."""
    jobs = await submit(store, 3, credentials=("grid", "lake"))
    other = (await submit(store, credentials=("lake",), needs=WIDE))[0]
    worker = await enrol(store)
    assert await store.running_with("atlas", "ada", "grid", 10) == 0
    leased = [await worker.take(job) for job in (*jobs[:2], other)]
    await worker.running(leased[0])
    assert await store.running_with("atlas", "ada", "grid", 10) == 2
    assert await store.running_with("atlas", "ada", "lake", 10) == 3
    assert await store.running_with("atlas", "ada", "lake", 2) == 2
    assert await store.running_with("atlas", "bob", "grid", 10) == 0
    assert await store.running_with("lhcb", "ada", "grid", 10) == 0
    await worker.ended(leased[0])
    assert await store.running_with("atlas", "ada", "grid", 10) == 1


async def test_what_is_done_is_written_down(store: Store, clock: Clock) -> None:
    """Setting and removing leave a line each in the same step, deliveries add theirs; the newest comes first."""
    await keep(store, row())
    clock.forward(1)
    delivered = line("delivered", who="pilot 1", job=2**40, attempt=3, detail="here")
    await store.note([delivered, line("refused", subject="other")])
    clock.forward(1)
    await store.remove_credential("atlas", "ada", "grid", line("removed"))
    found = await store.notes("atlas", "ada", "grid", 10)
    assert [(one.note.what, one.time) for one in found] == [
        ("removed", clock.time),
        ("delivered", clock.time - 1),
        ("set", clock.time - 2),
    ]
    assert found[1].note == delivered
    assert len(await store.notes("atlas", "ada", "grid", 1)) == 1
    assert await store.notes("lhcb", "ada", "grid", 10) == ()


async def test_a_refused_change_leaves_no_line(store: Store) -> None:
    """What was not done is not written down as done."""
    await refused(store.remove_credential("atlas", "ada", "grid", line("removed")))
    await keep(store, *(row(f"c{number}") for number in range(MOST)))
    await refused(store.keep_credential(row(), line(), MOST))
    assert await store.notes("atlas", "ada", "grid", 10) == ()


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit"])
async def test_the_audit_is_only_added_to(store: Store, statement: str) -> None:
    """The database itself refuses to change or to shorten it."""
    await store.note([line()])
    with pytest.raises(Exception, match="only added to"):
        await execute(store, statement)
    assert len(await store.notes("atlas", "ada", "grid", 10)) == 1


async def execute(store: Store, statement: str) -> None:
    """Past the store, as somebody with access to the database would."""
    if isinstance(store, SqliteStore):
        with contextlib.closing(sqlite3.connect(store.path)) as database:
            database.execute(statement)
        return
    assert isinstance(store, PostgresStore)
    connection = await asyncpg.connect(store.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
