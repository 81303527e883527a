"""The port of every cloud: what its machines are started, found and deleted by.

One contract for all: a machine bears its stamp from the moment it exists, so that one whose answer was lost is found
again; an answer that did not come is unknown and never taken for "gone"; nothing waits longer than it was told to.
Everything raises `ComputingError`, which says whether trying again makes sense. Nothing of a client library shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from wrappers.user_data.clouds import Cloud as Takes

if TYPE_CHECKING:
    from central.clouds.buying import Quote


class State(StrEnum):
    """Where a machine stands, as its cloud says."""

    BUILDING = "building"
    RUNNING = "running"
    STOPPED = "stopped"  # off, whoever did it; it may still count against the quota, and be paid
    FAILED = "failed"  # it never came up, or its cloud has given it up
    DELETING = "deleting"  # its deletion was taken; it is not gone yet
    UNKNOWN = "unknown"  # in words that are not known here: nothing follows from it


@dataclass(frozen=True)
class Machine:
    """One machine of ours, as its cloud lists it."""

    id: str  # the cloud's own
    stamp: str
    queue: str
    state: State
    created: float | None = None  # seconds since the epoch, by the cloud's clock
    flavor: str = ""  # its name, where the cloud tells
    spot: bool = False
    why: str = ""  # in the cloud's own words: why it failed, or stopped
    address: str = ""


@dataclass(frozen=True)
class Intent:
    """One machine to start."""

    stamp: str
    queue: str
    flavor: str  # this and the next two by name or id
    image: str
    user_data: bytes = field(repr=False)  # as compiled for this cloud, before the base64 of client libraries
    networks: tuple[str, ...] = ()  # none: the cloud's default
    beside: Mapping[str, str] = field(default_factory=dict)  # further metadata that says how to read user-data
    spot: bool = False  # it may be taken back at any time, for less money
    most: float | None = None  # a spot machine's price for an hour, in the cloud's currency; None: the cloud's bound
    life: int | None = None  # seconds, for clouds that end machines by themselves


@dataclass(frozen=True)
class Flavor:
    """A size of machines. Bytes; None where the cloud does not say."""

    id: str
    name: str
    cores: int
    memory: int
    disk: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Named:
    """An image or a network."""

    id: str
    name: str


@dataclass(frozen=True)
class Room:
    """So much is used, of at most so much; None: no bound is known."""

    used: int = 0
    most: int | None = None

    @property
    def free(self) -> int | None:
        return None if self.most is None else max(0, self.most - self.used)


@dataclass(frozen=True)
class Quota:
    """What the account may have, and has. Bytes of memory."""

    machines: Room = Room()
    cores: Room = Room()
    memory: Room = Room()

    def machines_of(self, flavor: Flavor) -> int | None:
        """How many more machines of this flavor there is room for; None: no bound is known."""
        rooms = ((self.machines.free, 1), (self.cores.free, flavor.cores), (self.memory.free, flavor.memory))
        counts = [free // max(1, each) for free, each in rooms if free is not None]
        return min(counts, default=None)


@dataclass(frozen=True)
class Price:
    """What an hour of a machine costs now."""

    hour: float
    currency: str


class CloudProvider(Protocol):
    """What every adapter does, for the machines of one installation, of all its queues in one account.

    `takes`: how the cloud takes user-data. `lag`: seconds for which a machine that was created may be missing from
    `machines`.
    """

    @property
    def takes(self) -> Takes: ...

    @property
    def lag(self) -> float: ...

    async def validate(self) -> None:
        """Whether the cloud answers and takes us for who we say we are. Raises `ComputingError` where not."""

    async def images(self) -> Sequence[Named]: ...

    async def flavors(self) -> Sequence[Flavor]: ...

    async def networks(self) -> Sequence[Named]:
        """Those that a machine may be put into; empty where the cloud does not tell."""

    async def quota(self) -> Quota: ...

    async def create(self, intent: Intent) -> str:
        """Start one machine. Returns its id; asking again with the same stamp starts no second one where the cloud can
        tell. Raises `ComputingError`: FULL for a quota or no capacity, REFUSED for what the cloud will never take,
        UNREACHABLE where it is not known what became of it."""

    async def machines(self) -> Sequence[Machine]:
        """Every machine of ours that the cloud still knows, whatever its state. Raises `ComputingError`, rather than
        leaving one out."""

    async def machine(self, id: str) -> Machine | None:
        """One of ours; None: the cloud says that there is none."""

    async def delete(self, id: str) -> None:
        """End a machine and let go of all that came with it; one that is gone or unknown is no error. It is taken, not
        done: the machine is listed until it is gone."""

    async def console(self, id: str) -> bytes:
        """What the machine wrote to its console, bounded to its last megabyte; empty where the cloud keeps none."""

    async def price(self, flavor: str, spot: bool) -> Price | None:
        """Of a flavor, by name or id, now; None: the cloud does not tell."""

    async def close(self) -> None:
        """Let go of connections and threads. Nothing is asked of it any more."""


@runtime_checkable
class SpotMarket(Protocol):
    """What a cloud has besides that tells what its spot machines cost until now."""

    async def history(self, flavor: str, seconds: float) -> Sequence[Quote]:
        """The prices of so many seconds until now, and in each zone the one that held before; oldest first."""
