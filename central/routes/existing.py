"""Sites and queues as they exist for whoever asks: what is beyond that answers as a name that nobody gave; and whose
stops of them the caller may end."""

from __future__ import annotations

from typing import Any

from central.configuration.settings import Queue
from central.people import SiteAdmins, Whose
from central.serving.http import Call
from central.trust.rules import may_see_place, site_of
from pilot.errors import Refusal


def queues_for(call: Call[Any]) -> tuple[Queue, ...]:
    """All to operators, to site admins those of the site, to others those that serve their community."""
    queues = call.central.settings.queues
    return tuple(queue for queue in queues if may_see_place(call.person, queue.site, queue.communities))


def queue_for(call: Call[Any], name: str) -> Queue:
    """Raises ``not-found``, which names such as the caller may see."""
    queues = queues_for(call)
    queue = next((queue for queue in queues if queue.name == name), None)
    if queue is None:
        known = ", ".join(queue.name for queue in queues) or "none"
        raise Refusal("not-found", f"there is no queue {name:.100}; there are: {known}")
    return queue


def sites_for(call: Call[Any]) -> tuple[str, ...]:
    """Site admins see their own, everybody else all."""
    own = site_of(call.person)
    return tuple(site.name for site in call.central.settings.sites if own in (None, site.name))


def site_for(call: Call[Any], name: str) -> str:
    """Raises ``not-found``, which names such as the caller may see."""
    sites = sites_for(call)
    if name not in sites:
        raise Refusal("not-found", f"there is no site {name:.100}; there are: {', '.join(sites) or 'none'}")
    return name


def admins_beside(call: Call[Any]) -> SiteAdmins | None:
    """For a site's admin all of the site, whose bans and pauses are theirs to end; None: an operator, who ends any."""
    site = site_of(call.person)
    if site is None:
        return None
    return SiteAdmins(site, frozenset(one.user for one in call.central.people.roles(Whose(site=site))))
