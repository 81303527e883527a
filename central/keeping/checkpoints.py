"""What a pilot says that it saved of an attempt: kept when the next attempt can really be given it."""

from __future__ import annotations

from dataclasses import replace

from central.keeping.sandboxes import SandboxStore
from central.store.port import Store
from pilot.errors import InvalidInput, Refusal
from pilot.jobfile import MAX_FILES, relative_path
from pilot.protocol import AttemptReport
from pilot.states import Outcome


async def checked(
    store: Store, sandboxes: SandboxStore, job: int, attempt: int, report: AttemptReport
) -> AttemptReport:
    """The report as it is to be kept. A checkpoint of which something is wrong or missing is left out whole, and the
    message says why; the report itself is never refused for it, because the attempt has ended all the same."""
    if not report.checkpoint:
        return report
    try:
        problem = await _problem(store, sandboxes, job, attempt, report)
    except Refusal as refusal:
        if refusal.type != "stale-attempt":
            raise
        return replace(report, checkpoint=())  # nothing follows it, or it was heard before
    if not problem:
        return report
    message = "; ".join(filter(None, (report.message, f"its checkpoint is not kept: {problem}")))
    return replace(report, checkpoint=(), message=message)


async def _problem(store: Store, sandboxes: SandboxStore, job: int, attempt: int, report: AttemptReport) -> str:
    if report.outcome is not Outcome.PREEMPTED:
        return "expected with the outcome preempted alone"
    if len(report.checkpoint) > MAX_FILES:
        return f"expected at most {MAX_FILES:,} files, got {len(report.checkpoint):,}"
    community = (await store.live_attempt(job, attempt)).community
    for file in report.checkpoint:
        try:
            relative_path(file.name, "checkpoint")
        except InvalidInput as problem:
            return str(problem)
        if await sandboxes.size(community, file.sha256) != file.size:
            return f"{file.name} is not in the sandbox store"
    return ""
