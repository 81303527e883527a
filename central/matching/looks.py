"""What tells offers apart for the jobs that wait: everything but amounts that some job, or a limit, mentions."""

from __future__ import annotations

from typing import NamedTuple

from central.matching.limits import Limits
from central.matching.matcher import tag_expression
from pilot import tags
from pilot.protocol import Needs, Offer, Platform


class Look(NamedTuple):
    """An offer's kind, as far as the waiting jobs can tell: no amounts, and nothing that nobody mentions."""

    site: str
    queue: str
    tags: frozenset[str]
    unknown_tags: frozenset[str]
    required_tags: tuple[str, ...]
    communities: tuple[str, ...]
    owners: tuple[str, ...] | None
    arch: str | None
    microarch: int | None
    glibc: tuple[int, int] | None
    isolation: bool

    def offer(self) -> Offer:
        """An offer that looks like this."""
        return Offer(
            site=self.site,
            queue=self.queue,
            tags=tuple(self.tags),
            unknown_tags=tuple(self.unknown_tags),
            required_tags=self.required_tags,
            communities=self.communities,
            owners=self.owners,
            platform=Platform(self.arch, self.microarch, self.glibc),
            isolation=self.isolation,
        )


class Mentions:
    """What needs and limits mention of tags, sites and their queues: nothing else of these tells offers apart."""

    def __init__(self, limits: Limits) -> None:
        self.tags: set[str] = set()
        self.sites: set[str] = set(limits.sites)
        self.doors = limits.doors

    def learn(self, needs: Needs) -> None:
        self.tags |= tags.names(tag_expression(needs.tags)[0])
        self.sites.update(needs.sites or (), needs.not_sites)

    def look(self, offer: Offer) -> Look:
        platform = offer.platform
        return Look(
            offer.site if offer.site in self.sites else "",
            offer.queue if offer.queue in self.doors else "",
            frozenset(self.tags.intersection(offer.tags)),
            frozenset(self.tags.intersection(offer.unknown_tags)),
            offer.required_tags,
            offer.communities,
            offer.owners,
            platform.arch,
            platform.microarch,
            platform.glibc,
            offer.isolation,
        )
