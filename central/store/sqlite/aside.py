"""The verbs of the port over SQLite about what is kept beside jobs and pilots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from central.added import EnrolmentRow, NewEnrolment, PlaceRow
from central.auditing import AuditQuery, StoredChain, Unlinked
from central.people import MemberRow, NewMember, NewToken, SiteAdmins, TokenRow, Whose
from central.records import BundleRow, CredentialRow, NewPilot, Note, Noted, Pause, PilotRow, PinRow
from central.store.port_vault import Entitled
from central.store.sqlite import (
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
from central.store.sqlite.readers import Readers
from central.store.sqlite.writer import Writer
from pilot.audit import AuditLine, AuditLink, AuditStart


class Aside:
    """What operators and owners keep at a central: sites, queues and their pauses, people, credentials, bundles."""

    _writer: Writer
    _readers: Readers
    _clock: Callable[[], float]

    # -- queues

    async def pause_queue(
        self, queue: str, who: str, reason: str, seconds: float | None = None, *, admins: SiteAdmins | None = None
    ) -> None:
        await self._writer.run(pauses.pause, queue, "", who, reason, seconds, admins)

    async def resume_queue(self, queue: str, who: str, *, admins: SiteAdmins | None = None) -> bool:
        return await self._writer.run(pauses.resume, queue, "", who, admins)

    async def ban_site(
        self, site: str, who: str, reason: str, seconds: float | None = None, *, admins: SiteAdmins | None = None
    ) -> None:
        await self._writer.run(pauses.pause, "", site, who, reason, seconds, admins)

    async def lift_ban(self, site: str, who: str, *, admins: SiteAdmins | None = None) -> bool:
        return await self._writer.run(pauses.resume, "", site, who, admins)

    async def pauses(self) -> tuple[Pause, ...]:
        return await self._readers.run(pauses.pauses, self._clock())

    async def plan_test(self, pilot: NewPilot, *, admins: SiteAdmins | None = None) -> None:
        await self._writer.run(queue_tests.plan, pilot, admins)

    async def keep_place(self, kind: str, name: str, text: str, who: str, note: str = "") -> PlaceRow:
        return await self._writer.run(places.keep, kind, name, text, who, note)

    async def remove_place(self, kind: str, name: str, who: str) -> PlaceRow:
        return await self._writer.run(places.remove, kind, name, who)

    async def places(self) -> tuple[PlaceRow, ...]:
        return await self._readers.run(places.places)

    async def place_history(self, kind: str, name: str) -> tuple[PlaceRow, ...]:
        return await self._readers.run(places.history, kind, name)

    # -- people

    async def keep_member(self, new: NewMember, note: Note) -> MemberRow:
        return await self._writer.run(members.keep, new, note)

    async def members(self, whose: Whose) -> tuple[MemberRow, ...]:
        return await self._readers.run(members.members, whose)

    async def revoke_member(self, number: int, who: str, reason: str, note: Note) -> MemberRow:
        return await self._writer.run(members.revoke_member, number, who, reason, note)

    async def open_token(self, new: NewToken, most: int, note: Note) -> TokenRow:
        return await self._writer.run(members.open_token, new, most, note)

    async def tokens(self, whose: Whose) -> tuple[TokenRow, ...]:
        return await self._readers.run(members.tokens, whose)

    async def token(self, number: int) -> TokenRow:
        return await self._readers.run(members.token, number)

    async def revoke_token(self, number: int, who: str, note: Note) -> TokenRow:
        return await self._writer.run(members.revoke_token, number, who, note)

    async def people(self) -> tuple[tuple[MemberRow, ...], tuple[TokenRow, ...]]:
        return await self._readers.run(members.people, self._clock())

    async def retire_people(self, before: float, limit: int) -> int:
        return await self._writer.run(retention.retire_people, before, limit)

    async def used_tokens(self, used: Mapping[int, float]) -> None:
        await self._writer.run(members.used_tokens, used)

    async def spend_id_token(self, digest: str, seconds: float) -> bool:
        return await self._writer.run(logins.spend, digest, seconds)

    # -- pilots by name

    async def called_pilots(
        self, name: str, community: str | None, *, site: str | None = None, limit: int = 1000
    ) -> tuple[PilotRow, ...]:
        return await self._readers.run(named.called, community, site, name, limit)

    # -- pilots that nobody submitted

    async def open_enrolment(self, new: NewEnrolment) -> EnrolmentRow:
        return await self._writer.run(enrolment_tokens.open_one, new)

    async def enrolments(self) -> tuple[EnrolmentRow, ...]:
        return await self._readers.run(enrolment_tokens.enrolments)

    async def enrolment_of(self, hash: str) -> EnrolmentRow | None:
        return await self._readers.run(enrolment_tokens.enrolment_of, hash)

    async def revoke_enrolment(self, number: int, who: str) -> EnrolmentRow:
        return await self._writer.run(enrolment_tokens.revoke, number, who)

    async def expects(self, stamp: str, secret_hash: str) -> bool:
        return await self._readers.run(enrolment.expects, stamp, secret_hash, self._clock())

    async def admit(self, pilot: NewPilot, where: str = "") -> None:
        if problem := await self._writer.run(enrolment_tokens.admit, pilot, where):
            raise problem

    # -- credentials

    async def keep_credential(self, row: CredentialRow, note: Note, most: int) -> float:
        return await self._writer.run(vault.keep, row, note, most)

    async def credentials(
        self, community: str, owner: str | None = None, names: Sequence[str] | None = None
    ) -> tuple[CredentialRow, ...]:
        return await self._readers.run(vault.credentials, community, owner, names)

    async def waiting_for(self, queue: int, credential: str, limit: int) -> tuple[int, ...]:
        return await self._readers.run(vault.waiting_for, queue, credential, limit)

    async def running_with(self, community: str, owner: str, credential: str, limit: int) -> int:
        return await self._readers.run(vault.running_with, community, owner, credential, limit)

    async def entitled(self, stamp: str) -> tuple[Entitled, ...]:
        return await self._readers.run(vault.entitled, stamp)

    async def remove_credential(self, community: str, owner: str, name: str, note: Note) -> None:
        await self._writer.run(vault.remove, community, owner, name, note)

    async def credentials_under_others(self, keys: Sequence[str], limit: int) -> tuple[CredentialRow, ...]:
        return await self._readers.run(vault.under_others, keys, limit)

    async def reseal_credential(self, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
        return await self._writer.run(vault.reseal, old, key_id, sealed)

    async def note(self, notes: Sequence[Note]) -> None:
        await self._writer.run(audit.note, notes)

    async def notes(self, community: str, owner: str, subject: str, limit: int) -> tuple[Noted, ...]:
        return await self._readers.run(audit.notes, community, owner, subject, limit)

    # -- the audit

    async def audit(self, query: AuditQuery, limit: int) -> tuple[AuditLine, ...]:
        return await self._readers.run(audit.audit, query, limit)

    async def unlinked(self, limit: int) -> Unlinked:
        return await self._readers.run(audit.unlinked, limit)

    async def link(self, link: AuditLink) -> bool:
        return await self._writer.run(audit.link, link)

    async def audit_link(self, number: int) -> AuditLink | None:
        return await self._readers.run(audit.audit_link_of, number)

    async def chain(self, after: int, limit: int) -> StoredChain:
        return await self._readers.run(audit.chain, after, limit)

    async def old_link(self, before: float, limit: int) -> AuditLink | None:
        return await self._readers.run(audit.old_link, before, limit)

    async def let_go(self, start: AuditStart) -> int:
        return await self._writer.run(audit.let_go, start)

    # -- bundles

    async def add_bundle(self, bundle: BundleRow) -> None:
        await self._writer.run(bundles.add, bundle)

    async def bundles(self, community: str | None) -> tuple[BundleRow, ...]:
        return await self._readers.run(bundles.bundles, community)

    async def knows_bundle(self, sha256: str) -> bool:
        return await self._readers.run(bundles.known, sha256)

    async def pin_bundle(self, community: str, name: str, sha256: str, who: str) -> None:
        await self._writer.run(bundles.pin, community, name, sha256, who)

    async def pins(self, community: str | None) -> tuple[PinRow, ...]:
        return await self._readers.run(bundles.pins, community)
