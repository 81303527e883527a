"""Files that travel with jobs, stored under their SHA-256: bytes once, and for each community that has sent them.

A community has a file only when it has sent all of its bytes: knowing a digest opens nothing. What arrives is written
aside, hashed on the way, and appears under its name when the digest fits.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from starlette.requests import ClientDisconnect

from central.keeping import spans
from central.keeping.objects import UNFINISHED, Objects, Unfinished
from central.people import NOBODY, Sender
from central.serving.bodies import too_large
from central.store.port import Store
from pilot.errors import Refusal
from pilot.views import SandboxReply

#: Bytes in memory for each transfer; also the size of the writes.
BLOCK = 1024 * 1024
_KNOWN = 100_000


class SandboxStore:
    """All sandboxes. `bound`: the bytes that one file may have. `shared`: other centrals write into them too, and
    `wall` is the time."""

    def __init__(
        self, objects: Objects, store: Store, bound: int, shared: bool = False, wall: Callable[[], float] = time.time
    ) -> None:
        self._objects = objects
        self._store = store
        self._bound = bound
        self._shared = shared
        self._wall = wall
        self._known: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._assembling: dict[str, asyncio.Lock] = {}

    async def start(self) -> None:
        """Clear away what a crash has left half written."""
        await asyncio.to_thread(self._clear)

    def _clear(self) -> None:
        for top in ("sandboxes", "parts"):
            for folder in self._objects.folders(top):
                place = f"{top}/{folder}"
                self._objects.remove([f"{place}/{name}" for name in self._left(place)])

    def _left(self, place: str) -> Sequence[str]:
        """What somebody has begun and nobody will end."""
        if self._shared:
            return self._objects.abandoned(place, self._wall())
        return [name for name in self._objects.sizes(place) if name.startswith(UNFINISHED)]

    async def size(self, community: str | None, sha256: str) -> int | None:
        """The size of a file that a community has, else None; for an operator (None), of any file."""
        if community is None:
            return await asyncio.to_thread(self._objects.size, _name(sha256))
        key = (community, sha256)
        if key not in self._known:
            size = await self._store.sandbox(community, sha256)
            if size is None:
                return None
            self._remember(key, size)
        self._known.move_to_end(key)
        return self._known[key]

    async def put(
        self, community: str, sha256: str, content: AsyncIterator[bytes], sender: Sender = NOBODY
    ) -> SandboxReply:
        """Take a whole file in. Raises ``digest-mismatch`` or ``too-large``; then nothing is kept."""
        known = await self.size(community, sha256)
        if known is not None:
            return SandboxReply(False, sha256, known, known)
        digest = hashlib.sha256()
        target = await asyncio.to_thread(self._objects.begin, _name(sha256))
        try:
            size = await _fill(target, digest, content)
            _check(digest.hexdigest(), sha256)
            await asyncio.to_thread(target.keep, True)
        except BaseException:  # nothing half-written stays, whatever happened
            target.discard()
            raise
        await self._add(community, sha256, size, sender)
        return SandboxReply(True, sha256, size, size)

    async def put_part(
        self,
        community: str,
        sha256: str,
        offset: int,
        total: int,
        content: AsyncIterator[bytes],
        sender: Sender = NOBODY,
    ) -> SandboxReply:
        """Take a part of a file in; the last one completes it. What arrived of a part that broke off is kept.

        Raises ``gap`` with the offset wanted, ``digest-mismatch`` after the last part (the parts are then forgotten),
        ``too-large``.
        """
        if total > self._bound:
            raise too_large(self._bound, "a file")
        known = await self.size(community, sha256)
        if known is not None:
            return SandboxReply(False, sha256, known, known)
        folder = _parts(community, sha256)
        async with self._assembling.setdefault(folder, asyncio.Lock()):
            have = await self.arrived(community, sha256)
            if offset > have:
                detail = f"{have} bytes have arrived, this part starts at {offset}"
                raise Refusal("gap", detail, expected=str(have), got=str(offset))
            have += await self._part(folder, have, _from(content, have - offset, total - have))
            if have < total:
                return SandboxReply(True, sha256, total, have)
            await self._assemble(folder, sha256)
        self._assembling.pop(folder, None)
        await self._add(community, sha256, total, sender)
        return SandboxReply(True, sha256, total, total)

    async def arrived(self, community: str, sha256: str) -> int:
        """How many bytes of a file in parts are here."""
        sizes = await asyncio.to_thread(self._objects.sizes, _parts(community, sha256))
        return spans.end(spans.covering(spans.spans(sizes)))

    async def _part(self, folder: str, start: int, content: AsyncIterator[bytes]) -> int:
        """Write what comes, and keep also what came before the sender broke off. Returns the bytes."""
        target = await asyncio.to_thread(self._objects.begin, f"{folder}/{start}")
        try:
            await _fill(target, hashlib.sha256(), content)
        except ClientDisconnect:
            await asyncio.to_thread(_keep_part, target, folder, start)
            raise
        except BaseException:  # nothing half-written stays, whatever happened
            target.discard()
            raise
        await asyncio.to_thread(_keep_part, target, folder, start)
        return target.size

    async def _assemble(self, folder: str, sha256: str) -> None:
        """Make one file of its parts."""
        sizes = await asyncio.to_thread(self._objects.sizes, folder)
        try:
            await asyncio.to_thread(self._join, folder, sizes, sha256)
        except FileNotFoundError:  # another central was faster, and has removed the parts
            if await asyncio.to_thread(self._objects.size, _name(sha256)) is None:
                raise
        finally:
            parts = [f"{folder}/{part.name}" for part in spans.spans(sizes)]
            await asyncio.to_thread(self._objects.remove, parts)

    def _join(self, folder: str, sizes: Mapping[str, int], sha256: str) -> None:
        digest = hashlib.sha256()
        with self._objects.writing(_name(sha256), durable=True) as file:
            for piece, skip in spans.fresh(spans.covering(spans.spans(sizes))):
                with self._objects.open(f"{folder}/{piece.name}") as part:
                    part.seek(skip)
                    while block := part.read(BLOCK):
                        digest.update(block)
                        file.write(block)
            _check(digest.hexdigest(), sha256)

    async def read(self, sha256: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, block by block. Raises ``not-found`` before the first."""
        try:
            file = await asyncio.to_thread(self._objects.open, _name(sha256))
        except FileNotFoundError as error:
            raise Refusal("not-found", f"the bytes of {sha256} are not in the store any more") from error
        try:
            await asyncio.to_thread(file.seek, start)
            while start < end and (block := await asyncio.to_thread(file.read, min(BLOCK, end - start))):
                yield block
                start += len(block)
        finally:
            await asyncio.to_thread(file.close)

    async def _add(self, community: str, sha256: str, size: int, sender: Sender) -> None:
        await self._store.add_sandbox(community, sha256, size, sender)
        self._remember((community, sha256), size)

    def _remember(self, key: tuple[str, str], size: int) -> None:
        self._known[key] = size
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)


async def _fill(target: Unfinished, digest: hashlib._Hash, content: AsyncIterator[bytes]) -> int:
    """Write what comes, in blocks, and hash it. What came before the sender broke off is written too."""
    size = 0
    waiting = bytearray()

    async def write() -> None:
        block = bytes(waiting)
        waiting.clear()
        await asyncio.to_thread(_take, target, digest, block)

    try:
        async for chunk in content:
            size += len(chunk)
            waiting += chunk
            if len(waiting) >= BLOCK:
                await write()
    finally:
        if waiting:
            await write()
    return size


def _keep_part(target: Unfinished, folder: str, start: int) -> None:
    if target.size:
        target.keep(True, f"{folder}/{spans.name(start, target.size)}")
    else:
        target.discard()


def _take(target: Unfinished, digest: hashlib._Hash, block: bytes) -> None:
    digest.update(block)
    target.write(block)


async def _from(content: AsyncIterator[bytes], skip: int, most: int) -> AsyncIterator[bytes]:
    """The content without its first `skip` bytes, which were had; refuses more than `most` bytes after them."""
    async for chunk in content:
        fresh = chunk[skip:]
        skip = max(0, skip - len(chunk))
        most -= len(fresh)
        if most < 0:
            raise Refusal("invalid", "more bytes came than `size` says")
        if fresh:
            yield fresh


def _check(found: str, sha256: str) -> None:
    if found != sha256:
        raise Refusal("digest-mismatch", "the bytes that arrived have another SHA-256", expected=sha256, got=found)


def _name(sha256: str) -> str:
    return f"sandboxes/{sha256[:2]}/{sha256}"


def _parts(community: str, sha256: str) -> str:
    return f"parts/{community}-{sha256}"
