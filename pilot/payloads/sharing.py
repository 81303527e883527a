"""How much memory processes use together, when they share some of it: psutil where it loads, else `/proc`."""

from __future__ import annotations

import importlib
from typing import Any, Callable, Optional

#: Bytes of one process, what it shares counted in part (its proportional set size); None where that is not told.
Proportional = Callable[[int], Optional[int]]


def by_psutil(psutil: Any) -> Proportional:
    """Through psutil, which knows the ways of older kernels."""

    def measure(pid: int) -> Optional[int]:
        try:
            found = psutil.Process(pid).memory_full_info().pss
        except (psutil.Error, OSError, AttributeError):
            return None
        return found if isinstance(found, int) else None

    return measure


def by_proc(pid: int) -> Optional[int]:
    """From `smaps_rollup`, which kernels have since 4.14."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def best() -> Proportional:
    """psutil's where it can be loaded on this machine."""
    try:
        return by_psutil(importlib.import_module("psutil"))
    except ImportError:
        return by_proc
