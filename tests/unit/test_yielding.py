"""Which machines make room for a community that waits."""

from __future__ import annotations

from dataclasses import replace

from central.directors.yielding import Party, Seat, yielding

#: Two communities of equal shares; the first has had most, and holds all twenty machines.
OVER = Party(due=0.5, had=0.9)
SHORT = Party(due=0.5, had=0.1, waiting=400)
PARTIES = {"over": OVER, "short": SHORT}
BUSY = [Seat(f"busy-{number:02}", "over", 4, busy=4) for number in range(15)]
IDLE = [Seat(f"idle-{number:02}", "over", 4, busy=0) for number in range(5)]


def test_those_that_do_nothing_go_first() -> None:
    """Idle machines are asked before busy ones, and a tenth of the cores in one turn."""
    assert yielding([*BUSY, *IDLE], PARTIES, room=0) == ("idle-00", "idle-01")
    assert yielding(BUSY, PARTIES, room=0) == ("busy-00", "busy-01")


def test_of_idle_ones_the_dearest() -> None:
    """Among machines that do the same the dearest goes first."""
    dear = replace(IDLE[4], core_hour=0.2)
    assert yielding([*BUSY, *IDLE[:4], dear], PARTIES, room=0)[0] == "idle-04"


def test_nobody_makes_room_where_there_is_some() -> None:
    """As long as what waits can be started, or no bound is known, nothing drains; and only for what is beyond that."""
    assert yielding(IDLE, PARTIES, room=None) == ()
    assert yielding(IDLE, PARTIES, room=400) == ()
    assert len(yielding([*BUSY, *IDLE], PARTIES, room=398)) == 1


def test_nobody_makes_room_for_one_that_has_had_its_share() -> None:
    """Who has had more than they are due wait, and so do those who ask for nothing."""
    assert yielding(IDLE, {"over": OVER, "short": replace(SHORT, had=0.6)}, room=0) == ()
    assert yielding(IDLE, {"over": OVER, "short": replace(SHORT, waiting=0)}, room=0) == ()


def test_a_little_over_the_share_is_no_reason() -> None:
    """A community within a tenth of its share keeps its machines."""
    assert yielding(IDLE, {"over": replace(OVER, had=0.54), "short": SHORT}, room=0) == ()


def test_nobody_falls_below_their_share_of_what_is_there() -> None:
    """However much a community has had, it keeps the machines that its share makes of those that are there."""
    others = [Seat(f"short-{number}", "short", 4, busy=4) for number in range(5)]
    assert yielding([*IDLE, *others], PARTIES, room=0) == ()
    assert yielding([*IDLE, *others[:3]], PARTIES, room=0) == ("idle-00",)


def test_machines_for_several_communities_stay() -> None:
    """One that is bound to no single community is the matcher's to share out."""
    assert yielding([replace(seat, community="") for seat in IDLE], PARTIES, room=0) == ()
