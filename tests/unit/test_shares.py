"""Whose turn it is: use that decays, shares, what is given in one moment, and what the store says afterwards."""

from __future__ import annotations

import pytest

from central.configuration.settings import Community, Group
from central.matching.shares import PARTIES_PER_SECOND, QUANTUM, STEP, Account, Standings
from central.records import Consumed

PHYSICS = Community("physics", 3.0, (Group("higgs", 2.0),))


def levels(standings: Standings, *path: str) -> list[float]:
    """Of the community, the group and the owner."""
    return [account.level for account in reversed([*standings.account(*path).line()])]


def test_a_level_is_use_by_share() -> None:
    """What was used and what runs, over the share that is due; whoever is not configured has a share of 1."""
    standings = Standings([PHYSICS])
    standings.load([Consumed("physics", "higgs", "ada", 600.0, 2), Consumed("bio", "g", "bob", 600.0, 0)], 0.0)
    used = 600.0 + 2 * QUANTUM
    assert levels(standings, "physics", "higgs", "ada") == [used / 3, used / 2, used]
    assert levels(standings, "bio", "g", "bob") == [600.0, 600.0, 600.0]


def test_use_of_a_group_is_that_of_its_owners() -> None:
    """Owners of one name in two groups are two; a group has used what its owners have."""
    standings = Standings()
    standings.load([Consumed("c", "g", "ada", 10.0, 1), Consumed("c", "g", "bob", 20.0, 0)], 0.0)
    assert levels(standings, "c", "g", "bob") == [30 + QUANTUM, 30 + QUANTUM, 20.0]
    assert levels(standings, "c", "h", "ada") == [30 + QUANTUM, 0.0, 0.0]


def test_what_is_given_counts_at_once_and_what_was_not_given_does_not() -> None:
    """Every core given counts as if it had run for a while; given back, it never did."""
    standings = Standings()
    ada = standings.account("c", "g", "ada")
    standings.given(ada, 4)
    assert levels(standings, "c", "g", "ada") == [4 * QUANTUM] * 3
    standings.returned(ada, 4)
    assert levels(standings, "c", "g", "ada") == [0.0] * 3


def test_time_passes_between_two_answers_of_the_store() -> None:
    """What runs has used more, and what was used a half-life ago counts half."""
    standings = Standings(half_life=100.0)
    standings.load([Consumed("c", "g", "ada", 1000.0, 0), Consumed("c", "g", "bob", 0.0, 3)], 50.0)
    standings.advance(150.0)
    assert standings.account("c", "g", "ada").level == pytest.approx(500.0)
    assert standings.account("c", "g", "bob").level == pytest.approx(300.0 + 3 * QUANTUM)


def test_levels_are_not_looked_at_more_often_than_pays() -> None:
    """Within a second nothing changes, and with many parties not within several."""
    standings = Standings()
    standings.load([Consumed("c", "g", "ada", 0.0, 1)], 0.0)
    before = standings.version
    standings.advance(STEP / 2)
    assert standings.version == before
    standings.advance(STEP)
    assert standings.version == before + 1
    many = Standings()
    many.load([Consumed("c", "g", f"o{number}", 1.0, 1) for number in range(3 * PARTIES_PER_SECOND)], 0.0)
    before = many.version
    many.advance(2.9)
    assert many.version == before


def test_what_was_given_while_the_store_was_asked_is_not_lost() -> None:
    """An answer of the store may lack what was given since the question, but nothing that was given before."""
    standings = Standings()
    ada, bob = standings.account("c", "g", "ada"), standings.account("c", "g", "bob")
    standings.given(ada, 1)
    standings.asking()
    standings.given(bob, 2)
    standings.load([Consumed("c", "g", "ada", 0.0, 1)], 0.0)
    assert (ada.running, bob.running) == (1, 2)


def test_accounts_live_as_long_as_somebody_needs_them() -> None:
    """Whoever has no jobs and has used nothing leaves nothing behind."""
    standings = Standings()
    standings.account("c", "g", "gone")
    standings.load([Consumed("c", "g", "ada", 1.0, 0)], 0.0)
    number = standings.account("c", "g", "ada").number
    standings.load([], 1.0)
    assert standings.account("c", "g", "ada").number != number


def test_how_many_go_before_the_next() -> None:
    """Jobs are given one after another while the level is below the other's."""
    account = Account("a", None, 2.0, 1, leaf=True)
    assert account.before(0.0, 1) == 0
    assert account.before(QUANTUM, 1) == 2
    assert account.before(QUANTUM + 1, 1) == 3
    assert account.before(QUANTUM, 4) == 1


def test_people_are_told_where_they_stand() -> None:
    """The three steps of one owner, with share, use and level."""
    standings = Standings([PHYSICS])
    standings.load([Consumed("physics", "higgs", "ada", 60.0, 1)], 0.0)
    told = standings.standing("physics", "higgs", "ada")
    assert [(one.name, one.share, one.used, one.cores) for one in told] == [
        ("physics", 3.0, 60.0, 1),
        ("higgs", 2.0, 60.0, 1),
        ("ada", 1.0, 60.0, 1),
    ]
    assert told[2].level == 60.0 + QUANTUM


def test_other_shares_count_at_once() -> None:
    """What is due may change at any time: levels follow, and whoever is named no more has a share of 1 again."""
    standings = Standings([PHYSICS])
    standings.load([Consumed("physics", "higgs", "ada", 600.0, 0)], 0.0)
    before = standings.version
    standings.share([Community("physics", 1.0, (Group("higgs", 4.0), Group("new", 2.0)))])
    assert standings.version > before
    assert levels(standings, "physics", "higgs", "ada") == [600.0, 150.0, 600.0]
    assert [one.share for one in standings.standing("physics", "new", "eve")] == [1.0, 2.0, 1.0]
    standings.share(())
    assert levels(standings, "physics", "higgs", "ada") == [600.0, 600.0, 600.0]
