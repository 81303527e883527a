"""When an agent counts as hung."""

from pilot.monitor.vigil import EXIT_PATIENCE, HUNG, Vigil


def looked(vigil: Vigil, start: float, end: float) -> str:
    """Look once a second from start to end. Returns the first reason to kill."""
    now = start
    while now < end:
        now += 1.0
        why = vigil.look(now)
        if why:
            return why
    return ""


def test_a_loop_that_hangs() -> None:
    """An agent whose main loop does not turn for a minute is hung, one whose does is not."""
    vigil = Vigil(0.0)
    assert looked(vigil, 0.0, HUNG) == ""
    vigil.heard = HUNG
    assert looked(vigil, HUNG, 2 * HUNG) == ""
    assert looked(vigil, 2 * HUNG, 2 * HUNG + 2) == f"it hung: its main loop has not turned for {HUNG + 1:.0f} s"


def test_suspended() -> None:
    """Time in which we were stopped ourselves is not counted against it."""
    vigil = Vigil(0.0)
    assert looked(vigil, 0.0, 30.0) == ""
    assert vigil.look(10_000.0) == ""
    assert looked(vigil, 10_000.0, 10_020.0) == ""
    assert "it hung" in looked(vigil, 10_020.0, 10_100.0)


def test_stopped_speaking() -> None:
    """One whose link has ended must exit soon."""
    vigil = Vigil(0.0)
    vigil.silent_since = 1.0
    assert looked(vigil, 1.0, 1.0 + EXIT_PATIENCE) == ""
    assert vigil.look(2.0 + EXIT_PATIENCE) == "it stopped speaking and did not exit"


def test_told_to_stop() -> None:
    """One that was told to stop must have ended in time, however much it says."""
    vigil = Vigil(0.0)
    vigil.stop_by = 40.0
    vigil.heard = 40.0
    assert looked(vigil, 0.0, 39.0) == ""
    assert vigil.look(40.0) == "it did not end in time"
