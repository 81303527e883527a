"""Task queues in the order of their turn.

`Turns` has the queues in which jobs wait: by community, group and owner, each by its level among those beside it, and
of one owner by priority and age.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Union

from central.matching.limits import Limits
from central.matching.matcher import Free, granted, room
from central.matching.ordered import Block, Place, Search, Tier
from central.matching.queued import Queue
from central.matching.shares import Account
from central.matching.views import View
from central.records import TaskQueue


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

    __slots__ = ("account", "community", "limits", "parent")

    def __init__(self, account: Account | None, parent: Party | None, limits: int) -> None:
        super().__init__()
        self.account = account
        self.parent = parent
        self.community = "" if account is None else list(account.line())[-1].name
        self.limits = limits  # that count all of its jobs

    def first_in(self, block: Block[Step], search: Wanted) -> Queue | None:
        cores, memory, disk, seconds = search.cores, search.memory, search.disk, search.seconds
        verdicts, communities = search.view.verdicts, search.view.communities
        for step in block.items:
            if step.cores > cores or step.memory > memory or step.seconds > seconds or step.disk > disk:
                continue
            if isinstance(step, Queue):
                if verdicts[step.kind] and room(step.task.needs, search.free) and search.view.accepts(step):
                    if not _shut_out(step, search):
                        return step
                    search.remembers = False
            elif step.kinds & search.kinds and step.community in communities:
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
    if party.account is not None and party.account.leaf:
        return  # its queues have no levels
    inner = [step for step in party if isinstance(step, Party)]
    if not inner:
        return
    for step in inner:
        _settle(step)
    stands = [(place, step) for step in inner if (place := step.stand()) is not None]
    stands.sort(key=lambda stand: stand[0])
    party.fill([place for place, _ in stands], [step for _, step in stands])
