"""Runs one job here and now, with no central at all, by the same pipeline that runs it on the grid."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Optional

from commands.context import Orders
from pilot import onejob, processes, tags
from pilot.attempts.delivery import kept_sentence
from pilot.attempts.pool import Pool
from pilot.config import Config
from pilot.credentialfile import trusted, untrusted
from pilot.destination import SANDBOX
from pilot.endings import Ending
from pilot.errors import ExitCode, InvalidJob
from pilot.onejob import OneJob
from pilot.protocol import (
    UNLIMITED,
    AttemptReport,
    Fact,
    Lease,
    LeaseReport,
    MatchReply,
    Offer,
    Settings,
    StepReport,
    attempt_stream,
)
from pilot.states import Outcome, Phase, PilotReason
from pilot.units import show_duration, show_size
from pilot.workplace import furnish, run_pipeline

#: The one attempt there is.
JOB, ATTEMPT = 1, 1
#: Seconds that the payload gets when somebody interrupts us.
GRACE = 10.0
#: Seconds after that for what it has saved.
FILES = 30.0
#: The folder, beside the outputs, of what a payload that was interrupted has saved.
CHECKPOINT = "checkpoint"
#: Lines of a payload that failed which are shown.
SHOWN_LINES = 10


def run(
    path: Path,
    work: Path,
    settings: Sequence[str] = (),
    member: Sequence[str] = (),
    resume: Optional[Path] = None,
    credentials: Optional[Path] = None,
) -> ExitCode:
    """Run the job of a file in `work`; its outputs and logs go to ``./<name>-output``. Prints a short report.

    `resume`: a folder with what an earlier run has saved as its checkpoint. `credentials`: a file with those that the
    job names. Raises `InvalidInput`.
    """
    started = time.monotonic()
    try:
        job = onejob.read(path, settings, member)
        job = job if resume is None else onejob.resumed(job, resume)
        job = untrusted(job) if credentials is None else trusted(job, credentials)
    except InvalidJob as error:
        for problem in error.problems:
            print(f"pilot: {problem}", file=sys.stderr)
        return ExitCode.USAGE
    target = Path(f"{re.sub(r'[^A-Za-z0-9._-]+', '-', job.name)}-output")
    target.mkdir(exist_ok=True)
    processes.become_subreaper()
    with (target / "pilot.log").open("w", encoding="utf-8", errors="replace") as log:
        central = NoCentral(job, target)
        config = Config(
            stamp=secrets.token_hex(16),
            central=(),
            ca=None,
            secret_file=work / "secret",
            site="here",
            queue="standalone",
            work=work,
            wall_time=UNLIMITED,
        )
        context, pool, guests = furnish(
            config, Settings(idle=60, match_wait=0), central, central, started, lambda line: print(line, file=log)
        )  # fmt: skip
        central.orders(pool)
        _interruptible(pool)
        ended = run_pipeline(context, guests, started)
        pool.close()
    ending = Ending(ended.reason or PilotReason.INTERNAL, ended.message)
    for line in describe(job, central, ending, target):
        print(line)
    return exit_code(central.report_of_end, ending)


def exit_code(report: Optional[AttemptReport], ending: Ending) -> ExitCode:
    """What whoever started us shall know."""
    if ending.reason is PilotReason.SIGNAL:
        return ExitCode.PREEMPTED
    if report is None:
        return ending.exit_code if ending.exit_code is not ExitCode.DONE else ExitCode.PAYLOAD_FAILED
    return ExitCode.DONE if report.outcome is Outcome.SUCCESS else ExitCode.PAYLOAD_FAILED


def describe(job: OneJob, central: NoCentral, ending: Ending, target: Path) -> list[str]:
    """The report, for people."""
    report = central.report_of_end
    lines = [f"job       {job.name}"]
    if report is None or report.outcome is None:
        lines.append(f"did not run: {central.refused or ending.message}")
        return [*lines, *central.warnings]
    if report.outcome is Outcome.NODE_FAULT and not report.usage.wall:
        return [*lines, f"did not run: {report.message}", *central.warnings]
    code = f" (exit code {report.exit_code})" if report.exit_code is not None else ""
    lines.append(f"outcome   {report.outcome.value}{code}")
    usage = report.usage
    took = [f"{show_duration(usage.wall)}"]
    if usage.cpu is not None:
        took.append(f"{show_duration(usage.cpu)} of CPU")
    if usage.memory_peak is not None:
        took.append(f"{show_size(usage.memory_peak)} of memory at most")
    lines.append(f"took      {', '.join(took)}")
    here = [output for output in report.outputs if SANDBOX in output.where]
    names = [f"{output.name} ({show_size(output.size)})" for output in here]
    names += [f"{name} ({show_size(size)})" for name, size in central.logs.items()]
    names += [f"{CHECKPOINT}/{file.name} ({show_size(file.size)})" for file in report.checkpoint]
    lines.append(f"outputs   {target}/: {', '.join(names) or 'nothing'}")
    away = [output for output in report.outputs if SANDBOX not in output.where]
    lines += [f"delivered {' '.join(output.where)} ({show_size(output.size)})" for output in away[:SHOWN_LINES]]
    if len(away) > SHOWN_LINES:
        lines.append(f"delivered {len(away) - SHOWN_LINES} more")
    if report.message:
        lines.append(f"message   {report.message}")
    lines += central.warnings
    if report.outcome is not Outcome.SUCCESS and report.tail:
        lines += ["last lines:", *(f"  {line}" for line in report.tail.splitlines()[-SHOWN_LINES:])]
    return lines


class NoCentral:
    """In the central's place: hands out the one job, and keeps what becomes of it in a folder."""

    def __init__(self, job: OneJob, target: Path) -> None:
        self.job = job
        self.target = target
        self.report_of_end: Optional[AttemptReport] = None
        self.refused = ""  # why the job could not be started
        self.warnings: list[str] = []
        self.logs: dict[str, int] = {}  # name → bytes
        self._receiver: Optional[Orders] = None
        self._handed_out = False
        self._streams: dict[str, Path] = {}

    # -- commands.context.Central -------------------------------------------------------------------------------------

    def match(self, offer: Offer, most: int, wait: float) -> MatchReply:
        if self._handed_out:
            return MatchReply(0, reason="nothing-waits", retry_after=60)
        self._handed_out = True
        expression = self.job.spec.needs.tags
        if self.job.spec.needs.isolation and not offer.isolation:
            self.warnings.append(
                "warning   `isolation: required` is not given here: the payload can reach what is yours, and the"
                " other way round; on the grid it would run elsewhere"
            )
        if not tags.holds(tags.parse(expression), offer.tags, offer.unknown_tags):
            self.warnings.append(
                f"warning   the tags {expression} do not hold here: on the grid it would run elsewhere"
            )
        token, saved = secrets.token_hex(16), self.job.checkpoint
        own = self.job.credentials
        lease = Lease(JOB, ATTEMPT, 0, self.job.spec, token, cores=0, credentials=own, checkpoint=saved)
        return MatchReply(0, leases=(lease,))

    def report(self, job: int, attempt: int, report: AttemptReport) -> None:
        if report.phase is Phase.ENDED:
            self._bring_home(report)
            message = report.message.replace(kept_sentence(JOB), f"what no destination took is in {self.target}/")
            self.report_of_end = replace(report, message=message)
            self._end("the one job has ended")

    def release(self, leases: Sequence[Lease], why: str) -> None:
        self.refused = why
        self._end(why)

    def step(self, report: StepReport) -> None: ...

    def facts(self, facts: Sequence[Fact]) -> None: ...

    def progress(self, leases: Sequence[LeaseReport]) -> None: ...

    def lifetime(self, seconds: int) -> None: ...

    def tick(self) -> None: ...

    def stream(self, name: str, path: Path) -> None:
        if name.startswith(attempt_stream(JOB, ATTEMPT, "")):  # what steps say is in the pilot's log
            self._streams[name.rpartition("-")[2]] = path

    def close_stream(self, name: str) -> None: ...

    def orders(self, receiver: Orders) -> None:
        self._receiver = receiver

    # -- commands.context.Sandboxes -----------------------------------------------------------------------------------

    def fetch(self, lease: Lease, sha256: str, size: int, target: Path) -> None:
        shutil.copyfile(self.job.files[sha256], target)

    def store(self, lease: Lease, source: Path, sha256: str, size: int) -> None:
        kept = self._kept(sha256)
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, kept)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _kept(self, sha256: str) -> Path:
        return self.target / ".arriving" / sha256

    def _bring_home(self, report: AttemptReport) -> None:
        """Put outputs and logs under their names."""
        if report.checkpoint:  # it is whole: with files of an older one it would not be
            shutil.rmtree(self.target / CHECKPOINT, ignore_errors=True)
        saved = [(f"{CHECKPOINT}/{file.name}", file.sha256) for file in report.checkpoint]
        here = [(output.name, output.sha256) for output in report.outputs if SANDBOX in output.where]
        for name, sha256 in [*here, *saved]:
            place = self.target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._kept(sha256), place)
        shutil.rmtree(self.target / ".arriving", ignore_errors=True)
        for name, path in self._streams.items():
            shutil.copyfile(path, self.target / name)
            self.logs[name] = path.stat().st_size

    def _end(self, why: str) -> None:
        if self._receiver is not None:
            self._receiver.drain(PilotReason.DRAINED, why)


def _interruptible(pool: Pool) -> None:
    """Let Ctrl-C and SIGTERM end the payload in good order."""

    def stop(number: int, frame: Optional[FrameType]) -> None:
        message = f"interrupted by {signal.Signals(number).name}"
        # In a thread: a handler runs in the midst of anything, and the Pool may just be locked.
        threading.Thread(target=pool.stop, args=(PilotReason.SIGNAL, message, GRACE, FILES), daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
