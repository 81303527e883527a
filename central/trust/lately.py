"""Credentials that were set anew in the last minutes, at this central or at another over the same database.

Pilots whose attempts have them hear so with their next heartbeats. Where none was set, a heartbeat costs what it did.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeAlias

from central.records import LiveAttempt
from central.store.port import Store
from central.store.port_vault import Entitled
from pilot.protocol import CredentialVersions

#: Seconds for which a change is told: some heartbeats, also where these are rare.
SPAN = 180.0
#: Changes, and attempts with what their jobs name, that are remembered. Who hears of nothing asks within an hour.
MOST = 10_000
MOST_ATTEMPTS = 50_000

Key: TypeAlias = tuple[str, str, str]  # community, owner, name


class Lately:
    """What one central remembers. `clock` gives seconds and never steps."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._versions: OrderedDict[Key, tuple[float, str]] = OrderedDict()  # → until, and the version; oldest first
        self._communities: Counter[str] = Counter()  # how many of these are of each
        self._entitled: OrderedDict[tuple[int, int], Entitled | None] = OrderedDict()  # None: its job names none

    def changed(self, community: str, owner: str, name: str, version: str) -> None:
        """A credential was set."""
        key = (community, owner, name)
        if key not in self._versions:
            self._communities[community] += 1
        self._versions[key] = self._clock() + SPAN, version
        self._versions.move_to_end(key)
        if len(self._versions) > MOST:
            self._forget_oldest()

    async def of(self, stamp: str, held: Sequence[LiveAttempt]) -> tuple[CredentialVersions, ...]:
        """What a pilot is to ask for, of the attempts that it holds."""
        if not self._versions:
            return ()
        now = self._clock()
        while self._versions and next(iter(self._versions.values()))[0] < now:
            self._forget_oldest()
        attempts = [(one.job, one.attempt) for one in held if one.community in self._communities]
        return await self._newer(stamp, attempts) if attempts else ()

    def _forget_oldest(self) -> None:
        (community, _, _), _ = self._versions.popitem(last=False)
        self._communities[community] -= 1
        if not self._communities[community]:
            del self._communities[community]

    async def _newer(self, stamp: str, attempts: Sequence[tuple[int, int]]) -> tuple[CredentialVersions, ...]:
        if any(attempt not in self._entitled for attempt in attempts):
            await self._learn(stamp, attempts)
        found = []
        for one in filter(None, map(self._entitled.get, attempts)):
            known = {name: self._versions.get((one.community, one.owner, name)) for name in one.names}
            if versions := {name: version[1] for name, version in known.items() if version is not None}:
                found.append(CredentialVersions(one.job, one.attempt, versions))
        return tuple(found)

    async def _learn(self, stamp: str, attempts: Sequence[tuple[int, int]]) -> None:
        """Which credentials these attempts have: that never changes, and is read once for each."""
        found = {(one.job, one.attempt): one for one in await self._store.entitled(stamp)}
        for attempt in attempts:
            self._entitled[attempt] = found.get(attempt)
        while len(self._entitled) > MOST_ATTEMPTS:
            self._entitled.popitem(last=False)
