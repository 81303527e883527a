"""Google Compute Engine: a preemptible or spot machine is stopped 30 s after it was told.

Written from documentation.
"""

from __future__ import annotations

from typing import Optional

from pilot.notices.notice import Fetch, Notice, Reply

BASE = "http://169.254.169.254"
#: Seconds from the notice to the end of the machine.
LEFT = 30.0


def parse(reply: Reply) -> bool:
    """The answer to ``/computeMetadata/v1/instance/preempted``: whether it was. Raises ValueError."""
    word = reply.body.strip().upper()
    if reply.status != 200 or word not in (b"TRUE", b"FALSE"):
        raise ValueError(f"expected TRUE or FALSE, got status {reply.status} with {reply.body[:80]!r}")
    return word == b"TRUE"


class Gce:
    """One machine's. It is told once and not when: the time runs from when it was first seen."""

    name = "GCE"

    def __init__(self, fetch: Fetch, base: str = BASE) -> None:
        self.fetch = fetch
        self.base = base
        self._since: Optional[float] = None

    def look(self, now: float) -> Optional[Notice]:
        url = f"{self.base}/computeMetadata/v1/instance/preempted"
        if not parse(self.fetch("GET", url, {"Metadata-Flavor": "Google"})):
            return None
        if self._since is None:
            self._since = now
        return Notice("GCE has preempted this machine", self._since + LEFT - now)
