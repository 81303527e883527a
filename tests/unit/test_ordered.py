"""Things in order in blocks: the order is that of sorting, and a search finds what looking at everything would."""

from __future__ import annotations

import random

import pytest

from central.matching.ordered import BLOCK, Amounts, Block, Least, Search, Tier


class Thing(Least):
    __slots__ = ("name",)

    def __init__(self, name: int, rng: random.Random) -> None:
        super().__init__()
        self.name = name
        self.cores, self.memory, self.disk = rng.choice((1, 2, 8)), rng.randrange(9), rng.randrange(9)
        self.seconds, self.kinds = rng.randrange(9), 1 << rng.randrange(6)


class Shelf(Tier[Thing, Search, Thing]):
    """Things that fit by amounts and kind."""

    looked_at = 0

    def first_in(self, block: Block[Thing], search: Search) -> Thing | None:
        for thing in block.items:
            self.looked_at += 1
            if thing.kinds & search.kinds and fits(thing, search.amounts):
                return thing
        return None


def fits(thing: Thing, amounts: Amounts) -> bool:
    cores, memory, disk, seconds, *_ = amounts
    return thing.cores <= cores and thing.memory <= memory and thing.disk <= disk and thing.seconds <= seconds


def drawn(rng: random.Random) -> Amounts:
    return (rng.choice((1, 2, 4)), rng.randrange(7), rng.randrange(7), rng.randrange(7), False, [])


@pytest.mark.parametrize("seed", range(4))
def test_order_and_search_are_those_of_a_sorted_list(seed: int) -> None:
    """Through thousands of arrivals, moves, departures and reorderings, in and out of many blocks."""
    rng = random.Random(seed)
    shelf, things = Shelf(), [Thing(name, rng) for name in range(900)]
    misses: dict[int, dict[int, Amounts]] = {}
    for turn in range(1, 5000):
        thing = rng.choice(things[: 900 if turn % 2000 < 1300 else 150])
        leave = rng.random() < (0.2 if turn % 2000 < 1300 else 0.7)
        shelf.put(thing, None if leave else (rng.randrange(50), thing.name))
        if turn % 500 == 0:
            order = sorted((one for one in things if one.place), key=lambda one: (one.name % 7, one.name))
            shelf.fill([(one.name % 7, one.name) for one in order], order)
        if turn % 5:
            continue
        expected = sorted((one for one in things if one.place), key=lambda one: one.place or ())
        assert list(shelf) == expected
        assert shelf.head() == (expected[0].place if expected else None)
        if len(expected) > 1:
            at = rng.randrange(len(expected) - 1)
            assert shelf.after(expected[at]) == expected[at + 1].place
            assert shelf.after(expected[-1]) is None
        kinds = rng.randrange(1, 64)
        search = Search(turn, kinds, misses.setdefault(kinds, {}))
        search.follow(drawn(rng))
        found = next((one for one in expected if one.kinds & kinds and fits(one, search.amounts)), None)
        assert shelf.first(search) is found


def test_a_search_goes_on_where_the_last_one_of_its_turn_ended() -> None:
    """What was found is taken out or moved back, and amounts shrink: then what was passed over is passed over still."""
    rng = random.Random(9)
    shelf, things = Shelf(), [Thing(name, rng) for name in range(10 * BLOCK)]
    for thing in things:
        thing.memory = 9 if thing.name < 8 * BLOCK else 0
        shelf.put(thing, (thing.name,))
    search = Search(1, 63, {})
    search.follow((8, 8, 9, 9, False, []))
    for number in range(5):
        found = shelf.first(search)
        assert found is things[8 * BLOCK + number]
        shelf.put(found, None)
    assert shelf.looked_at < 8 * BLOCK


def test_a_fruitless_search_is_not_repeated() -> None:
    """Who looks for the same or less in what has not changed looks at nothing."""
    rng = random.Random(9)
    shelf, misses = Shelf(), dict[int, Amounts]()
    things = [Thing(name, rng) for name in range(4 * BLOCK)]
    for thing in things:  # each block has a thing with few cores and one with little memory, and none with both
        thing.cores, thing.memory = (1, 9) if thing.name % 2 else (9, 1)
        shelf.put(thing, (thing.name,))
    for turn, amounts in enumerate([(4, 4, 9, 9, False, []), (4, 4, 9, 9, False, []), (2, 3, 9, 1, False, [])], 1):
        search = Search(turn, 63, misses)
        search.follow(amounts)
        assert shelf.first(search) is None
        assert shelf.looked_at == len(things)
    newcomer = Thing(-1, rng)
    newcomer.cores = newcomer.memory = newcomer.disk = newcomer.seconds = 0
    shelf.put(newcomer, (2 * BLOCK, 1))
    search = Search(9, 63, misses)
    search.follow((4, 4, 9, 9, False, []))
    assert shelf.first(search) is newcomer
