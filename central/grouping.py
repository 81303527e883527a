"""Task queues in the order of their turn, and what tells offers apart.

`Turns` has the queues in which jobs wait: by community, group and owner, each by its level among those beside it, and
of one owner by priority and age. Offers that look the same to all that wait (communities, site, tags …) share a
`View`: what is of the right kind for them, so that only amounts are left to compare.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple, Union

from central.limits import Limits
from central.matcher import Free, granted, kind_fits, room, tag_expression
from central.ordered import Amounts, Block, Least, Place, Search, Tier
from central.records import TaskQueue
from central.shares import Account
from pilot import tags
from pilot.protocol import Needs, Offer, Platform

PRIORITIES = 11
#: Fruitless searches that a view remembers, so as not to repeat them.
MAX_BARREN = 8
#: Kinds that have a bit of their own; with more of them, some share one, and bounds are less sharp.
KIND_BITS = 4096
_ANY = (1 << KIND_BITS) - 1
#: Kinds that a view looks at in one go, when there are many that it does not know.
JUDGED_AT_ONCE = 200
#: With more kinds than this their bits say little, and each is looked at only when a search comes upon it.
MAX_JUDGED = 4 * KIND_BITS
#: Blocks of which a view remembers that they hold nothing for certain amounts.
MAX_MISSES = 4096
_FITS, _FAILS = 1, 2


class Queue(Least):
    """One task queue. Counts may pass below zero for a moment, when a claim is heard of before what it claimed."""

    __slots__ = (
        "account",
        "additions",
        "counts",
        "emptied",
        "kind",
        "limits",
        "oldest",
        "party",
        "reserved",
        "since",
        "task",
    )

    def __init__(self, task: TaskQueue, account: Account, kind: int, limits: int, now: float) -> None:
        needs = task.needs
        self.place: Place | None = None
        self.cores = needs.cores
        self.memory = needs.memory + needs.memory_per_core * needs.cores
        self.disk = needs.disk
        self.seconds = needs.wall_time
        self.task = task
        self.account = account
        self.limits = limits  # that count its jobs somewhere
        self.party: Party | None = None  # where it stands
        self.counts = [0] * PRIORITIES
        self.oldest = [0] * PRIORITIES  # a lower bound of the ids that wait at each priority
        self.reserved = 0
        self.additions = 0
        self.emptied: float | None = None  # when it was first seen empty
        self.since = now  # that jobs wait in it and none was given
        self.number_kind(kind)

    def number_kind(self, kind: int) -> None:
        self.kind = kind
        self.kinds = _bit(kind)

    def add(self, priority: int, count: int, oldest: int) -> None:
        known = self.counts[priority] > 0
        self.oldest[priority] = min(self.oldest[priority], oldest) if known else oldest
        self.counts[priority] += count
        self.additions += 1

    def turn(self) -> Place | None:
        """Its place among the queues of its owner: priority first (10 before 1), then age; None: no job waits."""
        counts = self.counts
        for priority in range(PRIORITIES - 1, -1, -1):
            if counts[priority] > 0:
                return (-priority, self.oldest[priority], self.task.id)
        return None

    @property
    def waiting(self) -> int:
        return sum(count for count in self.counts if count > 0)


# -- turns ------------------------------------------------------------------------------------------------------------


class Wanted(Search):
    """Amounts and kinds that are looked for, and limits that let nobody in."""

    __slots__ = ("closed", "free", "limits", "shut", "there", "view")

    def __init__(self, turn: int, view: View, free: Free, limits: Limits, tried: int) -> None:
        super().__init__(turn, view.kinds, view.misses)
        self.view = view
        self.free = free
        self.limits = limits
        self.there = view.limits  # those that count what runs there
        self.shut = view.limits & ~tried  # of these, those that are in force
        self.closed = limits.closed & self.shut

    def again(self) -> None:
        """Look for what is left of the amounts."""
        free = self.free
        self.follow((free.cores, free.memory, free.disk, free.seconds, free.empty, free.gpus.copy()))

    @property
    def held_up(self) -> bool:
        """Whether something was passed over for a limit."""
        return not self.remembers


Step = Union["Party", Queue]


class Party(Tier[Step, Wanted, Queue]):
    """All of one community, group or owner that waits: groups, owners, or queues in their order."""

    __slots__ = ("account", "limits", "parent")

    def __init__(self, account: Account | None, parent: Party | None, limits: int) -> None:
        super().__init__()
        self.account = account
        self.parent = parent
        self.limits = limits  # that count all of its jobs

    def first_in(self, block: Block[Step], search: Wanted) -> Queue | None:
        cores, memory, disk, seconds = search.cores, search.memory, search.disk, search.seconds
        verdicts = search.view.verdicts
        for step in block.items:
            if step.cores > cores or step.memory > memory or step.seconds > seconds or step.disk > disk:
                continue
            if isinstance(step, Queue):
                if verdicts[step.kind] != _FAILS and room(step.task.needs, search.free) and search.view.accepts(step):
                    if not _shut_out(step, search):
                        return step
                    search.remembers = False
            elif step.kinds & search.kinds:
                if step.limits & search.closed:
                    search.remembers = False
                    continue
                found = step.first(search)
                if found is not None:
                    return found
                if step.tightened:
                    step.tightened = False
                    block.loose = True
        return None

    def stand(self) -> Place | None:
        """Its place among those beside it: the level, and where nobody has used anything, who has the first job."""
        account, head = self.account, self.head()
        if head is None or account is None:
            return None
        if account.level:
            return (account.level, (), account.number)
        return (0.0, head if account.leaf else head[1], account.number)


def _shut_out(queue: Queue, search: Wanted) -> bool:
    limits = queue.limits & search.shut
    return bool(limits) and search.limits.shuts_out(limits, granted(queue.task.needs, search.free))


class Turns:
    """The queues of one sort in their order."""

    def __init__(self, limits: Limits) -> None:
        self.root = Party(None, None, 0)
        self._limits = limits
        self._parties: dict[Account, Party] = {}

    def put(self, queue: Queue, place: Place | None) -> None:
        """Give a queue its place among those of its owner; None: take it out."""
        party, comes = queue.party, queue.party is None
        if party is None:
            party = self._party(queue.account)
        queue.party = None if place is None else party
        wider = party.put(queue, place)
        self._stand(party, wider)
        while comes and (parent := party.parent) is not None:
            parent.renew(party)
            party = parent

    def weighed(self, account: Account) -> None:
        """The level of an owner, and of those above, has changed."""
        party = self._parties.get(account)
        if party is not None:
            self._stand(party, False)

    def weighed_all(self) -> None:
        """All levels may have changed."""
        _settle(self.root)

    def of(self, communities: Collection[str]) -> Iterator[TaskQueue]:
        """The queues of these communities, in order within each."""
        for step in self.root:
            if isinstance(step, Party) and step.account is not None and step.account.name in communities:
                yield from _tasks(step)

    def _stand(self, party: Party, wider: bool) -> None:
        """Find the place of a party and of those above it again; `wider`: it takes in more than before."""
        while (parent := party.parent) is not None:
            place = party.stand()
            if place is None and party.account is not None:
                self._parties.pop(party.account, None)
            stood = party.place is not None
            wider_above = parent.put(party, place)
            wider = (stood and wider and place is not None and parent.covers(party)) or wider_above
            party = parent

    def _party(self, account: Account) -> Party:
        party = self._parties.get(account)
        if party is None:
            parent = self.root if account.parent is None else self._party(account.parent)
            names = [step.name for step in account.line()]
            party = self._parties[account] = Party(account, parent, self._limits.of_party(*reversed(names)))
        return party


def _tasks(party: Party) -> Iterator[TaskQueue]:
    for step in party:
        if isinstance(step, Queue):
            yield step.task
        else:
            yield from _tasks(step)


def _settle(party: Party) -> None:
    inner = [step for step in party if isinstance(step, Party)]
    if not inner:
        return
    for step in inner:
        _settle(step)
    stands = [(place, step) for step in inner if (place := step.stand()) is not None]
    stands.sort(key=lambda stand: stand[0])
    party.fill([place for place, _ in stands], [step for _, step in stands])


# -- views ------------------------------------------------------------------------------------------------------------


class View:
    """What offers that look like `offer` can use. `limits` are those that count what runs there."""

    def __init__(self, offer: Offer, limits: int) -> None:
        self.read = 0  # news heard so far
        self.limits = limits
        self.misses: dict[int, Amounts] = {}
        self._owners = offer.owners
        self._offer = replace(offer, owners=None)  # queues of one kind may have any owners
        self._samples: Sequence[TaskQueue] = ()  # by kind
        self.verdicts = bytearray()  # by kind; 0: not asked yet
        self._judged = 0  # kinds, in the order of their numbers
        self._right = 0  # bits of the kinds that are right, of those judged
        self._barren: list[Free] = []  # amounts that hold nothing of what waits

    @property
    def kinds(self) -> int:
        """Bits of the kinds that are right, or may be."""
        return self._right if self._judged == len(self._samples) else _ANY

    def judge(self, samples: Sequence[TaskQueue], most: int = JUDGED_AT_ONCE) -> None:
        """Find out of some more kinds whether they are right, where `samples` has a queue of each kind."""
        if len(self.misses) > MAX_MISSES:
            self.misses.clear()
        self._samples = samples
        if self._judged == len(samples):
            return
        self.verdicts.extend(bytes(len(samples) - len(self.verdicts)))
        if len(samples) > MAX_JUDGED:
            return
        end = min(self._judged + most, len(samples))
        for kind in range(self._judged, end):
            if self._is_right(kind):
                self._right |= _bit(kind)
        self._judged = end

    def accepts(self, queue: Queue) -> bool:
        """Whether it is of the right kind, and its owner is let in."""
        if self._owners is not None and queue.task.owner not in self._owners:
            return False
        return self.verdicts[queue.kind] == _FITS or (not self.verdicts[queue.kind] and self._is_right(queue.kind))

    def _is_right(self, kind: int) -> bool:
        if not self.verdicts[kind]:
            self.verdicts[kind] = _FITS if kind_fits(self._samples[kind], self._offer) else _FAILS
        return self.verdicts[kind] == _FITS

    def hear(self, news: Sequence[Queue]) -> None:
        """In these, jobs have come to wait."""
        if self._barren:
            for queue in news:
                if self.accepts(queue):
                    self._barren = [free for free in self._barren if not room(queue.task.needs, free)]

    def is_barren(self, free: Free) -> bool:
        """Whether it is known that so much holds nothing of what waits."""
        return any(free.within(barren) for barren in self._barren)

    def found_nothing(self, free: Free) -> None:
        self._barren = [free.copy(), *(barren for barren in self._barren if not barren.within(free))][:MAX_BARREN]


# -- kinds ------------------------------------------------------------------------------------------------------------


def _bit(kind: int) -> int:
    return _bit_of(kind % KIND_BITS)


@lru_cache(maxsize=KIND_BITS)
def _bit_of(number: int) -> int:
    return 1 << number  # kept, because one of these may take half a kilobyte


def kind_of(needs: Needs) -> Needs:
    """The needs without amounts: what an offer of the right kind meets."""
    return Needs(
        tags=needs.tags,
        sites=needs.sites,
        not_sites=needs.not_sites,
        platform=needs.platform,
        isolation=needs.isolation,
    )


class Look(NamedTuple):
    """An offer's kind, as far as the waiting jobs can tell: no amounts, and nothing that nobody mentions."""

    site: str
    queue: str
    tags: frozenset[str]
    unknown_tags: frozenset[str]
    required_tags: tuple[str, ...]
    communities: tuple[str, ...]
    owners: tuple[str, ...] | None
    arch: str | None
    microarch: int | None
    glibc: tuple[int, int] | None
    isolation: bool

    def offer(self) -> Offer:
        """An offer that looks like this."""
        return Offer(
            site=self.site,
            queue=self.queue,
            tags=tuple(self.tags),
            unknown_tags=tuple(self.unknown_tags),
            required_tags=self.required_tags,
            communities=self.communities,
            owners=self.owners,
            platform=Platform(self.arch, self.microarch, self.glibc),
            isolation=self.isolation,
        )


class Mentions:
    """What needs and limits mention of tags, sites and their queues: nothing else of these tells offers apart."""

    def __init__(self, limits: Limits) -> None:
        self.tags: set[str] = set()
        self.sites: set[str] = set(limits.sites)
        self.doors = limits.doors

    def learn(self, needs: Needs) -> None:
        self.tags |= tags.names(tag_expression(needs.tags)[0])
        self.sites.update(needs.sites or (), needs.not_sites)

    def look(self, offer: Offer) -> Look:
        platform = offer.platform
        return Look(
            offer.site if offer.site in self.sites else "",
            offer.queue if offer.queue in self.doors else "",
            frozenset(self.tags.intersection(offer.tags)),
            frozenset(self.tags.intersection(offer.unknown_tags)),
            offer.required_tags,
            offer.communities,
            offer.owners,
            platform.arch,
            platform.microarch,
            platform.glibc,
            offer.isolation,
        )
