"""A turn of a loop that must not end: whatever it meets, as no memory or a disk that errs, is said, and tried again."""

from __future__ import annotations

from typing import Callable

#: Seconds until the next turn after one that went wrong in a way that nobody foresaw.
REST = 5.0


def steadfast(what: str, turn: Callable[[], float], say: Callable[[str], None]) -> float:
    """Take a turn. Returns the seconds until the next; never raises an `Exception`."""
    try:
        return turn()
    except Exception as error:  # noqa: BLE001 - the loop must not end, whatever it was
        try:
            say(f"{what} went wrong and goes on in {REST:.0f} s: {type(error).__name__}: {error}")
        except Exception:  # noqa: BLE001, S110 - not even that could be said: there may be no memory for a sentence
            pass
        return REST
