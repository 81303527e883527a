"""Credentials on their way to attempts: what is due to each lease, and what becomes of a job that cannot have its own.

A job whose credential was removed, has expired or cannot be opened is held with the reason, uncharged: no pilot could
do anything about it, and its owner can, by setting it anew and releasing the job. What may pass by itself holds no job:
it goes back to the queue, as does what was leased to a pilot with an alarm, which gets none. All of it is written into
the audit, as every delivery is.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from central.events import JobChanged
from central.records import CredentialRow, Identity, Leased, Note, PilotRow
from central.store.port import Store
from central.trust import access_tokens, outages
from central.trust.vault import Unopened, Vault, version_of
from pilot.credential import Kind, delivered
from pilot.errors import Refusal
from pilot.protocol import Credential
from pilot.states import JobState
from pilot.views import Selection

if TYPE_CHECKING:
    from central.app import Central

log = logging.getLogger(__name__)

Delivered = Mapping[tuple[int, int], tuple[Credential, ...]]
#: Characters of secrets in one answer to a pilot, which reads no more than 16 MiB. Those of one lease always go.
ROOM = 4 * 1024 * 1024
#: Jobs that are held in one step.
AT_ONCE = 5000
#: What somebody reads whose job was leased to a pilot with an alarm.
BARRED = "is not given to a pilot with an alarm"
#: Who holds jobs in the central's own name.
_CENTRAL = "the central"


class Signings:
    """What attempts had done with which credential: the first time is written down, not every file."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._known: OrderedDict[tuple[int, int, str], None] = OrderedDict()

    def knows(self, job: int, attempt: int, what: str) -> bool:
        """Whether this was done before, as far as this central remembers."""
        return (job, attempt, what) in self._known

    def first(self, job: int, attempt: int, what: str) -> bool:
        """Whether this is the first time, as far as this central remembers."""
        key = (job, attempt, what)
        known = key in self._known
        self._known[key] = None
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return not known


@dataclass(frozen=True)
class Missing:
    """Why an attempt cannot have one of its credentials. `passing`: it may later, without anybody mending anything."""

    name: str
    why: str
    passing: bool = False


def problem_of(row: CredentialRow | None, now: float) -> str:
    """Why a credential cannot be used, as far as its row tells; empty when it can."""
    if row is None:
        return "has been removed"
    return "has expired" if row.expires is not None and row.expires <= now else ""


def unlocked(vault: Vault, row: CredentialRow | None, now: float) -> dict[str, str] | str:
    """The values of a credential, or why there are none."""
    problem = problem_of(row, now)
    if row is None or problem:
        return problem
    try:
        return vault.open(row)
    except Unopened as error:
        log.error("%s", error)
        return "cannot be opened by the central"


def opened(vault: Vault, row: CredentialRow | None, now: float) -> Credential | str:
    """What goes out of a credential, or why nothing does. Of s3 only the URLs are told: its keys stay here."""
    values = unlocked(vault, row, now)
    if row is None or isinstance(values, str):
        return str(values)
    if access_tokens.is_refreshed(row):
        return access_tokens.delivery(row, values, now)
    left = None if row.expires is None else max(1, int(row.expires - now))
    return delivered(row.name, cast(Kind, row.kind), values, row.urls, left, version_of(row))


def due(
    vault: Vault, names: Sequence[str], rows: Mapping[str, CredentialRow], now: float
) -> tuple[Credential, ...] | Missing:
    """What goes out with the lease of a job that names these."""
    found: list[Credential] = []
    for name in names:
        one = opened(vault, rows.get(name), now)
        if isinstance(one, str):
            return Missing(name, one, _passes(vault, rows.get(name), now))
        found.append(one)
    return tuple(found)


def _passes(vault: Vault, row: CredentialRow | None, now: float) -> bool:
    """Whether what is wrong with a credential may pass by itself."""
    if row is None or not access_tokens.is_refreshed(row):
        return False
    values = unlocked(vault, row, now)
    return not isinstance(values, str) and access_tokens.passes(values)


#: (community, owner) → name → row.
Rows = Mapping[tuple[str, str], Mapping[str, CredentialRow]]
#: Community, owner, and names of credentials.
Wanted = tuple[str, str, Sequence[str]]


async def rows_of(store: Store, wanted: Iterable[Wanted]) -> Rows:
    """What owners have of the names that their jobs say."""
    names: dict[tuple[str, str], set[str]] = {}
    for community, owner, said in wanted:
        names.setdefault((community, owner), set()).update(said)
    return {
        (community, owner): {row.name: row for row in await store.credentials(community, owner, sorted(said))}
        for (community, owner), said in names.items()
        if said
    }


async def freshened(central: Central, pilot: PilotRow, rows: Rows) -> tuple[PilotRow, Rows]:
    """The rows with access tokens that are good for a while; and the pilot as it is then, since that may take long."""
    fresh = await central.refreshing.fresh(rows)
    return (pilot, rows) if fresh is rows else (await central.roster.row(pilot.stamp, fresh=True), fresh)


@dataclass
class _Sorted:
    """What is due to the leases of one answer, by (job, attempt)."""

    given: dict[tuple[int, int], tuple[Credential, ...]] = field(default_factory=dict)
    missing: dict[tuple[int, int], Missing] = field(default_factory=dict)
    later: dict[tuple[int, int], Leased] = field(default_factory=dict)  # for which the answer has no room
    size: int = 0  # characters


async def deliver(central: Central, stamp: str, leases: Sequence[Leased]) -> tuple[Sequence[Leased], Delivered]:
    """The leases that go out, and what goes with them: read anew each time, also for the same answer again."""
    if not any(leased.spec.credentials for leased in leases):
        return leases, {}
    pilot = await central.roster.row(stamp, fresh=True)
    rows = await rows_of(central.store, [(one.community, one.owner, one.spec.credentials) for one in leases])
    if not pilot.alarm:
        pilot, rows = await freshened(central, pilot, rows)
    found = _Sorted()
    for leased in leases:
        if leased.spec.credentials:
            mine, names = rows[leased.community, leased.owner], leased.spec.credentials
            _sort(found, leased, _barred(leased) if pilot.alarm else due(central.vault, names, mine, central.wall()))
    await central.store.note([line for leased in leases for line in _lines(pilot, leased, found.given, found.missing)])
    for leased in leases:
        if why := found.missing.get((leased.job, leased.attempt)):
            await _withhold(central, pilot, leased, why)
    if found.later:
        back = await central.store.release(stamp, list(found.later), "the secrets of others filled the answer")
        central.dispatcher.jobs_requeued(back)
    kept = found.missing.keys() | found.later.keys()
    return [leased for leased in leases if (leased.job, leased.attempt) not in kept], found.given


def _sort(found: _Sorted, leased: Leased, due: tuple[Credential, ...] | Missing) -> None:
    key = (leased.job, leased.attempt)
    if isinstance(due, Missing):
        found.missing[key] = due
        return
    size = sum(map(size_of, due))
    if found.given and found.size + size > ROOM:
        found.later[key] = leased
        return
    found.given[key] = due
    found.size += size


def size_of(credential: Credential) -> int:
    """Characters of what is secret in it."""
    return sum(map(len, credential.values.values()))


def _barred(leased: Leased) -> Missing:
    return Missing(leased.spec.credentials[0], BARRED)


def _lines(
    pilot: PilotRow, leased: Leased, given: Delivered, missing: Mapping[tuple[int, int], Missing]
) -> Iterable[Note]:
    """For the audit."""
    key = (leased.job, leased.attempt)
    refused = missing.get(key)
    names = [refused.name] if refused else [one.name for one in given.get(key, ())]
    for name in names:
        yield Note(
            f"pilot {pilot.stamp}",
            "credential.refused" if refused else "credential.delivered",
            leased.community,
            leased.owner,
            name,
            leased.job,
            leased.attempt,
            f"it {refused.why}" if refused else f"to {pilot.host or pilot.site}",
        )


async def _withhold(central: Central, pilot: PilotRow, leased: Leased, why: Missing) -> None:
    """Take a lease back that was not told of yet. The job is held, unless the pilot is to blame, or nobody."""
    sentence = f"its credential {why.name} {why.why}"
    if why.passing:
        sentence = f"{sentence}; it is offered again when that is over"
        outages.begin(central, leased, why.name, why.why)  # before: nobody else is to get it at once
    try:
        back = await central.store.release(pilot.stamp, [(leased.job, leased.attempt)], sentence)
    except Refusal as refusal:
        if refusal.type != "conflict":  # it has started: its pilot got an earlier answer with all that it needs
            raise
        return
    if pilot.alarm or why.passing:
        central.dispatcher.jobs_requeued(back)
        central.hub.publish((leased.community,), JobChanged(leased.job, JobState.WAITING, leased.attempt))
        return
    await _hold(central, leased, why.name, sentence)
    central.dispatcher.attempts_ended()


async def _hold(central: Central, leased: Leased, name: str, sentence: str) -> None:
    """Hold the job, and those that would come to the same one after another: of its owner, with its needs.

    Between its release and this another pilot may get it: then it is held by that pilot's match.
    """
    waiting = await central.store.waiting_for(leased.queue, name, AT_ONCE)
    who = Identity(_CENTRAL, leased.community, leased.group, "operator")
    reason = f"{sentence}; set it anew with `pilotage credential set {name}`, then `pilotage release` the job"
    chosen = Selection(ids=tuple(dict.fromkeys((leased.job, *waiting))))
    changed = await central.store.change(who, leased.community, "hold", chosen, reason=reason)
    # The matcher counts this one no more since it was claimed.
    central.dispatcher.jobs_removed([job for job in changed.removed if job.job != leased.job])
    held = [result.job for result in changed.results if result.changed]
    central.hub.publish((leased.community,), *(JobChanged(job, JobState.HELD, 0) for job in held))
