"""Jobs whose access tokens cannot be had because a token endpoint is away: they wait, and nobody has to do anything.

The first of them that is leased is given back, uncharged. From then on this central claims no job of its task queue
that names the credential, and asks the endpoint again now and then by itself, until it answers: once for all queues of
its owner, who may have very many.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.matching.resting import Credential
from central.trust import access_tokens
from pilot.errors import PilotageError

if TYPE_CHECKING:
    from central.app import Central
    from central.records import Leased

log = logging.getLogger(__name__)

#: Seconds between looks at a credential that is away: it may be set anew, or another central may have had one made.
LOOK = 15.0
#: Seconds between two looks at least.
LEAST = 0.5


def begin(central: Central, leased: Leased, name: str, why: str) -> None:
    """Let the jobs that name the credential rest until it is there. To be called before one of them is given back."""
    credential = (leased.community, leased.owner, name)
    if central.dispatcher.queues.resting.begin(leased.queue, credential, why):
        central.background(_until_over(central, credential))


async def _until_over(central: Central, credential: Credential) -> None:
    try:
        while (seconds := await _left(central, credential)) > 0:
            await central.clock.sleep(min(seconds, LOOK))
    finally:
        central.dispatcher.queues.resting.end(credential)
    # A claim that found none but these has counted the queue as empty.
    while not await _counted(central):
        await central.clock.sleep(LOOK)


async def _counted(central: Central) -> bool:
    try:
        await central.dispatcher.refresh()
    except (PilotageError, OSError) as error:
        log.warning("What waits could not be counted; it is tried again: %s", error)
        return False
    return True


async def _left(central: Central, credential: Credential) -> float:
    """Seconds until it is worth another look; 0: the jobs can go on, or there is something for their owner to mend,
    which the next that is leased is held for."""
    community, owner, name = credential
    try:
        found = await central.store.credentials(community, owner, [name])
        rows = [await central.refreshing.row(row) for row in found if access_tokens.is_refreshed(row)]
    except (PilotageError, OSError) as error:
        log.warning("The credential %s of %s could not be looked at: %s", name, owner, error)
        return LOOK
    now = central.wall()
    values = central.refreshing.values(rows[0]) if rows else None
    if values is None or access_tokens.usable(values, now) or not access_tokens.passes(values):
        return 0.0
    return max(LEAST, access_tokens.wait(values, now))
