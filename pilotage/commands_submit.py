"""`pilotage submit`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from pilot.errors import InvalidInput, InvalidJob, Refusal
from pilot.states import JobState
from pilot.views import JobView
from pilotage import documents, inputs, words
from pilotage.client import Client
from pilotage.documents import JobFile
from pilotage.exits import Exit
from pilotage.jobs import Submission
from pilotage.screen import Screen
from pilotage.shell import SENDING, WATCHING, Shell, common
from pilotage.watching import BytesDisplay, JobsDisplay

_WHERE = re.compile(r"jobs\[(\d+)\](\.)?")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a key of every job first.")
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where inputs are looked for.  [default: beside each FILE]",
)
@click.option("--watch", is_flag=True, help="Wait until all jobs have ended, and show how they go.")
@common
def submit(shell: Shell, files: tuple[str, ...], settings: tuple[str, ...], base: Path | None, watch: bool) -> None:
    """Submit the jobs in YAML or JSON files.

    All are submitted or none: several files, several documents in a file, sweeps. - reads standard input.

    \b
    Example:
      pilotage submit fit.yaml --set needs.cores=4 --set name=fit-2 --watch
    """
    read = [one for path in files for one in documents.read(path, sys.stdin)]
    jobs = [JobFile(job.label, documents.assign(job.document, settings), base or job.base) for job in read]
    labels = [job.label for job in jobs]
    prepared = inputs.Prepared(())
    problems: list[InvalidInput] = []
    for job in jobs:
        try:
            prepared += inputs.prepare([job.document], job.base, [job.label])
        except InvalidJob as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidJob(tuple(problems))
    with shell.client(SENDING) as client:
        submission = _send(shell, client, prepared, labels)
    _told(shell.screen, submission, labels)
    ended: tuple[JobView, ...] = ()
    if watch:
        with shell.client(WATCHING) as client:
            ended = _watch(shell, client, submission)
    if shell.screen.json:
        shell.screen.data({"jobs": submission.jobs, "warnings": submission.warnings, "ended": ended})
    if any(job.state is not JobState.DONE for job in ended):
        raise click.exceptions.Exit(Exit.JOBS_FAILED)


def _send(shell: Shell, client: Client, prepared: inputs.Prepared, labels: list[str]) -> Submission:
    try:
        with BytesDisplay("sending inputs", shell.screen.err) as display:
            return client.submit_prepared(prepared, progress=display)
    except Refusal as error:
        if not error.problems:
            raise
        raise InvalidJob(
            tuple(InvalidInput(_labelled(found.where, labels), found.problem) for found in error.problems)
        ) from error


def _labelled(text: str, labels: list[str]) -> str:
    """A place or sentence of the central, with the file's name for the number of the document."""

    def label(found: re.Match[str]) -> str:
        number = int(found[1])
        if number >= len(labels):
            return found[0]
        return f"{labels[number]}: " if found[2] else labels[number]

    return _WHERE.sub(label, text)


def _told(screen: Screen, submission: Submission, labels: list[str]) -> None:
    for warning in submission.warnings:
        screen.note(f"warning: {_labelled(warning, labels)}")
    if not screen.json:
        count = sum(each.count for each in submission.jobs)
        sent = f"; {words.plural(submission.uploaded, 'input file')} sent" if submission.uploaded else ""
        screen.line(f"submitted {words.plural(count, 'job')}: {words.ids(submission.ids)}{sent}")


def _watch(shell: Shell, client: Client, submission: Submission) -> tuple[JobView, ...]:
    with JobsDisplay("jobs", len(submission.ids), shell.screen.err) as display:
        ended = client.wait(submission.ids, progress=display)
    wrong = [job for job in ended if job.state is not JobState.DONE]
    for job in wrong[:10]:
        shell.screen.note(f"job {job.id} {job.state.value}: {words.job_note(job) or 'no reason is known'}")
    if wrong:
        more = f"{len(wrong)} of {len(ended)} jobs did not succeed" if len(ended) > 1 else "it did not succeed"
        shell.screen.note(f"{more}: `pilotage logs {wrong[0].id}` shows what was printed.")
    return ended
