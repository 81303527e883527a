"""Names of sites and queues that nobody knows, told to whoever found nothing there."""

from __future__ import annotations

from collections.abc import Collection

from pilotage.client import Client


def unknown(client: Client, site: str | None, queue: str | None) -> str:
    """A sentence when a site or queue is not among those that are configured; empty when they are, or none is named."""
    if not site and not queue:
        return ""
    queues = [each for each in client.queues() if each.kind]  # without what was added and is not used
    return _not_among("site", site, {each.site for each in queues}) or _not_among(
        "queue", queue, {each.name for each in queues}
    )


def _not_among(what: str, name: str | None, known: Collection[str]) -> str:
    if not name or name in known:
        return ""
    return f"no {what} {name} is configured; there are: {', '.join(sorted(known)) or 'none'}"
