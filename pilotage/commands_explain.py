"""`pilotage explain`: why jobs wait, why a pilot gets nothing, why a queue has no pilots."""

from __future__ import annotations

import time
from dataclasses import replace

import click

from pilot.states import JobState
from pilot.views import ExplainReply, Selection
from pilotage import places, words
from pilotage.client import Client
from pilotage.commands_jobs import filters, own
from pilotage.exits import Exit
from pilotage.rendering_jobs import failures_table, job_explanation, jobs_explanation, jobs_failing_table
from pilotage.rendering_pilots import pilot_explanation, queue_explanation
from pilotage.shell import Shell, common, flat, id_range, whole_stamp


@click.command()
@click.argument("what", nargs=-1, metavar="[ID… | pilot STAMP | queue NAME]")
@common
@filters
def explain(shell: Shell, what: tuple[str, ...], selection: Selection, everybody: bool) -> None:
    """Say why jobs wait, a pilot gets nothing, or a queue has no pilots.

    Many jobs are told together, those with one reason as one. Chosen by filters, they are those that wait, or,
    when none waits, those that are held.

    \b
    Examples:
      pilotage explain 7
      pilotage explain 7 9-12
      pilotage explain --name fit-
      pilotage explain pilot 3f9a12bc
      pilotage explain queue local
    """
    chosen = everybody or selection != Selection()
    if bool(what) == chosen:
        raise click.UsageError(
            "Name jobs by id, or `pilot STAMP`, or `queue NAME`, or choose jobs by --state, --owner, --site or another"
            " filter, or by --all."
        )
    if what and what[0] in ("pilot", "queue"):
        if len(what) != 2:
            raise click.UsageError(f"Expected `{what[0]} {'STAMP' if what[0] == 'pilot' else 'NAME'}`.")
        with shell.client() as client:
            (_explain_pilot if what[0] == "pilot" else _explain_queue)(shell, client, what[1])
        return
    ids = flat([id_range(word) for word in what])
    with shell.client() as client:
        if len(ids) == 1:
            _explain_job(shell, client, ids[0])
        else:
            _explain_jobs(shell, client, Selection(ids) if ids else own(client, selection, everybody))


def _explain_job(shell: Shell, client: Client, job: int) -> None:
    explained = client.explain_job(job)
    if shell.screen.json:
        shell.screen.data(explained)
        return
    shell.screen.facts(job_explanation(explained))
    if explained.failures:
        shell.screen.line()
        shell.screen.table(failures_table(explained.failures))


def _explain_jobs(shell: Shell, client: Client, selection: Selection) -> None:
    waiting = not selection.ids and not selection.states
    reply = client.explain_jobs(replace(selection, states=(JobState.WAITING,)) if waiting else selection)
    if waiting and not reply.explained:
        held = replace(selection, states=(JobState.HELD,))
        if not shell.screen.json:
            _none_waits(shell, client, selection, held)
            return
        reply = client.explain_jobs(held)
    if shell.screen.json:
        shell.screen.data(reply)
    else:
        _told(shell, reply)
    if reply.unknown:
        shell.screen.note(f"there is no such job that you may see: {words.many_ids(reply.unknown)}")
        raise click.exceptions.Exit(Exit.PARTLY)


def _none_waits(shell: Shell, client: Client, selection: Selection, held: Selection) -> None:
    """What there is of the selection instead of jobs that wait, and why those that are held are."""
    counts = client.job_page(selection, limit=1, counts=True).counts
    there = words.counts(counts, [state.value for state in JobState])
    shell.screen.note(f"none waits: {there}" if there else "there is no such job")
    if not there and (unknown := places.unknown(client, selection.site, selection.queue)):
        shell.screen.note(unknown)
    if counts.get(JobState.HELD.value):
        _told(shell, client.explain_jobs(held))


def _told(shell: Shell, reply: ExplainReply) -> None:
    for number, one in enumerate(reply.explained):
        if number:
            shell.screen.line()
        shell.screen.facts(jobs_explanation(one))
        if one.explanation.failures:
            shell.screen.table(failures_table(one.explanation.failures))
    if not reply.explained and not reply.unknown:
        shell.screen.note("no such job waits")
    if reply.next:
        count = sum(len(one.jobs) for one in reply.explained)
        shell.screen.note(f"these are the newest {count:,} jobs; narrow the choice to see others")


def _explain_pilot(shell: Shell, client: Client, name: str) -> None:
    explained = client.explain_pilot(whole_stamp(client, name))
    if shell.screen.json:
        shell.screen.data(explained)
        return
    shell.screen.facts(pilot_explanation(explained))
    if explained.failures:
        shell.screen.line()
        shell.screen.table(jobs_failing_table(explained.failures))


def _explain_queue(shell: Shell, client: Client, name: str) -> None:
    explained = client.explain_queue(name)
    if shell.screen.json:
        shell.screen.data(explained)
    else:
        shell.screen.facts(queue_explanation(explained, time.time()))
