"""Communities' bundles: verified when they come in, kept by their digest, put into use and taken back.

A bundle is read here and never imported: what its commands need and provide is in its manifest, and the pilot looks
again before it runs any.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from central.configuration.in_force import Places
from central.configuration.pipelines import Resolved, resolve
from central.configuration.settings import Queue
from central.configuration.settings_pipelines import place_of
from central.keeping.objects import Objects
from central.records import BundleRow, PinRow
from central.store.port import Store
from pilot import bundles
from pilot.bundles import Manifest
from pilot.errors import InvalidInput, Refusal
from pilot.pipelines import BundleView, PipelineView
from pilot.protocol import Bundle, Step
from pilot.standard import CommandRecord, missing

log = logging.getLogger(__name__)
#: The folder of the objects that are bundles.
FOLDER = "bundles"
Named = tuple[str, str]  # community, name


class BundleStore:
    """All bundles, in the objects and the store."""

    def __init__(self, objects: Objects, store: Store, places: Places) -> None:
        self._objects = objects
        self._store = store
        self._places = places
        self._read: dict[str, tuple[Mapping[Named, str], list[BundleRow]]] = {}  # community → pins, and their rows

    # -- coming in ----------------------------------------------------------------------------------------------------

    async def take_in(
        self, community: str, name: str, sha256: str, content: bytes, signature: bytes, who: str, use: bool
    ) -> BundleView:
        """Verify and keep a bundle; `use`: put it into use as well. Raises `Refusal`, `InvalidInput`."""
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            detail = f"the bytes have the SHA-256 {found}, expected {sha256}"
            raise Refusal("digest-mismatch", detail, expected=sha256, got=found)
        self._verify(community, name, sha256, signature)
        manifest = await asyncio.to_thread(bundles.read, content)
        if manifest.name != name:
            raise InvalidInput("name", f"expected the name in its manifest, {manifest.name}, got {name}")
        if use:
            await self._may_be_used(community, manifest)
        await asyncio.to_thread(self._objects.write, _object(sha256), content)
        row = BundleRow(community, name, sha256, len(content), manifest.written().decode(), who)
        await self._store.add_bundle(row)
        if use:
            await self._pin(community, name, sha256, who)
        log.info("A bundle was published", extra={"fields": {"community": community, "bundle": name, "sha256": sha256}})
        return next(view for view in await self.views(community) if (view.name, view.sha256) == (name, sha256))

    def _verify(self, community: str, name: str, sha256: str, signature: bytes) -> None:
        known = next((one for one in self._places.settings.communities if one.name == community), None)
        keys = known.bundle_keys if known else ()
        if not keys:
            raise Refusal("forbidden", f"the settings have no `bundle_keys` for the community {community}")
        text = bundles.signed_text(community, name, sha256)
        for key in keys:
            try:
                return Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
            except (InvalidSignature, ValueError):
                continue
        raise Refusal("forbidden", f"no key of the community {community} has signed this as its bundle {name}")

    # -- what is in use -----------------------------------------------------------------------------------------------

    async def pin(self, community: str, name: str, sha256: str, who: str) -> None:
        """Put a bundle that is here into use. Raises ``not-found``, `InvalidInput`."""
        row = next((row for row in await self._named(community, name) if row.sha256 == sha256), None)
        if row is None:
            raise Refusal("not-found", f"the community {community} has no bundle {name} with the SHA-256 {sha256}")
        await self._may_be_used(community, _manifest(row))
        await self._pin(community, name, sha256, who)

    async def roll_back(self, community: str, name: str, who: str) -> str:
        """Put into use what was before. Returns its SHA-256. Raises ``conflict`` where there was nothing."""
        history = [pin.sha256 for pin in await self._store.pins(community) if pin.name == name]
        before = earlier(history)
        if before is None:
            raise Refusal("conflict", f"the community {community} had no other bundle {name} in use before")
        await self.pin(community, name, before, who)
        return before

    async def _pin(self, community: str, name: str, sha256: str, who: str) -> None:
        await self._store.pin_bundle(community, name, sha256, who)
        log.info("A bundle is in use", extra={"fields": {"community": community, "bundle": name, "sha256": sha256}})

    async def in_use(self, community: str) -> list[BundleRow]:
        """The bundles of a community that its pilots get."""
        pinned = _newest(await self._store.pins(community))
        known, found = self._read.get(community, ({}, []))
        if known != pinned:  # rows do not change, and each pilot that enrols asks
            rows = await self._store.bundles(community)
            found = [row for row in rows if pinned.get((row.community, row.name)) == row.sha256]
            self._read[community] = (pinned, found)
        return found

    async def _may_be_used(self, community: str, manifest: Manifest) -> None:
        """Raises `InvalidInput` where it would break what is configured, or hide modules of another bundle."""
        before = await self.in_use(community)
        others = [row for row in before if row.name != manifest.name]
        for row in others:
            shared = set(manifest.modules) & set(_manifest(row).modules)
            if shared:
                raise InvalidInput("modules", f"the bundle {row.name} has a module {min(shared)} as well: rename one")
        old = _commands(before)
        new = (*_commands(others), *manifest.commands)
        for queue, resolved in self._pipelines(community):
            worse = _worse(resolved.check(old), resolved.check(new))
            if worse:
                what = f"the pipeline of the queue {queue.name} cannot be run with it: {worse}"
                raise InvalidInput("commands", what)

    def _pipelines(self, community: str) -> list[tuple[Queue, Resolved]]:
        found = [(queue, place_of(queue)) for queue in self._places.settings.queues]
        return [
            (queue, resolve(self._places.settings.pipelines, place))
            for queue, place in found
            if place.community == community
        ]

    # -- handing out --------------------------------------------------------------------------------------------------

    async def content(self, sha256: str) -> bytes:
        """The bytes of a bundle, for whoever knows its digest. Raises ``not-found``."""
        if not await self._store.knows_bundle(sha256):
            raise Refusal("not-found", f"there is no bundle {sha256}")
        try:
            return await asyncio.to_thread(self._objects.read, _object(sha256), 0, bundles.MAX_SIZE)
        except FileNotFoundError as error:
            raise Refusal("not-found", f"the bundle {sha256} is gone from the object store") from error

    async def told(self, queue: Queue, communities: Sequence[str]) -> tuple[tuple[Step, ...], tuple[Bundle, ...]]:
        """The pipeline of a pilot that was started for these communities, and the bundles that it needs for it."""
        place = place_of(queue, communities)
        resolved = resolve(self._places.settings.pipelines, place)
        if not resolved.theirs:
            return resolved.told(), ()
        wanted = set(resolved.theirs)
        needed = [
            Bundle(row.name, row.sha256, (f"/v1/bundles/{row.sha256}",), row.size, row.community)
            for row in await self.in_use(place.community)
            if wanted & {command.name for command in _manifest(row).commands}
        ]
        return resolved.told(), tuple(needed)

    # -- for people ---------------------------------------------------------------------------------------------------

    async def views(self, community: str | None) -> tuple[BundleView, ...]:
        pinned = _newest(await self._store.pins(community))
        return tuple(
            BundleView(
                row.community,
                row.name,
                row.sha256,
                row.size,
                row.who,
                row.created,
                pinned.get((row.community, row.name)) == row.sha256,
                _manifest(row).commands,
            )
            for row in await self._store.bundles(community)
        )

    async def pipelines(self, community: str | None) -> tuple[PipelineView, ...]:
        """What the pilots of each queue run that serves a community (None: of all queues), and why they could not."""
        queues = [
            queue for queue in self._places.settings.queues if community is None or community in queue.communities
        ]
        return tuple([await self._pipeline(queue) for queue in queues])

    async def problems(self, queue: Queue) -> tuple[str, ...]:
        """Why pilots of a queue could not run their pipeline with the bundles in use; empty: they can."""
        return (await self._pipeline(queue)).problems

    async def _pipeline(self, queue: Queue) -> PipelineView:
        place = place_of(queue)
        resolved = resolve(self._places.settings.pipelines, place)
        bundled = _commands(await self.in_use(place.community)) if resolved.theirs else ()
        return PipelineView(place.queue, place.site, place.community, resolved.steps, tuple(resolved.check(bundled)))

    async def look(self) -> None:
        """Say in the log which pipelines cannot be run with the bundles that are in use."""
        for view in await self.pipelines(None):
            for problem in view.problems:
                fields = {"queue": view.queue, "community": view.community or "several"}
                log.warning("The pipeline of a queue cannot be run: %s", problem, extra={"fields": fields})

    async def _named(self, community: str, name: str) -> list[BundleRow]:
        return [row for row in await self._store.bundles(community) if row.name == name]


def earlier(history: Sequence[str]) -> str | None:
    """What to go back to: what was in use before the present one last, of what was put into use in that order.

    Who goes back twice goes back further, not forth: what was left by going back is passed over.
    """
    trail: list[str] = []
    for sha256 in history:
        if sha256 in trail:
            del trail[trail.index(sha256) + 1 :]
        else:
            trail.append(sha256)
    return trail[-2] if len(trail) > 1 else None


def _newest(pins: Sequence[PinRow]) -> Mapping[Named, str]:
    return {(pin.community, pin.name): pin.sha256 for pin in pins}


def _worse(before: Sequence[str], after: Sequence[str]) -> str:
    """What is wrong with a pipeline that was not before. That a command is missing which was missing is no news."""
    missed = any(map(missing, before))
    return next((text for text in after if text not in before and not (missed and missing(text))), "")


def _commands(rows: Sequence[BundleRow]) -> tuple[CommandRecord, ...]:
    return tuple(command for row in rows for command in _manifest(row).commands)


def _manifest(row: BundleRow) -> Manifest:
    try:
        return bundles.parse_manifest(row.manifest.encode())
    except InvalidInput:  # one that was right for an earlier central: its commands are missed, and that is told
        return Manifest(row.name, ())


def _object(sha256: str) -> str:
    return f"{FOLDER}/{sha256}"
