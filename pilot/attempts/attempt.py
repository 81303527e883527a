"""One attempt from lease to report: its files in, its payload, its files out. Runs in a thread of its own.

Whatever goes wrong here costs this attempt alone: a fault of ours is reported as the node's, with its sentence.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from commands.context import Central, Sandboxes
from pilot.attempts import unfinished
from pilot.attempts.carrier import Carrier
from pilot.attempts.checkpoints import Checkpoint
from pilot.attempts.containers import Contained, Containers, NoContainer, prepare, seen_by, start
from pilot.attempts.containment import Containment
from pilot.attempts.delivery import Delivery
from pilot.attempts.directory import AttemptDirectory, last_lines, remove
from pilot.attempts.grant import grant_text
from pilot.attempts.inputs import INPUT_PATIENCE, StageIn
from pilot.attempts.keys import Keys
from pilot.attempts.launching import bounds_of, launch_of
from pilot.attempts.patience import TriedAgain
from pilot.attempts.prints import Prints
from pilot.attempts.slots import Slot
from pilot.attempts.timesheet import Timesheet
from pilot.attempts.verdict import GONE, Verdict, beyond, judge, perhaps_told
from pilot.attempts.watchdog import Limits, Watch, Watchdog
from pilot.destinations.cache import InputCache
from pilot.destinations.storages import Storages
from pilot.enclosures.ports import Enclosure
from pilot.masking import mask
from pilot.payloads.payload import CannotStart, InnerElement, Launch, Payload
from pilot.payloads.user_traces import remove_all_of
from pilot.persist import Stopped
from pilot.policy import SitesWord
from pilot.protocol import MAX_TAIL, AttemptReport, Lease, LeaseReport, Usage
from pilot.states import Cause, Outcome, Phase

#: Seconds that the processes of a payload get to vanish after SIGKILL; one that hangs in the kernel never does.
KILL_PATIENCE = 10.0
#: Seconds by which the word that all must end may reach the payload before it reaches us.
LATE = 1.0
#: Seconds after which files of credentials are tried again that could not be replaced.
LATER = 60.0
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
    word: SitesWord = field(default_factory=SitesWord)  # what the site lets in
    containment: Containment = field(default_factory=Containment)
    containers: Optional[Containers] = None
    timesheet: Timesheet = field(default_factory=Timesheet)
    storages: Storages = field(default_factory=lambda: Storages({}))
    inputs: InputCache = field(default_factory=InputCache)
    followed: bool = False  # a monitor that is killed may be followed by another


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
        self.keys = Keys(lease, place, lambda act: services.watchdog.at(time.monotonic() + LATER, act), services.say)
        self.freed: Callable[[], None] = lambda: None
        self.ended: Callable[[], None] = lambda: None
        self.phase = Phase.MATCHED
        self.outcome: Optional[Outcome] = None  # these two once it has ended
        self.told = ""
        self.verdict: Optional[Verdict] = None
        self.payload: Optional[Payload] = None
        self.watch: Optional[Watch] = None
        self.container: Optional[Contained] = None  # what it runs in
        self.note = ""  # a sentence for the report of its end
        self.tried_again = TriedAgain(lambda sentence: services.say(f"{self.name}: {sentence}"))
        self.code = ""  # of a problem with its inputs
        self.kill_at = float("inf")  # of the monotonic clock: when what is left of the payload is killed
        self.deliver_until = float("inf")
        self._changed = threading.Condition()
        self._cleared = True  # nothing of the payload is left that could be ended
        self.left = 0  # processes that could not
        self.reported = False  # its end was told, or is nobody's business
        self.prints = Prints(lease, place, services.central)

    @property
    def name(self) -> str:
        return f"job {self.lease.job} attempt {self.lease.attempt}"

    def lease_report(self) -> LeaseReport:
        """How far it is."""
        usage = self.watch.usage if self.watch is not None else Usage()
        usage = replace(usage, waits_for=self.tried_again.sentence or None)
        return LeaseReport(self.lease.job, self.lease.attempt, self.phase, usage)

    # -- from outside -------------------------------------------------------------------------------------------------

    def end(self, verdict: Verdict) -> None:
        """Have it end. The first verdict stands, unless the lease is gone; a later one may only shorten the grace."""
        with self._changed:
            if self.phase is Phase.ENDED:
                return
            if verdict.outcome is Outcome.PREEMPTED:
                until = time.monotonic() + verdict.grace + verdict.files
                self.deliver_until = min(self.deliver_until, until)
                self._changed.notify_all()
                if self.phase is Phase.COMPLETING:
                    return  # the payload is done: what is left of the time is for its outputs
            again = self.verdict is not None
            if not again or verdict.outcome is None:
                self.verdict = verdict
            self._changed.notify_all()
            payload = self.payload
        if payload is not None:
            self._press(payload, verdict, again)

    def _press(self, payload: Payload, verdict: Verdict, again: bool) -> None:
        """Ask the payload to end, and see to it that it does."""
        kill_at = time.monotonic() + verdict.grace
        if kill_at >= self.kill_at:
            return  # it was told, and has less time already
        self.kill_at = kill_at
        if verdict.grace <= 0:
            payload.kill()
            return
        self.services.watchdog.at(self.kill_at, lambda: None if self._cleared else payload.kill())
        try:
            self.place.tell(self.place.deadline, f"{time.time() + verdict.grace:.0f}\n")
        except OSError as error:  # a payload that has filled the disk ends all the same
            self.services.say(f"{self.name}: its deadline could not be written: {error}")
        if not again:
            payload.terminate()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            report = self._carry_out()
        except Stopped as stopped:
            report = self._stopped(str(stopped))
        except Exception as fault:  # noqa: BLE001 - a dead worker costs its own attempt, never the pilot
            self.services.say(f"{self.name}: {traceback.format_exc()}")
            report = self._node_fault(f"a fault of the pilot or its node: {type(fault).__name__}: {fault}")
        self.outcome, self.told = report.outcome, report.message
        try:
            for last in (self._stop_payload, self.keys.wipe, lambda: self._tell_end(report), self._leave_nothing):
                self._try(last)
        finally:
            self.ended()

    def _carry_out(self) -> AttemptReport:
        lease = self.lease
        self.place.create(lease.job_token)
        self.keys.lay_out()
        problem = self._stage_in()
        if problem:
            return AttemptReport(Phase.ENDED, Outcome.INPUT_ERROR, message=problem, code=self.code)
        try:
            pause = self._pausing(time.monotonic() + INPUT_PATIENCE)
            self._turn(Cause.IMAGE)
            self.container = prepare(self.services.containers, lease, self.slot, self.place, pause)
            report = self._run_payload()
        except NoContainer as problem_here:
            return AttemptReport(Phase.ENDED, problem_here.outcome, message=str(problem_here), code=problem_here.code)
        except CannotStart as problem_at_start:
            return AttemptReport(
                Phase.ENDED,
                Outcome.PAYLOAD_ERROR,
                exit_code=problem_at_start.exit_code,
                message=str(problem_at_start),
            )
        if report.outcome is not Outcome.NODE_FAULT:  # one is known of first: nobody shall take the next job before
            self.freed()
        return self._bring_home(report)

    def _stage_in(self) -> str:
        """Bring the inputs; returns why one cannot be had. Raises `Stopped` on a verdict."""
        stage = StageIn(self._carrier(), self.services.inputs, self._pausing, self.limits.disk, self.tried_again)
        problem = stage.bring()
        self.code = stage.code if problem else ""
        if not problem:
            self.note = Checkpoint(self._carrier()).restore(self.place.root / "checkpoint", stage.pause)
        return problem

    def _run_payload(self) -> AttemptReport:
        self._advance(Phase.RUNNING)
        self._turn(Cause.PAYLOAD)
        started = time.monotonic()
        payload = self._begin()
        watch = self.watch = Watch(
            payload,
            self.limits,
            self.place.root,
            started,
            lambda problem: self.end(beyond(problem, self.lease.spec.grace)),
            self.prints.follow,
            self.lease.spec.stop_signal,
        )
        self.services.watchdog.watch(watch)
        ended = payload.wait()
        wall = time.monotonic() - started
        if perhaps_told(ended):
            with self._changed:  # whoever told the payload may be about to tell us
                self._changed.wait_for(lambda: self.verdict is not None, LATE)
        self.services.watchdog.unwatch(watch)
        self._clear(payload)
        usage = watch.close(ended, wall)  # takes its time, in which a verdict may come
        return judge(ended, self.verdict, usage, self.limits)

    def _begin(self) -> Payload:
        with self._changed:
            if self.verdict is not None:
                raise Stopped(None)
            self._cleared = False
            self.place.tell(self.place.grant, grant_text(self.lease, self.slot, self.limits))
            self.place.hand_over()
            launch = self._launch()
            try:
                self.payload = start(self.services.element, self.services.containers, self.container, launch)
            except BaseException:  # whatever it was: nobody else would remove the enclosure
                if launch.enclosure is not None:
                    launch.enclosure.close()
                raise
            return self.payload

    def _clear(self, payload: Payload) -> None:
        """End what the payload has left behind; once it was asked to end, within the time that it was given."""
        while self.verdict is not None and time.monotonic() < self.kill_at and payload.living():
            time.sleep(_POLL)
        self.left = payload.clear(KILL_PATIENCE)
        self._cleared = True
        if self.left:
            self.services.say(f"{self.name}: {self.left} processes of it cannot be ended")

    def _launch(self) -> Launch:
        return launch_of(
            self.lease, self.slot, self.limits, self.place, self.services.host, self.prepared, self._enclose()
        )

    def _enclose(self) -> Optional[Enclosure]:
        makes = self.services.containment.enclosures
        return makes.enclose(self.place.root.name, bounds_of(self.slot, self.limits)) if makes else None

    def _bring_home(self, report: AttemptReport) -> AttemptReport:
        """Deliver the outputs of a payload that ended by itself, or was over a limit that leaves them usable."""
        if report.outcome is Outcome.PREEMPTED and self.lease.spec.checkpoint:
            saved, problem = Checkpoint(self._carrier()).save(self._hurrying)
            return replace(report, checkpoint=saved, message="; ".join(filter(None, (report.message, problem))))
        told: Optional[AttemptReport] = None
        usable = self.verdict is None or report.outcome is Outcome.LIMIT_EXCEEDED
        if usable and report.limit != "disk" and self.lease.spec.outputs:
            self._advance(Phase.COMPLETING)
            if self.services.followed:
                unfinished.write_down(self._carrier(), report)
            report = told = Delivery(self._carrier(), tell=self.tried_again).add_to(report, self._pausing(None))
        verdict = self.verdict
        if verdict is None or report.outcome is Outcome.LIMIT_EXCEEDED:
            return report
        # It may have come after the payload was judged: then what is not home will not get there.
        message = "; ".join(filter(None, (verdict.message, told.message if told is not None else "")))
        return replace(report, outcome=verdict.outcome, limit=verdict.limit, message=message, code=verdict.code)

    def _carrier(self) -> Carrier:
        services = self.services
        seen = seen_by(services.containers, self.lease.spec)
        return Carrier(
            self.keys.lease,
            self.place.job,
            services.sandboxes,
            services.random,
            self.place.owner,
            services.storages,
            seen,
            self.place.root,
            lambda: self.keys.lease,
        )

    # -- small parts --------------------------------------------------------------------------------------------------

    def _turn(self, cause: Cause) -> None:
        self.services.timesheet.turn((self.lease.job, self.lease.attempt), cause)

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

    def _hurrying(self, seconds: float) -> bool:
        """The same once it is preempted: says whether the time is over, or the lease gone."""
        end = min(time.monotonic() + seconds, self.deliver_until)
        with self._changed:
            while time.monotonic() < end and self.verdict != GONE:
                self._changed.wait(end - time.monotonic())
            return self.verdict == GONE or time.monotonic() >= self.deliver_until

    def _stopped(self, why: str) -> AttemptReport:
        """There was a verdict before the payload ran."""
        verdict = self.verdict
        if verdict is None:
            return self._node_fault(why)
        message = "; ".join(filter(None, (verdict.message, self.tried_again.sentence)))
        return AttemptReport(Phase.ENDED, verdict.outcome, limit=verdict.limit, message=message)

    def _node_fault(self, message: str) -> AttemptReport:
        usage = self.watch.usage if self.watch is not None else Usage()
        return AttemptReport(Phase.ENDED, Outcome.NODE_FAULT, message=message, usage=usage)

    def _try(self, last: Callable[[], None]) -> None:
        """Do one of the last things; what goes wrong with it must not keep the others from being done."""
        try:
            last()
        except Exception as error:  # noqa: BLE001 - an end that is not told would be waited for until the pilot's
            self.services.say(f"{self.name}: at its end: {type(error).__name__}: {error}")

    def _stop_payload(self) -> None:
        """End it where the thread met a fault while it ran."""
        if self.payload is not None and not self._cleared:
            self.left = 1  # for all that is known, until it has been cleared
            self.payload.kill()
            self._clear(self.payload)

    def _tell_end(self, report: AttemptReport) -> None:
        """Say how it ended, unless the lease is gone."""
        with self._changed:
            self.phase = Phase.ENDED
            gone = self.verdict is not None and self.verdict.outcome is None
        self.prints.close()
        if not gone:
            self.services.central.report(self.lease.job, self.lease.attempt, self._completed(report))
        unfinished.cross_off(self.place.root)
        self.reported = True

    def _leave_nothing(self) -> None:
        if self.container is not None:
            self.container.release()
        if not self.services.keep_work and (self.reported or not self.services.followed):
            remove(self.place.root)
        if self.place.owner is not None and not self.left:
            remove_all_of(self.place.owner.uid)

    def _completed(self, report: AttemptReport) -> AttemptReport:
        """The report with its last lines, and how much was printed."""
        place = self.place
        text = last_lines(place.stderr) or last_lines(place.stdout)
        secrets = [secret.encode() for secret in self.keys.secrets]
        tail = mask(text.encode("utf-8", "replace"), [secret for secret in secrets if secret])[-MAX_TAIL:]
        return replace(
            report,
            message="; ".join(filter(None, (report.message, self.note, self.watch.note if self.watch else ""))),
            tail=tail.decode("utf-8", "replace"),
            log_sizes=self.prints.sizes(),
        )
