"""Credentials that their owners have set anew, on their way to attempts that run, when the pilot asks that holds them.

What was removed, has expired or cannot be opened is no answer: the attempt keeps what it has. A pilot with an alarm
gets nothing. What goes out is written into the audit before, once for each attempt and version.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from central.records import CredentialRow, Note, PilotRow
from central.store.port_vault import Entitled
from central.trust.access_tokens import is_refreshed
from central.trust.delivering import BARRED, ROOM, Rows, freshened, opened, rows_of, size_of
from central.trust.vault import version_of
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import Credential, CredentialVersions
from pilot.renewals import MAX_ATTEMPTS, CredentialsReply, CredentialsRequest, NewerCredentials

if TYPE_CHECKING:
    from central.app import Central

#: Attempts that the asking pilot does not hold, of which it is looked up whose they are.
LOOKED_UP = 20


async def newer(central: Central, stamp: str, request: CredentialsRequest) -> CredentialsReply:
    """What was set since a pilot was given what it says. Raises ``invalid``, ``not-yours``."""
    if len(request.attempts) > MAX_ATTEMPTS:
        raise InvalidInput("attempts", f"expected at most {MAX_ATTEMPTS:,}, got {len(request.attempts):,}")
    pilot = await central.roster.row(stamp, fresh=True)
    entitled = {(one.job, one.attempt): one for one in await central.store.entitled(stamp)}
    await _refuse_others(central, stamp, [one for one in request.attempts if (one.job, one.attempt) not in entitled])
    asked = [(entitled[one.job, one.attempt], one) for one in request.attempts if (one.job, one.attempt) in entitled]
    rows: Rows = {}
    if not pilot.alarm:
        rows = await rows_of(central.store, [(one.community, one.owner, _named(one, said)) for one, said in asked])
        pilot, rows = await freshened(central, pilot, rows)
    if pilot.alarm:
        for attempt, said in asked:
            for name in _named(attempt, said):
                central.audit.bounded(_note(pilot, attempt, name, "credential.refused", f"it {BARRED}"))
        return CredentialsReply()
    found = _Found()
    for attempt, said in asked:
        mine = rows.get((attempt.community, attempt.owner), {})
        _find(central, attempt, {name: said.versions[name] for name in _named(attempt, said)}, mine, found)
    await _write_down(central, pilot, found.given)
    given = tuple(NewerCredentials(one.job, one.attempt, tuple(credentials)) for one, credentials in found.given)
    return CredentialsReply(given, found.more)


def _named(attempt: Entitled, said: CredentialVersions) -> Sequence[str]:
    """What the pilot asks for, as far as the job names it."""
    return [name for name in attempt.names if name in said.versions]


async def _refuse_others(central: Central, stamp: str, attempts: Collection[CredentialVersions]) -> None:
    """An attempt that is over is passed over; one that another pilot holds is no business of this one.

    Raises ``not-yours``.
    """
    for one in list(attempts)[:LOOKED_UP]:
        try:
            live = await central.store.live_attempt(one.job, one.attempt)
        except Refusal:
            continue
        if live.stamp != stamp:
            raise Refusal("not-yours", f"attempt {one.attempt} of job {one.job} is leased to another pilot")


@dataclass
class _Found:
    """What goes out in one answer."""

    given: list[tuple[Entitled, list[Credential]]] = field(default_factory=list)
    size: int = 0  # characters
    more: bool = False


def _find(
    central: Central, attempt: Entitled, versions: Mapping[str, str], rows: Mapping[str, CredentialRow], found: _Found
) -> None:
    """Add what is newer, as far as there is room; one of them always goes."""
    mine: list[Credential] = []
    for name, version in versions.items():
        row = rows.get(name)
        if row is None or (version_of(row) == version and not is_refreshed(row)):
            continue
        if found.size >= ROOM:
            found.more = True
            break
        one = opened(central.vault, row, central.wall())
        if isinstance(one, str) or one.version == version:
            continue
        mine.append(one)
        found.size += size_of(one)
    if mine:
        found.given.append((attempt, mine))


async def _write_down(
    central: Central, pilot: PilotRow, given: Sequence[tuple[Entitled, Sequence[Credential]]]
) -> None:
    """Into the audit. An answer that was lost is given again, and is no second line."""
    new = [
        (attempt, one)
        for attempt, credentials in given
        for one in credentials
        if not central.signings.knows(attempt.job, attempt.attempt, _mark(one))
    ]
    detail = f"renewed, to {pilot.host or pilot.site}"
    if new:
        await central.store.note(
            [_note(pilot, attempt, one.name, "credential.delivered", detail) for attempt, one in new]
        )
    for attempt, one in new:
        central.signings.first(attempt.job, attempt.attempt, _mark(one))


def _mark(one: Credential) -> str:
    return f"renewed {one.name} {one.version}"


def _note(pilot: PilotRow, attempt: Entitled, name: str, what: str, detail: str) -> Note:
    who = f"pilot {pilot.stamp}"
    return Note(who, what, attempt.community, attempt.owner, name, attempt.job, attempt.attempt, detail)
