"""What a monitor that takes another's place still delivers: only what the central says is this pilot's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from pilot import codec
from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.unfinished import NAME, Unfinished
from pilot.config import Config
from pilot.errors import Refusal, TransportError
from pilot.monitor.central_client import CentralClient
from pilot.monitor.claims import Claims
from pilot.monitor.homecoming import Homecoming
from pilot.monitor.pilot_log import PilotLog
from pilot.monitor.standing import Standing
from pilot.protocol import AttemptId, AttemptReport, HeartbeatReply, HeartbeatRequest, LeaseRenewal
from pilot.states import Outcome, Phase
from tests.pilot_fakes import shell

FIRST, SECOND = AttemptId(1, 1), AttemptId(2, 1)


@dataclass
class Central:
    """Renews some attempts, after the answers that are given."""

    ours: set[AttemptId]
    answers: list[Exception] = field(default_factory=list)
    heard: list[HeartbeatRequest] = field(default_factory=list)
    standing: Standing = field(default_factory=lambda: Standing("0" * 32, bytes(32), lambda: 0.0))

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        self.heard.append(request)
        if self.answers:
            raise self.answers.pop(0)
        attempts = [(one.job, one.attempt) for one in request.leases]
        renewals = [LeaseRenewal(*one, seconds=600 if AttemptId(*one) in self.ours else 0) for one in attempts]
        return HeartbeatReply(request.sequence, tuple(renewals))


Bring = Callable[[Central], dict[AttemptId, AttemptReport]]


@pytest.fixture
def bring(tmp_path: Path) -> Bring:
    """Two attempts whose outputs wait, and no patience."""
    for attempt in (FIRST, SECOND):
        lease = shell(attempt.job, "true")
        place = AttemptDirectory(tmp_path / "attempts" / f"{attempt.job}.{attempt.attempt}")
        place.create(lease.job_token)
        report = AttemptReport(Phase.ENDED, Outcome.SUCCESS, exit_code=0)
        (place.root / NAME).write_bytes(codec.dumps(Unfinished(lease, report)))
    config = Config("0" * 32, ("https://central.example",), None, tmp_path / "secret", "here", "test", tmp_path)

    def run(central: Central) -> dict[AttemptId, AttemptReport]:
        log = PilotLog(tmp_path / "log")
        return Homecoming(config, cast("CentralClient", central), log, lambda: len(central.heard) > 5).run(())

    return run


def test_only_what_is_still_ours_is_delivered(bring: Bring) -> None:
    """The central is asked about all of them first, and what it does not renew is left where it is."""
    central = Central({SECOND})
    assert set(bring(central)) == {SECOND}
    assert [(one.job, one.attempt) for one in central.heard[0].leases] == [(1, 1), (2, 1)]


def test_who_was_revoked_delivers_nothing(bring: Bring) -> None:
    """A pilot whose right was taken back has nothing to bring home, and asks no more."""
    central = Central({FIRST, SECOND}, [Refusal("revoked", "lost")])
    assert bring(central) == {}
    assert len(central.heard) == 1


def test_a_central_that_is_away_is_asked_again() -> None:
    """Nothing is ours before it has answered; then all that it renews is, until it says otherwise."""
    central, waits = Central({FIRST, SECOND}, [TransportError("away"), Refusal("busy", "later")]), list[float]()
    claims = Claims(cast("CentralClient", central), (FIRST, SECOND), lambda line: None)

    def pause(seconds: float) -> bool:
        assert claims.ours == frozenset()
        waits.append(seconds)
        return False

    claims.settle(pause, lambda: 1.0)
    assert waits == [0.25, 0.5]
    assert claims.ours == {FIRST, SECOND}
    central.ours.remove(FIRST)
    assert claims.ask()
    assert claims.ours == {SECOND}


def test_a_central_that_stays_away_leaves_nothing_to_deliver() -> None:
    """Once the time is over nothing is ours."""
    claims = Claims(cast("CentralClient", Central({FIRST}, [TransportError("away")])), (FIRST,), lambda line: None)
    claims.settle(lambda seconds: True, lambda: 1.0)
    assert claims.ours == frozenset()


def test_the_count_of_the_earlier_monitor_is_gone_on_with(bring: Bring) -> None:
    """A central that has heard later numbers says which it expects."""
    central = Central({FIRST, SECOND}, [Refusal("replayed", "older", expected="41", got="1")])
    assert set(bring(central)) == {FIRST, SECOND}
    assert [one.sequence for one in central.heard] == [1, 41]
