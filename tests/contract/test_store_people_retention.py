"""The contract of a store: tokens and memberships that ended long ago go, but for what still counts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from central import lifecycle
from central.configuration.settings import Service
from central.people import GIVER, MemberRow, NewMember, NewToken, TokenRow, Whose
from central.records import CredentialRow, Note
from central.store.port import Store
from tests.contract.stores import ADA, Clock, digest, refused, submit

pytestmark = pytest.mark.anyio

LINE = Note("cam", "told", "atlas", "ada", "physics")
BEFORE = 1000.0  # seconds


async def member(store: Store, user: str = "ada", group: str = "physics") -> MemberRow:
    return await store.keep_member(NewMember(user, "atlas", group, "member", GIVER), LINE)


async def token(store: Store, text: str, **changes: object) -> TokenRow:
    new = NewToken(digest(text), text, "ada", "atlas", "physics", "member", ("read",), 600.0, "ada")
    return await store.open_token(replace(new, **changes), 100, LINE)  # type: ignore[arg-type]


async def retire(store: Store, clock: Clock, limit: int = 100) -> int:
    return await store.retire_people(clock.time - BEFORE, limit)


async def names(store: Store) -> set[str]:
    return {row.name for row in await store.tokens(Whose())}


async def test_tokens_go_some_time_after_their_end(store: Store, clock: Clock) -> None:
    """Whether they expired or were revoked, whichever came first; what is good, or has ended since, stays."""
    revoked = await token(store, "revoked", seconds=99999.0)
    await store.revoke_token(revoked.id, "cam", LINE)
    expired = await token(store, "expired")
    await token(store, "good", seconds=99999.0)
    clock.forward(601 + BEFORE)
    await store.revoke_token(expired.id, "cam", LINE)
    await token(store, "new")
    clock.forward(601)
    assert await retire(store, clock) == 2
    assert await names(store) == {"good", "new"}
    assert await retire(store, clock) == 0
    assert await refused(store.token(expired.id)) == "not-found"
    await store.used_tokens({expired.id: clock.time})
    assert len(await store.notes("atlas", "ada", "physics", 10)) == 6


async def test_tokens_that_were_made_with_another_go_before_it(store: Store, clock: Clock) -> None:
    """All of them in the end, however many are let go of at a time."""
    first = await token(store, "1")
    second = await token(store, "2", parent=first.id)
    await token(store, "3", parent=second.id)
    await token(store, "4")
    clock.forward(601 + BEFORE)
    found = []
    while number := await retire(store, clock, 1):
        found.append(number)
    assert (found, await names(store)) == ([1] * 4, set())


async def test_what_a_login_took_back_goes_and_what_an_admin_took_back_stays(store: Store, clock: Clock) -> None:
    """An admin's word bars the next login, however long ago it was said."""
    ada, ben = await member(store), await member(store, "ben")
    await member(store, "ann")
    await store.revoke_member(ada.id, GIVER, "no more", LINE)
    await store.revoke_member(ben.id, "cam", "has left", LINE)
    assert await retire(store, clock) == 0
    clock.forward(BEFORE + 1)
    assert await retire(store, clock) == 1
    assert {row.user for row in await store.members(Whose())} == {"ann", "ben"}
    assert (await member(store)).created == clock.time


async def test_a_membership_stays_with_what_is_owned_there(store: Store, clock: Clock) -> None:
    """Who may speak for somebody is decided by every role under which that user came to own jobs or secrets."""
    secret = CredentialRow("atlas", "ben", "s3", "token", (), None, "key", b"sealed")
    rows = [await member(store), await member(store, "ben"), await member(store, "ann", "tau")]
    jobs = await submit(store, who=ADA)
    await store.keep_credential(secret, LINE, 10)
    for row in rows:
        await store.revoke_member(row.id, GIVER, "no more", LINE)
    clock.forward(BEFORE + 1)
    assert (await retire(store, clock), {row.user for row in await store.members(Whose())}) == (1, {"ada", "ben"})
    await store.remove_credential("atlas", "ben", "s3", LINE)
    assert (await retire(store, clock), len(jobs)) == (1, 1)
    assert {row.user for row in await store.members(Whose())} == {"ada"}


async def test_a_central_lets_go_after_400_days_unless_told_otherwise(store: Store, clock: Clock) -> None:
    """Step by step, by whichever central leads; a setting says when, or never."""
    for text in "abc":
        await token(store, text)
    (cycle,) = lifecycle._people(central(store, Service()))
    clock.forward(399 * 86400.0)
    await cycle.run(1)
    assert len(await names(store)) == 3
    clock.forward(2 * 86400.0)
    await cycle.run(1)
    assert await names(store) == set()
    assert lifecycle._people(central(store, Service(keep_people="unlimited"))) == ()


def central(store: Store, service: Service) -> Any:
    """A central of which nothing matters but its settings and its store."""

    async def sleep(seconds: float) -> None:
        """Others have the store between."""

    return SimpleNamespace(store=store, settings=SimpleNamespace(service=service), clock=SimpleNamespace(sleep=sleep))
