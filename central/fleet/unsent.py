"""Pilots that nobody submitted: journalled on the spot when they come with an enrolment token that is good."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.configuration.settings import EXTERNAL
from central.records import NewPilot
from central.serving.journal import in_a_line
from pilot.errors import Refusal
from pilot.protocol import EnrolRequest

if TYPE_CHECKING:
    from central.app import Central

log = logging.getLogger(__name__)
#: Seconds within which a pilot that was let in has to have enrolled.
TO_ENROL = 600.0


async def admit(central: Central, stamp: str, token_hash: str, request: EnrolRequest, refusal: Refusal) -> None:
    """Journal a pilot, so that it can enrol. Raises the `refusal` where it comes with no token, else why the token does
    not let it in, which is noted with the token."""
    token = await central.store.enrolment_of(token_hash)
    if token is None:
        raise refusal
    queue = central.settings.queue(token.queue)
    if queue is None or queue.kind != EXTERNAL or queue.site != token.site:
        raise Refusal("revoked", f"The enrolment token {token.id} is for a queue that is not there any more.")
    communities = tuple(name for name in token.communities if name in queue.communities)
    if not communities:
        raise Refusal("revoked", f"The enrolment token {token.id} is for communities that the queue does not serve.")
    life = float(queue.wall_time) if isinstance(queue.wall_time, int) else None
    pilot = NewPilot(stamp, token.site, queue.name, communities, token_hash, TO_ENROL, queue.lease, life)
    host = next((str(fact.value) for fact in request.facts if fact.name == "host"), "")[:100]
    try:
        await central.store.admit(pilot, f" from {in_a_line(host)}" if host else "")
    except Refusal as problem:
        fields = {"token": token.id, "pilot": stamp, "host": in_a_line(host)}
        log.warning("A pilot came with an enrolment token that is not good: %s", problem, extra={"fields": fields})
        raise
