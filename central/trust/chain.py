"""The chain of the audit: what is new is linked once a second by whoever leads, each link sealed under the key ring.

A link's hash binds all that was before it. Its seal needs a key that the database does not have: whoever can write to
the database alone can neither make links nor make them anew. That the end was cut off shows by what is written down
outside: the newest link, in a file of the folder, in the log, and in the figures.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from central.auditing import Unlinked, following
from central.clock import Clock
from central.records import Note
from central.store.port import Store
from central.trust.seal import Key, KeyRing, write_secret
from pilot import audit
from pilot.audit import AuditLink, AuditStart, Digest, digest, link_hash, start_hash
from pilot.auditing import BAD, GOOD, UNKNOWN, Anchor, Verdict, Walk
from pilot.errors import PilotageError

log = logging.getLogger(__name__)
_PURPOSE = b"pilotage: the key of the audit"
#: Seconds between two looks for new lines.
INTERVAL = 1.0
#: Lines of one link.
LINKED = 1000
#: Seconds between lines of the log that say where the chain is.
TOLD = 600.0
#: Links that are let go of in one transaction, and links that are read at once.
STEP = 10
#: Seconds between two looks for lines that were kept long enough, at least; else so many times in that time.
LEAST_INTERVAL, LOOKS = 10.0, 100
CENTRAL = "central"


class Seals:
    """Seals hashes, and judges seals. `keys` from oldest to newest; those in `coming` judge only."""

    def __init__(self, keys: Sequence[Key], coming: Sequence[Key] = ()) -> None:
        self.newest = keys[-1].id
        self._keys = {key.id: hmac.digest(key.secret, _PURPOSE, hashlib.sha256) for key in (*keys, *coming)}

    @classmethod
    def of(cls, ring: KeyRing) -> Seals:
        """Those of a central, by its ring."""
        return cls(ring.keys, ring.coming)

    def seal(self, hash: str) -> str:
        """Under the newest key."""
        return audit.seal(self._keys[self.newest], hash)

    def judge(self, key_id: str, hash: str, seal: str) -> str:
        """Whether a seal is ``good``, ``bad``, or ``unknown``, as its key is gone."""
        key = self._keys.get(key_id)
        if key is None:
            return UNKNOWN
        right = audit.seal(key, hash)
        return GOOD if hmac.compare_digest(right.encode(), seal.encode(errors="replace")) else BAD

    def of_link(self, link: AuditLink) -> str:
        """What the seal of a link is worth."""
        return self.judge(link.key_id, link.hash, link.seal)

    def of_start(self, start: AuditStart | None) -> str:
        """The same of a start; empty where there is none."""
        return "" if start is None else self.judge(start.key_id, start_hash(start), start.seal)

    def sealed(self, start: AuditStart) -> AuditStart:
        """A start under the newest key."""
        return replace(start, key_id=self.newest, seal=self.seal(start_hash(start)))


def linked(found: Unlinked, now: float, seals: Seals) -> AuditLink:
    """The next link, over lines that are not linked yet; there is one at least."""
    number, previous = following(found.last, found.start)
    digests: tuple[Digest, ...] = tuple(map(digest, found.lines))
    bare = AuditLink(number, digests[0].id, digests[-1].id, now, previous, "", seals.newest, "", digests)
    hash = link_hash(bare)
    return replace(bare, hash=hash, seal=seals.seal(hash))


@dataclass(frozen=True)
class AnchorFile:
    """The newest link, written down outside the database."""

    path: Path

    def read(self) -> Anchor | None:
        """None: nothing was linked yet. Raises `PilotageError`."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Anchor)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise PilotageError(f"{self.path}: the anchor of the audit cannot be read ({error})") from error

    def write(self, anchor: Anchor) -> None:
        """Whole or not at all."""
        write_secret(self.path, msgspec.json.encode(anchor) + b"\n")


class Chain:
    """What the leader does. `told` hears the number of the newest link, and whether the chain was found broken."""

    def __init__(
        self, store: Store, seals: Seals, file: AnchorFile, clock: Clock, told: Callable[[int, bool], None]
    ) -> None:
        self._store = store
        self._seals = seals
        self._file = file
        self._clock = clock
        self._told = told
        self._known: Anchor | None = None  # the newest link when this central last looked
        self._begun = False
        self._broken = False
        self._logged = float("-inf")

    async def turn(self, epoch: int) -> None:
        """Link what is new."""
        if not self._begun:
            self._known = await self._remembered()
            self._begun = True
        while True:
            found = await self._store.unlinked(LINKED)
            await self._look(found)
            if not found.lines:
                break
            link = linked(found, await self._store.now(), self._seals)
            if not await self._store.link(link):  # another leads by now
                break
            await self._keep(Anchor(link.number, link.hash))
        self._say()

    async def _remembered(self) -> Anchor | None:
        try:
            return await asyncio.to_thread(self._file.read)
        except PilotageError as error:
            await self._alarm(str(error))
            return None

    async def _look(self, found: Unlinked) -> None:
        """Hold what the store has against what this central knows."""
        number, hash = following(found.last, found.start)
        if self._known and (problem := await self._problem(self._known, number - 1, hash, found.start)):
            await self._alarm(problem)
            self._known = None
        if found.last and (self._known is None or self._known.number != found.last.number):
            await self._keep(Anchor(found.last.number, found.last.hash))
        start = found.start
        if start and start.key_id != self._seals.newest and self._seals.of_start(start) == GOOD:
            await self._store.let_go(self._seals.sealed(start))

    async def _problem(self, known: Anchor, newest: int, hash: str, start: AuditStart | None) -> str:
        """What is wrong with a chain of which one link is known; empty: nothing is."""
        if newest < known.number:
            return f"its newest link is {newest}, and link {known.number} was made, with the hash {known.hash}"
        if newest == known.number:
            there = hash
        elif start and start.through > known.number:
            return ""  # it was let go of by another leader
        elif start and start.through == known.number:
            there = start.hash
        else:
            link = await self._store.audit_link(known.number)
            if link is None:
                return f"its link {known.number} is gone, which had the hash {known.hash}"
            there = link.hash
        return "" if there == known.hash else f"its link {known.number} is another: {there}, and {known.hash} was made"

    async def _alarm(self, problem: str) -> None:
        """For the log, the figures, and the audit itself: what was done to it stays in it."""
        self._broken = True
        log.error("The audit is not as it was left: %s; `pilotage audit verify` says more", problem)
        await self._store.note((Note(CENTRAL, "audit.broken", "", "", "", detail=problem),))

    async def _keep(self, anchor: Anchor) -> None:
        self._known = anchor
        await asyncio.to_thread(self._file.write, anchor)

    def _say(self) -> None:
        self._told(self._known.number if self._known else 0, self._broken)
        now = self._clock.now()
        if self._known and now - self._logged >= TOLD:
            self._logged = now
            fields = {"link": self._known.number, "hash": self._known.hash}
            log.info("The chain of the audit is here", extra={"fields": fields})

    async def retire(self, keep: float) -> int:
        """Let go of links that are older than so many seconds, with their lines; returns how many lines.

        A start takes their place, sealed, and what was done is a line of the audit.
        """
        now = await self._store.now()
        lines, last = 0, None
        while link := await self._store.old_link(now - keep, STEP):
            start = self._seals.sealed(AuditStart(link.number, link.hash, link.last, now, "", ""))
            lines += await self._store.let_go(start)
            last = link
        if last:
            detail = f"{lines} lines to {last.last} were kept for {keep:.0f} s, as the settings say; hash {last.hash}"
            await self._store.note((Note(CENTRAL, "audit.retire", "", "", f"links to {last.number}", detail=detail),))
        return lines


async def verify(store: Store, seals: Seals, anchors: Sequence[Anchor]) -> Verdict:
    """Walk all of the chain, as the store has it."""
    walk = Walk(anchors)
    after = 0
    first = True
    while True:
        part = await store.chain(after, STEP)
        if first:
            walk.begin(part.start, seals.of_start(part.start))
            first = False
        for one in part.links:
            walk.take(one.link, seals.of_link(one.link), one.lines)
            after = one.link.number
        if not part.more:
            walk.tail(part.unlinked, await store.now())
            return walk.verdict()
