"""What just happened, for those who watch: a hub inside one central, and the records that it passes on.

Nothing is kept. A watcher that reads too slowly loses the oldest and is told so; one that connects again reads the
lists anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pilot.states import JobState, Outcome, PilotState

#: Events that wait for one slow watcher.
MAX_BEHIND = 1000
MAX_WATCHERS = 1000


@dataclass(frozen=True)
class JobChanged:
    """A job is in another state now."""

    job: int
    state: JobState
    attempt: int
    outcome: Outcome | None = None
    reason: str = ""  # where nobody who watches would guess it


@dataclass(frozen=True)
class JobsSubmitted:
    """New jobs wait: ids `first` to `first + count - 1`."""

    first: int
    count: int
    owner: str
    group: str


@dataclass(frozen=True)
class PilotChanged:
    """A pilot is in another state now."""

    stamp: str
    state: PilotState
    reason: str = ""


Event = JobChanged | JobsSubmitted | PilotChanged
#: How each is called on the wire.
NAMES = {JobChanged: "job", JobsSubmitted: "jobs", PilotChanged: "pilot"}


@dataclass
class Watcher:
    """One who watches; sees the events of one community, or all."""

    community: str | None
    waiting: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_BEHIND))
    missed: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: Event) -> None:
        if len(self.waiting) == MAX_BEHIND:
            self.missed += 1
        self.waiting.append(event)
        self.more.set()

    async def next(self, seconds: float) -> tuple[Event, ...]:
        """What has happened since the last call; waits for something, at most so long."""
        if not self.waiting:
            self.more.clear()
            try:
                await asyncio.wait_for(self.more.wait(), seconds)
            except TimeoutError:
                return ()
        events = tuple(self.waiting)
        self.waiting.clear()
        return events


class Hub:
    """Passes events on to everybody who watches and may see them. `tell` passes them on to other centrals."""

    def __init__(self, tell: Callable[[Collection[str], Event], None] | None = None) -> None:
        self._watchers: list[Watcher] = []
        self._tell = tell

    def publish(self, communities: Collection[str], *events: Event) -> None:
        """This has happened here: tell those who see one of these communities."""
        self.hear(communities, *events)
        if self._tell is not None:
            for event in events:
                self._tell(communities, event)

    def hear(self, communities: Collection[str], *events: Event) -> None:
        """This has happened somewhere: tell those who watch here."""
        for watcher in self._watchers:
            if watcher.community is None or watcher.community in communities:
                for event in events:
                    watcher.tell(event)

    def missed(self) -> None:
        """Something may have happened that nobody here was told of."""
        for watcher in self._watchers:
            watcher.missed += 1
            watcher.more.set()

    @contextmanager
    def watching(self, community: str | None) -> Iterator[Watcher]:
        """Watch for as long as the block lasts."""
        watcher = Watcher(community)
        self._watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)

    @property
    def crowded(self) -> bool:
        return len(self._watchers) >= MAX_WATCHERS
