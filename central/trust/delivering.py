"""Credentials on their way to attempts: what is due to each lease, and what becomes of a job that cannot have its own.

A job whose credential was removed, has expired or cannot be opened is held with the reason, uncharged: no pilot could
do anything about it, and its owner can, by setting it anew and releasing the job. A pilot with an alarm gets none: what
it was leased goes back to the queue. Both are written into the audit, as every delivery is.
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
from central.trust.vault import Unopened, Vault
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
#: Who holds jobs in the central's own name.
_CENTRAL = "the central"


class Signings:
    """What attempts had done with which credential: the first time is written down, not every file."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._known: OrderedDict[tuple[int, int, str], None] = OrderedDict()

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
    """Why an attempt cannot have one of its credentials."""

    name: str
    why: str


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


def due(
    vault: Vault, leased: Leased, rows: Mapping[str, CredentialRow], now: float
) -> tuple[Credential, ...] | Missing:
    """What goes out with a lease. What presigned URLs stand for stays here: of s3 only the URLs are told."""
    found: list[Credential] = []
    for name in leased.spec.credentials:
        row = rows.get(name)
        values = unlocked(vault, row, now)
        if row is None or isinstance(values, str):
            return Missing(name, str(values))
        left = None if row.expires is None else max(1, int(row.expires - now))
        found.append(delivered(row.name, cast(Kind, row.kind), values, row.urls, left))
    return tuple(found)


async def rows_of(store: Store, leases: Iterable[Leased]) -> dict[tuple[str, str], dict[str, CredentialRow]]:
    """What the owners of these jobs have of the names that the jobs say: (community, owner) → name → row."""
    names: dict[tuple[str, str], set[str]] = {}
    for leased in leases:
        if leased.spec.credentials:
            names.setdefault((leased.community, leased.owner), set()).update(leased.spec.credentials)
    return {
        (community, owner): {row.name: row for row in await store.credentials(community, owner, sorted(wanted))}
        for (community, owner), wanted in names.items()
    }


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
    rows = await rows_of(central.store, leases)
    found = _Sorted()
    for leased in leases:
        if leased.spec.credentials:
            mine = rows[leased.community, leased.owner]
            _sort(found, leased, _barred(leased) if pilot.alarm else due(central.vault, leased, mine, central.wall()))
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
    size = sum(len(value) for each in due for value in each.values.values())
    if found.given and found.size + size > ROOM:
        found.later[key] = leased
        return
    found.given[key] = due
    found.size += size


def _barred(leased: Leased) -> Missing:
    return Missing(leased.spec.credentials[0], "is not given to a pilot with an alarm")


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
    """Take a lease back that was not told of yet. The job is held, unless it is the pilot that is wrong."""
    sentence = f"its credential {why.name} {why.why}"
    try:
        back = await central.store.release(pilot.stamp, [(leased.job, leased.attempt)], sentence)
    except Refusal as refusal:
        if refusal.type != "conflict":  # it has started: its pilot got an earlier answer with all that it needs
            raise
        return
    if pilot.alarm:
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
