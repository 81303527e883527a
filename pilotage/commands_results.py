"""`pilotage logs` and `pilotage output`: what jobs print and write."""

from __future__ import annotations

import codecs
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import click

from pilot.errors import PilotageError
from pilot.protocol import OutputFile
from pilot.states import FINAL
from pilotage import words
from pilotage.client import Client
from pilotage.results import Stream
from pilotage.screen import Table
from pilotage.shell import ASKING, SENDING, WATCHING, Shell, common, whole_stamp
from pilotage.watching import BytesDisplay


@click.command()
@click.argument("job_id", type=click.IntRange(1), required=False, metavar="[ID]")
@click.option("--pilot", metavar="STAMP", help="The log of a pilot instead of a job's.")
@click.option("--stream", help="Of a pilot: boot, pilot, or another that `pilotage pilot` lists.  [default: pilot]")
@click.option("--stdout", "only", flag_value="stdout", help="Only what the job printed to standard output.")
@click.option("--stderr", "only", flag_value="stderr", help="Only what the job printed to standard error.")
@click.option("--attempt", type=click.IntRange(1), help="Of this attempt.  [default: the newest]")
@click.option("-f", "--follow", is_flag=True, help="Go on as more comes, until the job has ended.")
@common
def logs(
    shell: Shell,
    job_id: int | None,
    pilot: str | None,
    stream: str | None,
    only: Stream | None,
    attempt: int | None,
    follow: bool,
) -> None:
    """Print what a job printed, byte for byte.

    Its standard output goes to yours, its standard error to yours. With --json each piece is a line of its own, with
    the name of its stream.

    \b
    Examples:
      pilotage logs 7 -f
      pilotage logs 7 --stderr --attempt 1
      pilotage logs --pilot 3f9a12bc --stream boot
    """
    if (job_id is None) == (pilot is None):
        raise click.UsageError("Name a job by its id, or a pilot with --pilot STAMP.")
    if pilot:
        with shell.client(WATCHING if follow else ASKING) as client:
            stamp, name = whole_stamp(client, pilot), stream or "pilot"
            chunks = client.follow_pilot(stamp, name) if follow else [client.pilot_logs(stamp, name)]
            _copy(chunks, _Lines(name) if shell.screen.json else sys.stdout.buffer)
        return
    streams: Sequence[Stream] = (only,) if only else ("stdout", "stderr")
    if follow:
        _follow(shell, job_id or 0, streams, attempt)
        return
    with shell.client() as client:
        for each in streams:
            _copy([client.logs(job_id or 0, each, attempt=attempt)], _target(shell, each, only))


class Target(Protocol):
    """Where a log is written to."""

    def write(self, chunk: bytes, /) -> object: ...

    def flush(self) -> object: ...


class _Lines:
    """A log for programs: a JSON object for each piece; bytes that are no text are replaced."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, chunk: bytes, /) -> None:
        if text := self._decoder.decode(chunk):
            sys.stdout.write(json.dumps({"stream": self._stream, "text": text}) + "\n")

    def flush(self) -> None:
        sys.stdout.flush()


def _target(shell: Shell, stream: Stream, only: Stream | None) -> Target:
    if shell.screen.json:
        return _Lines(stream)
    return sys.stderr.buffer if stream == "stderr" and not only else sys.stdout.buffer


def _copy(chunks: Iterable[bytes], target: Target) -> None:
    for chunk in chunks:
        target.write(chunk)
        target.flush()


def _follow(shell: Shell, job_id: int, streams: Sequence[Stream], attempt: int | None) -> None:
    """Follow an attempt, and those that come after it unless it was named."""
    only = streams[0] if len(streams) == 1 else None
    with shell.client(WATCHING) as client:
        for number in _attempts(shell, client, job_id, attempt):
            _together([_Follower(shell, job_id, stream, number, _target(shell, stream, only)) for stream in streams])


def _attempts(shell: Shell, client: Client, job_id: int, attempt: int | None) -> Iterator[int]:
    number = attempt or client.first_attempt(job_id)
    while number:
        yield number
        view = client.job(job_id).job
        if attempt or view.state in FINAL:
            return
        shell.screen.note(f"attempt {number} has ended and the job is {view.state.value}; waiting for the next attempt")
        number += 1


class _Follower(threading.Thread):
    """Copies one stream of an attempt as it grows, with a connection of its own."""

    def __init__(self, shell: Shell, job_id: int, stream: Stream, attempt: int, target: Target) -> None:
        super().__init__(daemon=True)
        self._shell = shell
        self._job = job_id
        self._stream = stream
        self._attempt = attempt
        self._target = target
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            with self._shell.client(WATCHING) as client:
                _copy(client.follow(self._job, self._stream, attempt=self._attempt), self._target)
        except (PilotageError, OSError) as error:
            self.problem = error


def _together(followers: Sequence[_Follower]) -> None:
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join()
    for follower in followers:
        if follower.problem:
            raise follower.problem


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
        outputs = client.outputs(job_id, attempt=attempt)
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
