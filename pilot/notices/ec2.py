"""Amazon EC2: the notice that a spot instance will be interrupted, two minutes ahead. Written from documentation."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Optional

from pilot.notices.notice import Fetch, Notice, Reply

BASE = "http://169.254.169.254"
#: Seconds that a session token of the metadata service lasts.
TOKEN_LIFE = 21600


def parse(reply: Reply, now: float) -> Optional[Notice]:
    """The answer to ``/latest/meta-data/spot/instance-action``: 404 until there is a notice. Raises ValueError."""
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise ValueError(f"status {reply.status}")
    said = json.loads(reply.body)
    if not isinstance(said, dict) or not isinstance(said.get("action"), str) or not isinstance(said.get("time"), str):
        raise ValueError(f"expected action and time, got {reply.body[:200]!r}")
    at = datetime.strptime(said["time"][:40], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    return Notice(f"EC2 will {said['action'][:40]} this instance at {said['time']}", at - (reply.date or now))


class Ec2:
    """One instance's, with the tokens that version 2 of the metadata service wants."""

    name = "EC2"

    def __init__(self, fetch: Fetch, base: str = BASE) -> None:
        self.fetch = fetch
        self.base = base
        self._token = ""

    def look(self, now: float) -> Optional[Notice]:
        reply = self._ask() if self._token else None
        if reply is None or reply.status == 401:
            self._token = self._fresh()
            reply = self._ask()
        return parse(reply, now)

    def _ask(self) -> Reply:
        headers = {"X-aws-ec2-metadata-token": self._token}
        return self.fetch("GET", f"{self.base}/latest/meta-data/spot/instance-action", headers)

    def _fresh(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFE)}
        reply = self.fetch("PUT", f"{self.base}/latest/api/token", headers)
        token = reply.body.decode("ascii").strip()
        if reply.status != 200 or not token.isprintable():
            raise ValueError(f"no token from the metadata service: status {reply.status}")
        return token
