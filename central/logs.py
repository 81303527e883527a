"""Log streams of pilots: every byte once, in order, readable while they grow.

A stream is a folder of objects ``logs/<stamp>/<stream>/``: one for each chunk, named by its offset, joined into the
object ``whole`` when the stream closes. A chunk that was had is dropped, one behind a hole is refused with the offset
that is missing. What comes next is known from memory, and from the listing after a restart.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from central.objects import UNFINISHED, Objects
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import MAX_BOOT_LOG

_NAME = re.compile(r"[a-z0-9][A-Za-z0-9._-]{0,99}")
_WHOLE = "whole"
#: Streams whose state is kept in memory; others are looked up again.
_KEPT = 20_000
#: Streams that one pilot may have: two for each attempt, and some of its own.
MAX_STREAMS = 100_000


def check_name(stream: str) -> str:
    """Refuse what cannot be the name of a stream. Raises `InvalidInput`."""
    if not _NAME.fullmatch(stream):
        raise InvalidInput("stream", f"expected a name like pilot or job-12-1-stdout, got {stream[:120]!r}")
    return stream


@dataclass
class _Stream:
    """What is known of one stream. `chunks`: offset → bytes, those before `whole` are joined."""

    folder: str
    whole: int = 0
    chunks: dict[int, int] = field(default_factory=dict)
    next: int = 0
    closed: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def moved(self) -> None:
        """Wake those who wait for more."""
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(frozen=True)
class Appended:
    """The offset expected next, and how many of the bytes were new."""

    next: int
    added: int


class LogStore:
    """All streams. `bound`: the bytes that one may have."""

    def __init__(self, objects: Objects, bound: int) -> None:
        self._objects = objects
        self._bound = bound
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()
        self._followers: Counter[tuple[str, str]] = Counter()

    async def append(self, stamp: str, stream: str, offset: int, content: bytes, last: bool) -> Appended:
        """Store a chunk. Raises ``gap`` with the offset wanted, or ``too-large``."""
        state = await self._state(stamp, check_name(stream))
        async with state.lock:
            if offset > state.next:
                raise Refusal(
                    "gap",
                    f"{stream} has {state.next} bytes, this chunk starts at {offset}",
                    expected=str(state.next),
                    got=str(offset),
                )
            fresh = content[state.next - offset :]
            if fresh:
                await self._add(state, stream, fresh)
            if last and not state.closed:
                await self._join(state)
            if fresh or last:
                state.moved()
            return Appended(state.next, len(fresh))

    async def _add(self, state: _Stream, stream: str, fresh: bytes) -> None:
        bound = MAX_BOOT_LOG if stream == "boot" else self._bound
        if state.next + len(fresh) > bound:
            raise Refusal("too-large", f"{stream} may have at most {bound} bytes", expected=str(bound))
        await asyncio.to_thread(self._objects.write, f"{state.folder}/{state.next:015d}", fresh)
        state.chunks[state.next] = len(fresh)
        state.next += len(fresh)
        state.closed = False

    async def _join(self, state: _Stream) -> None:
        """Make one object of a stream that has ended."""
        names = [f"{state.folder}/{offset:015d}" for offset in sorted(state.chunks)]
        if state.whole:
            names.insert(0, f"{state.folder}/{_WHOLE}")
        if names != [f"{state.folder}/{_WHOLE}"]:
            await asyncio.to_thread(self._objects.join, names, f"{state.folder}/{_WHOLE}")
            await asyncio.to_thread(self._objects.remove, [name for name in names if not name.endswith(_WHOLE)])
        state.whole, state.chunks, state.closed = state.next, {}, True

    async def close(self, stamp: str, stream: str) -> None:
        """Nothing more will come."""
        state = await self._state(stamp, stream)
        async with state.lock:
            if not state.closed:
                await self._join(state)
                state.moved()

    async def close_all(self, stamp: str) -> None:
        """Nothing more will come from this pilot."""
        for stream in await self.streams(stamp):
            await self.close(stamp, stream)

    async def streams(self, stamp: str) -> Mapping[str, int]:
        """The streams of a pilot and the bytes that each has."""
        names = await asyncio.to_thread(self._objects.folders, f"logs/{stamp}")
        return {name: (await self._state(stamp, name)).next for name in sorted(names)}

    async def size(self, stamp: str, stream: str) -> tuple[int, bool]:
        """How many bytes there are, and whether the stream is closed."""
        state = await self._state(stamp, stream)
        return state.next, state.closed

    async def read(self, stamp: str, stream: str, offset: int, length: int) -> bytes:
        """Up to so many bytes from an offset on; none at the present end."""
        state = await self._state(stamp, stream)
        parts: list[bytes] = []
        async with state.lock:
            end = min(state.next, offset + length)
            while offset < end:
                name, start, size = _holding(state, offset)
                take = min(end, start + size) - offset
                part = await asyncio.to_thread(self._objects.read, f"{state.folder}/{name}", offset - start, take)
                if not part:
                    raise Refusal("internal", f"the log object {state.folder}/{name} is shorter than it was")
                parts.append(part)
                offset += len(part)
        return b"".join(parts)

    async def wait(self, stamp: str, stream: str, after: int, seconds: float) -> None:
        """Until the stream has more than `after` bytes or closes, at most so long."""
        state = await self._state(stamp, stream)
        if state.next > after or state.closed:
            return
        try:
            await asyncio.wait_for(state.changed.wait(), seconds)
        except TimeoutError:
            pass

    @contextmanager
    def following(self, stamp: str, stream: str) -> Iterator[None]:
        """While somebody reads a stream, its pilot is told so, and pushes more often."""
        key = (stamp, stream)
        self._followers[key] += 1
        try:
            yield
        finally:
            self._followers[key] -= 1
            if not self._followers[key]:
                del self._followers[key]

    def followed(self, stamp: str) -> tuple[str, ...]:
        """The streams of a pilot that somebody reads now."""
        return tuple(stream for owner, stream in self._followers if owner == stamp)

    def is_followed(self, stamp: str, stream: str) -> bool:
        return (stamp, stream) in self._followers

    async def _state(self, stamp: str, stream: str) -> _Stream:
        key = (stamp, stream)
        state = self._streams.get(key)
        if state is None:
            found = await asyncio.to_thread(self._look, f"logs/{stamp}/{stream}")
            state = self._streams.setdefault(key, found)
            self._forget()
        self._streams.move_to_end(key)
        return state

    def _forget(self) -> None:
        """Drop the state of streams that nobody has touched for long."""
        while len(self._streams) > _KEPT:
            key, state = next(iter(self._streams.items()))
            if state.lock.locked() or key in self._followers:
                self._streams.move_to_end(key)
                return
            del self._streams[key]

    def _look(self, folder: str) -> _Stream:
        """What the objects say, after a restart. Leftovers of an interrupted write or join are removed."""
        sizes = self._objects.sizes(folder)
        state = _Stream(folder, whole=sizes.get(_WHOLE, 0))
        state.next = state.whole
        leftovers = [name for name in sizes if name.startswith(UNFINISHED)]
        for name in sorted(name for name in sizes if name.isdigit()):
            if int(name) == state.next:
                state.chunks[state.next] = sizes[name]
                state.next += sizes[name]
            elif int(name) < state.next:
                leftovers.append(name)
        state.closed = _WHOLE in sizes and not state.chunks
        self._objects.remove([f"{folder}/{name}" for name in leftovers])
        return state


def _holding(state: _Stream, offset: int) -> tuple[str, int, int]:
    """The object that has the byte at an offset: its name, where it starts, and its size."""
    if offset < state.whole:
        return _WHOLE, 0, state.whole
    start = max(start for start in state.chunks if start <= offset)
    return f"{start:015d}", start, state.chunks[start]
