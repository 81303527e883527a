"""Connections: who makes way for whom, and who is too slow."""

from __future__ import annotations

import pytest

from central.serving.connection_table import (
    HANDSHAKE,
    HEAD,
    HERE,
    KEEP_ALIVE,
    LEAST,
    SPAN,
    Connection,
    ConnectionTable,
    Phase,
    address_of,
    know,
)


class Crowd:
    """Connections to one table, and the names of those that it closed."""

    def __init__(self, most: int, most_each: int) -> None:
        self.table = ConnectionTable(most, most_each)
        self.closed: list[str] = []

    def come(self, name: str, address: str = "there", known: bool = False, phase: Phase = Phase.IDLE) -> bool:
        connection = Connection(address, 0.0, lambda: self.closed.append(name), phase=phase)
        came = self.table.admit(connection)
        if known:
            self.table.know(connection)
        return came


def test_the_oldest_stranger_makes_way() -> None:
    """When the house is full, whoever has been here longest without showing anything goes, whatever it is doing."""
    crowd = Crowd(3, 3)
    for name in ("known", "first", "second", "third", "fourth"):
        assert crowd.come(name, known=name == "known", phase=Phase.ANSWER)
    assert crowd.closed == ["first", "second"]
    assert len(crowd.table) == 3


def test_among_those_known_an_idle_one_makes_way() -> None:
    """Without strangers the oldest idle one goes; one that is being answered never does."""
    crowd = Crowd(3, 3)
    crowd.come("busy", known=True, phase=Phase.ANSWER)
    crowd.come("idle", known=True)
    crowd.come("idle too", known=True)
    assert crowd.come("new", known=True, phase=Phase.ANSWER)
    assert crowd.closed == ["idle"]


def test_a_newcomer_is_turned_away_when_all_are_busy() -> None:
    """Nobody known who is being answered is cut off for somebody new."""
    crowd = Crowd(2, 2)
    for name in ("one", "two"):
        crowd.come(name, known=True, phase=Phase.ANSWER)
    assert not crowd.come("new")
    assert (crowd.closed, len(crowd.table), crowd.table.told()["turned-away"]) == ([], 2, 1)


def test_one_address_makes_room_among_its_own() -> None:
    """Who has as many as one may have puts out none of somebody else."""
    crowd = Crowd(10, 2)
    crowd.come("other", "elsewhere")
    for name in ("one", "two", "three"):
        crowd.come(name)
    assert crowd.closed == ["one"]


def test_who_is_gone_leaves_nothing_behind() -> None:
    """Connections that ended, known or not, are counted nowhere, and end but once."""
    table = ConnectionTable(10, 10)
    ones = [Connection(f"10.0.0.{number}", 0.0, lambda: None) for number in range(4)]
    for one in ones:
        assert table.admit(one)
    know({HERE: (table, ones[0])})
    for one in (*ones, *ones):
        table.remove(one)
    table.know(ones[1])
    assert len(table) == 0
    assert not table._of


@pytest.mark.parametrize(
    ("phase", "longest"), [(Phase.HANDSHAKE, HANDSHAKE), (Phase.HEAD, HEAD), (Phase.IDLE, KEEP_ALIVE)]
)
def test_each_phase_has_its_time(phase: Phase, longest: float) -> None:
    """A handshake, a head and idleness last so long and no longer, however much comes meanwhile."""
    connection = Connection("there", 0.0, lambda: None, phase=phase, received=10**9)
    assert not connection.too_slow(longest)
    assert connection.too_slow(longest + 1) == phase.value


def test_a_body_has_a_pace() -> None:
    """In each span so many bytes come, or it is given up; not while it is we who do not read."""
    paused = [False]
    connection = Connection("there", 0.0, lambda: None, paused=lambda: paused[0], phase=Phase.BODY)
    connection.received = LEAST
    assert not connection.too_slow(SPAN + 1)
    connection.received = LEAST - 1
    paused[0] = True
    assert not connection.too_slow(2 * SPAN + 2)
    connection.received = LEAST - 1
    paused[0] = False
    assert not connection.too_slow(3 * SPAN + 1)
    assert connection.too_slow(3 * SPAN + 3) == "body"


def test_an_answer_may_be_held_but_not_left_unread() -> None:
    """Nobody is hurried who waits for us; one for whom we have bytes takes them at a pace."""
    unsent = [0]
    connection = Connection("there", 0.0, lambda: None, unsent=lambda: unsent[0], phase=Phase.ANSWER)
    assert not connection.too_slow(10 * SPAN)
    unsent[0] = 200_000
    connection.block(10 * SPAN)
    unsent[0] -= LEAST
    assert not connection.too_slow(11 * SPAN + 1)
    unsent[0] -= LEAST - 1
    assert connection.too_slow(12 * SPAN + 2) == "answer"


def test_a_sweep_closes_the_slow_and_counts_them() -> None:
    """Those that are too slow are closed once, the others stay."""
    crowd = Crowd(10, 10)
    crowd.come("drips", phase=Phase.HEAD)
    crowd.come("waits", phase=Phase.ANSWER)
    for now in (HEAD + 1, HEAD + 2):
        crowd.table.sweep(now)
    assert (crowd.closed, crowd.table.told()["slow-head"]) == (["drips"], 1)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.7", 1234), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1234, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1234, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1234, 0, 2), "fe80::/64"),
        (("", 0), ""),
        (None, ""),
    ],
)
def test_an_address_is_what_one_subscriber_has(peer: object, address: str) -> None:
    """IPv4 as it is, of IPv6 the network of 64 bits; one that is not known counts as one."""
    assert address_of(peer) == address
