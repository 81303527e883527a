"""What one user may have: jobs that wait, and bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from central.quotas import FRESH, Quota, of_bytes, of_waiting
from central.records import Identity
from pilot.errors import Refusal
from tests.unit.clockwork import Clockwork

ANN = Identity("ann", "physics", "muons", "member")
BEN = Identity("ben", "physics", "muons", "member")


def has(count: int) -> Callable[[], Awaitable[int]]:
    async def counted() -> int:
        return count

    return counted


def admit(quota: Quota, who: Identity, more: int, count: Callable[[], Awaitable[int]]) -> None:
    asyncio.run(quota.admit(who, more, count))


def test_more_than_the_quota_is_refused_and_says_how_many() -> None:
    """What there is and what comes count together; another user has a quota of their own."""
    quota = of_waiting(10, Clockwork().now)
    admit(quota, ANN, 4, has(6))
    with pytest.raises(Refusal, match="ann has 10 jobs that wait, and may have 10: submit the other 1 when") as caught:
        admit(quota, ANN, 1, has(6))
    assert (caught.value.type, caught.value.expected, caught.value.got) == ("too-large", "10", "11")
    admit(quota, BEN, 10, has(0))


def test_bytes_are_told_with_their_units() -> None:
    """And with the setting that an operator may change."""
    with pytest.raises(Refusal, match="ann has 9.0 MB in the sandbox store, and may have 10.0 MB: another 2.0 MB are"):
        admit(of_bytes(10_000_000, Clockwork().now), ANN, 2_000_000, has(9_000_000))


def test_what_is_admitted_counts_before_it_is_counted() -> None:
    """Until it is counted anew, which is not done for each request."""
    clock, counts = Clockwork(), []
    quota = of_waiting(10, clock.now)

    async def count() -> int:
        counts.append(1)
        return 0

    for _ in range(10):
        admit(quota, ANN, 1, count)
    assert len(counts) == 1
    with pytest.raises(Refusal):
        admit(quota, ANN, 1, count)
    clock.time += FRESH
    admit(quota, ANN, 10, count)
    assert len(counts) == 2


def test_there_may_be_no_quota() -> None:
    """Then nothing is counted."""

    async def count() -> int:
        pytest.fail("it was counted")

    admit(of_waiting("unlimited", Clockwork().now), ANN, 10**9, count)
