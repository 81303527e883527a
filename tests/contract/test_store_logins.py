"""The contract of a store: an ID token is exchanged once."""

from __future__ import annotations

import asyncio

import pytest

from central.store.port import Store
from tests.contract.stores import Clock, digest

pytestmark = pytest.mark.anyio


async def test_an_id_token_is_spent_once(store: Store) -> None:
    """Who comes first may, whoever comes after with the same may not; another one is another."""
    assert await store.spend_id_token(digest("one"), 60.0)
    assert not await store.spend_id_token(digest("one"), 60.0)
    assert await store.spend_id_token(digest("two"), 60.0)


async def test_of_many_at_once_one_is_first(store: Store) -> None:
    """Requests that come together do not both pass."""
    passed = await asyncio.gather(*(store.spend_id_token(digest("one"), 60.0) for _ in range(8)))
    assert sorted(passed) == [False] * 7 + [True]


async def test_what_is_too_old_to_be_shown_is_forgotten(store: Store, clock: Clock) -> None:
    """A digest is kept for as long as was asked, and not for ever."""
    assert await store.spend_id_token(digest("one"), 60.0)
    clock.forward(59)
    assert not await store.spend_id_token(digest("one"), 60.0)
    clock.forward(2)
    assert await store.spend_id_token(digest("one"), 60.0)
