"""Log streams: every byte once, in order, also across a restart."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import central.keeping.logs
from central.keeping.local_objects import LocalObjects
from central.keeping.logs import LogStore, check_name
from central.keeping.objects import UNFINISHED, open_objects
from central.several.elsewhere import Elsewhere
from central.several.gossip import Gossip
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import MAX_BOOT_LOG
from tests.unit.clockwork import Clockwork

STAMP = "ab" * 16
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def store(folder: Path, bound: int = 10_000) -> LogStore:
    return LogStore(open_objects(str(folder)), bound)


def names(folder: Path, stream: str = "pilot") -> list[str]:
    return sorted(path.name for path in (folder / "logs" / STAMP / stream).iterdir())


async def text(logs: LogStore, stream: str = "pilot") -> bytes:
    return await logs.read(STAMP, stream, 0, 1 << 40)


def test_each_byte_is_kept_once(tmp_path: Path) -> None:
    """A repeated chunk changes nothing, and of one that overlaps only what is new is added."""

    async def story() -> None:
        logs = store(tmp_path)
        assert (await logs.append(STAMP, "pilot", 0, b"abcdef", False)).next == 6
        again = await logs.append(STAMP, "pilot", 0, b"abcdef", False)
        assert (again.next, again.added) == (6, 0)
        overlap = await logs.append(STAMP, "pilot", 3, b"def\xff\x00", False)
        assert (overlap.next, overlap.added) == (8, 2)
        assert await text(logs) == b"abcdef\xff\x00"

    run(story())


def test_a_hole_is_refused_with_the_offset_wanted(tmp_path: Path) -> None:
    """A chunk behind missing bytes is a `gap` that says where to go on."""

    async def story() -> None:
        logs = store(tmp_path)
        await logs.append(STAMP, "pilot", 0, b"abc", False)
        with pytest.raises(Refusal) as caught:
            await logs.append(STAMP, "pilot", 5, b"x", False)
        assert (caught.value.type, caught.value.expected, caught.value.got) == ("gap", "3", "5")

    run(story())


def test_a_stream_that_closes_becomes_one_object(tmp_path: Path) -> None:
    """After the last chunk there is one object with everything; a late chunk still finds its place."""

    async def story() -> None:
        logs = store(tmp_path)
        for offset in range(0, 9, 3):
            await logs.append(STAMP, "pilot", offset, b"abc", offset == 6)
        assert names(tmp_path) == ["whole-9"]
        assert await logs.size(STAMP, "pilot") == (9, True)
        assert (await logs.append(STAMP, "pilot", 6, b"abc", True)).added == 0
        await logs.append(STAMP, "pilot", 9, b"late", False)
        assert await logs.size(STAMP, "pilot") == (13, False)
        await logs.close_all(STAMP)
        assert names(tmp_path) == ["whole-13"]
        assert await text(logs) == b"abcabcabclate"

    run(story())


def test_a_log_without_a_byte_closes(tmp_path: Path) -> None:
    """Closing what nothing was ever written to is no error, also after a restart; what comes late is taken."""

    async def story() -> None:
        await store(tmp_path).close(STAMP, "pilot")
        assert await store(tmp_path).size(STAMP, "pilot") == (0, True)
        assert (await store(tmp_path).append(STAMP, "pilot", 0, b"late", True)).added == 4
        assert await text(store(tmp_path)) == b"late"

    run(story())


def test_after_a_restart_the_listing_tells_what_comes_next(tmp_path: Path) -> None:
    """A new process goes on where the old one stopped; what an interrupted write or join left is cleared away."""

    async def story() -> None:
        await store(tmp_path).append(STAMP, "pilot", 0, b"abc", True)
        await store(tmp_path).append(STAMP, "pilot", 3, b"def", False)
        folder = tmp_path / "logs" / STAMP / "pilot"
        (folder / f"{0:015d}").write_bytes(b"abc")  # joined, and not yet removed when the process died
        (folder / f"{UNFINISHED}x").write_bytes(b"d")
        logs = store(tmp_path)
        assert await logs.size(STAMP, "pilot") == (6, False)
        assert names(tmp_path) == [f"{3:015d}-grows", "whole-3"]
        assert (await logs.append(STAMP, "pilot", 3, b"defghi", True)).added == 3
        assert await text(store(tmp_path)) == b"abcdefghi"
        assert await store(tmp_path).size(STAMP, "pilot") == (9, True)

    run(story())


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20), st.booleans(), st.booleans()), max_size=12))
def test_whatever_is_sent_the_stream_is_a_prefix_of_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[int, int, bool, bool]]
) -> None:
    """Chunks in any order, repeated, overlapping, closing, across restarts: what is kept is an exact beginning."""
    written = bytes(range(100))
    folder = tmp_path_factory.mktemp("logs")

    async def story() -> None:
        logs, end = store(folder), 0
        for offset, size, last, restart in chunks:
            content = written[offset : offset + size]
            if offset > end:
                with pytest.raises(Refusal, match="starts at"):
                    await logs.append(STAMP, "pilot", offset, content, last)
            else:
                end = max(end, offset + size)
                assert (await logs.append(STAMP, "pilot", offset, content, last)).next == end
            logs = store(folder) if restart else logs
            assert await text(logs) == written[:end]

    run(story())


class FullDisk(LocalObjects):
    """A disk with room for so many bytes more."""

    room = 1 << 40

    def put(self, name: str, start: int, content: bytes) -> None:
        super().put(name, start, content[: self.room])
        if len(content) > self.room:
            raise OSError(errno.ENOSPC, "no space left on device")
        self.room -= len(content)


@pytest.mark.parametrize("again", [True, False])
def test_a_write_that_failed_half_way_costs_nothing(tmp_path: Path, again: bool) -> None:
    """A chunk of which a part was written before the disk was full is taken when it comes again; where it does not,
    the stream closes with the part that is there."""

    async def story() -> None:
        disk = FullDisk(str(tmp_path))
        logs = LogStore(disk, 10_000)
        await logs.append(STAMP, "pilot", 0, b"abc", False)
        disk.room = 2
        with pytest.raises(OSError, match="no space"):
            await logs.append(STAMP, "pilot", 3, b"defg", False)
        disk.room = 100
        if again:
            assert (await logs.append(STAMP, "pilot", 3, b"defghi", False)).added == 6
        await logs.close(STAMP, "pilot")
        expected = b"abcdefghi" if again else b"abcde"
        assert await text(logs) == await text(store(tmp_path)) == expected
        assert await store(tmp_path).size(STAMP, "pilot") == (len(expected), True)
        assert names(tmp_path) == [f"whole-{len(expected)}"]

    run(story())


def test_chunks_of_one_stream_are_one_file(tmp_path: Path) -> None:
    """A day of chunks is one file of a folder, not one each; also after a restart."""

    async def story() -> None:
        for offset in range(0, 30, 3):
            await store(tmp_path).append(STAMP, "pilot", offset, b"abc", False)
        assert names(tmp_path) == [f"{0:015d}-grows"]
        assert await text(store(tmp_path)) == b"abc" * 10

    run(story())


class Several:
    """Log stores of several centrals over one folder, and a pilot that speaks to whichever it likes."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clockwork()
        gossip = Gossip(None, "", self.clock, lambda: 0.0)
        self.stores = [LogStore(open_objects(str(folder)), 10_000, Elsewhere(gossip, self.clock)) for _ in range(3)]

    async def texts(self) -> set[bytes]:
        """What a reader at each of them gets."""
        self.clock.time += 1.0
        return {await text(store) for store in self.stores}


@pytest.fixture(scope="module", params=[256, 2])
def many(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many objects of an open stream are joined."""
    before, central.keeping.logs.MANY = central.keeping.logs.MANY, request.param
    yield request.param
    central.keeping.logs.MANY = before


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(0, 9), st.integers(0, 30), st.booleans(), st.booleans(), st.booleans()
        ),
        max_size=12,
    )
)
def test_whichever_central_takes_a_chunk_all_have_every_byte(
    tmp_path_factory: pytest.TempPathFactory, many: int, chunks: list[tuple[int, int, int, bool, bool, bool]]
) -> None:
    """A pilot that repeats what was not answered loses no byte, whichever central it speaks to, two at a time too."""
    written = bytes(range(256)) * 2

    async def story() -> None:
        several, answered, stored = Several(tmp_path_factory.mktemp("logs")), 0, 0
        for which, back, size, last, lost, twice in chunks:
            start = max(0, answered - back)
            asked = [(which, start + size)] + ([((which + 1) % 3, start + size // 2)] if twice else [])
            replies = await asyncio.gather(
                *(several.stores[k].append(STAMP, "pilot", start, written[start:end], last) for k, end in asked)
            )
            stored = max(stored, start + size)
            if not lost:
                answered = max(answered, *(reply.next for reply in replies))
            assert await several.texts() == {written[:stored]}
        await several.stores[0].close_all(STAMP)
        assert await several.texts() == {written[:stored]}

    run(story())


def test_an_open_stream_is_few_objects(tmp_path: Path) -> None:
    """Where several centrals write, the objects of a stream that goes on for weeks are joined now and then, under the
    eyes of a reader at another central."""

    async def story() -> None:
        several = Several(tmp_path)
        one, two, _ = several.stores
        for number in range(600):
            await one.append(STAMP, "pilot", 2 * number, b"%02d" % (number % 100), False)
            if number % 50 == 0:
                several.clock.time += 1.0
                assert len(await text(two)) == 2 * number + 2
        assert len(names(tmp_path)) <= central.keeping.logs.MANY
        assert await several.texts() == {b"".join(b"%02d" % (number % 100) for number in range(600))}

    run(story())


def test_a_chunk_is_refused_only_where_bytes_are_missing_everywhere(tmp_path: Path) -> None:
    """A central that has not seen the bytes before a chunk looks whether another one has them."""

    async def story() -> None:
        one, two, _ = Several(tmp_path).stores
        await one.append(STAMP, "pilot", 0, b"abc", False)
        await two.append(STAMP, "pilot", 3, b"def", False)
        assert (await one.append(STAMP, "pilot", 6, b"ghi", True)).next == 9
        with pytest.raises(Refusal, match="starts at 12"):
            await two.append(STAMP, "pilot", 12, b"x", False)
        assert names(tmp_path) == ["whole-9"]

    run(story())


def test_a_stream_has_a_bound(tmp_path: Path) -> None:
    """More than the bound is `too-large`; the boot log's bound is its own."""

    async def story() -> None:
        logs = store(tmp_path, bound=10)
        await logs.append(STAMP, "pilot", 0, b"x" * 10, False)
        with pytest.raises(Refusal, match="at most 10 bytes"):
            await logs.append(STAMP, "pilot", 10, b"x", False)
        await logs.append(STAMP, "boot", 0, b"x" * MAX_BOOT_LOG, False)
        with pytest.raises(Refusal, match="boot may have"):
            await logs.append(STAMP, "boot", MAX_BOOT_LOG, b"x", False)
        assert await text(logs) == b"x" * 10

    run(story())


def test_a_range_crosses_objects(tmp_path: Path) -> None:
    """Any part of a stream is read, wherever its bytes lie; beyond the end there is nothing."""

    async def story() -> None:
        logs = store(tmp_path)
        await logs.append(STAMP, "pilot", 0, b"abcd", True)
        await logs.append(STAMP, "pilot", 4, b"efgh", False)
        await logs.append(STAMP, "pilot", 8, b"ijkl", False)
        everything = b"abcdefghijkl"
        for start in range(14):
            for length in range(14):
                assert await logs.read(STAMP, "pilot", start, length) == everything[start : start + length]

    run(story())


def test_a_reader_wakes_when_bytes_come(tmp_path: Path) -> None:
    """One who waits for more is woken by the chunk and not by the clock; the pilot hears that somebody reads."""

    async def story() -> None:
        logs = store(tmp_path)
        with logs.following(STAMP, "pilot"):
            assert logs.followed(STAMP) == ("pilot",)
            waiting = asyncio.create_task(logs.wait(STAMP, "pilot", 0, 3600.0))
            await asyncio.sleep(0)  # now it waits
            await logs.append(STAMP, "pilot", 0, b"x", False)
            await waiting
        assert logs.followed(STAMP) == ()
        await logs.wait(STAMP, "pilot", 0, 3600.0)

    run(story())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "-x", "A", "x" * 101, "a b", "a\n"])
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    """A stream's name is one plain word."""
    with pytest.raises(InvalidInput):
        check_name(name)


@pytest.mark.parametrize("name", ["boot", "pilot", "job-12-3-stdout", "step-1-lhcb_commands.prepare"])
def test_names_of_streams_are_taken(name: str) -> None:
    """The names that pilots use are good."""
    assert check_name(name) == name


def test_a_pilot_has_only_so_many_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream more is refused, also after a restart, until one is let go of; those that are there grow on, and other
    pilots have theirs."""
    monkeypatch.setattr(central.keeping.logs, "MAX_STREAMS", 2)

    async def story() -> None:
        logs = store(tmp_path)
        for stream in ("one", "two"):
            await logs.append(STAMP, stream, 0, b"a", False)
        for one in (logs, store(tmp_path)):
            with pytest.raises(Refusal, match="more than the 2 that a pilot may have") as caught:
                await one.append(STAMP, "three", 0, b"a", True)
            assert caught.value.type == "too-large"
        assert (await logs.append(STAMP, "one", 1, b"b", True)).next == 2
        assert (await logs.append("cd" * 16, "three", 0, b"a", False)).next == 1
        await logs.remove(STAMP, "two")
        assert (await logs.append(STAMP, "three", 0, b"a", True)).next == 1

    run(story())
