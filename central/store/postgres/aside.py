"""The verbs of the port over PostgreSQL about what is kept beside jobs and pilots; and how every verb is run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from central.added import EnrolmentRow, NewEnrolment, PlaceRow
from central.auditing import AuditQuery, StoredChain, Unlinked
from central.people import MemberRow, NewMember, NewToken, SiteAdmins, TokenRow, Whose
from central.records import BundleRow, CredentialRow, NewPilot, Note, Noted, Pause, PilotRow, PinRow
from central.store.port_vault import Entitled
from central.store.postgres import (
    audit,
    bundles,
    enrolment,
    enrolment_tokens,
    logins,
    members,
    named,
    pauses,
    places,
    queue_tests,
    retention,
    vault,
)
from central.store.postgres.transactions import Transactions
from pilot.audit import AuditLine, AuditLink, AuditStart

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

T = TypeVar("T")
P = ParamSpec("P")


class Aside:
    """What operators and owners keep at a central: sites, queues and their pauses, people, credentials, bundles."""

    _transactions: Transactions
    _clock: Callable[[], float] | None

    # -- queues

    async def pause_queue(
        self, queue: str, who: str, reason: str, seconds: float | None = None, *, admins: SiteAdmins | None = None
    ) -> None:
        await self._repeat(pauses.pause, queue, "", who, reason, seconds, admins)

    async def resume_queue(self, queue: str, who: str, *, admins: SiteAdmins | None = None) -> bool:
        return await self._repeat(pauses.resume, queue, "", who, admins)

    async def ban_site(
        self, site: str, who: str, reason: str, seconds: float | None = None, *, admins: SiteAdmins | None = None
    ) -> None:
        await self._repeat(pauses.pause, "", site, who, reason, seconds, admins)

    async def lift_ban(self, site: str, who: str, *, admins: SiteAdmins | None = None) -> bool:
        return await self._repeat(pauses.resume, "", site, who, admins)

    async def pauses(self) -> tuple[Pause, ...]:
        return await self._reader(pauses.pauses, self._clock() if self._clock else None)

    async def plan_test(self, pilot: NewPilot, *, admins: SiteAdmins | None = None) -> None:
        await self._repeat(queue_tests.plan, pilot, admins)

    async def keep_place(self, kind: str, name: str, text: str, who: str, note: str = "") -> PlaceRow:
        return await self._repeat(places.keep, kind, name, text, who, note)

    async def remove_place(self, kind: str, name: str, who: str) -> PlaceRow:
        return await self._once(places.remove, kind, name, who)

    async def places(self) -> tuple[PlaceRow, ...]:
        return await self._reader(places.places)

    async def place_history(self, kind: str, name: str) -> tuple[PlaceRow, ...]:
        return await self._reader(places.history, kind, name)

    # -- people

    async def keep_member(self, new: NewMember, note: Note) -> MemberRow:
        return await self._repeat(members.keep, new, note)

    async def members(self, whose: Whose) -> tuple[MemberRow, ...]:
        return await self._reader(members.members, whose)

    async def revoke_member(self, number: int, who: str, reason: str, note: Note) -> MemberRow:
        return await self._repeat(members.revoke_member, number, who, reason, note)

    async def open_token(self, new: NewToken, most: int, note: Note) -> TokenRow:
        return await self._once(members.open_token, new, most, note)

    async def tokens(self, whose: Whose) -> tuple[TokenRow, ...]:
        return await self._reader(members.tokens, whose)

    async def token(self, number: int) -> TokenRow:
        return await self._reader(members.token, number)

    async def revoke_token(self, number: int, who: str, note: Note) -> TokenRow:
        return await self._repeat(members.revoke_token, number, who, note)

    async def people(self) -> tuple[tuple[MemberRow, ...], tuple[TokenRow, ...]]:
        return await self._reader(members.people, self._clock() if self._clock else None)

    async def retire_people(self, before: float, limit: int) -> int:
        return await self._repeat(retention.retire_people, before, limit)

    async def used_tokens(self, used: Mapping[int, float]) -> None:
        await self._repeat(members.used_tokens, used)

    async def spend_id_token(self, digest: str, seconds: float) -> bool:
        return await self._once(logins.spend, digest, seconds)

    # -- pilots by name

    async def called_pilots(
        self, name: str, community: str | None, *, site: str | None = None, limit: int = 1000
    ) -> tuple[PilotRow, ...]:
        return await self._reader(named.called, community, site, name, limit)

    # -- pilots that nobody submitted

    async def open_enrolment(self, new: NewEnrolment) -> EnrolmentRow:
        return await self._repeat(enrolment_tokens.open_one, new)

    async def enrolments(self) -> tuple[EnrolmentRow, ...]:
        return await self._reader(enrolment_tokens.enrolments)

    async def enrolment_of(self, hash: str) -> EnrolmentRow | None:
        return await self._reader(enrolment_tokens.enrolment_of, hash)

    async def revoke_enrolment(self, number: int, who: str) -> EnrolmentRow:
        return await self._repeat(enrolment_tokens.revoke, number, who)

    async def expects(self, stamp: str, secret_hash: str) -> bool:
        return await self._reader(enrolment.expects, stamp, secret_hash, self._clock() if self._clock else None)

    async def admit(self, pilot: NewPilot, where: str = "") -> None:
        if problem := await self._repeat(enrolment_tokens.admit, pilot, where):
            raise problem

    # -- credentials

    async def keep_credential(self, row: CredentialRow, note: Note, most: int) -> float:
        return await self._repeat(vault.keep, row, note, most)

    async def credentials(
        self, community: str, owner: str | None = None, names: Sequence[str] | None = None
    ) -> tuple[CredentialRow, ...]:
        return await self._reader(vault.credentials, community, owner, names)

    async def waiting_for(self, queue: int, credential: str, limit: int) -> tuple[int, ...]:
        return await self._reader(vault.waiting_for, queue, credential, limit)

    async def running_with(self, community: str, owner: str, credential: str, limit: int) -> int:
        return await self._reader(vault.running_with, community, owner, credential, limit)

    async def entitled(self, stamp: str) -> tuple[Entitled, ...]:
        return await self._reader(vault.entitled, stamp)

    async def remove_credential(self, community: str, owner: str, name: str, note: Note) -> None:
        await self._once(vault.remove, community, owner, name, note)

    async def credentials_under_others(self, keys: Sequence[str], limit: int) -> tuple[CredentialRow, ...]:
        return await self._reader(vault.under_others, keys, limit)

    async def reseal_credential(self, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
        return await self._repeat(vault.reseal, old, key_id, sealed)

    async def note(self, notes: Sequence[Note]) -> None:
        await self._once(audit.note, notes)

    async def notes(self, community: str, owner: str, subject: str, limit: int) -> tuple[Noted, ...]:
        return await self._reader(audit.notes, community, owner, subject, limit)

    # -- the audit

    async def audit(self, query: AuditQuery, limit: int) -> tuple[AuditLine, ...]:
        return await self._reader(audit.audit, query, limit)

    async def unlinked(self, limit: int) -> Unlinked:
        found, is_more = await self._reader(audit.newest)
        return await self._repeat(audit.unlinked, limit) if is_more else found

    async def link(self, link: AuditLink) -> bool:
        return await self._repeat(audit.link, link)

    async def audit_link(self, number: int) -> AuditLink | None:
        return await self._reader(audit.audit_link_of, number)

    async def chain(self, after: int, limit: int) -> StoredChain:
        return await self._reader(audit.chain, after, limit)

    async def old_link(self, before: float, limit: int) -> AuditLink | None:
        return await self._reader(audit.old_link, before, limit)

    async def let_go(self, start: AuditStart) -> int:
        return await self._repeat(audit.let_go, start)

    # -- bundles

    async def add_bundle(self, bundle: BundleRow) -> None:
        await self._repeat(bundles.add, bundle)

    async def bundles(self, community: str | None) -> tuple[BundleRow, ...]:
        return await self._reader(bundles.bundles, community)

    async def knows_bundle(self, sha256: str) -> bool:
        return await self._reader(bundles.known, sha256)

    async def pin_bundle(self, community: str, name: str, sha256: str, who: str) -> None:
        await self._repeat(bundles.pin, community, name, sha256, who)

    async def pins(self, community: str | None) -> tuple[PinRow, ...]:
        return await self._reader(bundles.pins, community)

    # -- how

    async def _once(
        self, verb: Callable[Concatenate[Database, float, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._transactions.run(verb, *args, **kwargs)

    async def _repeat(
        self, verb: Callable[Concatenate[Database, float, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._transactions.repeat(verb, *args, **kwargs)

    async def _reader(
        self, verb: Callable[Concatenate[Database, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._transactions.read(verb, *args, **kwargs)
