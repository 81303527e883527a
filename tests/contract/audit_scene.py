"""An audit with a chain, for tests of stores and of attacks: somebody notes lines, a leader links them."""

from __future__ import annotations

from pathlib import Path

from central.records import Note
from central.store.port import Store
from central.trust.chain import AnchorFile, Chain, Seals, verify
from central.trust.seal import Key
from pilot.auditing import Anchor, Verdict

KEY = Key("k1", b"\x01" * 32, 0.0)
OTHER = Key("k2", b"\x02" * 32, 1.0)


class NoSleep:
    """A clock that nobody waits by."""

    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")


class Leader:
    """The chain as a central keeps it. `restart` forgets what it has in memory; the file stays."""

    def __init__(self, store: Store, folder: Path, keys: tuple[Key, ...] = (KEY,)) -> None:
        self.store = store
        self.keys = keys
        self.seals = Seals(keys)
        self.file = AnchorFile(folder / "audit.anchor")
        self.told: list[tuple[int, bool]] = []
        self.restart()

    def restart(self) -> None:
        self.chain = Chain(self.store, self.seals, self.file, NoSleep(), lambda *told: self.told.append(told))

    async def turn(self, *subjects: str) -> None:
        """Note lines about these, and link them."""
        if subjects:
            await self.store.note([line(subject) for subject in subjects])
        await self.chain.turn(1)

    async def verdict(self, *anchors: Anchor) -> Verdict:
        return await verify(self.store, self.seals, anchors)

    def broken(self) -> bool:
        """Whether the last turn said so."""
        return self.told[-1][1]


def line(subject: str, **changes: str) -> Note:
    named = {"who": "ops", "what": "queue.pause", "community": "", "owner": "", "subject": subject, **changes}
    return Note(**named)  # type: ignore[arg-type]
