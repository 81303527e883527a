"""The contract of a store: bundles and which of them are in use; when steps of a pilot began."""

from __future__ import annotations

import pytest

from central.records import BundleRow
from central.store.port import Store
from pilot.protocol import StepReport
from tests.contract.stores import enrol

pytestmark = pytest.mark.anyio


def bundle(community: str, name: str, sha256: str) -> BundleRow:
    return BundleRow(community, name, sha256 * 64, 100, '{"name": "x"}', "ada")


async def test_a_bundle_is_written_down_once(store: Store) -> None:
    """What was published stays as it was first said, and each community sees its own."""
    await store.add_bundle(bundle("atlas", "tools", "a"))
    await store.add_bundle(bundle("atlas", "tools", "a"))
    await store.add_bundle(bundle("lhcb", "tools", "a"))
    assert [(row.community, row.sha256[0]) for row in await store.bundles("atlas")] == [("atlas", "a")]
    assert [row.community for row in await store.bundles(None)] == ["atlas", "lhcb"]
    (row,) = await store.bundles("lhcb")
    assert (row.name, row.size, row.manifest, row.who) == ("tools", 100, '{"name": "x"}', "ada")
    assert row.created == await store.now()
    assert await store.knows_bundle("a" * 64)
    assert not await store.knows_bundle("b" * 64)


async def test_what_is_in_use_is_kept_with_its_history(store: Store) -> None:
    """Every change of what is in use is a row; the same again is none."""
    for sha256 in ("a", "b", "b", "a"):
        await store.pin_bundle("atlas", "tools", sha256 * 64, "ada")
    await store.pin_bundle("lhcb", "tools", "c" * 64, "eve")
    assert [(row.sha256[0], row.who) for row in await store.pins("atlas")] == [("a", "ada"), ("b", "ada"), ("a", "ada")]
    assert [row.sha256[0] for row in await store.pins(None)] == ["a", "b", "a", "c"]


async def test_the_beginning_of_a_step_is_kept(store: Store) -> None:
    """When a step began is told with its start, and stays when its end does not say."""
    worker = await enrol(store)
    await store.step(worker.stamp, StepReport(1, "check_node", began=0.25))
    await store.step(worker.stamp, StepReport(1, "check_node", "ok", 0.5))
    await store.step(worker.stamp, StepReport(2, "discover", "ok", 0.5))
    assert [(step.number, step.began) for step in await store.steps(worker.stamp)] == [(1, 0.25), (2, None)]
