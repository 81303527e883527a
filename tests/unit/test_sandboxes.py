"""The sandbox store: bytes under their digest, whole or in parts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from starlette.requests import ClientDisconnect

from central.keeping.objects import UNFINISHED, open_objects
from central.keeping.sandboxes import BLOCK, SandboxStore
from central.store.port import Store
from pilot.errors import Refusal

T = TypeVar("T")
CONTENT = bytes(range(256)) * 9000  # more than two blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Rows:
    """The two verbs of the store that count here."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], int] = {}

    async def sandbox(self, community: str, sha256: str) -> int | None:
        return self.rows.get((community, sha256))

    async def add_sandbox(self, community: str, sha256: str, size: int, sender: object = None) -> None:
        self.rows[community, sha256] = size


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def store(folder: Path, rows: Rows | None = None, bound: int = 10**9) -> SandboxStore:
    return SandboxStore(open_objects(str(folder)), cast(Store, rows or Rows()), bound)


async def sent(content: bytes, piece: int = 65_536, breaks: bool = False) -> AsyncIterator[bytes]:
    for start in range(0, len(content), piece):
        yield content[start : start + piece]
    if breaks:
        raise ClientDisconnect


async def fetched(sandboxes: SandboxStore, start: int = 0, end: int = len(CONTENT)) -> bytes:
    return b"".join([block async for block in sandboxes.read(SHA256, start, end)])


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_is_kept_under_its_digest(tmp_path: Path) -> None:
    """What was sent comes back, whole or any range of it; sending it again stores nothing."""

    async def story() -> None:
        sandboxes = store(tmp_path)
        reply = await sandboxes.put("c", SHA256, sent(CONTENT))
        assert (reply.stored, reply.size) == (True, len(CONTENT))
        assert await fetched(sandboxes) == CONTENT
        assert await fetched(sandboxes, BLOCK - 3, BLOCK + 5) == CONTENT[BLOCK - 3 : BLOCK + 5]
        assert not (await sandboxes.put("c", SHA256, sent(b"whatever"))).stored

    run(story())
    assert files(tmp_path) == [f"sandboxes/{SHA256[:2]}/{SHA256}"]


def test_other_bytes_than_the_digest_says_leave_nothing(tmp_path: Path) -> None:
    """A wrong digest is refused, tells both, and nothing of it is visible or left behind."""

    async def story() -> None:
        sandboxes = store(tmp_path)
        with pytest.raises(Refusal) as caught:
            await sandboxes.put("c", SHA256, sent(CONTENT + b"x"))
        assert (caught.value.type, caught.value.expected) == ("digest-mismatch", SHA256)
        assert await sandboxes.size("c", SHA256) is None

    run(story())
    assert files(tmp_path) == []


def test_a_sender_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """Half a file is no file."""
    with pytest.raises(ClientDisconnect):
        run(store(tmp_path).put("c", SHA256, sent(CONTENT[:100_000], breaks=True)))
    assert files(tmp_path) == []


def test_what_a_crash_left_half_written_is_cleared(tmp_path: Path) -> None:
    """When the central starts again unfinished files go, and parts that had arrived stay."""

    async def story() -> None:
        rows = Rows()
        await store(tmp_path, rows).put_part("c", SHA256, 0, len(CONTENT), sent(CONTENT[:1000]))
        for folder in (tmp_path / "sandboxes" / "ab", tmp_path / "parts" / f"c-{SHA256}"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{UNFINISHED}x").write_bytes(b"half")
        again = store(tmp_path, rows)
        await again.start()
        assert await again.arrived("c", SHA256) == 1000

    run(story())
    assert files(tmp_path) == [f"parts/c-{SHA256}/{0:015d}-1000"]


def test_two_centrals_take_parts_of_one_file(tmp_path: Path) -> None:
    """Parts may go to either central, overlap and come twice; neither clears away what the other is writing."""

    async def story() -> None:
        rows = Rows()
        one, two = (
            SandboxStore(open_objects(str(tmp_path)), cast(Store, rows), 10**9, shared=True, wall=lambda: 0.0)
            for _ in range(2)
        )
        size = len(CONTENT)
        with pytest.raises(ClientDisconnect):
            await one.put_part("c", SHA256, 0, size, sent(CONTENT[:70_000], breaks=True))
        assert await two.arrived("c", SHA256) == 70_000
        held = open_objects(str(tmp_path)).begin(f"parts/c-{SHA256}/0")  # of a sender whose connection is dead
        held.write(CONTENT[:50_000])
        await two.start()
        assert (await two.put_part("c", SHA256, 60_000, size, sent(CONTENT[60_000:200_000]))).next == 200_000
        held.keep(False, f"parts/c-{SHA256}/{0:015d}-50000")
        assert (await one.put_part("c", SHA256, 200_000, size, sent(CONTENT[200_000:]))).next == size
        assert await fetched(two) == CONTENT
        assert await two.size("c", SHA256) == size

    run(story())
    assert files(tmp_path) == [f"sandboxes/{SHA256[:2]}/{SHA256}"]


def test_knowing_a_digest_opens_nothing(tmp_path: Path) -> None:
    """A community has a file only once it has sent the bytes itself; the bytes are kept once."""

    async def story() -> None:
        rows = Rows()
        sandboxes = store(tmp_path, rows)
        await sandboxes.put("c", SHA256, sent(CONTENT))
        assert await sandboxes.size("other", SHA256) is None
        with pytest.raises(Refusal, match="another SHA-256"):
            await sandboxes.put("other", SHA256, sent(b"I know its name"))
        assert (await sandboxes.put("other", SHA256, sent(CONTENT))).stored
        assert rows.rows == {("c", SHA256): len(CONTENT), ("other", SHA256): len(CONTENT)}

    run(story())
    assert len(files(tmp_path)) == 1


def test_parts_make_a_file(tmp_path: Path) -> None:
    """Parts, repeated or overlapping, become the file when the last has come, also in another process."""

    async def story() -> None:
        rows, total = Rows(), len(CONTENT)
        first = await store(tmp_path, rows).put_part("c", SHA256, 0, total, sent(CONTENT[:1_000_000]))
        assert first.next == 1_000_000
        sandboxes = store(tmp_path, rows)
        assert await sandboxes.arrived("c", SHA256) == 1_000_000
        again = await sandboxes.put_part("c", SHA256, 0, total, sent(CONTENT[:1_000_000]))
        assert again.next == 1_000_000
        with pytest.raises(Refusal) as caught:
            await sandboxes.put_part("c", SHA256, 1_000_001, total, sent(b"x"))
        assert (caught.value.type, caught.value.expected) == ("gap", "1000000")
        last = await sandboxes.put_part("c", SHA256, 900_000, total, sent(CONTENT[900_000:]))
        assert (last.stored, last.next) == (True, total)
        assert await fetched(sandboxes) == CONTENT

    run(story())
    assert files(tmp_path) == [f"sandboxes/{SHA256[:2]}/{SHA256}"]


def test_what_arrived_of_a_part_that_broke_off_is_kept(tmp_path: Path) -> None:
    """After a broken connection the sender goes on where the bytes ended."""

    async def story() -> None:
        sandboxes, total = store(tmp_path), len(CONTENT)
        with pytest.raises(ClientDisconnect):
            await sandboxes.put_part("c", SHA256, 0, total, sent(CONTENT[:1_234_567], breaks=True))
        assert await sandboxes.arrived("c", SHA256) == 1_234_567
        await sandboxes.put_part("c", SHA256, 1_234_567, total, sent(CONTENT[1_234_567:]))
        assert await fetched(sandboxes) == CONTENT

    run(story())


def test_parts_with_other_bytes_are_forgotten(tmp_path: Path) -> None:
    """When the whole does not have its digest the parts are dropped, so that the sender can begin again."""

    async def story() -> None:
        sandboxes, total = store(tmp_path), len(CONTENT)
        wrong = b"x" + CONTENT[1:]
        await sandboxes.put_part("c", SHA256, 0, total, sent(wrong[:10]))
        with pytest.raises(Refusal, match="another SHA-256"):
            await sandboxes.put_part("c", SHA256, 10, total, sent(wrong[10:]))
        assert await sandboxes.arrived("c", SHA256) == 0
        assert await sandboxes.size("c", SHA256) is None

    run(story())
    assert files(tmp_path) == []


def test_more_than_was_announced_is_refused(tmp_path: Path) -> None:
    """A part may not go beyond the announced size, and no size beyond the bound is begun."""

    async def story() -> None:
        with pytest.raises(Refusal, match="more bytes came"):
            await store(tmp_path).put_part("c", SHA256, 0, 10, sent(CONTENT[:11]))
        with pytest.raises(Refusal) as caught:
            await store(tmp_path, bound=100).put_part("c", SHA256, 0, 101, sent(b""))
        assert caught.value.type == "too-large"

    run(story())
    assert files(tmp_path) == []
