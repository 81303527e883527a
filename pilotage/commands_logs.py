"""`pilotage logs`: what jobs print, and what pilots say."""

from __future__ import annotations

import codecs
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import click

from pilot.errors import PilotageError, Refusal
from pilot.looking import LogLine
from pilot.states import FINAL
from pilotage.client import Client
from pilotage.commands_results import told_if_unborn
from pilotage.results import Stream
from pilotage.shell import ASKING, WATCHING, Shell, common, whole_stamp

STREAMS: Sequence[Stream] = ("stdout", "stderr")


@dataclass(frozen=True)
class Search:
    """What `--grep` and its companions ask for."""

    pattern: str
    fixed: bool
    ignore_case: bool


@click.command()
@click.argument("job_id", type=click.IntRange(1), required=False, metavar="[ID]")
@click.option("--pilot", metavar="STAMP", help="The log of a pilot instead of a job's.")
@click.option("--stream", help="Of a pilot: boot, pilot, or another that `pilotage pilot` lists.  [default: pilot]")
@click.option("--stdout", "only", flag_value="stdout", help="Only what the job printed to standard output.")
@click.option("--stderr", "only", flag_value="stderr", help="Only what the job printed to standard error.")
@click.option("--attempt", type=click.IntRange(1), help="Of this attempt.  [default: the newest]")
@click.option("-f", "--follow", is_flag=True, help="Go on as more comes, until the job has ended.")
@click.option("--offset", type=click.IntRange(0), default=0, help="From this byte on.")
@click.option("-g", "--grep", metavar="PATTERN", help="Only lines that match; the central looks for them.")
@click.option("-F", "--fixed", is_flag=True, help="The pattern is a plain text.")
@click.option("-i", "--ignore-case", is_flag=True, help="The pattern takes capitals and small letters alike.")
@common
def logs(
    shell: Shell,
    job_id: int | None,
    pilot: str | None,
    stream: str | None,
    only: Stream | None,
    attempt: int | None,
    follow: bool,
    offset: int,
    grep: str | None,
    fixed: bool,
    ignore_case: bool,
) -> None:
    """Print what a job printed, byte for byte.

    Its standard output goes to yours, its standard error to yours. With --json each piece is a line of its own, with
    the name of its stream. PATTERN is a regular expression (RE2).

    \b
    Examples:
      pilotage logs 7 -f
      pilotage logs 7 --stderr --attempt 1
      pilotage logs 7 --grep 'error|warning' -i
      pilotage logs --pilot 3f9a12bc --stream boot
    """
    if (job_id is None) == (pilot is None):
        raise click.UsageError("Name a job by its id, or a pilot with --pilot STAMP.")
    if grep is not None:
        if follow:
            raise click.UsageError("--grep looks at what is there now: leave --follow out.")
        _grep(shell, Search(grep, fixed, ignore_case), job_id, pilot, stream, only, attempt)
        return
    if pilot:
        _of_pilot(shell, pilot, stream or "pilot", follow, offset)
        return
    streams: Sequence[Stream] = (only,) if only else STREAMS
    if follow:
        _follow(shell, job_id or 0, streams, attempt, offset)
        return
    with shell.client() as client:
        try:
            for each in streams:
                _copy([client.logs(job_id or 0, each, attempt=attempt, offset=offset)], _target(shell, each, only))
        except Refusal as refusal:
            told_if_unborn(shell, client, job_id or 0, attempt, refusal, "printed")


def _of_pilot(shell: Shell, pilot: str, name: str, follow: bool, offset: int) -> None:
    with shell.client(WATCHING if follow else ASKING) as client:
        stamp = whole_stamp(client, pilot)
        if follow:
            chunks: Iterable[bytes] = client.follow_pilot(stamp, name, offset=offset)
        else:
            chunks = [client.pilot_logs(stamp, name, offset=offset)]
        _copy(chunks, _Lines(name) if shell.screen.json else sys.stdout.buffer)


def _grep(
    shell: Shell,
    search: Search,
    job_id: int | None,
    pilot: str | None,
    stream: str | None,
    only: Stream | None,
    attempt: int | None,
) -> None:
    how = {"plain": search.fixed, "ignore_case": search.ignore_case}
    with shell.client() as client:
        if pilot:
            name = stream or "pilot"
            _lines_found(shell, name, client.search_pilot(whole_stamp(client, pilot), search.pattern, name, **how))
            return
        try:
            for each in (only,) if only else STREAMS:
                _lines_found(shell, each, client.search(job_id or 0, search.pattern, each, attempt=attempt, **how))
        except Refusal as refusal:
            told_if_unborn(shell, client, job_id or 0, attempt, refusal, "printed")


def _lines_found(shell: Shell, stream: str, lines: Iterable[LogLine]) -> None:
    for line in lines:
        if shell.screen.json:
            sys.stdout.write(json.dumps({"stream": stream, "offset": line.offset, "text": line.text}) + "\n")
        else:
            sys.stdout.write(line.text + "\n")


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


def _follow(shell: Shell, job_id: int, streams: Sequence[Stream], attempt: int | None, offset: int) -> None:
    """Follow an attempt from an offset on, and those that come after it from their beginning unless it was named."""
    only = streams[0] if len(streams) == 1 else None
    with shell.client(WATCHING) as client:
        for number in _attempts(shell, client, job_id, attempt):
            _together(
                [_Follower(shell, job_id, stream, number, offset, _target(shell, stream, only)) for stream in streams]
            )
            offset = 0


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

    def __init__(self, shell: Shell, job_id: int, stream: Stream, attempt: int, offset: int, target: Target) -> None:
        super().__init__(daemon=True)
        self._shell = shell
        self._job = job_id
        self._stream = stream
        self._attempt = attempt
        self._offset = offset
        self._target = target
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            with self._shell.client(WATCHING) as client:
                _copy(client.follow(self._job, self._stream, attempt=self._attempt, offset=self._offset), self._target)
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
