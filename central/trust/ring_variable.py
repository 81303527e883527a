"""The variable of the environment that a key ring may be in: taken away before anything else is done."""

from __future__ import annotations

import ctypes
from collections.abc import MutableMapping

VARIABLE = "PILOTAGE_KEY_RING"
_PR_SET_DUMPABLE = 4


def taken(environment: MutableMapping[str, str]) -> str | None:
    """Take the ring out of the environment, so that nothing which this process starts inherits it."""
    return environment.pop(VARIABLE, None)


def keep_from_others() -> None:
    """No other process of this user may read this one's memory, nor the environment that it began with, which the
    system goes on to show: from now on to root alone. Until the next exec."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (OSError, AttributeError):  # a system without it: docs/operating.md says what the environment is worth
        pass
