"""What limits and pipelines of the settings name and nothing has now: a site or a queue that may be added later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from central.configuration.settings import CentralSettings

LIMIT, PIPELINE = "limit", "pipeline"
Named = tuple[str, str]  # LIMIT and its name, PIPELINE and where it stands


def unmet(settings: CentralSettings) -> Mapping[Named, str]:
    """The limits and pipelines that count nowhere as things are, and why."""
    sites = {site.name for site in settings.sites}
    places = {queue.name: queue.site for queue in settings.queues}
    return {
        named: problem for named, site, queue in _named(settings) if (problem := _problem(site, queue, sites, places))
    }


def _named(settings: CentralSettings) -> Iterator[tuple[Named, str, str]]:
    for limit in settings.limits:
        yield (LIMIT, limit.name), limit.site or "", limit.queue or ""
    for layer in settings.pipelines:
        yield (PIPELINE, layer.where), layer.site, layer.queue


def _problem(site: str, queue: str, sites: set[str], places: Mapping[str, str]) -> str:
    if site and site not in sites:
        return f"there is no site {site}: it counts once one of that name is added"
    if queue and queue not in places:
        return f"there is no queue {queue}: it counts once one of that name is added"
    if site and queue and places[queue] != site:
        return f"the queue {queue} is one of the site {places[queue]}, not of {site}: it counts nowhere"
    return ""
