"""A page over PostgreSQL reads what it shows, wherever it is in the list: the planner has no other way to go."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from central.store.postgres import PostgresStore, pages, pilots
from pilot.states import PilotState
from tests.contract.stores import ADA, Clock, ids, postgres, submit, submit_pilot
from tests.postgres import cluster

pytestmark = pytest.mark.anyio

END = 2**63 - 1
MANY = 3000


@pytest.fixture
async def database(clock: Clock) -> AsyncIterator[Any]:
    """Many jobs that wait, the three oldest of them held; many pilots that are over, and the oldest not."""
    store: PostgresStore = postgres(clock)
    await store.open()
    jobs = await submit(store, MANY)
    await store.change(ADA, "atlas", "hold", ids(*jobs[:3]))
    await submit_pilot(store)
    connection = await asyncpg.connect(store.url)
    await connection.execute("""
        INSERT INTO pilots (stamp, state, site, queue, communities, created, secret_hash, secret_expires, lease)
        SELECT 'old ' || number, 'done', 'here', 'local', '["atlas"]', 0, '', 0, 600
        FROM generate_series(1, 3000) AS number
    """)
    await connection.execute("ANALYZE")
    yield connection
    await connection.close()
    await store.close()
    await cluster().give_back(store.url)


async def looked_at(database: Any, statement: str, *values: object) -> int:
    """Rows that a statement takes from tables and indexes, those that it throws away too."""
    (plan,) = json.loads(await database.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *values))

    def rows(node: dict[str, Any]) -> int:
        below = sum(rows(child) for child in node.get("Plans", ()))
        if "Relation Name" not in node:
            return below
        each = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        return int(below + each * node["Actual Loops"])

    return rows(plan["Plan"])


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("before", [END, MANY // 2])
async def test_pages_of_jobs(database: Any, mode: str, before: int) -> None:
    """Newest or deep, of a community or an owner, of all states or of one that hardly a job is in."""
    await database.execute(f"SET plan_cache_mode = {mode}")
    common = (None, None, None, None, None, None, before, 11)
    for stages, most in ((pages._stages(()), 14), (["held"], 3), (["killed"], 0), (["out"], 0)):
        looks = (
            await looked_at(database, pages.IDS_OF_COMMUNITIES, *common, ["atlas"], stages),
            await looked_at(database, pages.IDS_OF_OWNERS, *common, ["atlas"], ["ada"], stages),
        )
        assert max(looks) <= most, stages


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_pages_of_pilots(database: Any, mode: str) -> None:
    """Those few that are not over, among all that are."""
    await database.execute(f"SET plan_cache_mode = {mode}")
    values = ([PilotState.SUBMITTED.value, PilotState.LOST.value], "atlas", END, 11)
    assert await looked_at(database, pilots.IN_STATE, *values) <= 3
    assert await looked_at(database, pilots.OF_QUEUE, *values, "local", None) <= 3
    assert await looked_at(database, pilots.OF_SITE, *values, "here") <= 3
