"""The central's clock, as a pilot keeps it."""

from __future__ import annotations

from pilot.monitor.standing import Standing


def test_how_far_the_machines_clock_is_off() -> None:
    """An answer of 1000 that took two seconds means 1001 now; a machine that shows 1003.5 is 2.5 s ahead."""
    standing = Standing("0" * 32, b"", lambda: 100.0)
    standing.learn(1000.0, 2.0)
    assert standing.ahead(1003.5) == 2.5
    assert standing.ahead(900.0) == -101.0
