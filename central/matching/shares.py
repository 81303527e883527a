"""Whose turn it is: communities, their groups, and their owners, by the share each is due and what it has used.

Use is in core-seconds and decays: of what was used a half-life ago, half counts. What runs counts as well, and at once
as if each core had run for `QUANTUM` seconds already, so that what is given in one moment is shared out too. Times
come from the caller and only have to be of one clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from central.configuration.settings import Community
from central.records import Consumed

#: Seconds that every core which runs counts for from its start.
QUANTUM = 60.0
#: Seconds after which half of what was used is forgotten, unless the settings say otherwise.
HALF_LIFE = 7 * 86400.0
#: Seconds between two looks at what has run since: one, and longer where many parties must be looked at.
STEP = 1.0
PARTIES_PER_SECOND = 1000
_LEAST_SHARE = 1e-6


class Account:
    """What one community, one group or one owner has used, and its share among those beside it.

    Whoever has the lowest level among those beside it and has jobs that fit goes next.
    """

    __slots__ = ("__weakref__", "leaf", "level", "name", "number", "parent", "recent", "running", "share", "used")

    def __init__(self, name: str, parent: Account | None, share: float, number: int, leaf: bool) -> None:
        self.name = name
        self.leaf = leaf  # an owner's
        self.parent = parent
        self.share = max(share, _LEAST_SHARE)
        self.number = number
        self.used = 0.0  # decayed core-seconds
        self.running = 0  # cores
        self.recent = 0  # of the cores that run, those given since the store was asked
        self.level = 0.0

    def weigh(self) -> None:
        self.level = (self.used + self.running * QUANTUM) / self.share

    def line(self) -> Iterator[Account]:
        """This, and those above it."""
        account: Account | None = self
        while account is not None:
            yield account
            account = account.parent

    def before(self, level: float, cores: int) -> int:
        """How many jobs of so many cores it may be given, one after another, while its level is below that one."""
        return max(0, int(-((self.level - level) * self.share // (cores * QUANTUM))))


@dataclass(frozen=True)
class Standing:
    """Where a party stands among those beside it."""

    name: str
    share: float
    used: float  # core-seconds, decayed
    cores: int  # that run now
    level: float


class Standings:
    """The accounts of all who have used something or have jobs. `half_life` is in seconds."""

    def __init__(self, communities: Sequence[Community] = (), half_life: float = HALF_LIFE) -> None:
        self.half_life = half_life
        self.version = 0  # of the levels: it rises when many have changed at once
        self.loads = 0
        self._shares = _shares(communities)
        self._accounts: WeakValueDictionary[tuple[str, ...], Account] = WeakValueDictionary()
        self._used: list[Account] = []  # keeps the accounts of those who have used something
        self._now: float | None = None
        self._made = 0

    def account(self, community: str, group: str, owner: str) -> Account:
        """An owner's account. It is kept for as long as somebody has it, or something was used."""
        parent: Account | None = None
        for path in ((community,), (community, group), (community, group, owner)):
            account = self._accounts.get(path)
            if account is None:
                self._made += 1
                account = Account(path[-1], parent, self._shares.get(path, 1.0), self._made, len(path) == 3)
                self._accounts[path] = account
            parent = account
        assert parent is not None  # noqa: S101 - three steps were taken
        return parent

    def share(self, communities: Sequence[Community]) -> None:
        """From now on these are due that much; whoever is not named has a share of 1."""
        self._shares = _shares(communities)
        for path, account in list(self._accounts.items()):
            account.share = max(self._shares.get(path, 1.0), _LEAST_SHARE)
        self._weigh()

    # -- use --------------------------------------------------------------------------------------------------------
    def asking(self) -> None:
        """The store is being asked what was used: what is given from now on may be missing in its answer."""
        for account in list(self._accounts.values()):
            account.recent = 0

    def load(self, consumed: Sequence[Consumed], now: float) -> None:
        """Set all use to what the store says, and what was given since it was asked."""
        for account in list(self._accounts.values()):
            account.used, account.running = 0.0, account.recent
        found = []
        for row in consumed:
            owner = self.account(row.community, row.group, row.owner)
            found.append(owner)
            for account in owner.line():
                account.used += row.used
                account.running += row.cores
        self._used = found
        self._now = now
        self.loads += 1
        self._weigh()

    def advance(self, now: float) -> None:
        """Time has passed: what runs has used more, and what was used counts less. Does nothing a moment later."""
        if self._now is None:
            self._now = now
        passed = now - self._now
        if passed < max(STEP, len(self._accounts) / PARTIES_PER_SECOND):
            return
        self._now = now
        left = 2.0 ** (-passed / self.half_life)
        for account in list(self._accounts.values()):
            account.used = account.used * left + account.running * passed
        self._weigh()

    def given(self, owner: Account, cores: int) -> None:
        """Jobs with so many cores go to an owner now."""
        for account in owner.line():
            account.running += cores
            account.recent += cores
            account.weigh()

    def returned(self, owner: Account, cores: int) -> None:
        """Jobs with so many cores were not given after all."""
        for account in owner.line():
            account.running = max(0, account.running - cores)
            account.recent = max(0, account.recent - cores)
            account.weigh()

    def _weigh(self) -> None:
        self.version += 1
        for account in list(self._accounts.values()):
            account.weigh()

    # -- looking ----------------------------------------------------------------------------------------------------
    def standing(self, community: str, group: str, owner: str) -> tuple[Standing, ...]:
        """Where a community, its group and its owner stand, for people."""
        line = [*self.account(community, group, owner).line()]
        return tuple(
            Standing(account.name, account.share, account.used, account.running, account.level)
            for account in reversed(line)
        )


def _shares(communities: Sequence[Community]) -> dict[tuple[str, ...], float]:
    """By community, and by community and group."""
    found: dict[tuple[str, ...], float] = {}
    for community in communities:
        found[community.name,] = community.share
        for group in community.groups:
            found[community.name, group.name] = group.share
    return found
