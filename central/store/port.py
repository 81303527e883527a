"""The port that every store implements; `tests/contract/test_store.py` is its meaning.

Verbs of the domain, each one durable transaction when it returns. Times are the database's. States change by
compare-and-set; what cannot be done raises a `pilot.errors.Refusal`. Everything about people's jobs takes the
community (None: an operator, who sees all).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from central.added import EnrolmentRow, NewEnrolment, PlaceRow
from central.people import SiteAdmins
from central.records import (
    Beat,
    Bought,
    BundleRow,
    Changed,
    Claim,
    Consumed,
    Ended,
    Identity,
    Leased,
    Limit,
    LimitUse,
    LiveAttempt,
    NewJobs,
    NewPilot,
    OrderRow,
    Pause,
    Pick,
    PilotRow,
    PinRow,
    Requeued,
    Submitted,
    Swept,
    Waiting,
)
from central.store.port_audit import AuditStore
from central.store.port_logins import LoginStore
from central.store.port_people import PeopleStore
from central.store.port_sandboxes import FileStore
from central.store.port_vault import VaultStore
from pilot.protocol import Acknowledgement, AttemptReport, EnrolRequest, GoodbyeRequest, LeaseReport, StepReport
from pilot.states import OrderVerb, PilotReason, PilotState
from pilot.use import UsageRow, WasteRow
from pilot.views import AttemptView, JobDetail, JobPage, JobVerb, MachineLoad, Selection, StepView


class Store(FileStore, PeopleStore, LoginStore, VaultStore, AuditStore, Protocol):
    """All that must survive."""

    # -- life ---------------------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Connect, migrate the schema when it is older, refuse when it is newer."""

    async def close(self) -> None: ...

    async def now(self) -> float:
        """The database's time, seconds since the epoch."""

    async def backup(self, path: Path) -> None:
        """Write a consistent copy while serving. Restoring is opening it."""

    async def lead(self, duty: str, holder: str, seconds: float) -> int | None:
        """Take or keep the leadership of a duty for so long. Returns the epoch, None when somebody else has it."""

    # -- jobs, by people ----------------------------------------------------------------------------------------
    async def submit(self, who: Identity, jobs: Sequence[NewJobs], key: str | None, digest: str) -> Submitted:
        """Store all or nothing. A known `key` with the same `digest` gives the first answer, with another refuses."""

    async def submitted_before(self, who: Identity, key: str, digest: str) -> Submitted | None:
        """The answer that a key has had before, or the refusal that it has now; None: it is new."""

    async def job(self, community: str | None, job: int) -> JobDetail:
        """Raises the refusal ``not-found``, as for a job of another community."""

    async def jobs(
        self, community: str | None, selection: Selection, cursor: str | None, limit: int, counts: bool
    ) -> JobPage:
        """Newest first."""

    async def attempts(self, community: str | None, job: int) -> tuple[AttemptView, ...]:
        """In order, with their history."""

    async def task_queue(self, job: int) -> Waiting | None:
        """The task queue that a job belongs to, with what waits in it."""

    async def ahead(self, job: int, queues: Sequence[int]) -> int:
        """How many waiting jobs of these queues go before this one by priority and age."""

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
        """Kill, hold, release, reschedule or re-prioritise, one result a job.

        A leased job that is killed becomes ``killed`` at once, and a kill order for its attempt is written for its
        pilot; the attempt stays in `held` until that pilot has reported its end or ended itself.
        """

    # -- matching -----------------------------------------------------------------------------------------------
    async def waiting(self) -> tuple[Waiting, ...]:
        """Everything that waits, for a matcher that starts: one row per queue."""

    async def claim(
        self, stamp: str, agent: int, request: int, picks: Sequence[Pick], epoch: int | None = None
    ) -> Claim:
        """Lease up to so many jobs of each queue to a pilot that may have them, oldest of the highest priority first.
        A job that has saved a checkpoint gets the newest with the lease.

        Concurrent claims share a commit. A request number that was answered with leases before gives those of them
        that are still held (see `answered`), never more: when there are none, the claim is ``superseded``. So is
        one of another `epoch` than the pilot's own: what was asked before a resume is not for whoever resumed.
        """

    async def set_limits(self, limits: Sequence[Limit]) -> None:
        """Make these the limits on what runs, and count what is out now under them. One set below that ends nothing."""

    async def limits(self) -> tuple[LimitUse, ...]:
        """Every limit, and how full it is."""

    async def answered(self, stamp: str, agent: int, request: int) -> tuple[Leased, ...] | None:
        """The leases that this request number was given and that are still held; None when it was never given any.

        A number below the agent's last one that was given leases counts as given: a newer has taken its place.
        """

    async def return_unseen(
        self, stamp: str, matched_through: Mapping[int, int], held: Sequence[LeaseReport]
    ) -> tuple[Requeued, ...]:
        """Put back, uncharged, leases of answers up to those numbers (agent → request) that the pilot does not list."""

    async def held(self, stamp: str) -> tuple[LiveAttempt, ...]:
        """What a pilot has leased now."""

    async def live_attempt(self, job: int, attempt: int) -> LiveAttempt:
        """Raises ``stale-attempt`` unless it is the current attempt and leased."""

    async def report(self, stamp: str, job: int, attempt: int, report: AttemptReport) -> Ended | None:
        """Advance an attempt; what its end did to the job, None when it has not ended.

        The same report again is accepted and changes nothing (None); so is an older phase.
        Raises ``stale-attempt`` or ``not-yours``. An end decides the job's next state by `pilot.states.after`; a
        blameless end that reaches the bound holds the job with that reason. The end of an attempt whose job was killed
        is accepted, adds its usage and last lines, and leaves the job killed.
        """

    async def release(self, stamp: str, leases: Sequence[tuple[int, int]], why: str) -> tuple[Requeued, ...]:
        """Give back leases that were never started: uncharged, the attempt is closed."""

    async def sweep(self, silent_after: float) -> Swept:
        """End as ``lost`` every attempt of a pilot not heard for longer than its lease; show pilots as silent."""

    # -- pilots -------------------------------------------------------------------------------------------------
    async def plan_pilot(self, pilot: NewPilot) -> None:
        """Journal an intent (state ``planned``)."""

    async def submitting(self, stamp: str, duty: str, epoch: int) -> bool:
        """planned or submitting → submitting, only while that epoch leads. False: somebody else has taken over, or the
        pilot has enrolled or is over."""

    async def renew_secret(self, stamp: str, secret_hash: str, ttl: float) -> None:
        """Replace the one-time secret before a second submission of the same stamp; only before it enrolled."""

    async def submitted(self, stamp: str, reference: str) -> None:
        """The computing element has it, under this name. A pilot that already enrolled stays as it is."""

    async def end_pilot(
        self, stamp: str, state: PilotState, reason: PilotReason, message: str = ""
    ) -> tuple[Ended, ...]:
        """Close a pilot that somebody else says is over; what it held ends as node-fault. No effect on a final one."""

    async def pilot(self, stamp: str) -> PilotRow:
        """Raises ``not-found``."""

    async def find_pilots(self, stamps: Sequence[str]) -> tuple[PilotRow, ...]:
        """Those of these stamps that are known, in any order."""

    async def pilots(
        self,
        community: str | None,
        *,
        states: Sequence[PilotState] = (),
        queue: str | None = None,
        site: str | None = None,
        cursor: str | None = None,
        limit: int = 1000,
    ) -> tuple[tuple[PilotRow, ...], str | None]:
        """Newest first, with the cursor of the next page."""

    async def called_pilots(
        self, name: str, community: str | None, *, site: str | None = None, limit: int = 1000
    ) -> tuple[PilotRow, ...]:
        """Those whose computing element or machine calls them so, or whose stamp begins so (four digits at least):
        those that live first, then the newest."""

    async def pilot_counts(self, queues: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """{queue: {state: n}} of all pilots ever sent to these queues; without the queues that have had none."""

    async def machine_loads(self, stamp: str) -> tuple[MachineLoad, ...]:
        """What a pilot's virtual machine has had to do, the oldest first; empty where it said nothing of it."""

    async def live_queues(self) -> tuple[str, ...]:
        """The names of all queues that have a pilot which is not over, in order; also of those that are gone."""

    async def live_pilots(self, queue: str) -> tuple[PilotRow, ...]:
        """Every pilot of a queue that is not over, newest first: without what it said of its node, and what is held
        against its machine."""

    async def enrol(self, stamp: str, secret_hash: str, key_hash: str, request: EnrolRequest) -> PilotRow:
        """Trade the secret. Same secret and key: the same row again. Another key: alarm, and ``secret-used``.

        Raises ``secret-used``, ``secret-expired``, ``superseded`` (the secret was replaced) or ``revoked`` (the pilot
        is over); an unknown stamp or secret is ``unauthorized``.
        """

    async def expects(self, stamp: str, secret_hash: str) -> bool:
        """Whether that secret would let a pilot in under that stamp, its own or that of an enrolment token. A reading
        by two keys, which writes nothing."""

    async def resume(self, stamp: str, key_hash: str, epoch: int, instance: str) -> tuple[PilotRow, tuple[Ended, ...]]:
        """Raise the epoch; what ran before ends as node-fault. The same epoch again gives the same answer."""

    async def beat(self, beats: Sequence[Beat]) -> None:
        """Write what was seen of pilots since the last time; a silent pilot that was seen is running again."""

    async def bind(self, stamp: str, community: str) -> str:
        """Have a pilot serve that community alone until its end: claims of other jobs win nothing from now on. Returns
        whom it serves: another, where it holds jobs of that, or was given one since it was bound."""

    async def drain(self, stamp: str) -> None:
        """running or silent → draining, after the order to drain was given or the pilot said so itself."""

    async def goodbye(self, stamp: str, request: GoodbyeRequest) -> tuple[Ended, ...]:
        """The pilot ends; a fault makes it ``failed``. What it held ends as preempted when the reason is one of
        `pilot.states.PREEMPTING`, else as node-fault."""

    async def step(self, stamp: str, step: StepReport) -> None:
        """Keep the newest word on one step."""

    async def steps(self, stamp: str) -> tuple[StepView, ...]: ...

    # -- queues -------------------------------------------------------------------------------------------------
    async def pause_queue(
        self, queue: str, who: str, reason: str, seconds: float | None = None, *, admins: SiteAdmins | None = None
    ) -> None:
        """From now on, for so long (None: until it is resumed), directors send no pilots to that queue; what was said
        of it before is replaced, and kept; where none of `admins` (None: whoever it was) said that, it stays, and
        ``forbidden`` is raised, as by the three verbs after this."""

    async def resume_queue(self, queue: str, who: str, *, admins: SiteAdmins | None = None) -> bool:
        """Directors may send pilots there again. False: it was not paused."""

    async def ban_site(
        self, site: str, who: str, reason: str, seconds: float | None = None, *, admins: SiteAdmins | None = None
    ) -> None:
        """The same for every queue of a site."""

    async def lift_ban(self, site: str, who: str, *, admins: SiteAdmins | None = None) -> bool:
        """Directors may send pilots to that site again. False: it was not banned."""

    async def plan_test(self, pilot: NewPilot, *, admins: SiteAdmins | None = None) -> None:
        """Journal the intent of a pilot that tries its queue, and drains before it has begun. Raises ``conflict`` while
        another such one of its queue and site lives, and ``forbidden`` while one is paused or banned by somebody who is
        none of `admins` (None: whoever it was)."""

    async def pauses(self) -> tuple[Pause, ...]:
        """What is paused now: queues by name, then sites by name."""

    async def keep_place(self, kind: str, name: str, text: str, who: str, note: str = "") -> PlaceRow:
        """Add a version of a site or a queue; the text that counts already adds none. Returns the one that counts."""

    async def remove_place(self, kind: str, name: str, who: str) -> PlaceRow:
        """Add a version without a text. Raises ``not-found``, and ``conflict`` for a queue with live pilots."""

    async def places(self) -> tuple[PlaceRow, ...]:
        """The versions that count, of what was not removed, by kind and name."""

    async def place_history(self, kind: str, name: str) -> tuple[PlaceRow, ...]:
        """All versions of one, the newest first."""

    # -- pilots that nobody submitted ---------------------------------------------------------------------------
    async def open_enrolment(self, new: NewEnrolment) -> EnrolmentRow:
        """From now on pilots may enrol with this token."""

    async def enrolments(self) -> tuple[EnrolmentRow, ...]:
        """All tokens, the newest first."""

    async def enrolment_of(self, hash: str) -> EnrolmentRow | None:
        """The token with that SHA-256."""

    async def revoke_enrolment(self, number: int, who: str) -> EnrolmentRow:
        """It lets nobody in any more; who is in stays. Raises ``not-found``."""

    async def admit(self, pilot: NewPilot, where: str = "") -> None:
        """Journal a pilot that comes with a token (its `secret_hash`), and count it; the same stamp counts once.

        Raises ``revoked``, ``secret-expired``, ``secret-used`` (it has let in all), which is noted with the token; an
        unknown token, and the stamp of another pilot, are ``unauthorized``.
        """

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
        """Write an order for the pilot's present epoch. Raises ``conflict`` when the pilot is over."""

    async def open_orders(self) -> tuple[OrderRow, ...]:
        """Every order not yet received, of live pilots and live attempts: what a central that starts must deliver."""

    async def orders(self, stamp: str) -> tuple[OrderRow, ...]:
        """Those still to be delivered to one pilot: of its epoch, and of attempts that are still leased to it or were
        killed under it."""

    async def acknowledge(self, stamp: str, acknowledgements: Sequence[Acknowledgement]) -> None:
        """Mark orders as received or done; unknown ones and repeats are no error."""

    # -- bundles ------------------------------------------------------------------------------------------------
    async def add_bundle(self, bundle: BundleRow) -> None:
        """Write down that a bundle was published; one that is known stays as it is."""

    async def bundles(self, community: str | None) -> tuple[BundleRow, ...]:
        """Those of a community, oldest first of each name; None: of all."""

    async def knows_bundle(self, sha256: str) -> bool:
        """Whether any community has published these bytes."""

    async def pin_bundle(self, community: str, name: str, sha256: str, who: str) -> None:
        """Put a bundle into use under its name. Once more what is in use already changes nothing."""

    async def pins(self, community: str | None) -> tuple[PinRow, ...]:
        """All that was ever put into use, oldest first: of each name the last counts. None: of all communities."""

    # -- use --------------------------------------------------------------------------------------------------------
    async def consumed(self, half_life: float) -> tuple[Consumed, ...]:
        """What every owner has used by now, decayed by that half-life (seconds); whoever used nothing is left out."""

    async def usage(
        self, community: str | None, *, by: Sequence[str], since: float, until: float, span: float | None
    ) -> tuple[UsageRow, ...]:
        """What attempts that ended in [since, until) used, told apart by `by` (of `USAGE_KEYS`) and by spans of so
        many seconds (None: one span). Ordered by time, then by keys. Raises ``invalid`` for a key it does not know."""

    async def waste(
        self, community: str | None, *, by: Sequence[str], since: float, until: float | None, site: str | None = None
    ) -> tuple[WasteRow, ...]:
        """Where the time of pilots went that ended in [since, until), or live now where `until` is None, told apart by
        `by` (of `WASTE_KEYS`); of one community, at one site, where these are said. What a pilot that is gone left open
        or never said is booked as lost."""

    async def bought(self, *, since: float, until: float, limit: int) -> tuple[Bought, ...]:
        """Up to so many pilots with a price that may have been paid in [since, until), oldest first; some of them were
        over before."""

    async def unpriced(self, *, since: float, until: float) -> int:
        """How many pilots without a price were there in that time."""

    async def roll_up(self) -> int:
        """Sum what ended in hours that are over, so that old use is read quickly; returns the hours summed anew."""

    async def retire(self, before: float, limit: int) -> int:
        """Delete up to so many jobs that were final before that time, with all that belongs to them but accounting;
        returns how many."""

    # -- several centrals -------------------------------------------------------------------------------------------
    async def tell(self, word: str) -> None:
        """Pass a word (at most 7,000 bytes of text) to every other central over the same database. It may be lost."""

    async def listen(self, heard: Callable[[str | None], None]) -> None:
        """Call this for every word of another central, and with None when some may have been missed. After `open`."""

    # -- figures ------------------------------------------------------------------------------------------------
    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """For the metrics: {"jobs": {state: n}, "pilots": {state: n}}."""
