"""The machine's clock: whether something keeps it right, as the kernel says. No time server is asked."""

from __future__ import annotations

import ctypes
from typing import Callable, Optional

from pilot.protocol import Fact

NAMES = ("clock_synchronised", "clock_error")
#: Status bit: nobody disciplines the clock.
_UNSYNCHRONISED = 0x40


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), and room for what newer kernels add."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


def kernel() -> Optional[tuple[int, int]]:
    """Status bits, and the greatest error in microseconds; None where the kernel does not tell."""
    about = _Timex()
    try:
        told = ctypes.CDLL(None).adjtimex(ctypes.byref(about))
    except (OSError, AttributeError):
        return None
    return (about.status, about.maxerror) if told >= 0 else None


def clock(ask: Callable[[], Optional[tuple[int, int]]] = kernel) -> tuple[Fact, ...]:
    """Whether the clock is synchronised, and by how many seconds it may be off where it is."""
    told = ask()
    if told is None:
        return tuple(Fact(name, None, "adjtimex does not tell") for name in NAMES)
    status, error = told
    if status & _UNSYNCHRONISED:
        return (
            Fact("clock_synchronised", False, "adjtimex: nothing keeps the clock"),
            Fact("clock_error", None, "not synchronised"),
        )
    return Fact("clock_synchronised", True, "adjtimex"), Fact("clock_error", error / 1e6, "adjtimex: at most")
