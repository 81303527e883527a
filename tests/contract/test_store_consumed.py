"""The contract of a store: what every owner's use still counts, which is what shares are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest

from central.records import Consumed, Identity
from central.store.port import Store
from pilot.protocol import Usage
from pilot.states import Outcome
from tests.contract.spells import Spell, both, play
from tests.contract.stores import ADA, BOB, EVE, Clock, enrol, queue_of, submit

pytestmark = pytest.mark.anyio

HOUR = 3600.0
DAY = 86400.0


def about(value: float) -> float:
    """Equal to that, but for the steps in which a test sums."""
    return cast(float, pytest.approx(value, 1e-4))


def halved(cores: float, begin: float, end: float, now: float, half_life: float) -> float:
    """Core-seconds from begin to end, each halved for every half-life since, summed by small steps."""
    steps = 2000
    width = (end - begin) / steps
    middle = (begin + (number + 0.5) * width for number in range(steps))
    return sum(cores * width * 2 ** (-(now - time) / half_life) for time in middle)


def by_owner(answer: Iterable[Consumed]) -> dict[str, tuple[float, int]]:
    return {one.owner: (one.used, one.cores) for one in answer}


@pytest.mark.parametrize("half_life", [HOUR, 7 * DAY])
async def test_consumed(store: Store, clock: Clock, half_life: float) -> None:
    """What ended counts over the time that it ran, what runs from its start, and the cores of what runs beside it."""
    worker = await enrol(store, communities=("atlas", "lhcb"))
    for who in (ADA, ADA, BOB):
        await submit(store, 1, who)
    await submit(store, 1, EVE)
    begin = clock.time
    first, second = (await worker.claim(await queue_of(store, 1), 2, cores=4)).leases
    clock.forward(2000)
    await worker.ended(first, Outcome.PAYLOAD_ERROR, usage=Usage(wall=1500.0))
    clock.forward(700)
    (third,) = (await worker.claim(await queue_of(store, 3), 1, cores=2)).leases
    clock.forward(3000)
    now = clock.time
    answer = by_owner(await store.consumed(half_life))
    ada = halved(4, begin + 500, begin + 2000, now, half_life) + halved(4, begin, now, now, half_life)
    bob = halved(2, begin + 2700, now, now, half_life)
    assert answer == {"ada": (about(ada), 4), "bob": (about(bob), 2)}
    await worker.ended(second, usage=Usage())
    await worker.ended(third, usage=Usage())
    assert by_owner(await store.consumed(half_life)) == {
        "ada": (about(ada), 0),
        "bob": (about(bob), 0),
    }


@pytest.mark.parametrize("half_life", [HOUR, 7 * DAY])
async def test_consumed_at_every_look(store: Store, clock: Clock, half_life: float) -> None:
    """However often it is asked, each answer is that of all that ended by then."""
    workers = await both(store)
    ran: dict[str, list[tuple[int, float, float]]] = {"ada": [], "bob": []}
    for number in range(8):
        who, cores = ((ADA, 2), (BOB, 3))[number % 2]
        held = 50.0 * number + 1
        rows = await play(
            store, clock, [Spell(who, "here", cores, held, 0, None, None, Outcome.SUCCESS, 20.0)], workers
        )
        ran[who.user].append((cores, rows[0].ended - rows[0].wall, rows[0].ended))
        for wait in (0.0, 0.0, 45.0, 200.0):
            clock.forward(wait)
            used = {
                owner: sum(halved(*each, clock.time, half_life) for each in spells)
                for owner, spells in ran.items()
                if spells
            }
            assert by_owner(await store.consumed(half_life)) == {owner: (about(use), 0) for owner, use in used.items()}


async def test_consumed_of_summed_hours(store: Store, clock: Clock) -> None:
    """An hour that was summed counts as if all was used in its middle; what is old enough not at all."""
    workers = await both(store)
    clock.time = 1_000_800.0
    spell = Spell(ADA, "here", 2, 100.0, 0.0, None, None, Outcome.SUCCESS, 0.0)
    await play(store, clock, [spell, spell], workers)
    clock.forward(20_000)
    await play(store, clock, [spell], workers)
    await store.roll_up()
    now = clock.time
    used = 400 * 2 ** (-(now - 1_002_600.0) / DAY) + halved(2, now - 100, now, now, DAY)
    assert by_owner(await store.consumed(DAY)) == {"ada": (about(used), 0)}
    clock.forward(40 * DAY)
    for _ in range(2):
        assert await store.consumed(DAY) == ()
        await store.roll_up()


async def test_consumed_tells_owners_apart(store: Store, clock: Clock) -> None:
    """By community and group too; in order."""
    workers = await both(store)
    people = [EVE, ADA, Identity("ada", "atlas", "higgs", "member"), Identity("ada", "lhcb", "physics", "member")]
    for who in people:
        await play(store, clock, [Spell(who, "here", 1, 10.0, 0.0, None, None, Outcome.SUCCESS, 0.0)], workers)
    assert [(one.community, one.group, one.owner) for one in await store.consumed(DAY)] == [
        ("atlas", "higgs", "ada"),
        ("atlas", "physics", "ada"),
        ("lhcb", "flavour", "eve"),
        ("lhcb", "physics", "ada"),
    ]
