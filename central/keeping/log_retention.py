"""Letting go of old logs: a stream goes when it was closed so long ago, by the age of its object.

A stream that nobody has closed (the central was away when its pilot was given up) goes when nothing has come for much
longer. What a job printed may so be gone while the job is still known; who asks for it is told.
"""

from __future__ import annotations

import asyncio

from central.keeping.logs import LogStore
from central.keeping.objects import Objects

#: Seconds beyond the time that logs are kept, after which a stream that was never closed is nobody's any more.
FORGOTTEN = 30 * 86400.0
#: Seconds between two looks through all logs.
INTERVAL = 3600.0


async def let_go(logs: LogStore, objects: Objects, keep: float, now: float) -> int:
    """Remove the streams that are older than `keep` seconds. Returns how many. `now`: seconds since the epoch."""
    removed = 0
    for stamp in await asyncio.to_thread(objects.folders, "logs"):
        old = await asyncio.to_thread(_old, objects, f"logs/{stamp}", keep, now)
        for stream in old:
            await logs.remove(stamp, stream)
        removed += len(old)
    return removed


def _old(objects: Objects, pilot: str, keep: float, now: float) -> list[str]:
    """The streams in the folder of a pilot that are kept no longer; the folder goes when it is left empty."""
    streams = objects.folders(pilot)
    if not streams:
        objects.remove_empty(pilot)
    return [stream for stream in streams if _is_old(objects, f"{pilot}/{stream}", keep, now)]


def _is_old(objects: Objects, folder: str, keep: float, now: float) -> bool:
    names = list(objects.sizes(folder))
    if not names:
        return False
    closed = any(name.startswith("whole") for name in names)
    newest = max(objects.modified(f"{folder}/{name}") for name in names)
    return now - newest > keep + (0.0 if closed and len(names) == 1 else FORGOTTEN)
