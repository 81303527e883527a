"""Rows of a store's tables and views as records. The columns are called alike in every store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from central.added import EnrolmentRow
from central.auditing import unpacked
from central.people import MemberRow, TokenRow
from central.records import CredentialRow, Note, Noted, OrderRow, PilotRow, Suspicion
from central.store import codec
from central.store.port_vault import Entitled
from central.store.suspicion import HostRow
from pilot.audit import AuditLine, AuditLink, AuditStart
from pilot.codes import of_attempt
from pilot.destination import shown
from pilot.protocol import AttemptReport
from pilot.states import LEASED, JobState, Outcome, Phase, PilotReason, PilotState
from pilot.views import AttemptView, Event, JobDetail, JobView


class Row(Protocol):
    """One row; its values by name."""

    def __getitem__(self, name: str, /) -> Any: ...


def pilot_row(row: Row, suspect: Suspicion | None) -> PilotRow:
    """A row of the view pilots_whole, with what is held against its machine."""
    return PilotRow(
        stamp=row["stamp"],
        state=PilotState(row["state"]),
        site=row["site"],
        queue=row["queue"],
        communities=codec.texts(row["communities"]),
        created=row["created"],
        secret_hash=row["secret_hash"],
        secret_expires=row["secret_expires"],
        lease=row["lease"],
        ends=row["ends"],
        key_hash=row["key_hash"],
        instance=row["instance"],
        epoch=row["epoch"],
        sequence=row["sequence"],
        enrolled=row["enrolled"],
        last_seen=row["last_seen"],
        ended=row["ended"],
        reason=PilotReason(row["reason"]) if row["reason"] else None,
        message=row["message"],
        exit_code=row["exit_code"],
        reference=row["reference"],
        alarm=row["alarm"],
        offer=codec.offer(row["offer"]),
        facts=codec.facts(row["facts"]),
        leases=row["leases"],
        host=row["host"],
        suspect=suspect,
        draining=bool(row["draining"]),
        bound=row["bound"] if row["leases"] else "",  # until its first job another may come in its place
    )


def host_row(row: Row) -> HostRow:
    """A row of hosts, or of a view with its columns."""
    return HostRow(
        failures=row["failures"],
        faults=row["faults"],
        owner=row["owner"],
        several=bool(row["several"]),
        since=row["since"],
        suspected=row["suspected"],
        pause=row["pause"],
        next=row["next"],
    )


def order_row(row: Row) -> OrderRow:
    """A row of the view orders_to_deliver."""
    return OrderRow(
        id=row["id"],
        stamp=row["stamp"],
        epoch=row["epoch"],
        verb=row["verb"],
        job=row["job"],
        attempt=row["attempt"],
        argument=row["argument"],
        reason=row["reason"],
        who=row["who"],
        created=row["created"],
        received=row["received"],
        done=row["done"],
        result=row["result"],
    )


def job_view(row: Row) -> JobView:
    """A row of the view jobs_whole. A job that waits or is held is nowhere, wherever it was before; of one that is
    out, the end of the attempt before says nothing."""
    state = JobState(row["state"])
    told = state not in LEASED
    placed = state not in (JobState.WAITING, JobState.HELD)
    return JobView(
        id=row["id"],
        name=row["name"],
        state=state,
        community=row["community"],
        group=row["group"],
        owner=row["owner"],
        priority=row["priority"],
        attempt=row["attempt"],
        submitted=row["submitted"],
        changed=row["changed"],
        outcome=Outcome(row["outcome"]) if told and row["outcome"] else None,
        exit_code=row["exit_code"] if told else None,
        reason=row["reason"] if told else "",
        site=row["site"] if placed else "",
        pilot=row["stamp"] if placed else "",
        parent=row["parent"],
        task_queue=row["queue"],
        parameters=codec.parameters(row["parameters"]),
    )


def job_detail(row: Row) -> JobDetail:
    """A whole row of the view jobs_whole."""
    spec = codec.filled(row["spec"], row["parameters"], row["inputs"])
    return JobDetail(
        job=job_view(row),
        command=spec.command,
        needs=spec.needs,
        retries=row["retries"],
        retries_used=row["retries_used"],
        blameless_ends=row["blameless_ends"],
        inputs=tuple(file.name for file in spec.inputs),
        outputs=tuple(rule.pattern for rule in spec.outputs),
        container=spec.container,
        checkpoint=spec.checkpoint,
        grace=spec.grace,
        cpu_time=spec.cpu_time,
        no_progress=spec.no_progress,
        stop_signal=spec.stop_signal,
        credentials=spec.credentials,
        urls=tuple(replace(one, url=shown(one.url)) for one in spec.urls),
        output_rules=spec.outputs,
    )


def end_of(row: Row) -> AttemptReport:
    """What was said at the end of an attempt, by its row; an empty word before."""
    return codec.report(row["report"]) or AttemptReport(Phase.ENDED)


def attempt_view(row: Row, end: AttemptReport, history: Sequence[Event]) -> AttemptView:
    """A row of the view attempts_whole, with its end and its history."""
    outcome = Outcome(row["outcome"]) if row["outcome"] else None
    code = of_attempt(outcome, limit=end.limit, exit_code=end.exit_code, signal=end.signal, said=end.code)
    return AttemptView(
        job=row["job"],
        attempt=row["attempt"],
        pilot=row["stamp"],
        site=row["site"],
        phase=Phase(row["phase"]),
        cores=row["cores"],
        started=row["started"],
        ended=row["ended"],
        outcome=outcome,
        exit_code=end.exit_code,
        signal=end.signal,
        limit=end.limit,
        message=end.message,
        tail=end.tail,
        usage=codec.usage(row["usage"]),
        outputs=end.outputs,
        undelivered=end.undelivered,
        checkpoint=end.checkpoint,
        log_sizes=end.log_sizes,
        history=tuple(history),
        code=code.value if code else "",
    )


def entitled_row(row: Row) -> Entitled:
    """An attempt, with what its job names as JSON."""
    return Entitled(row["job"], row["attempt"], row["community"], row["owner"], codec.texts(row["names"]))


def credential_row(row: Row) -> CredentialRow:
    """A row of credentials."""
    return CredentialRow(
        community=row["community"],
        owner=row["owner"],
        name=row["name"],
        kind=row["kind"],
        urls=codec.texts(row["urls"]),
        expires=row["expires"],
        key_id=row["key_id"],
        sealed=bytes(row["sealed"]),
        changed=row["changed"],
    )


def noted(row: Row) -> Noted:
    """A row of the audit."""
    note = Note(
        who=row["who"],
        what=row["what"],
        community=row["community"],
        owner=row["owner"],
        subject=row["subject"],
        job=row["job"],
        attempt=row["attempt"],
        detail=row["detail"],
    )
    return Noted(row["time"], note)


def audit_line(row: Row) -> AuditLine:
    """The same with its id."""
    return AuditLine(
        row["id"],
        row["time"],
        row["who"],
        row["what"],
        row["community"],
        row["owner"],
        row["subject"],
        row["job"],
        row["attempt"],
        row["detail"],
    )


def audit_link(row: Row) -> AuditLink:
    """A link of the audit's chain."""
    return AuditLink(
        row["number"],
        row["first"],
        row["last"],
        row["time"],
        row["previous"],
        row["hash"],
        row["key_id"],
        row["seal"],
        unpacked(bytes(row["digests"])),
    )


def audit_start(row: Row) -> AuditStart:
    """Where the audit starts that is kept."""
    return AuditStart(row["through"], row["hash"], row["last"], row["time"], row["key_id"], row["seal"])


def enrolment_row(row: Row) -> EnrolmentRow:
    return EnrolmentRow(
        id=row["id"],
        site=row["site"],
        queue=row["queue"],
        communities=codec.texts(row["communities"]),
        pilots=row["pilots"],
        used=row["used"],
        who=row["who"],
        created=row["created"],
        expires=row["expires"],
        revoked=row["revoked"],
        revoked_by=row["revoked_by"],
        refused=row["refused"],
        alarm=row["alarm"],
    )


def member_row(row: Row) -> MemberRow:
    return MemberRow(
        id=row["id"],
        user=row["owner"],
        community=row["community"],
        group=row["group"],
        role=row["role"],
        who=row["who"],
        created=row["created"],
        revoked=row["revoked"],
        revoked_by=row["revoked_by"],
        reason=row["reason"],
        site=row["site"],
    )


def token_row(row: Row) -> TokenRow:
    """A row of api_tokens."""
    return TokenRow(
        id=row["id"],
        sha256=row["sha256"],
        name=row["name"],
        user=row["owner"],
        community=row["community"],
        group=row["group"],
        role=row["role"],
        scopes=codec.texts(row["scopes"]),
        who=row["who"],
        parent=row["parent"],
        created=row["created"],
        expires=row["expires"],
        used=row["used"],
        revoked=row["revoked"],
        revoked_by=row["revoked_by"],
        site=row["site"],
    )
