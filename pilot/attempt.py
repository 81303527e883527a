"""One attempt from lease to report: its files in, its payload, its files out. Runs in a thread of its own.

Whatever goes wrong here costs this attempt alone: a fault of ours is reported as the node's, with its sentence.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from commands.context import Central, Sandboxes
from pilot.delivery import Delivery
from pilot.directory import AttemptDirectory, last_lines, remove, size_of, write_private
from pilot.environment import marker, payload_environment
from pilot.errors import InvalidInput, PilotageError, Refusal
from pilot.jobfile import relative_path
from pilot.masking import mask
from pilot.payload import CannotStart, Ended, InnerElement, Launch, Payload
from pilot.persist import Stopped, persist
from pilot.protocol import MAX_TAIL, AttemptReport, InputFile, Lease, LeaseReport, Usage, attempt_stream
from pilot.slots import Slot
from pilot.states import Outcome, Phase
from pilot.verdict import Verdict, beyond, judge
from pilot.watchdog import Limits, Watch, Watchdog

#: Seconds that an input is tried for. Longer, and another node may be nearer to it.
INPUT_PATIENCE = 1800.0
#: Seconds that the processes of a payload get to vanish after SIGKILL; one that hangs in the kernel never does.
KILL_PATIENCE = 10.0
#: Room above its disk limit that a single file has: the watchdog, which can name the limit, shall come first.
FILE_SLACK = 256 * 1024 * 1024
_POLL = 0.05


@dataclass(frozen=True)
class Services:
    """What every attempt of a pilot uses."""

    central: Central
    sandboxes: Sandboxes
    element: InnerElement
    watchdog: Watchdog
    host: Mapping[str, str]  # the pilot's own environment
    random: Callable[[], float]
    say: Callable[[str], None]
    keep_work: bool = False


class Attempt:
    """`end` and `lease_report` may be called from any thread; `run` is the thread.

    `freed` is called when the payload has ended, `ended` when the attempt has.
    """

    def __init__(
        self,
        lease: Lease,
        slot: Slot,
        limits: Limits,
        place: AttemptDirectory,
        prepared: Mapping[str, str],
        services: Services,
    ) -> None:
        self.lease = lease
        self.slot = slot
        self.limits = limits
        self.place = place
        self.prepared = prepared
        self.services = services
        self.freed: Callable[[], None] = lambda: None
        self.ended: Callable[[], None] = lambda: None
        self.phase = Phase.MATCHED
        self.verdict: Optional[Verdict] = None
        self.payload: Optional[Payload] = None
        self.watch: Optional[Watch] = None
        self.kill_at = float("inf")  # of the monotonic clock: when what is left of the payload is killed
        self.deliver_until = float("inf")
        self._changed = threading.Condition()
        self._cleared = True  # nothing of the payload is left
        self._streaming = threading.Lock()
        self._streamed: set[str] = set()
        self._streams_closed = False

    @property
    def name(self) -> str:
        return f"job {self.lease.job} attempt {self.lease.attempt}"

    def lease_report(self) -> LeaseReport:
        """How far it is."""
        usage = self.watch.usage if self.watch is not None else Usage()
        return LeaseReport(self.lease.job, self.lease.attempt, self.phase, usage)

    # -- from outside -------------------------------------------------------------------------------------------------

    def end(self, verdict: Verdict) -> None:
        """Have it end. The first verdict stands, unless the lease is gone; a later one may only shorten the grace."""
        with self._changed:
            if self.phase is Phase.ENDED:
                return
            if self.phase is Phase.COMPLETING and verdict.outcome is Outcome.PREEMPTED:
                # The payload is done: what is left of the time is for its outputs.
                self.deliver_until = min(self.deliver_until, time.monotonic() + verdict.grace)
                self._changed.notify_all()
                return
            again = self.verdict is not None
            if not again or verdict.outcome is None:
                self.verdict = verdict
            self._changed.notify_all()
            payload = self.payload
        if payload is not None:
            self._press(payload, verdict, again)

    def _press(self, payload: Payload, verdict: Verdict, again: bool) -> None:
        """Ask the payload to end, and see to it that it does."""
        self.kill_at = min(self.kill_at, time.monotonic() + verdict.grace)
        if verdict.grace <= 0:
            payload.kill()
            return
        if not again:
            write_private(self.place.deadline, f"{time.time() + verdict.grace:.0f}\n")
            payload.terminate()
        self.services.watchdog.at(self.kill_at, lambda: None if self._cleared else payload.kill())

    # -- the thread ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            report = self._carry_out()
        except Stopped as stopped:
            report = self._stopped(str(stopped))
        except Exception as fault:  # noqa: BLE001 - a dead worker costs its own attempt, never the pilot
            self.services.say(f"{self.name}: {traceback.format_exc()}")
            report = self._node_fault(f"a fault of the pilot or its node: {type(fault).__name__}: {fault}")
        try:
            self._leave(report)
        except PilotageError as error:
            self.services.say(f"{self.name}: its end could not be told: {error}")
        finally:
            self.ended()

    def _carry_out(self) -> AttemptReport:
        lease = self.lease
        if lease.spec.container:
            return self._node_fault("it needs a container, and this pilot can run none")
        self.place.create(lease.job_token)
        problem = self._stage_in()
        if problem:
            return AttemptReport(Phase.ENDED, Outcome.INPUT_ERROR, message=problem)
        try:
            report = self._run_payload()
        except CannotStart as problem_at_start:
            return AttemptReport(
                Phase.ENDED,
                Outcome.PAYLOAD_ERROR,
                exit_code=problem_at_start.exit_code,
                message=str(problem_at_start),
            )
        finally:
            self.freed()
        return self._bring_home(report)

    def _stage_in(self) -> str:
        """Bring the inputs; returns why one cannot be had. Raises `Stopped` on a verdict."""
        deadline = time.monotonic() + INPUT_PATIENCE
        problems = (self._stage(file, deadline) for file in self.lease.spec.inputs)
        return next(filter(None, problems), "")

    def _stage(self, file: InputFile, deadline: float) -> str:
        try:
            persist(lambda: self._fetch(file), self._pausing(deadline), self.services.random)
        except (Refusal, InvalidInput) as refusal:
            return f"the input {file.name!r} cannot be had: {refusal}"
        except Stopped as stopped:
            if self.verdict is not None:
                raise
            return f"the input {file.name!r} could not be had within {INPUT_PATIENCE:.0f} s: {stopped}"
        return ""

    def _fetch(self, file: InputFile) -> None:
        target = self.place.job / relative_path(file.name, "inputs")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.services.sandboxes.fetch(self.lease, file.sha256, file.size, target)
        if file.executable:
            target.chmod(0o700)

    def _run_payload(self) -> AttemptReport:
        self._advance(Phase.RUNNING)
        started = time.monotonic()
        payload = self._begin()
        watch = self.watch = Watch(
            payload,
            self.limits,
            self.place.root,
            started,
            lambda problem: self.end(beyond(problem, self.lease.spec.grace)),
            self._follow_output,
        )
        self.services.watchdog.watch(watch)
        ended = payload.wait()
        wall = time.monotonic() - started
        self.services.watchdog.unwatch(watch)
        self._clear(payload)
        usage = _final(watch, ended, wall)
        watch.usage = usage
        return judge(ended, self.verdict, usage, self.limits)

    def _begin(self) -> Payload:
        with self._changed:
            if self.verdict is not None:
                raise Stopped(None)
            self._cleared = False
            self.payload = self.services.element.start(self._launch())
            return self.payload

    def _clear(self, payload: Payload) -> None:
        """End what the payload has left behind; once it was asked to end, within the time that it was given."""
        while self.verdict is not None and time.monotonic() < self.kill_at and payload.living():
            time.sleep(_POLL)
        left = payload.clear(KILL_PATIENCE)
        self._cleared = True
        if left:
            self.services.say(f"{self.name}: {left} processes of it cannot be ended")

    def _launch(self) -> Launch:
        place, bound = self.place, self.limits.disk
        return Launch(
            command=self.lease.spec.command,
            directory=place.job,
            environment=payload_environment(self.services.host, self.prepared, self.lease, self.slot, place),
            stdout=place.stdout,
            stderr=place.stderr,
            marker=marker(place.token),
            cpus=self.slot.cpus,
            file_bound=None if bound is None else bound + FILE_SLACK,
        )

    def _bring_home(self, report: AttemptReport) -> AttemptReport:
        """Deliver the outputs of a payload that ended by itself, or was over a limit that leaves them usable."""
        if self.verdict is not None and report.outcome is not Outcome.LIMIT_EXCEEDED:
            return report
        if report.limit == "disk" or not self.lease.spec.outputs:
            return report
        self._advance(Phase.COMPLETING)
        delivery = Delivery(self.lease, self.place.job, self.services.sandboxes, self.services.random)
        report = delivery.add_to(report, self._pausing(None))
        verdict = self.verdict
        if verdict is None or report.outcome is Outcome.LIMIT_EXCEEDED:
            return report
        return replace(report, outcome=verdict.outcome, message=verdict.message)  # killed while its files went home

    # -- small parts --------------------------------------------------------------------------------------------------

    def _advance(self, phase: Phase) -> None:
        self.phase = phase
        usage = self.watch.usage if self.watch is not None else Usage()
        self.services.central.report(self.lease.job, self.lease.attempt, AttemptReport(phase, usage=usage))

    def _pausing(self, deadline: Optional[float]) -> Callable[[float], bool]:
        """Waits between tries; says whether to stop: there is a verdict, or no time."""

        def pause(seconds: float) -> bool:
            end = time.monotonic() + seconds
            with self._changed:
                while True:
                    now = time.monotonic()
                    last = min(self.deliver_until, float("inf") if deadline is None else deadline)
                    if self.verdict is not None or now >= last:
                        return True
                    if now >= end:
                        return False
                    self._changed.wait(min(end, last) - now)

        return pause

    def _follow_output(self) -> None:
        """Have what is printed pushed, from the first byte on."""
        with self._streaming:
            if self._streams_closed:
                return  # a last look of the watchdog, when all is over
            for name, path in self._logs():
                if name not in self._streamed and size_of(path):
                    self._streamed.add(name)
                    self.services.central.stream(name, path)

    def _close_streams(self) -> None:
        """Nothing more is printed."""
        self._follow_output()
        with self._streaming:
            self._streams_closed = True
            for name in self._streamed:
                self.services.central.close_stream(name)

    def _logs(self) -> tuple[tuple[str, Path], ...]:
        """Its log streams and their files."""
        job, attempt = self.lease.job, self.lease.attempt
        return (
            (attempt_stream(job, attempt, "stdout"), self.place.stdout),
            (attempt_stream(job, attempt, "stderr"), self.place.stderr),
        )

    def _stopped(self, why: str) -> AttemptReport:
        """There was a verdict before the payload ran."""
        verdict = self.verdict
        if verdict is None:
            return self._node_fault(why)
        return AttemptReport(Phase.ENDED, verdict.outcome, limit=verdict.limit, message=verdict.message)

    def _node_fault(self, message: str) -> AttemptReport:
        usage = self.watch.usage if self.watch is not None else Usage()
        return AttemptReport(Phase.ENDED, Outcome.NODE_FAULT, message=message, usage=usage)

    def _leave(self, report: AttemptReport) -> None:
        """Say how it ended, and leave nothing behind."""
        if self.payload is not None and not self._cleared:
            self.payload.kill()  # the thread met a fault while it ran
            self._clear(self.payload)
        with self._changed:
            self.phase = Phase.ENDED
            gone = self.verdict is not None and self.verdict.outcome is None
        self._close_streams()
        if not gone:
            self.services.central.report(self.lease.job, self.lease.attempt, self._completed(report))
        if not self.services.keep_work:
            remove(self.place.root)

    def _completed(self, report: AttemptReport) -> AttemptReport:
        """The report with its last lines, and how much was printed."""
        place = self.place
        text = last_lines(place.stderr) or last_lines(place.stdout)
        secrets = [self.lease.job_token.encode(), *(value.encode() for value in self.lease.credentials.values())]
        tail = mask(text.encode("utf-8", "replace"), [secret for secret in secrets if secret])[-MAX_TAIL:]
        sizes = {name: size_of(path) for name, path in self._logs()}
        return replace(
            report,
            tail=tail.decode("utf-8", "replace"),
            log_sizes={name: size for name, size in sizes.items() if size},
        )


def _final(watch: Watch, ended: Ended, wall: float) -> Usage:
    """What the payload has used in all."""
    seen = watch.usage
    peaks = [amount for amount in (seen.memory_peak, ended.largest) if amount]
    return Usage(
        wall=round(wall, 3),
        cpu=round(max(seen.cpu or 0.0, ended.cpu), 3),
        memory_peak=max(peaks, default=None),
        disk=watch.meter.final(),
    )
