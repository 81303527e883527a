"""Fixtures of the store's contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from central.store.port import Store
from central.store.postgres import PostgresStore
from tests.contract.stores import STORES, Clock
from tests.postgres import cluster


@pytest.fixture
def anyio_backend() -> str:
    """Tests that are coroutines (`pytest.mark.anyio`) run on the loop that the central runs on."""
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """An empty store that is open."""
    store = STORES[request.param](tmp_path, clock)
    await store.open()
    yield store
    await store.close()
    if isinstance(store, PostgresStore):
        await cluster().give_back(store.url)
