"""`pilotage peek`: the files of a job while it runs."""

from __future__ import annotations

import sys

import click

from pilot.errors import PilotageError
from pilot.protocol import MAX_PEEK
from pilotage import words
from pilotage.shell import Shell, common

#: Bytes that are shown unless somebody says otherwise.
SHOWN = 64_000


@click.command()
@click.argument("job_id", type=click.IntRange(1), metavar="ID")
@click.argument("path", default="")
@click.option("--tail", is_flag=True, help="The end of the file instead of its beginning.")
@click.option("--offset", type=click.IntRange(0), help="From this byte on.")
@click.option("-c", "--bytes", "most", type=click.IntRange(1, MAX_PEEK), default=SHOWN, show_default=True)
@common
def peek(shell: Shell, job_id: int, path: str, tail: bool, offset: int | None, most: int) -> None:
    """Look into the directory of a job that runs.

    Without PATH, or with a folder, what is in it; else part of the file. Its pilot answers after its next heartbeat.
    Only files below the job's directory are shown, and no link is followed.

    \b
    Examples:
      pilotage peek 7
      pilotage peek 7 results/fit.log --tail
    """
    if tail and offset is not None:
        raise click.UsageError("--tail and --offset say different things: name one.")
    with shell.client() as client:
        found = client.peek(job_id, path, offset=-most if tail else offset or 0, most=most)
    if shell.screen.json:
        shell.screen.data(found)
    if found.problem:
        raise PilotageError(found.problem)
    if not found.folder and found.offset > found.size:
        raise PilotageError(f"{found.path} has {found.size} bytes until now, and none at {found.offset}.")
    if shell.screen.json:
        return
    if found.folder:  # names are the payload's to choose: they may not steer a terminal
        for line in found.content.decode("utf-8", "replace").rstrip("\n").split("\n"):
            shell.screen.line(line)
        return
    sys.stdout.buffer.write(found.content)
    sys.stdout.buffer.flush()
    end = found.offset + len(found.content)
    if found.offset or end < found.size:
        shell.screen.note(f"bytes {found.offset} to {end} of {words.size(found.size)}; see --tail, --offset, --bytes")
