"""Keeps the monitor small: it runs beside every payload, for as long as the pilot lives."""

from __future__ import annotations

import ctypes
import importlib
import sys
import warnings

#: What requests takes to guess the encoding of a text, if it is there. Ours are bytes; 3 MB.
_GUESSERS = ("chardet", "charset_normalizer")
#: `M_ARENA_MAX` of malloc.h.
_M_ARENA_MAX = -8


def import_requests() -> None:
    """Import requests without what it does not need here. Does nothing where it was imported before."""
    if "requests" in sys.modules:
        return
    kept_out = [name for name in _GUESSERS if name not in sys.modules]
    # None: whoever imports it finds nothing.
    sys.modules.update(dict.fromkeys(kept_out))  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that they are missing
            importlib.import_module("requests")
    finally:
        for name in kept_out:
            del sys.modules[name]


def share_one_heap() -> None:
    """Let all threads allocate from one heap, instead of keeping one each. Where libc is not glibc, nothing happens."""
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (OSError, AttributeError):
        pass
