"""`pilotage logs`: what jobs print, and what pilots say."""

from __future__ import annotations

import codecs
import json
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import click

from pilot.errors import InvalidInput, PilotageError, Refusal
from pilot.looking import LogLine
from pilot.states import FINAL, JobState
from pilotage import words
from pilotage.client import Client
from pilotage.exits import Exit
from pilotage.results import Stream
from pilotage.shell import ASKING, WATCHING, Shell, common, whole_stamp

STREAMS: Sequence[Stream] = ("stdout", "stderr")
#: Streams that every pilot will have, though they may not have begun.
_COMING = re.compile(r"boot|pilot|step-.+")


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
    the name of its stream. PATTERN is a regular expression (RE2); of a line that matches 4 kB are shown, and the exit
    code is 1 when none does.

    \b
    Examples:
      pilotage logs 7 -f
      pilotage logs 7 --stderr --attempt 1
      pilotage logs 7 --grep 'error|warning' -i
      pilotage logs --pilot 3f9a12bc --stream boot
    """
    _sensible(job_id, pilot, stream, only, attempt)
    if grep is not None:
        if follow or offset:
            raise click.UsageError("--grep looks at all that is there now: leave --follow and --offset out.")
        _grep(shell, Search(grep, fixed, ignore_case), job_id, pilot, stream, only, attempt)
        return
    if fixed or ignore_case:
        raise click.UsageError("--fixed and --ignore-case say how to take the PATTERN of --grep, which is not there.")
    if pilot:
        _of_pilot(shell, pilot, stream, follow, offset)
        return
    if follow:
        _follow(shell, job_id or 0, (only,) if only else STREAMS, attempt, offset)
        return
    with shell.client() as client:
        try:
            _printed(shell, client, job_id or 0, only, attempt, offset)
        except Refusal as refusal:
            _told_if_unborn(shell, client, job_id or 0, attempt, refusal)


def _sensible(
    job_id: int | None, pilot: str | None, stream: str | None, only: Stream | None, attempt: int | None
) -> None:
    """Raises the error of a wrong command line when an option would have no effect."""
    if (job_id is None) == (pilot is None):
        raise click.UsageError("Name a job by its id, or a pilot with --pilot STAMP.")
    if pilot is None and stream is not None:
        raise click.UsageError("--stream is of a pilot: of a job, choose with --stdout or --stderr.")
    if pilot is not None and (only or attempt):
        raise click.UsageError("--stdout, --stderr and --attempt are of a job: of a pilot, choose with --stream.")


def _printed(shell: Shell, client: Client, job_id: int, only: Stream | None, attempt: int | None, offset: int) -> None:
    """What is there now. Raises `InvalidInput` when no stream is so long."""
    streams: Sequence[Stream] = (only,) if only else STREAMS
    too_short: list[InvalidInput] = []
    for each in streams:
        try:
            content = client.logs(job_id, each, attempt=attempt, offset=offset)
        except InvalidInput as problem:
            too_short.append(problem)
        else:
            _copy([content], _target(shell, each, only))
    if len(too_short) == len(streams):
        raise InvalidInput(
            "--offset", "; ".join(f"{each}: {one.problem}" for each, one in zip(streams, too_short, strict=True))
        )


def _of_pilot(shell: Shell, pilot: str, stream: str | None, follow: bool, offset: int) -> None:
    with shell.client(WATCHING if follow else ASKING) as client:
        stamp, name = _stream_of(client, pilot, stream, follow)
        if follow:
            chunks: Iterable[bytes] = client.follow_pilot(stamp, name, offset=offset)
        else:
            content = client.pilot_logs(stamp, name, offset=offset)
            if not content and stream is None and (others := _own(client.pilot(stamp).streams)):
                shell.screen.note(f"pilot {words.stamp(stamp)} pushed no log of its own; --stream shows {others}")
            chunks = [content]
        _copy(chunks, _Lines(name) if shell.screen.json else sys.stdout.buffer)


def _stream_of(client: Client, pilot: str, stream: str | None, to_come: bool = False) -> tuple[str, str]:
    """The stamp of a pilot, and which of its streams is meant. Raises `PilotageError` for one that it does not have."""
    stamp = whole_stamp(client, pilot)
    if stream is None or (to_come and _COMING.fullmatch(stream)):
        return stamp, stream or "pilot"
    there = client.pilot(stamp).streams
    if stream not in there:
        raise PilotageError(f"Pilot {words.stamp(stamp)} has no stream {stream}; it has {_own(there) or 'none yet'}.")
    return stamp, stream


def _own(streams: Iterable[str]) -> str:
    """Those of a pilot that are not its jobs'."""
    return ", ".join(sorted(name for name in streams if not name.startswith("job-")))


def _grep(
    shell: Shell,
    search: Search,
    job_id: int | None,
    pilot: str | None,
    stream: str | None,
    only: Stream | None,
    attempt: int | None,
) -> None:
    """Print the lines that match; ends with the code FAILED when there are none."""
    how = {"plain": search.fixed, "ignore_case": search.ignore_case}
    found = 0
    with shell.client() as client:
        if pilot:
            stamp, name = _stream_of(client, pilot, stream)
            found += _lines_found(shell, name, client.search_pilot(stamp, search.pattern, name, **how))
        else:
            try:
                for each in (only,) if only else STREAMS:
                    lines = client.search(job_id or 0, search.pattern, each, attempt=attempt, **how)
                    found += _lines_found(shell, each, lines)
            except Refusal as refusal:
                _told_if_unborn(shell, client, job_id or 0, attempt, refusal)
    if not found:
        raise click.exceptions.Exit(Exit.FAILED)


def _lines_found(shell: Shell, stream: str, lines: Iterable[LogLine]) -> int:
    """Print them; returns how many there were."""
    found = 0
    for line in lines:
        found += 1
        if shell.screen.json:
            sys.stdout.write(json.dumps({"stream": stream, "offset": line.offset, "text": line.text}) + "\n")
        else:
            sys.stdout.write(line.text + "\n")
    return found


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


def _told_if_unborn(shell: Shell, client: Client, job_id: int, attempt: int | None, refusal: Refusal) -> None:
    """Say that a job has had no attempt yet, when that is what was refused; raises the refusal otherwise."""
    view = client.job(job_id).job if refusal.type == "not-found" and not attempt else None
    if view is None or view.attempt:
        raise refusal
    if view.state in FINAL:
        shell.screen.note(f"job {job_id} is {view.state.value} and never ran: nothing was printed")
        return
    verb = "waits" if view.state is JobState.WAITING else f"is {view.state.value}"
    shell.screen.note(f"job {job_id} {verb}: nothing is printed yet; `pilotage explain {job_id}` says why")
