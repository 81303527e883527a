"""Following one pilot that was sent to test a queue: what is new since the last look, as lines, until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pilot.places import CanaryView
from pilot.states import LIVE_PILOT, PilotState
from pilot.views import PilotDetail, StepView
from pilotage import words
from pilotage.client import Client

#: Seconds between looks at the pilot.
POLL = 1.0
#: Seconds between questions to a computing element that serves others too.
AWAY = 10.0
#: Seconds in which a director takes a pilot up, unless something is in its way.
PATIENT = 45.0
#: The step in which a pilot would take jobs.
_LAST_CHECKED = "run_jobs"


@dataclass(frozen=True)
class Line:
    """Something that has happened: after so many seconds, what, and more about it."""

    after: float
    what: str
    more: str = ""

    def __str__(self) -> str:
        more = " ".join(self.more.split())
        return f"{self.what}: {more}" if more else self.what


@dataclass
class Canary:
    """What is known of a pilot that is followed. `began`: when it was written into the journal."""

    began: float
    standing: str = ""
    reference: str = ""
    decision: str = ""
    enrolled: bool = False
    steps: dict[int, str] = field(default_factory=dict)  # number → outcome that was told
    alarm: str = ""

    def asked(self, view: CanaryView, now: float) -> Iterator[Line]:
        """What the computing element says, where that is new."""
        if view.problem:
            said, more = "not asked", view.problem
        elif view.standing:
            code = "" if view.exit_code is None else f"exit code {view.exit_code}"
            said, more = view.standing, ", ".join(filter(None, (view.why, code)))
        else:
            return
        if f"{said} {more}" != self.standing:
            self.standing = f"{said} {more}"
            yield Line(now - self.began, f"{said}, says the computing element" if not view.problem else said, more)

    def decided(self, decision: str, now: float) -> Iterator[Line]:
        """What the queue's director says while it has not handed the pilot over."""
        if decision != self.decision:
            self.decision = decision
            yield Line(now - self.began, "not submitted yet", f"the director: {decision}")

    def seen(self, detail: PilotDetail, now: float) -> Iterator[Line]:
        """What is new of the pilot itself."""
        pilot = detail.pilot
        if pilot.reference and pilot.reference != self.reference:
            self.reference = pilot.reference
            seen = min(now, pilot.enrolled or now)
            yield Line(seen - self.began, "submitted", f"the computing element calls it {pilot.reference}")
        if pilot.enrolled is not None and not self.enrolled:
            self.enrolled = True
            cores = f", {words.plural(pilot.cores, 'core')}" if pilot.cores else ""
            yield Line(pilot.enrolled - self.began, "enrolled", f"from {pilot.host or 'an unnamed host'}{cores}")
        for step in detail.steps:
            yield from self._step(step, pilot.enrolled or now, now)
        if pilot.alarm and not self.alarm:
            self.alarm = pilot.alarm
            yield Line(now - self.began, "alarm", pilot.alarm)
        if pilot.state not in LIVE_PILOT:
            reason = pilot.reason.value if pilot.reason else ""
            reason = "" if pilot.message.startswith(reason) else reason
            code = "" if pilot.exit_code is None else f"exit code {pilot.exit_code}"
            more = ", ".join(filter(None, (reason, code, pilot.message)))
            yield Line((pilot.ended or now) - self.began, f"ended: {pilot.state.value}", more)

    def _step(self, step: StepView, enrolled: float, now: float) -> Iterator[Line]:
        if step.outcome is None or self.steps.get(step.number) == step.outcome:
            return
        self.steps[step.number] = step.outcome
        if step.outcome == "skipped":
            return
        after = min(now, enrolled + (step.began or 0.0) + step.seconds) - self.began
        more = f"{step.outcome} in {words.seconds(step.seconds)}"
        yield Line(after, step.command, "; ".join(filter(None, (more, step.message))))


def checked(detail: PilotDetail) -> bool:
    """Whether the pilot has done all that comes before jobs."""
    return any(step.command == _LAST_CHECKED for step in detail.steps)


def succeeded(detail: PilotDetail) -> bool:
    """Whether a pilot that is over has ended as it should."""
    return detail.pilot.state is PilotState.DONE and not detail.pilot.exit_code and checked(detail)


def verdict(queue: str, detail: PilotDetail, told: Sequence[Line]) -> str:
    """Whether the queue works, in a sentence, after all that was told of a pilot of it."""
    pilot, last = detail.pilot, told[-1]
    if pilot.state in (PilotState.PLANNED, PilotState.SUBMITTING) and len(told) > 1:  # something is in its way
        why = last.more or last.what
        return f"queue {queue} does not work: after {words.seconds(last.after)} its pilot was not submitted ({why})"
    if pilot.state in LIVE_PILOT:
        return f"whether queue {queue} works is not known yet: the last that was heard of its pilot is {last}"
    if succeeded(detail):
        return (
            f"queue {queue} works: its pilot enrolled from {pilot.host or 'an unnamed host'}, found nothing wrong and"
            f" ended as it should, {words.seconds(max(0.0, last.after))} after it was asked for"
        )
    if pilot.state is PilotState.DONE and not pilot.exit_code:
        return f"queue {queue} does not work: its pilot ended before it had checked everything"
    return f"queue {queue} does not work: its pilot ended as {pilot.state.value}: {last.more or 'no word why'}"


def follow(
    client: Client,
    queue: str,
    sent: CanaryView,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    patience: float,
    say: Callable[[Line], None],
) -> PilotDetail:
    """Tell what happens until the pilot has ended, or `patience` seconds are over. Returns it as it is then."""
    detail = client.pilot(sent.stamp)
    canary = Canary(detail.pilot.created)
    until, asked, drained = now() + patience, float("-inf"), False
    between = POLL if sent.interval <= AWAY else AWAY
    while True:
        for line in canary.seen(detail, now()):
            say(line)
        waits = detail.pilot.enrolled is None and detail.pilot.state in LIVE_PILOT
        if waits and now() - asked >= between:
            asked = now()
            for line in _outside(client, queue, sent.stamp, canary, detail, now):
                say(line)
        if detail.pilot.state not in LIVE_PILOT or now() > until:
            return detail
        if checked(detail) and not drained:
            drained = True
            client.drain(sent.stamp, "the test of its queue is done")
        sleep(POLL)
        detail = client.pilot(sent.stamp)


def _outside(
    client: Client, queue: str, stamp: str, canary: Canary, detail: PilotDetail, now: Callable[[], float]
) -> Iterator[Line]:
    late = now() - canary.began > PATIENT
    if late and detail.pilot.state in (PilotState.PLANNED, PilotState.SUBMITTING):
        decision = next((one.decision for one in client.queues() if one.name == queue), "")
        yield from canary.decided(decision, now())
    yield from canary.asked(client.canary(queue, stamp), now())
