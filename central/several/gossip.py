"""What centrals over one database tell each other: small words, gathered for a moment and passed on by the store.

Words are hints: whoever hears one does at once what it would otherwise have found out later, and one that is lost is
made up for by reading anew. A word that another version of the central says and this one does not know is passed over.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from central.clock import Clock
from central.events import JobChanged, JobsSubmitted, PilotChanged
from central.records import Requeued, Waiting
from central.store.port import Store
from pilot.errors import PilotageError
from pilot.protocol import Offer

log = logging.getLogger(__name__)

#: Seconds for which words are gathered; those that change quickly and matter little wait longer.
GATHER = 0.04
SLOWLY = 1.0
#: Bytes of one message; the store takes a few more.
LONGEST = 6_900
#: Messages that are passed on at once; when there is more to say, the others are told to read everything anew.
MOST = 64
MOST_WORDS = 100_000


class Added(msgspec.Struct, frozen=True, tag="added", array_like=True):
    """Jobs wait in a queue that did not before."""

    waiting: Waiting


class Returned(msgspec.Struct, frozen=True, tag="returned", array_like=True):
    """A job waits again."""

    job: Requeued


class Taken(msgspec.Struct, frozen=True, tag="taken", array_like=True):
    """So many jobs of one priority do not wait any more: they were leased, killed or held."""

    queue: int
    priority: int
    count: int = 1


class Over(msgspec.Struct, frozen=True, tag="over", array_like=True):
    """An attempt has ended."""

    stamp: str
    job: int
    attempt: int


class Ordered(msgspec.Struct, frozen=True, tag="ordered", array_like=True):
    """The orders for a pilot are others than before."""

    stamp: str


class PilotMoved(msgspec.Struct, frozen=True, tag="pilot", array_like=True):
    """The row of a pilot was changed; it takes no new jobs when it drains, and nothing at all when it is over."""

    stamp: str
    now: Literal["changed", "draining", "over"] = "changed"


class Free(msgspec.Struct, frozen=True, tag="free", array_like=True):
    """What an agent has left, by its last offer and what it was given since."""

    stamp: str
    agent: int
    offer: Offer


class JobSeen(msgspec.Struct, frozen=True, tag="job", array_like=True):
    """For those who watch these communities: a job is in another state."""

    communities: tuple[str, ...]
    event: JobChanged


class JobsSeen(msgspec.Struct, frozen=True, tag="jobs", array_like=True):
    """For those who watch: new jobs."""

    communities: tuple[str, ...]
    event: JobsSubmitted


class PilotSeen(msgspec.Struct, frozen=True, tag="seen", array_like=True):
    """For those who watch: a pilot is in another state."""

    communities: tuple[str, ...]
    event: PilotChanged


class Decided(msgspec.Struct, frozen=True, tag="decided", array_like=True):
    """What the director of a queue has decided last, and why. Times in seconds since the epoch."""

    queue: str
    why: str
    cause: str = ""  # what it comes from, in one word
    looked: float = 0.0  # when it did
    since: float = 0.0  # since when the cause is the same
    until: float | None = None  # when a queue that is shut is tried again
    waits: tuple[tuple[str, int], ...] = ()  # what the computing element says of pilots that wait, and of how many


class Grown(msgspec.Struct, frozen=True, tag="grown", array_like=True):
    """A log stream has more bytes, or has closed."""

    stamp: str
    stream: str


class Followed(msgspec.Struct, frozen=True, tag="followed", array_like=True):
    """The log streams (stamp, stream) that somebody reads at the central that says so."""

    streams: tuple[tuple[str, str], ...]


class Placed(msgspec.Struct, frozen=True, tag="placed", array_like=True):
    """Sites, queues, communities or groups were added, changed or removed."""


class Admitted(msgspec.Struct, frozen=True, tag="people", array_like=True):
    """Memberships or API tokens were given, changed or taken back."""


class SetAnew(msgspec.Struct, frozen=True, tag="credential", array_like=True):
    """A credential of somebody was set: who has it is to ask for this version."""

    community: str
    owner: str
    name: str
    version: str


class Spent(msgspec.Struct, frozen=True, tag="spent", array_like=True):
    """Somebody has sent so many requests, or failed so often, which count against a rate."""

    kind: str  # of the rate
    who: tuple[str | int, ...]
    times: int


class Again(msgspec.Struct, frozen=True, tag="again", array_like=True):
    """More has happened than can be told: read everything anew."""


Word = (
    Added
    | Returned
    | Taken
    | Over
    | Ordered
    | PilotMoved
    | Free
    | JobSeen
    | JobsSeen
    | PilotSeen
    | Decided
    | Grown
    | Followed
    | Placed
    | Admitted
    | SetAnew
    | Spent
    | Again
)
_WORD: msgspec.json.Decoder[Word] = msgspec.json.Decoder(Word)


class Message(msgspec.Struct, frozen=True):
    """Words of one central, with the database's time at which they were passed on."""

    sender: str
    at: float
    words: list[msgspec.Raw]


_MESSAGE = msgspec.json.Decoder(Message)


def pack(sender: str, at: float, words: Iterable[Word]) -> list[str]:
    """Put words into messages; into one that says `Again` when there are too many, or one is too long."""
    head = len(msgspec.json.encode(Message(sender, at, [])))
    messages: list[list[msgspec.Raw]] = [[]]
    size = head
    for word in words:
        encoded = msgspec.json.encode(word)
        if head + len(encoded) > LONGEST:
            return _again(sender, at)
        if size + len(encoded) + 1 > LONGEST:
            messages.append([])
            size = head
            if len(messages) > MOST:
                return _again(sender, at)
        messages[-1].append(msgspec.Raw(encoded))
        size += len(encoded) + 1
    return [msgspec.json.encode(Message(sender, at, one)).decode() for one in messages if one]


def _again(sender: str, at: float) -> list[str]:
    return [msgspec.json.encode(Message(sender, at, [msgspec.Raw(msgspec.json.encode(Again()))])).decode()]


class Heard(msgspec.Struct, frozen=True):
    """A message as it was understood."""

    sender: str
    at: float
    words: tuple[Word, ...]


def unpack(text: str) -> Heard | None:
    """Understand a message; None when it is none. Words that are not known, or look otherwise, are left out."""
    try:
        message = _MESSAGE.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    return Heard(message.sender, message.at, tuple(_words(message.words)))


def _words(raw: Sequence[msgspec.Raw]) -> Iterable[Word]:
    for one in raw:
        try:
            yield _WORD.decode(one)
        except (msgspec.MsgspecError, RecursionError):
            continue


class Gossip:
    """One central's end: gathers what there is to say, and passes it on.

    `store` is None for a central that is alone: it says nothing. `sender` is how it calls itself; `wall` is the
    database's time.
    """

    def __init__(self, store: Store | None, sender: str, clock: Clock, wall: Callable[[], float]) -> None:
        self.sender = sender
        self._store = store
        self._clock = clock
        self._wall = wall
        self._words: list[Word] = []
        self._taken: Counter[tuple[int, int]] = Counter()
        self._free: dict[tuple[str, int], Free] = {}  # the newest alone counts
        self._freed = float("-inf")  # when these were passed on last
        self._more = asyncio.Event()

    @property
    def alone(self) -> bool:
        """Whether there is nobody to talk to."""
        return self._store is None

    def say(self, *words: Word) -> None:
        """Have this passed on in a moment. Never waits and never fails."""
        if self._store is None:
            return
        for word in words:
            if isinstance(word, Taken):
                self._taken[word.queue, word.priority] += word.count
            elif isinstance(word, Free):
                self._free[word.stamp, word.agent] = word
                continue
            else:
                self._words.append(word)
            self._more.set()
        if len(self._words) > MOST_WORDS:
            self._words = [Again()]

    async def run(self) -> None:
        """Pass on what was said, for as long as the central lives."""
        while True:
            try:
                await asyncio.wait_for(self._more.wait(), SLOWLY)
            except TimeoutError:
                if not self._free:
                    continue
            await self._clock.sleep(GATHER)
            await self.flush()

    async def flush(self) -> None:
        """Pass on now what was said so far. Where that fails, the others read everything anew as soon as it can."""
        if self._store is None:
            return
        self._more.clear()
        try:
            for message in pack(self.sender, self._wall(), self._gathered()):
                await self._store.tell(message)
        except (PilotageError, OSError) as error:
            log.warning("Other centrals could not be told; they will read everything anew: %s", error)
            self._words = [Again()]
            await self._clock.sleep(SLOWLY)
            self._more.set()

    def _gathered(self) -> list[Word]:
        words, self._words = self._words, []
        taken, self._taken = self._taken, Counter()
        words += (Taken(queue, priority, count) for (queue, priority), count in taken.items())
        if self._clock.now() - self._freed >= SLOWLY:
            self._freed = self._clock.now()
            words += self._free.values()
            self._free = {}
        return words
