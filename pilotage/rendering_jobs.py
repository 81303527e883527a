"""Jobs and attempts as tables and facts."""

from __future__ import annotations

from collections.abc import Sequence

from pilot.destination import SANDBOX
from pilot.protocol import StopSignal
from pilot.states import Phase
from pilot.units import show_duration
from pilot.views import AttemptView, ExplainedJobs, JobDetail, JobExplanation, JobView, NeedFailure
from pilotage import words
from pilotage.rendering_errors import code_facts
from pilotage.screen import Table


def jobs_table(jobs: Sequence[JobView], now: float) -> Table:
    """A row for each job."""
    rows = [
        (
            str(job.id),
            job.name,
            job.state.value,
            str(job.attempt or ""),
            job.owner,
            job.site,
            words.stamp(job.pilot),
            words.ago(job.submitted, now),
            words.ago(job.changed, now),
            words.job_note(job),
        )
        for job in jobs
    ]
    columns = ("JOB", "NAME", "STATE", "TRY", "OWNER", "SITE", "PILOT", "AGE", "SINCE", "NOTE")
    return Table(columns, rows, right=("JOB", "TRY", "AGE", "SINCE"))


def job_facts(detail: JobDetail, now: float) -> list[tuple[str, str]]:
    """Everything about a job, as names and values."""
    job = detail.job
    return [
        ("job", f"{job.id} {job.name}".rstrip()),
        ("state", job.state.value),
        ("outcome", job.outcome.value if job.outcome else ""),
        ("exit code", "" if job.exit_code is None else str(job.exit_code)),
        ("reason", job.reason),
        ("owner", f"{job.owner} of {job.group} in {job.community}"),
        ("submitted", f"{words.clock(job.submitted)}, {words.ago(job.submitted, now)} ago"),
        ("changed", f"{words.clock(job.changed)}, {words.ago(job.changed, now)} ago"),
        ("where", " ".join(part for part in (job.site, words.stamp(job.pilot)) if part)),
        ("command", words.command(detail.command)),
        ("needs", words.needs(detail.needs)),
        ("isolation", "required" if detail.needs.isolation else "not required"),
        ("container", detail.container or ""),
        ("credentials", ", ".join(detail.credentials)),
        ("cpu time", _cpu_time(detail.cpu_time)),
        ("no progress", _no_progress(detail.no_progress)),
        ("stop signal", _stop_signal(detail.stop_signal)),
        (
            "grace",
            "" if detail.grace is None else f"{show_duration(detail.grace)} between the request to stop and the kill",
        ),
        ("checkpoint", words.some(detail.checkpoint)),
        ("priority", str(job.priority)),
        ("retries", f"{detail.retries_used} of {detail.retries} used" if detail.retries else ""),
        ("requeued", _requeued(detail.blameless_ends)),
        ("parameters", ", ".join(f"{name} = {value}" for name, value in job.parameters.items())),
        ("inputs", _inputs(detail)),
        ("outputs", _outputs(detail)),
        ("once was", f"job {job.parent}" if job.parent else ""),
    ]


def _inputs(detail: JobDetail) -> str:
    """The names of what the central keeps, and a line for each input that comes by URL."""
    urls = [f"{one.name} from {one.url}" for one in detail.urls]
    return _first_lines(([words.some(detail.inputs)] if detail.inputs else []) + urls)


def _outputs(detail: JobDetail) -> str:
    """The patterns that go to the central's store, and a line for each that goes elsewhere."""
    here = [rule.pattern for rule in detail.output_rules if not rule.to] if detail.output_rules else detail.outputs
    away = [f"{rule.pattern} to {', else '.join(rule.to)}" for rule in detail.output_rules if rule.to]
    return _first_lines(([words.some(here)] if here else []) + away)


def delivered_facts(attempt: AttemptView) -> list[tuple[str, str]]:
    """Where the outputs of an attempt went; nothing where all are in the central's store."""
    went = [
        f"{file.name} is at {', '.join(file.where)}" for file in attempt.outputs if file.where not in ((), (SANDBOX,))
    ]
    return [("delivered", _first_lines(went))] if went else []


def _first_lines(lines: Sequence[str], most: int = 10) -> str:
    more = [f"and {len(lines) - most:,} more"] if len(lines) > most else []
    return "\n".join([*lines[:most], *more])


def _cpu_time(seconds: int | None) -> str:
    if seconds == 0:
        return "as much as its cores give in its wall time"
    return "" if seconds is None else f"at most {show_duration(seconds)} of all its processes"


def _no_progress(seconds: int | None) -> str:
    if seconds == 0:
        return "never ended for standing still"
    return "" if seconds is None else f"ended after {show_duration(seconds)} without progress"


def _stop_signal(wanted: StopSignal | None) -> str:
    if wanted is None:
        return ""
    whom = f"programs named {wanted.program}" if wanted.program else "its command"
    return f"{wanted.signal} to {whom}, {show_duration(wanted.before)} before the end of its wall time"


def _requeued(times: int) -> str:
    return f"{words.times(times)}, through no fault of the job" if times else ""


def attempts_table(attempts: Sequence[AttemptView]) -> Table:
    """A row for each attempt."""
    rows = [(str(one.attempt), _end(one), one.site, words.stamp(one.pilot), *_measured(one)) for one in attempts]
    return Table(("TRY", "END", "SITE", "PILOT", *_MEASURED), rows, right=("TRY", *_FIGURES))


def _end(attempt: AttemptView) -> str:
    """How it ended, or where it is. One that ended without an outcome never ran: it says nothing about its job."""
    if attempt.outcome:
        return attempt.outcome.value
    return "given back" if attempt.phase is Phase.ENDED else attempt.phase.value


def leases_table(attempts: Sequence[AttemptView]) -> Table:
    """A row for each attempt that a pilot has: whose site and stamp are known where the table is shown."""
    rows = [(str(one.job), str(one.attempt), _end(one), *_measured(one)) for one in attempts]
    return Table(("JOB", "TRY", "PHASE", *_MEASURED), rows, right=("JOB", "TRY", *_FIGURES))


#: What tables of attempts have in common, and which of these columns are figures.
_MEASURED = ("CORES", "STARTED", "WALL", "CPU", "MEMORY", "NOTE")
_FIGURES = ("CORES", "WALL", "CPU", "MEMORY")


def _measured(attempt: AttemptView) -> tuple[str, ...]:
    return (
        str(attempt.cores),
        words.clock(attempt.started or None),  # a site's admin is not told
        words.seconds(attempt.usage.wall),
        words.seconds(attempt.usage.cpu),
        words.size(attempt.usage.memory_peak),
        attempt_note(attempt),
    )


def attempt_note(attempt: AttemptView) -> str:
    """How an attempt ended, or what it tries again, in a few words."""
    waits = attempt.usage.waits_for
    parts = [
        attempt.message,
        "" if attempt.message or not attempt.exit_code else f"exit code {attempt.exit_code}",
        "" if attempt.message or not attempt.signal else f"signal {attempt.signal}",
        "" if attempt.message or not attempt.limit else f"limit: {attempt.limit}",
        f"not delivered: {words.some(attempt.undelivered)}" if attempt.undelivered and not attempt.message else "",
        f"{'tries' if attempt.outcome is None else 'tried'} again: {waits}" if waits else "",
        f"checkpoint: {words.some([file.name for file in attempt.checkpoint])}" if attempt.checkpoint else "",
    ]
    return "; ".join(part for part in parts if part)


def job_explanation(explained: JobExplanation) -> list[tuple[str, str]]:
    """Why a job waits, before the table of needs."""
    looked = f"{words.plural(explained.pilots, 'live pilot')} and {words.plural(explained.queues, 'configured queue')}"
    fitting = f"{words.plural(explained.fitting_pilots, 'pilot')} and {words.plural(explained.fitting_queues, 'queue')}"
    return [
        ("job", f"{explained.job}"),
        ("state", explained.state.value),
        ("why", explained.summary),
        *(code_facts(explained.code) if explained.code else ()),
        ("looked at", f"{looked}; it would fit {fitting}" if explained.pilots or explained.queues else ""),
        ("nearest", explained.nearest),
        ("before it", "" if explained.ahead is None else f"{words.plural(explained.ahead, 'job')} of its owner"),
        ("shares", "\n".join(explained.shares)),
        ("no pilot", "\n".join(explained.no_pilot)),
    ]


def jobs_explanation(explained: ExplainedJobs) -> list[tuple[str, str]]:
    """Why jobs wait that wait for one reason, before the table of needs."""
    count = f" ({words.plural(len(explained.jobs), 'job')})" if len(explained.jobs) > 1 else ""
    first, *facts = job_explanation(explained.explanation)
    return [("jobs" if count else first[0], words.many_ids(explained.jobs) + count), *facts]


def failures_table(failures: Sequence[NeedFailure]) -> Table:
    """A row for each need of a job, and how many pilots and queues do not meet it."""
    return _needs_table(failures, "PILOTS WITHOUT", "QUEUES WITHOUT", [(one.pilots, one.queues) for one in failures])


def jobs_failing_table(failures: Sequence[NeedFailure]) -> Table:
    """A row for each need that a pilot does not meet, and how many waiting jobs have it, in how many task queues."""
    return _needs_table(failures, "JOBS", "TASK QUEUES", [(one.jobs, one.queues) for one in failures])


def _needs_table(failures: Sequence[NeedFailure], first: str, second: str, figures: Sequence[tuple[int, int]]) -> Table:
    rows = [
        (one.need, _asked(one), str(left), str(right), one.example)
        for one, (left, right) in zip(failures, figures, strict=True)
    ]
    return Table(("NEED", "ASKED", first, second, "NEAREST"), rows, right=(first, second))


def _asked(failure: NeedFailure) -> str:
    """Amounts in the units that people use."""
    if failure.asked.isdigit():
        if failure.need in ("memory", "disk", "gpu_memory"):
            return words.size(int(failure.asked))
        if failure.need == "wall_time":
            return show_duration(int(failure.asked))
    return failure.asked
