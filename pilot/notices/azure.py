"""Microsoft Azure: scheduled events, of which some take the machine away. Written from documentation."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import Any, Optional

from pilot.notices.notice import Fetch, Notice, Reply

BASE = "http://169.254.169.254"
EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
HEADERS = {"Metadata": "true"}
#: Events after which what runs now does not run any more; `Freeze` only pauses it.
ENDING = ("Preempt", "Terminate", "Redeploy", "Reboot")
#: Seconds that an event without a time leaves, as it does once it has begun.
BEGUN = 10.0


def parse(reply: Reply, machine: str, now: float) -> Optional[Notice]:
    """The event that ends this machine first, if there is one. Events of other machines of a set are listed as well.

    Raises ValueError.
    """
    if reply.status != 200:
        raise ValueError(f"status {reply.status}")
    said = json.loads(reply.body)
    events = said.get("Events") if isinstance(said, dict) else None
    if not isinstance(events, list):
        raise ValueError(f"expected Events, got {reply.body[:200]!r}")
    notices = [_notice(event, reply.date or now) for event in events if _ours(event, machine)]
    return min(notices, key=lambda notice: notice.left, default=None)


def _ours(event: Any, machine: str) -> bool:
    if not isinstance(event, dict) or event.get("EventType") not in ENDING:
        return False
    resources = event.get("Resources")
    return not isinstance(resources, list) or not machine or machine in resources


def _notice(event: dict[str, Any], now: float) -> Notice:
    when = str(event.get("NotBefore") or "")
    try:
        left = parsedate_to_datetime(when).timestamp() - now if when else BEGUN
    except (TypeError, OverflowError) as error:  # Python 3.9 raises the first, a year of twenty digits the other
        raise ValueError(f"expected a time, got {when[:80]!r}") from error
    identity = str(event.get("EventId") or "")[:80]
    return Notice(f"Azure: {event['EventType']} of this machine (event {identity})", left)


class Azure:
    """One machine's. The first question turns the service on, which may take two minutes."""

    name = "Azure"

    def __init__(self, fetch: Fetch, base: str = BASE) -> None:
        self.fetch = fetch
        self.base = base
        self._machine = ""  # not known yet: until then every event may be ours

    def look(self, now: float) -> Optional[Notice]:
        if not self._machine:
            named = self.fetch("GET", self.base + NAME, HEADERS)
            self._machine = named.body.decode("utf-8", "replace").strip() if named.status == 200 else ""
        return parse(self.fetch("GET", self.base + EVENTS, HEADERS), self._machine, now)
