"""Machine/job features (HSF-TN-2016-02): the time at which the machine, or this job of its batch system, ends.

The features are files in a folder, or below a URL. Written from the specification.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, Optional

from pilot.notices.notice import Fetch, Notice

#: The variable that names the place, and the name of the feature there.
FEATURES = (("MACHINEFEATURES", "shutdowntime"), ("JOBFEATURES", "shutdowntime_job"))
MOST = 64  # bytes of a feature


def parse(name: str, text: str, now: float) -> Optional[Notice]:
    """A time in seconds since the epoch. No text: nothing is said. Raises ValueError."""
    if not text.strip():
        return None
    at = float(text)
    if not 0 < at < 1e11:
        raise ValueError(f"{name}: expected seconds since the epoch, got {text[:MOST]!r}")
    return Notice(f"{name} says that it ends at {at:.0f}", at - now, at_once=False)


class Mjf:
    """What one of the places says. `read` gives the text of a feature, empty where there is none."""

    name = "machine/job features"

    def __init__(self, names: Sequence[str], read: Callable[[str], str]) -> None:
        self.names = names
        self.read = read

    def look(self, now: float) -> Optional[Notice]:
        found = (parse(os.path.basename(name), self.read(name), now) for name in self.names)
        return min((notice for notice in found if notice), key=lambda notice: notice.left, default=None)


def sources(environment: Mapping[str, str], fetch: Fetch) -> tuple[Mjf, ...]:
    """Where the environment says that there are features."""
    names = [f"{environment[variable]}/{key}" for variable, key in FEATURES if environment.get(variable)]

    def read(name: str) -> str:
        return _from_url(fetch, name) if name.startswith(("http://", "https://")) else _from_file(Path(name))

    return (Mjf(names, read),) if names else ()


def _from_url(fetch: Fetch, url: str) -> str:
    reply = fetch("GET", url, {})
    if reply.status == 404:
        return ""
    if reply.status != 200:
        raise ValueError(f"{url}: status {reply.status}")
    return reply.body[:MOST].decode("ascii", "replace")


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MOST).decode("ascii", "replace")
    except FileNotFoundError:
        return ""
