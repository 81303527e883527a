"""The contract of a store: sites and queues that operators add, and tokens by which pilots enrol unsent."""

from __future__ import annotations

import asyncio

import pytest

from central.added import EnrolmentRow, NewEnrolment, PlaceRow
from central.records import NewPilot
from central.store.port import Store
from pilot.states import PilotReason, PilotState
from tests.contract.stores import Clock, digest, enrolment, intent, refused, stamp

pytestmark = pytest.mark.anyio

TOKEN = digest("token")


async def test_every_change_of_a_place_is_kept(store: Store, clock: Clock) -> None:
    """Each change is a version with who and when; the newest counts, and the same text again is no change."""
    began = clock.time
    first = await store.keep_place("queue", "far", 'name = "far"', "ada")
    assert first == PlaceRow("queue", "far", 1, 'name = "far"', "ada", began)
    clock.forward(60)
    second = await store.keep_place("queue", "far", 'name = "far" # wider', "bob", "restored version 1")
    assert (second.version, second.who, second.created) == (2, "bob", clock.time)
    assert await store.keep_place("queue", "far", 'name = "far" # wider', "eve") == second
    assert await store.places() == (second,)
    assert await store.place_history("queue", "far") == (second, first)


async def test_a_removed_place_does_not_count_and_can_come_back(store: Store) -> None:
    """A place that was removed is not listed, its history stays, and the next version follows from it."""
    await store.keep_place("site", "there", "x = 1", "ada")
    await store.keep_place("queue", "there", "y = 1", "ada")
    removed = await store.remove_place("queue", "there", "bob")
    assert (removed.version, removed.text, removed.who) == (2, "", "bob")
    assert [(row.kind, row.name) for row in await store.places()] == [("site", "there")]
    assert await refused(store.remove_place("queue", "there", "bob")) == "not-found"
    assert await refused(store.remove_place("queue", "nowhere", "bob")) == "not-found"
    assert (await store.keep_place("queue", "there", "y = 1", "ada")).version == 3
    assert [row.text for row in await store.place_history("queue", "there")] == ["y = 1", "", "y = 1"]


async def test_a_queue_with_live_pilots_is_not_removed(store: Store) -> None:
    """A queue stays for as long as a pilot of it lives, so that somebody follows it."""
    await store.keep_place("queue", "local", "y = 1", "ada")
    await store.plan_pilot(intent())
    assert await refused(store.remove_place("queue", "local", "ada")) == "conflict"
    await store.end_pilot(stamp(1), PilotState.CANCELLED, PilotReason.CANCELLED)
    await store.remove_place("queue", "local", "ada")
    assert await store.places() == ()


async def test_two_who_change_one_place_take_turns(store: Store) -> None:
    """Changes at the same moment become versions one after another."""
    texts = [f"n = {number}" for number in range(5)]
    await asyncio.gather(*(store.keep_place("queue", "far", text, "ada") for text in texts))
    history = await store.place_history("queue", "far")
    assert [row.version for row in history] == [5, 4, 3, 2, 1]
    assert {row.text for row in history} == set(texts)


# -- tokens


def token(**changes: object) -> NewEnrolment:
    values = {"pilots": 2, "seconds": 600.0, **changes}
    return NewEnrolment(TOKEN, "here", "local", ("atlas",), who="ada", **values)  # type: ignore[arg-type]


def comer(number: int = 1) -> NewPilot:
    """A pilot that nobody submitted, with the token."""
    return intent(number, secret_hash=TOKEN, secret_ttl=600.0)


async def only(store: Store) -> EnrolmentRow:
    (row,) = await store.enrolments()
    return row


async def test_a_token_lets_in_so_many(store: Store, clock: Clock) -> None:
    """Each new stamp is journalled and counted; when all are in the next is refused, and that is noted."""
    opened = await store.open_enrolment(token())
    assert (opened.used, opened.pilots, opened.expires, opened.who) == (0, 2, clock.time + 600, "ada")
    for number in (1, 2):
        await store.admit(comer(number))
        pilot = await store.enrol(stamp(number), TOKEN, digest(f"key {number}"), enrolment())
        assert (pilot.state, pilot.queue, pilot.communities) == (PilotState.RUNNING, "local", ("atlas",))
    assert await refused(store.admit(comer(3), " from there")) == "secret-used"
    row = await only(store)
    assert (row.used, row.refused) == (2, 1)
    assert f"{stamp(3)} came from there" in row.alarm
    assert await store.find_pilots([stamp(3)]) == ()


async def test_a_pilot_that_asks_again_counts_once(store: Store) -> None:
    """The same stamp with the same token is let in again; the same key gets the same answer, another an alarm."""
    await store.open_enrolment(token(pilots=1))
    await store.admit(comer())
    first = await store.enrol(stamp(1), TOKEN, digest("key"), enrolment())
    await store.admit(comer())
    assert await store.enrol(stamp(1), TOKEN, digest("key"), enrolment()) == first
    assert await refused(store.enrol(stamp(1), TOKEN, digest("thief"), enrolment())) == "secret-used"
    assert (await store.pilot(stamp(1))).alarm
    assert (await only(store)).used == 1


async def test_who_shares_a_token_cannot_stop_the_others(store: Store) -> None:
    """Another key for a pilot that came by a token of several is refused, and is no alarm: they all know the token."""
    await store.open_enrolment(token(pilots=2))
    await store.admit(comer())
    await store.enrol(stamp(1), TOKEN, digest("key"), enrolment())
    assert await refused(store.enrol(stamp(1), TOKEN, digest("thief"), enrolment())) == "secret-used"
    assert not (await store.pilot(stamp(1))).alarm


async def test_no_more_than_the_number_come_in_at_once(store: Store) -> None:
    """Pilots that come at the same moment are counted one by one."""
    await store.open_enrolment(token(pilots=3))
    answers = await asyncio.gather(*(store.admit(comer(number)) for number in range(1, 9)), return_exceptions=True)
    assert sum(answer is None for answer in answers) == 3
    row = await only(store)
    assert (row.used, row.refused) == (3, 5)


async def test_a_token_that_is_too_old(store: Store, clock: Clock) -> None:
    """After its time a token lets nobody in."""
    await store.open_enrolment(token())
    clock.forward(601)
    assert await refused(store.admit(comer())) == "secret-expired"
    assert (await only(store)).refused == 1


async def test_a_token_that_was_revoked(store: Store, clock: Clock) -> None:
    """Revoked is for good, by whoever did it first; pilots that are in stay."""
    opened = await store.open_enrolment(token())
    await store.admit(comer(1))
    await store.enrol(stamp(1), TOKEN, digest("key"), enrolment())
    revoked = await store.revoke_enrolment(opened.id, "bob")
    assert (revoked.revoked, revoked.revoked_by) == (clock.time, "bob")
    assert (await store.revoke_enrolment(opened.id, "eve")).revoked_by == "bob"
    assert await refused(store.admit(comer(2))) == "revoked"
    assert (await store.pilot(stamp(1))).state is PilotState.RUNNING
    assert await refused(store.revoke_enrolment(99, "bob")) == "not-found"


async def test_what_is_no_token_lets_nobody_in(store: Store) -> None:
    """An unknown token is refused as a wrong secret is, and a token does not open another pilot's place."""
    await store.open_enrolment(token())
    await store.plan_pilot(intent(7))
    assert await refused(store.admit(intent(1, secret_hash=digest("guess")))) == "unauthorized"
    assert await refused(store.admit(comer(7))) == "unauthorized"
    assert await store.enrolment_of(digest("guess")) is None
    assert await store.enrolment_of(TOKEN) == await only(store)
    assert (await only(store)).used == 0
