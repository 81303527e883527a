"""`pilotage jobs`, `job`, and what changes jobs: `kill`, `hold`, `release`, `reschedule`, `priority`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import click

from pilot.errors import InvalidInput
from pilot.states import JobState
from pilot.views import JobPage, Selection, VerbResult
from pilotage import places, words
from pilotage.client import Client
from pilotage.exits import Exit
from pilotage.moments import moment
from pilotage.rendering_errors import code_facts
from pilotage.rendering_jobs import attempts_table, delivered_facts, job_facts, jobs_table
from pilotage.shell import F, Shell, States, common, flat, id_range

_STATES = [state.value for state in JobState]
STATES = States(JobState)
#: Jobs of which each has a line of its own; more of them are told together.
LISTED = 20


def _since(text: str) -> float:
    """For `type=` of an option: when, in seconds since the epoch."""
    try:
        return moment(text, time.time())
    except InvalidInput as problem:
        raise click.BadParameter(problem.problem) from problem


_since.__name__ = "time"


def filters(command: F) -> F:
    """The options that choose jobs."""

    @functools.wraps(command)
    def wrapped(
        shell: Shell,
        states: tuple[tuple[JobState, ...], ...],
        owner: str | None,
        group: str | None,
        name: str | None,
        community: str | None,
        site: str | None,
        queue: str | None,
        since: float | None,
        everybody: bool,
        **rest: Any,
    ) -> Any:
        every = tuple(dict.fromkeys(state for some in states for state in some))
        return command(
            shell,
            selection=Selection((), every, owner, group, name, community, site, queue, since),
            everybody=everybody,
            **rest,
        )

    options = (
        click.option(
            "--state", "states", multiple=True, type=STATES, help="In this state, or in these: failed,killed."
        ),
        click.option("--owner", help="Of this person.  [default: your own]"),
        click.option("--group", help="Of this group."),
        click.option("--name", help="With a name that begins so."),
        click.option("--site", help="That run at this site, or ran there last."),
        click.option("--queue", help="That run on a pilot of this queue, or ran there last."),
        click.option(
            "--since", type=_since, help="Submitted since then: a duration ago, as 2h, or a date in local time."
        ),
        click.option("--community", help="Of everybody in this community; for operators."),
        click.option("--all", "everybody", is_flag=True, help="Of everybody whose jobs you may see."),
    )
    decorated: Callable[..., Any] = wrapped
    for option in reversed(options):
        decorated = option(decorated)
    return cast(F, decorated)


def own(client: Client, selection: Selection, everybody: bool) -> Selection:
    """The selection, of the person's own jobs unless something else was said."""
    if everybody or selection.owner or selection.community:
        return selection
    return replace(selection, owner=client.whoami().user)


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many to show.")
@common
@filters
def jobs(shell: Shell, selection: Selection, everybody: bool, limit: int) -> None:
    """List jobs, newest first, and how many there are in each state.

    \b
    Example:
      pilotage jobs --state failed,killed --name fit- --since 2h
    """
    with shell.client() as client:
        page = _page(client, own(client, selection, everybody), limit)
        unknown = "" if page.jobs else places.unknown(client, selection.site, selection.queue)
    if shell.screen.json:
        shell.screen.data(page)
        return
    shell.screen.table(jobs_table(page.jobs, time.time()))
    total = sum(page.counts.values())
    summary = words.counts(page.counts, _STATES) or "no jobs"
    shell.screen.note(f"{summary}" + (f"; {len(page.jobs)} of {total:,} shown" if page.next else ""))
    if unknown:
        shell.screen.note(unknown)


def _page(client: Client, selection: Selection, limit: int) -> JobPage:
    """So many jobs as one page, over as many requests as it takes."""
    page = client.job_page(selection, limit=min(limit, 1000), counts=True)
    while page.next and len(page.jobs) < limit:
        more = client.job_page(selection, cursor=page.next, limit=min(limit - len(page.jobs), 1000))
        page = JobPage(page.jobs + more.jobs, more.next, page.counts)
    return page


@click.command()
@click.argument("job_id", type=click.IntRange(1), metavar="ID")
@common
def job(shell: Shell, job_id: int) -> None:
    """Show one job, and each attempt to run it.

    \b
    Example:
      pilotage job 7
    """
    with shell.client() as client:
        detail, attempts = client.job(job_id), client.attempts(job_id)
    if shell.screen.json:
        shell.screen.data({"detail": detail, "attempts": attempts})
        return
    shell.screen.facts(job_facts(detail, time.time()))
    if attempts:
        shell.screen.line()
        shell.screen.table(attempts_table(attempts))
    last = attempts[-1] if attempts else None
    if last and (went := delivered_facts(last)):
        shell.screen.line()
        shell.screen.facts(went)
    if last and last.code:
        shell.screen.line()
        shell.screen.facts(code_facts(last.code))
    if last and last.tail.strip() and last.outcome and last.outcome.value != "success":
        shell.screen.line()
        shell.screen.line(f"The last lines of attempt {last.attempt}:")
        for line in last.tail.rstrip().splitlines()[-20:]:
            shell.screen.line(f"  {line}")


def changing(
    name: str,
    summary: str,
    example: str,
    change: Callable[[Client, Sequence[int] | Selection, str], tuple[VerbResult, ...]],
) -> click.Command:
    """A command that changes jobs named by id, or chosen by the filters."""

    @click.command(name, help=f"{summary}\n\n\b\nExamples:\n  pilotage {name} 7 9-12\n  pilotage {name} {example}")
    @click.argument("ids", nargs=-1, type=id_range, metavar="[ID…]")
    @click.option("--reason", default="", help="Kept with the jobs, for whoever asks later.")
    @common
    @filters
    def command(shell: Shell, ids: tuple[range, ...], selection: Selection, everybody: bool, reason: str) -> None:
        apply(shell, ids, selection, everybody, lambda client, which: change(client, which, reason))

    return command


def apply(
    shell: Shell,
    ids: Sequence[range],
    selection: Selection,
    everybody: bool,
    change: Callable[[Client, Sequence[int] | Selection], tuple[VerbResult, ...]],
) -> None:
    """Change jobs and tell what became of each; ends with the code PARTLY when some were not changed."""
    chosen = everybody or selection != Selection()
    if bool(ids) == chosen:
        raise click.UsageError(
            "Name jobs by id, or choose them by --state, --owner, --site or another filter, or by --all."
        )
    with shell.client() as client:
        results = change(client, flat(ids) if ids else own(client, selection, everybody))
        unknown = "" if results else places.unknown(client, selection.site, selection.queue)
    changed = [result for result in results if result.changed]
    if shell.screen.json:
        shell.screen.data({"results": results})
    else:
        _told(shell, changed)
    _told_why_not(shell, [result for result in results if not result.changed])
    if unknown:
        shell.screen.note(unknown)
    if ids and len(changed) < len(results):
        raise click.exceptions.Exit(Exit.PARTLY)


def _told(shell: Shell, changed: Sequence[VerbResult]) -> None:
    """A line for each job, or one for all of many."""
    if len(changed) > LISTED:
        shell.screen.line(f"changed {words.plural(len(changed), 'job')}: {words.many_ids(one.job for one in changed)}")
        if new := [one.new_job for one in changed if one.new_job]:
            shell.screen.line(f"new jobs: {words.many_ids(new)}")
        return
    for result in changed:
        state = result.state.value if result.state else "changed"
        shell.screen.line(f"job {result.job}: {f'new job {result.new_job}' if result.new_job else state}")
    if not changed:
        shell.screen.line("no job was changed")


def _told_why_not(shell: Shell, left: Sequence[VerbResult]) -> None:
    """A remark for each job that was not changed, or one for each reason when there are many."""
    if len(left) <= LISTED:
        for result in left:
            shell.screen.note(f"job {result.job}: {result.problem}")
        return
    reasons: dict[str, list[int]] = {}
    for result in left:
        reasons.setdefault(result.problem, []).append(result.job)
    for problem, jobs in list(reasons.items())[:LISTED]:
        shell.screen.note(f"{words.plural(len(jobs), 'job')} not changed: {problem}: {words.many_ids(jobs)}")
    if len(reasons) > LISTED:
        shell.screen.note(f"and {len(reasons) - LISTED:,} more reasons; --json has them all")


kill = changing("kill", "End jobs for good.", "--state waiting --name fit-", lambda client, *which: client.kill(*which))
hold = changing(
    "hold",
    "Keep waiting jobs back until they are released.",
    "--state waiting",
    lambda client, *which: client.hold(*which),
)
release = changing(
    "release", "Let held jobs wait again.", "--state held", lambda client, *which: client.release(*which)
)
reschedule = changing(
    "reschedule",
    "Run jobs that have ended again, as new jobs.",
    "--state failed",
    lambda client, *which: client.reschedule(*which),
)


@click.command()
@click.argument("level", type=click.IntRange(0, 10), metavar="PRIORITY")
@click.argument("ids", nargs=-1, type=id_range, metavar="[ID…]")
@click.option("--reason", default="", help="Kept with the jobs, for whoever asks later.")
@common
@filters
def priority(
    shell: Shell, level: int, ids: tuple[range, ...], selection: Selection, everybody: bool, reason: str
) -> None:
    """Change the priority of jobs: 0 (only when idle) to 10 (first).

    \b
    Example:
      pilotage priority 8 7 9-12
    """
    apply(shell, ids, selection, everybody, lambda client, which: client.set_priority(which, level, reason))
