"""`pilotage output`: what jobs write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pilot.errors import Refusal
from pilot.protocol import OutputFile
from pilot.states import FINAL, JobState
from pilotage import words
from pilotage.client import Client
from pilotage.screen import Table
from pilotage.shell import SENDING, Shell, common
from pilotage.watching import BytesDisplay


@click.command()
@click.argument("job_id", type=click.IntRange(1), metavar="ID")
@click.option(
    "-d", "--directory", type=click.Path(path_type=Path, file_okay=False), help="Where to.  [default: job-ID]"
)
@click.option("--attempt", type=click.IntRange(1), help="Of this attempt.  [default: the newest]")
@click.option("--list", "only_list", is_flag=True, help="Only list them.")
@common
def output(shell: Shell, job_id: int, directory: Path | None, attempt: int | None, only_list: bool) -> None:
    """Fetch the files that a job brought home.

    Each is checked by its SHA-256, and nothing is written outside the directory.

    \b
    Example:
      pilotage output 7 -d results
    """
    with shell.client(SENDING) as client:
        try:
            outputs = client.outputs(job_id, attempt=attempt)
        except Refusal as refusal:
            told_if_unborn(shell, client, job_id, attempt, refusal, "written")
            return
        if only_list:
            _listed(shell, outputs.outputs, outputs.undelivered)
            return
        folder = directory or Path(f"job-{job_id}")
        with BytesDisplay("fetching", shell.screen.err) as display:
            fetched = client.fetch_outputs(job_id, folder, attempt=outputs.attempt, progress=display)
    if shell.screen.json:
        shell.screen.data({"files": [str(path) for path in fetched.files], "elsewhere": fetched.elsewhere})
    else:
        for path in fetched.files:
            shell.screen.line(str(path))
    for file in fetched.elsewhere:
        shell.screen.note(f"{file.name} is elsewhere: {' '.join(file.where) or 'nobody has it'}")
    for name in fetched.undelivered:
        shell.screen.note(f"{name} was not delivered")
    if not fetched.files and not shell.screen.json:
        shell.screen.note(f"job {job_id} brought no files home; `pilotage job {job_id}` shows what it was to bring")


def _listed(shell: Shell, files: Sequence[OutputFile], undelivered: Sequence[str]) -> None:
    if shell.screen.json:
        shell.screen.data({"outputs": files, "undelivered": undelivered})
        return
    rows = [(file.name, words.size(file.size), file.sha256[:12], " ".join(file.where)) for file in files]
    rows += [(name, "", "", "not delivered") for name in undelivered]
    shell.screen.table(Table(("FILE", "SIZE", "SHA-256", "WHERE"), rows, right=("SIZE",)))


def told_if_unborn(shell: Shell, client: Client, job_id: int, attempt: int | None, refusal: Refusal, what: str) -> None:
    """Say that a job has had no attempt yet, when that is what was refused; raises the refusal otherwise."""
    view = client.job(job_id).job if refusal.type == "not-found" and not attempt else None
    if view is None or view.attempt:
        raise refusal
    if view.state in FINAL:
        shell.screen.note(f"job {job_id} is {view.state.value} and never ran: nothing was {what}")
        return
    verb = "waits" if view.state is JobState.WAITING else f"is {view.state.value}"
    shell.screen.note(f"job {job_id} {verb}: nothing is {what} yet; `pilotage explain {job_id}` says why")
