"""`pilotage output`: what jobs write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pilot.errors import PilotageError
from pilot.protocol import OutputFile
from pilot.states import FINAL, LEASED
from pilot.views import JobOutputs
from pilotage import words
from pilotage.client import Client
from pilotage.exits import Exit
from pilotage.files import Fetched
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
@click.option("--force", is_flag=True, help="Replace files of the directory that differ.")
@common
def output(
    shell: Shell, job_id: int, directory: Path | None, attempt: int | None, only_list: bool, force: bool
) -> None:
    """Fetch the files that a job brought home.

    Each is checked by its SHA-256, and nothing is written outside the directory. Of a job that has not ended there is
    nothing to fetch: that is the exit code 1, and 5 when some files were not delivered.

    \b
    Example:
      pilotage output 7 -d results
    """
    with shell.client(SENDING) as client:
        outputs = _outputs(client, job_id, attempt)
        if only_list:
            _listed(shell, outputs.outputs, outputs.undelivered)
            return
        folder = directory or Path(f"job-{job_id}")
        with BytesDisplay("fetching", shell.screen.err) as display:
            fetched = client.fetch_outputs(job_id, folder, attempt=outputs.attempt, force=force, progress=display)
    _told(shell, job_id, fetched)
    if fetched.undelivered:
        raise click.exceptions.Exit(Exit.PARTLY)


def _outputs(client: Client, job_id: int, attempt: int | None) -> JobOutputs:
    """What an attempt brought home. Raises `PilotageError` when the job has not got that far."""
    view = client.job(job_id).job
    if attempt is None and view.state not in FINAL:
        look = f"`pilotage explain {job_id}` says why"
        if view.state in LEASED:
            look = f"`pilotage peek {job_id}` looks into its directory, --attempt N fetches what an earlier one left"
        raise PilotageError(f"Job {job_id} is {view.state.value} and has not ended yet: nothing to fetch; {look}.")
    if attempt is None and not view.attempt:
        raise PilotageError(f"Job {job_id} is {view.state.value} and never ran: nothing was written.")
    return client.outputs(job_id, attempt=attempt)


def _told(shell: Shell, job_id: int, fetched: Fetched) -> None:
    if shell.screen.json:
        files = [str(path) for path in fetched.files]
        shell.screen.data({"files": files, "elsewhere": fetched.elsewhere, "undelivered": fetched.undelivered})
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
