"""A store whose changes other centrals hear of: every verb that changes something says so when it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from central.added import PlaceRow
from central.databases import CountedStore
from central.people import MemberRow, NewMember, NewToken, TokenRow
from central.records import (
    Changed,
    Claim,
    CredentialRow,
    Ended,
    Identity,
    NewJobs,
    Note,
    Pick,
    PilotRow,
    Requeued,
    Submitted,
    Swept,
)
from central.several.gossip import Added, Admitted, Gossip, Ordered, Over, PilotMoved, Placed, Returned, SetAnew, Taken
from central.trust.vault import version_of
from pilot.errors import Refusal
from pilot.protocol import Acknowledgement, AttemptReport, EnrolRequest, GoodbyeRequest, LeaseReport
from pilot.states import OrderVerb, PilotReason, PilotState
from pilot.views import JobVerb, Selection


def telling(store: CountedStore, gossip: Gossip) -> CountedStore:
    """The same store, which tells."""
    return cast(CountedStore, _Telling(store, gossip))


class _Telling:
    """Verbs that change nothing which another central has in memory are the store's own."""

    def __init__(self, store: CountedStore, gossip: Gossip) -> None:
        self._store = store
        self._say = gossip.say

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    # -- jobs ---------------------------------------------------------------------------------------------------
    async def submit(self, who: Identity, jobs: Sequence[NewJobs], key: str | None, digest: str) -> Submitted:
        submitted = await self._store.submit(who, jobs, key, digest)
        if not submitted.again:
            self._say(*(Added(waiting) for waiting in submitted.added))
        return submitted

    async def change(
        self,
        who: Identity,
        community: str | None,
        verb: JobVerb,
        selection: Selection,
        *,
        priority: int | None = None,
        reason: str = "",
    ) -> Changed:
        changed = await self._store.change(who, community, verb, selection, priority=priority, reason=reason)
        self._say(*(Taken(job.queue, job.priority) for job in changed.removed))
        self._say(*(Added(waiting) for waiting in changed.added))
        self._say(*(Ordered(stamp) for stamp in changed.ordered))
        return changed

    # -- matching -----------------------------------------------------------------------------------------------
    async def claim(
        self, stamp: str, agent: int, request: int, picks: Sequence[Pick], epoch: int | None = None
    ) -> Claim:
        claim = await self._store.claim(stamp, agent, request, picks, epoch)
        self._say(*(Taken(leased.queue, leased.priority) for leased in claim.leases))
        return claim

    async def report(self, stamp: str, job: int, attempt: int, report: AttemptReport) -> Ended | None:
        end = await self._store.report(stamp, job, attempt, report)
        if end is not None:
            self._ended(stamp, (end,))
        return end

    async def return_unseen(
        self, stamp: str, matched_through: Mapping[int, int], held: Sequence[LeaseReport]
    ) -> tuple[Requeued, ...]:
        requeued = await self._store.return_unseen(stamp, matched_through, held)
        self._say(*map(Returned, requeued))
        return requeued

    async def release(self, stamp: str, leases: Sequence[tuple[int, int]], why: str) -> tuple[Requeued, ...]:
        requeued = await self._store.release(stamp, leases, why)
        self._say(*map(Returned, requeued))
        return requeued

    async def sweep(self, silent_after: float) -> Swept:
        swept = await self._store.sweep(silent_after)
        self._say(*map(PilotMoved, swept.silent))
        self._say(*_returned(swept.ended))
        return swept

    # -- pilots -------------------------------------------------------------------------------------------------
    async def enrol(self, stamp: str, secret_hash: str, key_hash: str, request: EnrolRequest) -> PilotRow:
        try:
            return await self._store.enrol(stamp, secret_hash, key_hash, request)
        except Refusal as refusal:
            if refusal.type == "secret-used":  # which has raised an alarm
                self._say(PilotMoved(stamp))
            raise

    async def resume(self, stamp: str, key_hash: str, epoch: int, instance: str) -> tuple[PilotRow, tuple[Ended, ...]]:
        row, ends = await self._store.resume(stamp, key_hash, epoch, instance)
        self._say(PilotMoved(stamp), Ordered(stamp))
        self._ended(stamp, ends)
        return row, ends

    async def drain(self, stamp: str) -> None:
        await self._store.drain(stamp)
        self._say(PilotMoved(stamp, "draining"))

    async def goodbye(self, stamp: str, request: GoodbyeRequest) -> tuple[Ended, ...]:
        ends = await self._store.goodbye(stamp, request)
        self._ended(stamp, ends)
        self._say(PilotMoved(stamp, "over"))
        return ends

    async def end_pilot(
        self, stamp: str, state: PilotState, reason: PilotReason, message: str = ""
    ) -> tuple[Ended, ...]:
        ends = await self._store.end_pilot(stamp, state, reason, message)
        self._ended(stamp, ends)
        self._say(PilotMoved(stamp, "over"))
        return ends

    # -- orders -------------------------------------------------------------------------------------------------
    async def order(
        self,
        stamp: str,
        verb: OrderVerb,
        *,
        who: str,
        job: int | None = None,
        attempt: int | None = None,
        argument: str = "",
        reason: str = "",
    ) -> int:
        order = await self._store.order(
            stamp, verb, who=who, job=job, attempt=attempt, argument=argument, reason=reason
        )
        self._say(Ordered(stamp))
        return order

    async def acknowledge(self, stamp: str, acknowledgements: Sequence[Acknowledgement]) -> None:
        await self._store.acknowledge(stamp, acknowledgements)
        self._say(Ordered(stamp))

    # -- sites and queues ---------------------------------------------------------------------------------------
    async def keep_place(self, kind: str, name: str, text: str, who: str, note: str = "") -> PlaceRow:
        row = await self._store.keep_place(kind, name, text, who, note)
        self._say(Placed())
        return row

    async def remove_place(self, kind: str, name: str, who: str) -> PlaceRow:
        row = await self._store.remove_place(kind, name, who)
        self._say(Placed())
        return row

    # -- credentials --------------------------------------------------------------------------------------------
    async def keep_credential(self, row: CredentialRow, note: Note, most: int) -> float:
        changed = await self._store.keep_credential(row, note, most)
        self._say(SetAnew(row.community, row.owner, row.name, version_of(replace(row, changed=changed))))
        return changed

    # -- people -------------------------------------------------------------------------------------------------
    async def keep_member(self, new: NewMember, note: Note) -> MemberRow:
        row = await self._store.keep_member(new, note)
        self._say(Admitted())
        return row

    async def revoke_member(self, number: int, who: str, reason: str, note: Note) -> MemberRow:
        row = await self._store.revoke_member(number, who, reason, note)
        self._say(Admitted())
        return row

    async def open_token(self, new: NewToken, most: int, note: Note) -> TokenRow:
        row = await self._store.open_token(new, most, note)
        self._say(Admitted())
        return row

    async def revoke_token(self, number: int, who: str, note: Note) -> TokenRow:
        row = await self._store.revoke_token(number, who, note)
        self._say(Admitted())
        return row

    def _ended(self, stamp: str, ends: Sequence[Ended]) -> None:
        self._say(*(Over(stamp, end.job, end.attempt) for end in ends))
        self._say(*_returned(ends))


def _returned(ends: Sequence[Ended]) -> Iterable[Returned]:
    return (Returned(end.requeued) for end in ends if end.requeued)
