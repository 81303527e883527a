"""Trading the one-time secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilot import backoff
from pilot.config import Config
from pilot.errors import InvalidInput, Refusal, TransportError
from pilot.monitor import enrolment
from pilot.protocol import EnrolReply, EnrolRequest, Settings

REPLY = EnrolReply(1, "token", 3600, 0.0, Settings())


class Scene:
    """A central that answers from a list, in a time of its own."""

    def __init__(self, *answers: EnrolReply | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[EnrolRequest] = []
        self.now = 0.0
        self.signalled = False
        self.standing = self

    def steady(self) -> float:
        return self.now

    def enrol(self, request: EnrolRequest) -> EnrolReply:
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else TransportError("away")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.signalled

    def run(self, patience: float = 60.0) -> EnrolReply:
        client: Any = self
        what = enrolment.request("secret", bytes(32), "1.0")
        return enrolment.enrol(client, what, patience=patience, wait=self.wait, rng=lambda: 1.0, say=lambda text: None)


def test_lost_replies() -> None:
    """It is tried again until it is answered, with the same key each time."""
    scene = Scene(TransportError("lost"), Refusal("busy", "later", retry_after=5.0), REPLY)
    assert scene.run() == REPLY
    assert scene.asked == [scene.asked[0]] * 3
    assert scene.now >= 5.0


def test_refused() -> None:
    """A central that will not have it is not asked again."""
    scene = Scene(Refusal("secret-used", "no"))
    with pytest.raises(Refusal):
        scene.run()
    assert len(scene.asked) == 1


def test_patience() -> None:
    """It gives up after the time that it has, and says what was wrong last."""
    scene = Scene()
    with pytest.raises(TransportError, match="within 60 s: away"):
        scene.run()
    assert 30 <= scene.now <= 60


def test_interrupted() -> None:
    """A signal ends the waiting."""
    scene = Scene()
    scene.signalled = True
    with pytest.raises(enrolment.Interrupted):
        scene.run()


@pytest.mark.parametrize(("content", "problem"), [(b"", "empty"), (b"\xff\xfe", "secret"), (None, "secret")])
def test_no_secret(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """Without a readable secret nothing is tried, and the file is named."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=problem) as error:
        enrolment.read_secret(path)
    assert error.value.where == str(path)


def test_backoff_never_hammers_and_spreads() -> None:
    """Waits double up to a bound, are drawn from their upper half, and never undercut what was asked for."""
    eager, lazy = backoff.Backoff(lambda: 0.0, 1.0, 10.0), backoff.Backoff(lambda: 1.0, 1.0, 10.0)
    assert [eager.failed() for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert [lazy.failed() for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 10.0]
    assert eager.failed(retry_after=120.0) >= 120.0
    lazy.succeeded()
    assert lazy.failed() == 1.0


def test_what_was_for_the_beginning_is_gone_after_it(tmp_path: Path) -> None:
    """Once it is enrolled neither secret nor ticket lies there any more, and the wrapper finds its mark."""
    config = Config("0" * 32, ("https://central",), None, tmp_path / "secret", "here", "test", tmp_path)
    for name in ("secret", "ticket"):
        (tmp_path / name).write_text("worth something\n")
    assert enrolment.ticket(config) == "worth something"
    enrolment.leave_traces(config)
    assert [path.name for path in tmp_path.iterdir()] == ["enrolled"]
    enrolment.leave_traces(config)
    assert enrolment.ticket(config) == ""
