"""The contract of a store: memberships that admins give while a central runs, and API tokens."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from central.people import CERTIFICATE_GIVER, GIVER, MemberRow, NewMember, NewToken, Sender, TokenRow, Whose
from central.records import Note
from central.store.port import Store
from tests.contract.stores import ADA, Clock, digest, refused, submit

pytestmark = pytest.mark.anyio

BEN = NewMember("ben", "atlas", "muons", "member", "cam")
LAPTOP = NewToken(digest("t"), "laptop", "ben", "atlas", "muons", "member", ("read", "submit"), 600.0, "cam")


def line(what: str = "told") -> Note:
    return Note("cam", what, "atlas", "ben", "muons")


async def member(store: Store, **changes: str) -> MemberRow:
    return await store.keep_member(replace(BEN, **changes), line())  # type: ignore[arg-type]


async def token(store: Store, text: str = "t", **changes: object) -> TokenRow:
    return await store.open_token(replace(LAPTOP, sha256=digest(text), **changes), 100, line())  # type: ignore[arg-type]


async def test_somebody_is_let_in_and_gets_another_role(store: Store, clock: Clock) -> None:
    """A membership is one row: a role that is another takes the place of the one before, the same again is no change,
    and each change is in the audit once."""
    began = clock.time
    first = await member(store)
    assert first == MemberRow(first.id, "ben", "atlas", "muons", "member", "cam", began)
    clock.forward(60)
    assert await member(store, who="eve") == first
    second = await member(store, role="group-admin", who="eve")
    assert (second.id, second.role, second.who, second.created) == (first.id, "group-admin", "eve", began)
    assert await store.members(Whose()) == (second,)
    assert len(await store.notes("atlas", "ben", "muons", 10)) == 2


@pytest.mark.parametrize("giver", [GIVER, CERTIFICATE_GIVER])
async def test_no_login_undoes_what_an_admin_has_said(store: Store, giver: str) -> None:
    """A login that looked before an admin acted neither lets in again nor changes a role; what logins gave or took back
    it does."""
    given = await member(store, who=giver)
    assert (await member(store, who=giver, role="group-admin")).role == "group-admin"
    by_login = await store.revoke_member(given.id, GIVER, "gone", line())
    assert by_login.revoked is not None
    assert (await member(store, who=giver)).revoked is None
    taken = await store.revoke_member(given.id, "cam", "has left", line())
    told = len(await store.notes("atlas", "ben", "muons", 100))
    assert await member(store, who=giver) == taken
    assert await member(store, who=giver, role="group-admin") == taken
    again = await member(store, who="cam")
    assert (again.revoked, again.who) == (None, "cam")
    assert await member(store, who=giver, role="operator") == again
    assert len(await store.notes("atlas", "ben", "muons", 100)) == told + 1


async def test_members_are_found_by_what_is_said_of_them(store: Store) -> None:
    """By community, group and user, in that order, whatever of these is said."""
    await member(store, group="tau")
    await member(store, user="ann")
    await member(store)
    await member(store, community="lhcb", group="flavour")
    found = [(row.community, row.group, row.user) for row in await store.members(Whose())]
    assert found == [
        ("atlas", "muons", "ann"),
        ("atlas", "muons", "ben"),
        ("atlas", "tau", "ben"),
        ("lhcb", "flavour", "ben"),
    ]
    assert len(await store.members(Whose("atlas", user="ben"))) == 2
    assert len(await store.members(Whose("atlas", "muons"))) == 2
    assert await store.members(Whose("nowhere")) == ()


async def test_a_token_is_kept_by_its_digest(store: Store, clock: Clock) -> None:
    """What is stored is who may do what until when; times are the database's."""
    opened = await token(store)
    assert opened == TokenRow(
        id=opened.id,
        sha256=digest("t"),
        name="laptop",
        user="ben",
        community="atlas",
        group="muons",
        role="member",
        scopes=("read", "submit"),
        who="cam",
        parent=None,
        created=clock.time,
        expires=clock.time + 600,
    )
    newer = await token(store, "other", user="ann")
    assert await store.tokens(Whose("atlas")) == (newer, opened)
    assert await store.tokens(Whose(user="ben")) == (opened,)
    assert await store.token(opened.id) == opened
    assert await refused(store.token(999)) == "not-found"


async def test_what_is_good_now(store: Store, clock: Clock) -> None:
    """Neither what has ended nor what was taken back is among what counts."""
    ben, ann = await member(store), await member(store, user="ann")
    short, revoked, good = await token(store), await token(store, "2"), await token(store, "3", seconds=6000.0)
    await store.revoke_token(revoked.id, "cam", line())
    assert await store.people() == ((ben, ann), (short, good))
    clock.forward(601)
    await store.revoke_member(ann.id, "cam", "left", line())
    assert await store.people() == ((ben,), (good,))


async def test_who_leaves_takes_the_tokens_along(store: Store, clock: Clock) -> None:
    """With a membership go the tokens of that user there, and no others; it stays readable who did it and why; the
    same again changes nothing."""
    ben = await member(store)
    gone, stays, others = await token(store), await token(store, "2", group="tau"), await token(store, "3", user="ann")
    revoked = await store.revoke_member(ben.id, "cam", "has left", line())
    assert (revoked.revoked, revoked.revoked_by, revoked.reason) == (clock.time, "cam", "has left")
    assert await store.revoke_member(ben.id, "eve", "again", line("again")) == revoked
    assert (await store.token(gone.id)).revoked_by == "cam"
    assert (await store.people())[1] == (stays, others)
    assert "again" not in {one.note.what for one in await store.notes("atlas", "ben", "muons", 10)}
    assert await refused(store.revoke_member(999, "cam", "", line())) == "not-found"


async def test_an_admin_of_a_site_is_one_there(store: Store) -> None:
    """Somebody may be that of several sites, and a member too: each is a row by itself, found by the site, and ends
    with its own tokens."""
    admin = NewMember("ben", "", "", "site-admin", "oli", "cern")
    ben, cern = await member(store), await store.keep_member(admin, line())
    assert await store.keep_member(admin, line()) == cern
    fnal = await store.keep_member(replace(admin, site="fnal"), line())
    assert (cern.site, cern.community, cern.group, cern.role, ben.site) == ("cern", "", "", "site-admin", "")
    assert await store.members(Whose(site="cern")) == (cern,)
    assert await store.members(Whose("", "", "ben")) == (cern, fnal)
    assert await store.members(Whose(user="ben")) == (cern, fnal, ben)
    own = await token(store)
    there = [
        await token(store, site, community="", group="", role="site-admin", site=site) for site in ("cern", "fnal")
    ]
    assert [one.site for one in there] == ["cern", "fnal"]
    assert await store.tokens(Whose(site="cern")) == (there[0],)
    await store.revoke_member(cern.id, "oli", "has left", line())
    assert await store.people() == ((ben, fnal), (own, there[1]))
    assert (await store.token(there[0].id)).revoked_by == "oli"


async def test_who_comes_back_is_a_member_anew(store: Store, clock: Clock) -> None:
    """A membership that was taken back can be given again; the tokens of before stay what they are."""
    ben = await member(store)
    gone = await token(store)
    await store.revoke_member(ben.id, "cam", "has left", line())
    clock.forward(60)
    again = await member(store)
    assert (again.revoked, again.reason, again.created) == (None, "", clock.time)
    assert await store.people() == ((again,), ())
    assert (await store.token(gone.id)).revoked is not None


async def test_a_token_takes_along_those_that_were_made_with_it(store: Store) -> None:
    """All the way down, and nothing beside; the same again changes nothing."""
    first = await token(store, "1")
    second = await token(store, "2", parent=first.id)
    third = await token(store, "3", parent=second.id)
    other = await token(store, "4")
    revoked = await store.revoke_token(second.id, "cam", line())
    assert await store.revoke_token(second.id, "eve", line()) == revoked
    assert (await store.people())[1] == (first, other)
    assert (await store.token(third.id)).revoked_by == "cam"
    assert await refused(store.revoke_token(999, "cam", line())) == "not-found"


async def test_a_token_is_not_good_for_longer_than_the_one_it_was_made_with(store: Store, clock: Clock) -> None:
    """Whatever is asked for; one that is not good any more makes none."""
    first = await token(store, "1")
    clock.forward(60)
    second = await token(store, "2", parent=first.id, seconds=9999.0)
    assert second.expires == first.expires
    await store.revoke_token(first.id, "cam", line())
    new = replace(LAPTOP, sha256=digest("3"), parent=first.id)
    assert await refused(store.open_token(new, 100, line())) == "unauthorized"
    fresh = await token(store, "4")
    clock.forward(601)
    assert await refused(store.open_token(replace(new, parent=fresh.id), 100, line())) == "unauthorized"


async def test_a_user_has_no_more_than_so_many(store: Store, clock: Clock) -> None:
    """Also of those that are made at the same moment; those that are not good any more do not count."""
    new = [replace(LAPTOP, sha256=digest(str(number))) for number in range(6)]
    answers = await asyncio.gather(*(store.open_token(one, 3, line()) for one in new), return_exceptions=True)
    made = [answer for answer in answers if isinstance(answer, TokenRow)]
    assert len(made) == 3
    assert await refused(store.open_token(replace(LAPTOP, sha256=digest("more")), 3, line())) == "too-large"
    await store.revoke_token(made[0].id, "cam", line())
    await store.open_token(replace(LAPTOP, sha256=digest("more")), 3, line())
    clock.forward(601)
    await store.open_token(replace(LAPTOP, sha256=digest("later")), 3, line())


async def test_the_last_use_is_the_last(store: Store, clock: Clock) -> None:
    """Of two centrals that say when a token was used the later moment counts."""
    one, two = await token(store, "1"), await token(store, "2")
    await store.used_tokens({one.id: clock.time + 5, two.id: clock.time + 1, 999: clock.time})
    await store.used_tokens({one.id: clock.time + 3})
    assert (await store.token(one.id)).used == clock.time + 5
    assert (await store.token(two.id)).used == clock.time + 1


async def test_bytes_count_for_whoever_brought_them(store: Store) -> None:
    """Once for each file of a community, for who was first: the sender, or the owner of the job that brought it."""
    assert await store.sandbox_bytes("atlas", "ada") == 0
    (job,) = await submit(store, who=ADA)
    await store.add_sandbox("atlas", "a" * 64, 10, Sender("ada"))
    await store.add_sandbox("atlas", "b" * 64, 5, Sender(job=job))
    await store.add_sandbox("atlas", "a" * 64, 10, Sender("bob"))
    await store.add_sandbox("lhcb", "a" * 64, 10, Sender("ada"))
    await store.add_sandbox("atlas", "c" * 64, 7)
    assert await store.sandbox_bytes("atlas", "ada") == 15
    assert await store.sandbox_bytes("atlas", "bob") == 0
    assert await store.sandbox("atlas", "b" * 64) == 5
