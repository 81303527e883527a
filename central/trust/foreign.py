"""Whether a database was sealed under this central's key ring: asked before anything is sealed, or given to anybody.

The newest link of the audit's chain tells: who serves makes one within seconds, under the newest key of its ring, and a
ring keeps that key for as long as it is looked at. A database that was restored without its ring, or is another
central's, has one under a key that is not here.
"""

from __future__ import annotations

import asyncio
import time

from central.auditing import Unlinked
from central.clock import SystemClock
from central.configuration import settings_file
from central.configuration.settings import is_postgresql
from central.databases import open_database
from central.folder import Folder
from central.records import Note
from central.store.port import Store
from central.trust.chain import CENTRAL, AnchorFile, Chain, Seals
from central.trust.keys import KEEP_AGE
from central.trust.ring_source import RingSource
from central.trust.seal import KeyRing
from pilot.auditing import UNKNOWN
from pilot.errors import PilotageError

#: Seconds for which nobody else may lead meanwhile.
LED = 5.0
#: What the audit has of it that an operator has gone on with another ring.
ACCEPTED = "key-ring.accept"
_ADVICE = (
    "Start it with the ring that belongs to this database (private/keys.json of the same folder, or where"
    " central.key_ring has it from). If that is lost for good, `python -m central accept-ring` lets this one take its"
    " place; what is sealed under the other is lost then: credentials, which their owners must set anew, and the tokens"
    " of pilots and payloads that are under way"
)


class ForeignRing(PilotageError):
    """The database was sealed under another key ring than this central's."""


def foreign(found: Unlinked, seals: Seals, others: bool, now: float) -> str:
    """Why this is the database of another ring; empty: it is not. `others`: credentials are under keys that are not
    here."""
    link = found.last
    if link and seals.of_link(link) != UNKNOWN:
        return ""
    if link and link.time > now - KEEP_AGE:
        return f"the newest link of its audit is under the key {link.key_id}, which is not in this ring"
    return "it has credentials, and none of its audit, under this ring" if others else ""


async def check_ring(store: Store, ring: KeyRing) -> None:
    """Raises `ForeignRing`."""
    if problem := await _problem(store, ring):
        raise ForeignRing(
            f"This database was sealed under another key ring than this central has: {problem}. {_ADVICE}"
        )


async def _problem(store: Store, ring: KeyRing) -> str:
    keys = [key.id for key in (*ring.keys, *ring.coming)]
    others = bool(await store.credentials_under_others(keys, 1))
    return foreign(await store.unlinked(1), Seals.of(ring), others, await store.now())


def accept_ring(folder: Folder, source: RingSource, duty: str, holder: str) -> str:
    """Let this ring take the place of the one that the database was sealed under. Returns what was done.

    The audit gets a line that says so, and with it a link under this ring. Of a database that centrals may share, the
    lead of `duty` is taken: nobody who serves it may have the other ring. Raises `PilotageError`.
    """
    service = settings_file.load(folder.settings).service
    ring = source.load(time.time())

    async def accept() -> str:
        store = open_database(folder, service, time.time)
        await store.open()
        try:
            problem = await _problem(store, ring)
            if not problem:
                return "nothing to accept: this database is not under another key ring"
            if is_postgresql(service.database) and await store.lead(duty, holder, LED) is None:
                raise PilotageError(
                    "another central serves this database, or did so half a minute ago: copy its key ring, or stop it"
                )
            await store.note((Note(CENTRAL, ACCEPTED, "", "", ring.keys[-1].id, detail=problem),))
            await _link(store, Seals.of(ring), AnchorFile(folder.audit_anchor))
            return f"{ring.keys[-1].id} seals from now on; what is under the other ring stays sealed, and is lost"
        finally:
            await store.close()

    return asyncio.run(accept())


async def _link(store: Store, seals: Seals, file: AnchorFile) -> None:
    def heard(link: int, broken: bool) -> None:
        """It is in the log."""

    await Chain(store, seals, file, SystemClock(), heard).turn(0)
