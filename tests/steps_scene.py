"""Steps in processes of their own, for tests: a bundle made of a few lines, and what starts its commands."""

from __future__ import annotations

import os
import random
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from commands.context import Context
from commands.registry import Command
from pilot import bundles
from pilot.bundles import Manifest
from pilot.payloads.families import Families
from pilot.payloads.slot_users import SlotUsers
from pilot.protocol import Bundle, Fact, Settings
from pilot.states import PilotReason
from pilot.steps.guests import Guests
from pilot.steps.output import StepLog
from pilotage.bundles import Built, build
from tests.pilot_fakes import FakeCentral, FakeNode

TOP = Path(__file__).resolve().parent.parent
HEAD = "import os, sys, time, subprocess\nfrom commands import Context, Unfit, command\n\n"


@dataclass
class Computing:
    """Only whether the pilot ends: after so many looks."""

    ending: tuple[PilotReason, str] | None = None
    looks: int = 0

    def stopping(self) -> tuple[PilotReason, str] | None:
        self.looks -= 1
        return self.ending if self.looks < 0 else None


class Clock:
    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None: ...


def bundle_of(folder: Path, source: str, name: str = "theirs") -> Built:
    """A bundle whose one module `theirs` has this source, after the usual imports."""
    place = folder / f"source-{name}"
    place.mkdir(exist_ok=True)
    (place / "theirs.py").write_text(HEAD + textwrap.dedent(source))
    return build(place, name)


@dataclass
class Scene:
    """Guests with bundles at hand, and a context for their commands."""

    work: Path
    built: list[Built] = field(default_factory=list)
    users: SlotUsers | None = None
    central: FakeCentral = field(default_factory=FakeCentral)
    computing: Computing = field(default_factory=Computing)
    guests: Guests = field(init=False)

    def __post_init__(self) -> None:
        self.work.mkdir(exist_ok=True)
        words = [sys.executable, "-m", "pilot"]
        self.guests = Guests(
            Families(), self.users, words, dict(os.environ), self.fetch, {"PYTHONPATH": str(TOP)}
        )  # fmt: skip

    def fetch(self, bundle: Bundle) -> tuple[Path, Manifest]:
        content = next(each.content for each in self.built if each.sha256 == bundle.sha256)
        path = self.work / f"{bundle.sha256}.zip"
        path.write_bytes(content)
        path.chmod(0o644)
        return path, bundles.read(content)

    def context(self, **more: object) -> Context:
        wanted = tuple(
            Bundle(each.manifest.name, each.sha256, (), len(each.content), "physics") for each in self.built
        )  # fmt: skip
        made = Context(
            stamp="0" * 32,
            site="here",
            queue="test",
            work=self.work,
            settings=Settings(communities=("physics",), bundles=wanted),
            clock=Clock(),
            random=random.random,
            node=FakeNode(),
            central=self.central,
            computing=self.computing,  # type: ignore[arg-type]
            say=lambda line: None,
            communities=("physics",),
            facts=(Fact("host", "node1", "a test"),),
        )
        return made.evolve(**more)

    def prepare(self, names: Sequence[str] = ("theirs:go",), log: StepLog | None = None) -> dict[str, Command]:
        return self.guests.prepare(self.context(), names, log or nowhere())

    def run(self, log: StepLog | None = None, timeout: float | None = None, **more: object) -> Context:
        """Import the command `theirs:go`, and run it."""
        found = self.prepare()["theirs:go"]
        command = Command(found.run, found.name, timeout=timeout or found.timeout)
        return self.guests.run(command, self.context(command="theirs:go", **more), log or nowhere())


def nowhere(head: int = 1_000_000) -> StepLog:
    """A log without a file."""
    return StepLog(None, head, lambda: None)
