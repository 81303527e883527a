"""What is in the spool comes to the central, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilot.errors import Refusal, TransportError
from pilot.messages import Release, Report, Step
from pilot.monitor.courier import Courier
from pilot.monitor.spool import Item, Spool
from pilot.protocol import AttemptId, AttemptReport, ReleaseRequest, StepReport
from pilot.states import Phase

RELEASE = Release(0, (AttemptId(5, 1),), "no room")
STEP = Step(0, StepReport(1, "discover", "ok"))


def report(job: int, phase: Phase = Phase.ENDED) -> Report:
    return Report(0, job, 1, AttemptReport(phase))


class Scene:
    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.sent: list[Any] = []
        self.answers: list[Exception | None] = []
        self.settled: list[tuple[Item, str | None]] = []
        self.refused: list[str] = []
        self.said: list[str] = []
        self.spool = Spool(folder, self.said.append)
        self.spool.open()
        client: Any = self
        self.courier = Courier(
            self.spool,
            client,
            settled=lambda item, refusal: self.settled.append((item, refusal and refusal.type)),
            refused=lambda refusal: self.refused.append(refusal.type),
            steady=lambda: self.now,
            rng=lambda: 1.0,
            say=self.said.append,
        )

    def report(self, job: int, attempt: int, report: AttemptReport) -> None:
        self._answer((job, attempt, report.phase))

    def release(self, request: ReleaseRequest) -> None:
        self._answer(request)

    def step(self, request: StepReport) -> None:
        self._answer(request)

    def _answer(self, what: tuple[int, int, Phase] | ReleaseRequest | StepReport) -> None:
        self.sent.append(what)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "spool")


def test_each_kind(scene: Scene) -> None:
    """Reports, given back leases and steps are sent as what they are, and forgotten when accepted."""
    for item in (report(1), RELEASE, STEP):
        scene.spool.put(item)
    assert [scene.courier.turn() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert scene.sent == [(1, 1, Phase.ENDED), ReleaseRequest(RELEASE.leases, "no room"), STEP.report]
    assert [what for what, refusal in scene.settled] == [report(1), RELEASE, STEP]
    assert scene.spool.content().reports == 0
    assert scene.courier.turn() > 0


def test_central_is_away(scene: Scene) -> None:
    """While nobody answers the item stays and is tried again, less and less often; the order stays too."""
    scene.answers = [TransportError("away"), TransportError("away"), None]
    scene.spool.put(report(1))
    scene.spool.put(report(2))
    assert [scene.courier.turn() for _ in range(3)] == [0.5, 1.0, 0.0]
    scene.courier.turn()
    assert [job for job, _, _ in scene.sent] == [1, 1, 1, 2]
    assert len(scene.said) == 1


@pytest.mark.parametrize("type", ["stale-attempt", "not-yours", "invalid", "too-large"])
def test_refused_for_good(scene: Scene, type: str) -> None:
    """What would be refused again is dropped, said, and settled."""
    scene.answers = [Refusal(type, "no")]
    scene.spool.put(report(1))
    scene.courier.turn()
    assert scene.settled == [(report(1), type)]
    assert scene.spool.content().reports == 0
    assert type in scene.said[0]


@pytest.mark.parametrize("type", ["busy", "internal", "revoked", "bad-signature"])
def test_refused_for_now(scene: Scene, type: str) -> None:
    """What may be accepted later stays in the spool, and does not hold up what concerns other attempts."""
    scene.answers = [Refusal(type, "not now", retry_after=10.0)]
    scene.spool.put(report(1))
    scene.spool.put(report(2))
    scene.courier.turn()
    scene.courier.turn()
    assert scene.settled == [(report(2), None)]
    assert scene.refused == [type]
    assert scene.courier.turn() >= 10.0
    scene.now += 11.0
    scene.courier.turn()
    assert scene.settled[1:] == [(report(1), None)]


def test_one_attempt_stays_in_order(scene: Scene) -> None:
    """The end of an attempt is not sent before a report of it that is still on its way was answered."""
    scene.answers = [Refusal("busy", "not now", retry_after=10.0)]
    scene.spool.put(report(1, Phase.RUNNING))
    entry, _ = scene.spool.due(0.0)
    assert entry is not None
    scene.spool.put(report(1))
    assert scene.courier.turn() > 0
    assert scene.sent == []
    scene.spool.done(entry)
    scene.answers = []
    scene.courier.turn()
    assert scene.sent == [(1, 1, Phase.ENDED)]
