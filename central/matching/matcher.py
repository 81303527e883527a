"""Which jobs fit an offer, and why others do not: the rules of matching, as plain functions.

`failures` names every need that an offer does not meet, for people; `fits` and `room` give the same answer fast.
Amounts are compared as numbers; unlimited meets everything, unknown meets no stated need. A need of no memory, no disk
or no GPU states nothing; wall time is always stated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from central.records import TaskQueue
from pilot import tags
from pilot.protocol import UNLIMITED, Amount, Gpu, Needs, Offer
from pilot.units import show_duration, show_size

NeedName = Literal[
    "cores",
    "memory",
    "disk",
    "gpus",
    "wall_time",
    "tags",
    "sites",
    "platform",
    "isolation",
    "community",
    "bound",
    "owner",
    "required_tags",
    "whole_node",
    "limit",
    "machine",
    "reservation",
]
#: Stands for unlimited in the arithmetic: more than anybody can use up.
_NO_END = 1 << 62
#: Names told in one sentence; more of them help nobody.
_SHOWN = 5


@dataclass(frozen=True)
class Miss:
    """One need that an offer does not meet. `lack` is the missing part of what is asked, from 0 to 1."""

    need: NeedName
    asked: str
    offered: str
    lack: float = 1.0

    def __str__(self) -> str:
        return f"asks for {self.asked} and finds {self.offered}"


def failures(queue: TaskQueue, offer: Offer) -> tuple[Miss, ...]:
    """Every need of a queue's jobs that the offer does not meet; empty when one of them could start there."""
    return (*kind_misses(queue, offer), *amount_misses(queue.needs, offer))


def fits(queue: TaskQueue, offer: Offer) -> bool:
    """Whether a job of the queue could start on the offer: the same as no failures."""
    return kind_fits(queue, offer) and room(queue.needs, Free.of(offer)) > 0


def kind_fits(queue: TaskQueue, offer: Offer) -> bool:
    """Whether the offer is of the right kind (community, site, tags, platform, isolation), whatever its amounts."""
    needs = queue.needs
    if queue.community not in offer.communities or offer.site in needs.not_sites:
        return False
    if (needs.sites is not None and offer.site not in needs.sites) or (needs.isolation and not offer.isolation):
        return False
    if offer.owners is not None and queue.owner not in offer.owners:
        return False
    expression, demanded = tag_expression(needs.tags)
    return (
        demanded.issuperset(offer.required_tags)
        and tags.holds(expression, offer.tags, offer.unknown_tags)
        and next(_platform_misses(needs, offer), None) is None
    )


def alone(offer: Offer, community: str) -> Offer:
    """The offer of a pilot that serves one community alone."""
    return replace(offer, communities=tuple(name for name in offer.communities if name == community))


def distance(misses: Sequence[Miss]) -> tuple[int, float]:
    """How far from a fit: smaller is nearer. No miss is nearest; one need missed is nearer than two."""
    return len(misses), sum(miss.lack for miss in misses)


# -- amounts ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Free:
    """The amounts left of an offer while jobs are packed into it. Bytes and seconds; unknown is nothing."""

    cores: int
    memory: int
    disk: int
    gpus: list[Gpu]  # the smallest first
    seconds: int  # -1: unknown, which meets no wall time
    empty: bool

    @classmethod
    def of(cls, offer: Offer) -> Free:
        return cls(
            offer.cores,
            _number(offer.memory),
            _number(offer.disk),
            sorted(offer.gpus, key=lambda gpu: gpu.memory or 0) if offer.gpus else [],
            _number(offer.seconds_left, unknown=-1),
            offer.empty,
        )

    def within(self, other: Free) -> bool:
        """Whether whatever this holds, the other holds too. False also when that takes longer to find out."""
        return (
            self.cores <= other.cores
            and self.memory <= other.memory
            and self.disk <= other.disk
            and self.seconds <= other.seconds
            and self.empty <= other.empty
            and (not self.gpus or self.gpus == other.gpus)
        )

    def copy(self) -> Free:
        return Free(self.cores, self.memory, self.disk, self.gpus.copy(), self.seconds, self.empty)

    def take(self, needs: Needs, cores: int, count: int) -> None:
        """Subtract so many jobs, each with so many cores."""
        if needs.whole_node:
            self.cores = self.memory = self.disk = 0
            self.gpus = []
        else:
            self.cores -= cores * count
            self.memory -= (needs.memory + needs.memory_per_core * cores) * count
            self.disk -= needs.disk * count
            for gpu in usable(needs, self.gpus)[: needs.gpus * count]:
                self.gpus.remove(gpu)
        self.empty = False

    def left_of(self, offer: Offer) -> Offer:
        """The offer that is left, where this began as all of it."""
        return replace(
            offer,
            cores=self.cores,
            memory=self.memory if isinstance(offer.memory, int) else offer.memory,
            disk=self.disk if isinstance(offer.disk, int) else offer.disk,
            gpus=tuple(self.gpus),
            empty=self.empty,
        )


def granted(needs: Needs, free: Free) -> int:
    """The cores that a job would get: as many as it can use, as far as cores and the memory for each are free."""
    if needs.whole_node:
        return free.cores
    most = min(max(needs.cores, needs.max_cores), free.cores)
    if needs.memory_per_core:
        most = min(most, (free.memory - needs.memory) // needs.memory_per_core)
    return most


def room(needs: Needs, free: Free) -> int:
    """How many such jobs the free amounts hold, each with the cores that `granted` says; 0 when none fits."""
    cores = granted(needs, free)
    if cores < needs.cores or cores < 1 or needs.wall_time > free.seconds:
        return 0
    count = 1 if needs.whole_node else free.cores // cores
    if needs.whole_node and not free.empty:
        return 0
    memory = needs.memory + needs.memory_per_core * cores
    if memory:
        count = min(count, free.memory // memory)
    if needs.disk:
        count = min(count, free.disk // needs.disk)
    if needs.gpus:
        count = min(count, len(usable(needs, free.gpus)) // needs.gpus)
    return max(count, 0)


def usable(needs: Needs, gpus: Sequence[Gpu]) -> Sequence[Gpu]:
    """Those of the GPUs that have the memory asked for; of unknown memory only when none is asked."""
    if not needs.gpu_memory:
        return gpus
    return [gpu for gpu in gpus if (gpu.memory or 0) >= needs.gpu_memory]


def least_memory(needs: Needs, cores: int) -> int:
    """Bytes that a job needs at least on a node with so many cores."""
    return needs.memory + needs.memory_per_core * (cores if needs.whole_node else needs.cores)


def _number(amount: Amount, unknown: int = 0) -> int:
    if isinstance(amount, int):
        return amount if amount > unknown else unknown
    return _NO_END if amount == UNLIMITED else unknown


def amount_misses(needs: Needs, offer: Offer) -> Iterator[Miss]:
    """Of the needs, the amounts (cores, memory, disk, GPUs, wall time, an empty node) that the offer does not meet."""
    free = Free.of(offer)
    least = max(needs.cores, 1)
    if least > free.cores:
        yield _short("cores", least, offer.cores, _cores, "cores")
    memory = least_memory(needs, max(offer.cores, 0))
    if memory and memory > free.memory:
        yield _short("memory", memory, offer.memory, show_size, "bytes", " of memory")
    if needs.disk and needs.disk > free.disk:
        yield _short("disk", needs.disk, offer.disk, show_size, "bytes", " of disk")
    if needs.gpus and needs.gpus > (found := len(usable(needs, free.gpus))):
        of = f" with {show_size(needs.gpu_memory)}" if needs.gpu_memory else ""
        yield Miss("gpus", f"{_gpus(needs.gpus)}{of}", _gpus(found) + of, 1 - found / needs.gpus)
    if needs.wall_time > free.seconds:
        yield _short("wall_time", needs.wall_time, offer.seconds_left, show_duration, "s", " of wall time")
    if needs.whole_node and not offer.empty:
        yield Miss("whole_node", "the whole node", "other work or agents on it")


def _short(need: NeedName, asked: int, offered: Amount, show: Callable[[float], str], unit: str, of: str = "") -> Miss:
    if not isinstance(offered, int):
        return Miss(need, show(asked) + of, "an unknown amount")
    shown = (show(asked), show(offered))
    if shown[0] == shown[1]:  # the difference is lost in rounding
        shown = (f"{asked:,} {unit}", f"{offered:,} {unit}")
    return Miss(need, shown[0] + of, shown[1], min(1.0, 1 - offered / asked) if asked else 1.0)


def _cores(count: float) -> str:
    return f"{count:,.0f} core" + ("s" if count != 1 else "")


def _gpus(count: int) -> str:
    return f"{count:,} GPU" + ("s" if count != 1 else "")


# -- kinds ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=131_072)
def tag_expression(text: str) -> tuple[tags.Expression, frozenset[str]]:
    """A stored tag expression, parsed, and the tags that it demands. The same few texts come again and again."""
    parsed = tags.parse(text)
    return parsed, tags.demanded(parsed)


def kind_misses(queue: TaskQueue, offer: Offer) -> Iterator[Miss]:
    """Of the needs, those that have nothing to do with amounts: see `kind_fits`."""
    needs = queue.needs
    if queue.community not in offer.communities:
        yield Miss("community", f"a pilot for {queue.community}", f"one for {_listed(offer.communities) or 'nobody'}")
    if offer.owners is not None and queue.owner not in offer.owners:
        yield Miss("owner", f"entry for {queue.owner}", "a site whose policy names the owners that it lets in")
    if (needs.sites is not None and offer.site not in needs.sites) or offer.site in needs.not_sites:
        yield Miss("sites", _wanted_sites(needs), offer.site or "no site")
    expression, demanded = tag_expression(needs.tags)
    if not tags.holds(expression, offer.tags, offer.unknown_tags):
        yield Miss("tags", f"the tags {expression}", _failing_tags(expression, offer))
    missing = [tag for tag in offer.required_tags if tag not in demanded]
    if missing:
        yield Miss("required_tags", "entry to all", f"a place for jobs alone that ask for {_listed(missing)}")
    yield from _platform_misses(needs, offer)
    if needs.isolation and not offer.isolation:
        yield Miss("isolation", "isolation from others", "none proved")


def _platform_misses(needs: Needs, offer: Offer) -> Iterator[Miss]:
    asked, found = needs.platform, offer.platform
    wrong: list[tuple[str, str]] = []
    if asked.arch is not None and asked.arch != found.arch:
        wrong.append((asked.arch, found.arch or "an unknown architecture"))
    if asked.microarch is not None and (found.microarch is None or found.microarch < asked.microarch):
        has = "an unknown level" if found.microarch is None else f"v{found.microarch}"
        wrong.append((f"micro-architecture v{asked.microarch} or later", has))
    if asked.glibc is not None and (found.glibc is None or found.glibc < asked.glibc):
        has = "an unknown glibc" if found.glibc is None else f"glibc {found.glibc[0]}.{found.glibc[1]}"
        wrong.append((f"glibc {asked.glibc[0]}.{asked.glibc[1]} or later", has))
    if wrong:
        yield Miss("platform", ", ".join(want for want, _ in wrong), ", ".join(has for _, has in wrong))


def _wanted_sites(needs: Needs) -> str:
    wanted = f"site {_listed(needs.sites, ' or ')}" if needs.sites is not None else "any site"
    return wanted + (f" but {_listed(needs.not_sites)}" if needs.not_sites else "")


def _failing_tags(expression: tags.Expression, offer: Offer) -> str:
    parts = expression.parts if isinstance(expression, tags.All) else (expression,)
    failing = [part for part in parts if not tags.holds(part, offer.tags, offer.unknown_tags)]
    return _listed([_state_of(part, offer) for part in failing])


def _state_of(part: tags.Expression, offer: Offer) -> str:
    if not isinstance(part, tags.Tag):
        return f"not ({part})"
    if part.name in offer.tags:
        return f"{part.name} present"
    return f"{part.name} unknown" if part.name in offer.unknown_tags else f"{part.name} absent"


def _listed(names: Sequence[str] | None, joint: str = ", ") -> str:
    shown = list(names or ())
    more = len(shown) - _SHOWN
    return joint.join(shown[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
