"""Log streams of pilots: every byte once, in order, readable while they grow.

A stream is a folder of objects ``logs/<stamp>/<stream>/``: one for each chunk, named by its offset and size, joined
into the object ``whole-<size>`` when the stream closes. In a folder of this machine that no other central writes to,
chunks are put into one file that grows. A chunk that was had is dropped, one behind a hole is refused with the offset
that is missing. What comes next is known from memory, and from the listing after a restart. Where
several centrals share the objects, each may take chunks of one stream: the listing then tells what others have added.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from central.keeping import log_pieces, spans
from central.keeping.objects import UNFINISHED, Objects
from central.keeping.scribe import Scribe
from central.keeping.spans import Span
from central.several.elsewhere import Elsewhere
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import MAX_BOOT_LOG

_NAME = re.compile(r"[a-z0-9][A-Za-z0-9._-]{0,99}")
#: Streams whose state is kept in memory; others are looked up again.
_KEPT = 20_000
#: Streams that one pilot may have: two for each attempt, and some of its own.
MAX_STREAMS = 100_000
#: Objects of one open stream, where it is not one file that grows; then they are joined.
MANY = 256
#: Seconds for which a reader is content with what was listed, where other centrals may add to it.
_FRESH = 0.2
#: Times that a listing or an object which another central has just replaced is looked for again.
_TRIES = 4
T = TypeVar("T")


def check_name(stream: str) -> str:
    """Refuse what cannot be the name of a stream. Raises `InvalidInput`."""
    if not _NAME.fullmatch(stream):
        raise InvalidInput("stream", f"expected a name like pilot or job-12-1-stdout, got {stream[:120]!r}")
    return stream


@dataclass
class _Stream:
    """What is known of one stream. `pieces`: the objects that have its bytes, in order."""

    folder: str
    pieces: list[Span] = field(default_factory=list)
    closed: bool = False
    looked: float = float("-inf")  # when the objects were listed; counts only where others may add some
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def next(self) -> int:
        """The offset of the byte that comes next."""
        return spans.end(self.pieces)

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
    """All streams. `bound`: the bytes that one may have; `elsewhere`: the readers at other centrals, if there are any
    that share the objects."""

    def __init__(self, objects: Objects, bound: int, elsewhere: Elsewhere | None = None) -> None:
        self._objects = objects
        self._bound = bound
        self._elsewhere = elsewhere
        self._grows = objects.grows and elsewhere is None
        self._scribe = Scribe("log-writer")
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()
        self._counts: OrderedDict[str, int] = OrderedDict()  # pilot → its streams, as far as this central knows
        self._followers: Counter[tuple[str, str]] = Counter()

    def allow(self, bound: int) -> None:
        """From now on a stream may have so many bytes, where that is more than before."""
        self._bound = max(self._bound, bound)

    # -- writing ----------------------------------------------------------------------------------------------------
    async def append(self, stamp: str, stream: str, offset: int, content: bytes, last: bool) -> Appended:
        """Store a chunk. Raises ``gap`` with the offset wanted, or ``too-large``."""
        state = await self._state(stamp, check_name(stream))
        async with state.lock:
            if offset > state.next and self._elsewhere:
                await self._look_again(state)
            if offset > state.next:
                raise Refusal(
                    "gap",
                    f"{stream} has {state.next} bytes, this chunk starts at {offset}",
                    expected=str(state.next),
                    got=str(offset),
                )
            fresh = content[state.next - offset :]
            new = bool(fresh or last) and not state.pieces and not state.closed
            if new:
                await self._expect_room(stamp, stream)
            if fresh:
                await self._add(state, stream, fresh)
            if last and not state.closed:
                await self._join(state)
            if new and stamp in self._counts:
                self._counts[stamp] += 1
            if fresh or last:
                self._moved(stamp, stream, state)
            return Appended(state.next, len(fresh))

    async def _expect_room(self, stamp: str, stream: str) -> None:
        """Refuse one more stream of a pilot that has as many as it may have."""
        if stamp not in self._counts:
            found = await asyncio.to_thread(self._objects.folders, f"logs/{stamp}")
            self._counts.setdefault(stamp, len(found))
            while len(self._counts) > _KEPT:
                self._counts.popitem(last=False)
        if self._counts.get(stamp, 0) >= MAX_STREAMS:
            raise Refusal(
                "too-large",
                f"{stream} would be one stream more than the {MAX_STREAMS} that a pilot may have",
                expected=str(MAX_STREAMS),
            )

    async def _add(self, state: _Stream, stream: str, fresh: bytes) -> None:
        bound = MAX_BOOT_LOG if stream == "boot" else self._bound
        start = state.next
        if start + len(fresh) > bound:
            raise Refusal("too-large", f"{stream} may have at most {bound} bytes", expected=str(bound))
        if self._grows:
            await self._grow(state, fresh)
        else:
            await self._put(state, spans.name(start, len(fresh)), fresh)
            if len(state.pieces) >= MANY:
                await self._compact(state)
        state.closed = False

    async def _put(self, state: _Stream, name: str, fresh: bytes) -> None:
        """One more piece. In a folder it may be seen half-written: it is none until it is as long as its name says."""
        path = f"{state.folder}/{name}"
        if self._objects.grows:
            await self._scribe.do(lambda: self._objects.put(path, 0, fresh))
        else:
            await asyncio.to_thread(self._objects.write, path, fresh)
        state.pieces.append(Span(state.next, state.next + len(fresh), name))

    async def _compact(self, state: _Stream) -> None:
        """Make one piece of many: a stream may be open for weeks."""
        await self._unless_replaced(state, lambda: self._write_one(state, spans.name(0, state.next)))
        await asyncio.to_thread(self._clear, state)
        await self._look_again(state)

    async def _grow(self, state: _Stream, fresh: bytes) -> None:
        """Put bytes behind the others, at their place: what a write that failed half-way left is written over."""
        growing = spans.is_growing(state.pieces[-1]) if state.pieces else False
        piece = state.pieces[-1] if growing else Span(state.next, state.next, spans.growing(state.next))
        name, place = f"{state.folder}/{piece.name}", piece.end - piece.start
        await self._scribe.do(lambda: self._objects.put(name, place, fresh))
        grown = Span(piece.start, piece.end + len(fresh), piece.name)
        state.pieces[len(state.pieces) - growing :] = [grown]

    async def _join(self, state: _Stream) -> None:
        """Make one object of a stream that has ended. Pieces go once a whole that has their bytes is there."""
        if self._elsewhere or self._grows:
            await self._look_again(state)  # what others have added, or a write that was given up
        if not state.closed:
            await self._unless_replaced(state, lambda: self._write_whole(state))
            await self._look_again(state)
        if self._elsewhere:
            await asyncio.to_thread(self._clear, state)

    async def _write_whole(self, state: _Stream) -> None:
        if len(state.pieces) == 1 and spans.is_growing(state.pieces[0]):
            piece = f"{state.folder}/{state.pieces[0].name}"
            await self._scribe.do(lambda: self._objects.move(piece, f"{state.folder}/{log_pieces.whole(state.next)}"))
            return
        await self._write_one(state, log_pieces.whole(state.next))

    async def _write_one(self, state: _Stream, name: str) -> None:
        parts = [(f"{state.folder}/{piece.name}", skip) for piece, skip in spans.fresh(state.pieces)]
        await asyncio.to_thread(self._objects.join, parts, f"{state.folder}/{name}")

    def _clear(self, state: _Stream) -> None:
        """Remove the pieces whose bytes another one has too."""
        self._objects.remove(log_pieces.replaced(state.folder, self._objects.sizes(state.folder)))

    async def close(self, stamp: str, stream: str) -> None:
        """Nothing more will come."""
        state = await self._state(stamp, stream)
        async with state.lock:
            if not state.closed:
                await self._join(state)
                self._moved(stamp, stream, state)

    async def close_all(self, stamp: str) -> None:
        """Nothing more will come from this pilot."""
        for stream in await self.streams(stamp):
            await self.close(stamp, stream)

    async def remove(self, stamp: str, stream: str) -> None:
        """Forget a stream and everything in it."""
        state = await self._state(stamp, stream)
        async with state.lock:
            await asyncio.to_thread(self._objects.remove_folder, state.folder)
            state.pieces, state.closed = [], False
            self._counts.pop(stamp, None)  # counted again when it is wanted
            self._moved(stamp, stream, state)

    def _moved(self, stamp: str, stream: str, state: _Stream) -> None:
        state.moved()
        if self._elsewhere:
            self._elsewhere.grown(stamp, stream)

    # -- reading ----------------------------------------------------------------------------------------------------
    async def streams(self, stamp: str) -> Mapping[str, int]:
        """The streams of a pilot and the bytes that each has."""
        names = await asyncio.to_thread(self._objects.folders, f"logs/{stamp}")
        return {name: (await self.size(stamp, name))[0] for name in sorted(names)}

    async def size(self, stamp: str, stream: str) -> tuple[int, bool]:
        """How many bytes there are, and whether the stream is closed."""
        state = await self._state(stamp, stream)
        async with state.lock:
            await self._see(state)
            return state.next, state.closed

    async def read(self, stamp: str, stream: str, offset: int, length: int) -> bytes:
        """Up to so many bytes from an offset on; none at the present end."""
        state = await self._state(stamp, stream)
        async with state.lock:
            await self._see(state)
            return await self._unless_replaced(state, lambda: self._read(state, offset, length))

    async def _read(self, state: _Stream, offset: int, length: int) -> bytes:
        parts: list[bytes] = []
        end = min(state.next, offset + length)
        while offset < end:
            piece = _holding(state, offset)
            take = min(end, piece.end) - offset
            name = f"{state.folder}/{piece.name}"
            part = await asyncio.to_thread(self._objects.read, name, offset - piece.start, take)
            if not part:
                raise Refusal("internal", f"the log object {name} is shorter than it was")
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

    # -- who reads --------------------------------------------------------------------------------------------------
    @contextmanager
    def following(self, stamp: str, stream: str) -> Iterator[None]:
        """While somebody reads a stream, its pilot is told so, and pushes more often."""
        key = (stamp, stream)
        self._followers[key] += 1
        self.announce()
        try:
            yield
        finally:
            self._followers[key] -= 1
            if not self._followers[key]:
                del self._followers[key]
            self.announce()

    def announce(self) -> None:
        """Tell other centrals what is read here, if they do not know it yet."""
        if self._elsewhere:
            self._elsewhere.announce(frozenset(self._followers))

    def followed(self, stamp: str) -> tuple[str, ...]:
        """The streams of a pilot that somebody reads now."""
        here = tuple(stream for owner, stream in self._followers if owner == stamp)
        if not self._elsewhere:
            return here
        return tuple({*here, *(stream for owner, stream in self._elsewhere.streams() if owner == stamp)})

    def is_followed(self, stamp: str, stream: str) -> bool:
        key = (stamp, stream)
        return key in self._followers or (self._elsewhere is not None and key in self._elsewhere.streams())

    def grown(self, stamp: str, stream: str) -> None:
        """Another central has added to a stream, or closed it."""
        if state := self._streams.get((stamp, stream)):
            state.looked = float("-inf")
            state.moved()

    def all_stale(self) -> None:
        """Other centrals may have added to any stream."""
        for state in self._streams.values():
            state.looked = float("-inf")
            state.moved()

    # -- what is there ----------------------------------------------------------------------------------------------
    async def _state(self, stamp: str, stream: str) -> _Stream:
        key = (stamp, stream)
        state = self._streams.get(key)
        if state is None:
            found = await self._looked(f"logs/{stamp}/{stream}")
            found.looked = self._now()
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

    def _now(self) -> float:
        return self._elsewhere.now() if self._elsewhere else 0.0

    async def _see(self, state: _Stream) -> None:
        """Look again where others may have added something meanwhile. The caller has the lock, as of the next two."""
        if self._elsewhere and self._now() - state.looked > _FRESH:
            await self._look_again(state)

    async def _look_again(self, state: _Stream) -> None:
        now = self._now()
        found = await self._looked(state.folder)
        for _ in range(_TRIES):
            if found.next >= state.next:
                break
            found = await self._looked(state.folder)  # made while pieces were replaced, it lacked some
        state.pieces, state.closed, state.looked = found.pieces, found.closed, now

    async def _unless_replaced(self, state: _Stream, work: Callable[[], Awaitable[T]]) -> T:
        """Do something with the pieces, and do it again when another central has joined them meanwhile."""
        for _ in range(_TRIES if self._elsewhere else 0):
            try:
                return await work()
            except FileNotFoundError:
                await self._look_again(state)
        return await work()

    async def _looked(self, folder: str) -> _Stream:
        """What the objects say, after all that was to be written."""
        if self._grows:
            return await self._scribe.do(lambda: self._look(folder))
        return await asyncio.to_thread(self._look, folder)

    def _look(self, folder: str) -> _Stream:
        """What the objects say. Where nobody else writes, leftovers of an interrupted write or join are removed."""
        sizes = self._objects.sizes(folder)
        state = _Stream(folder, spans.covering(log_pieces.pieces(sizes)))
        state.closed = log_pieces.is_closed(sizes, state.next)
        if not self._elsewhere:
            unfinished = [f"{folder}/{name}" for name in sizes if name.startswith(UNFINISHED)]
            self._objects.remove([*unfinished, *log_pieces.replaced(folder, sizes)])
        return state


def _holding(state: _Stream, offset: int) -> Span:
    """The object that has the byte at an offset."""
    return state.pieces[bisect_right(state.pieces, offset, key=lambda piece: piece.start) - 1]
