"""What must go on goes on: no memory, no thread, no room on the disk ends neither beats nor reports nor requests."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from commands.asking import Asking
from pilot.errors import TransportError
from pilot.messages import AskMatch
from pilot.monitor import pilot_log
from pilot.monitor.pilot_log import PilotLog
from pilot.monitor.steadfast import REST, steadfast
from pilot.protocol import HeartbeatReply
from tests.pilot_fakes import FakeCentral
from tests.unit.test_beat import Scene as BeatScene
from tests.unit.test_courier import Scene as CourierScene
from tests.unit.test_courier import report
from tests.unit.test_matching import OFFER
from tests.unit.test_matching import Scene as MatchScene


def test_a_turn_that_goes_wrong_is_said_and_followed_by_another() -> None:
    """Whatever a turn raises, there is a next one after a rest."""
    said: list[str] = []

    def turn() -> float:
        raise MemoryError

    assert steadfast("the heartbeat", lambda: 7.0, said.append) == 7.0
    assert steadfast("the heartbeat", turn, said.append) == REST
    assert said == ["the heartbeat went wrong and goes on in 5 s: MemoryError: "]


def test_not_even_a_word_can_be_said() -> None:
    """A turn that failed for want of memory may leave none for saying so."""

    def nothing(*words: str) -> float:
        raise MemoryError

    assert steadfast("the heartbeat", nothing, nothing) == REST  # type: ignore[arg-type]


def test_beats_go_on_after_one_that_could_not_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that met no memory is followed by the next."""
    scene, stop = BeatScene(), threading.Event()
    scene.client.answers = [MemoryError(), HeartbeatReply(2)]
    monkeypatch.setattr("pilot.monitor.beat.LEAST", 0.0)
    monkeypatch.setattr("pilot.monitor.steadfast.REST", 0.0)

    def stop_at_the_second(heard: object) -> None:
        stop.set()

    scene.beat.heard = stop_at_the_second
    scene.beat.run(stop)
    assert [sent.sequence for sent in scene.client.sent] == [1, 2]


def test_a_report_that_could_not_be_sent_for_want_of_memory_is_sent_again(tmp_path: Path) -> None:
    """Whatever goes wrong with a delivery, the report stays in the spool and is not lost in the sending."""
    scene = CourierScene(tmp_path)
    scene.spool.put(report(1))
    scene.answers = [MemoryError(), None]
    with pytest.raises(MemoryError):
        scene.courier.turn()
    scene.courier.turn()
    assert len(scene.sent) == 2
    assert scene.spool.results == 0


class NoThread(threading.Thread):
    """As the kernel answers a user who may have no more of them."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_request_without_a_thread_is_answered_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor that can start no thread answers the agent with nothing; the number is used by the next request."""
    scene = MatchScene()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", NoThread)
        scene.matching.ask(AskMatch(1, OFFER, 1, 0.0))
    answer = scene.told.get(timeout=10)
    assert (answer.id, answer.match) == (1, None)
    assert "no thread for a match request" in answer.problem
    scene.answers.put(TransportError("away"))
    scene.matching.ask(AskMatch(2, OFFER, 1, 0.0))
    assert scene.asked.get(timeout=10).number == 1
    scene.matching.stop()


def test_an_agent_without_a_thread_asks_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent that can start no thread takes that for an empty answer, and slows down as after any."""
    woken: list[bool] = []
    asking = Asking(FakeCentral(), lambda: woken.append(True))
    monkeypatch.setattr(threading, "Thread", NoThread)
    asking.ask(OFFER, 0.0, 0.0)
    (answer,) = asking.take()
    assert not answer.reply.leases
    assert "no thread" in answer.reply.detail
    assert not asking.pending()
    assert woken


class FullDisk:
    """Takes so many bytes, then none until there is room again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 10**9
        write = os.write

        def bounded(file: int, text: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = write(file, text[: self.room])
            self.room -= written
            return written

        monkeypatch.setattr(pilot_log.os, "write", bounded)  # type: ignore[attr-defined]


def test_what_a_full_disk_keeps_out_of_the_log_is_said_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines wait for room, in order and whole, as far as they are not too many."""
    disk = FullDisk(monkeypatch)
    log = PilotLog(tmp_path / "pilot.log")
    log.say("before")
    disk.room = 10
    log.say("cut in two")
    log.say("kept out")
    disk.room = 10**9
    log.say("after")
    lines = (tmp_path / "pilot.log").read_text().splitlines()
    assert [line.split("monitor: ")[1] for line in lines] == ["before", "cut in two", "kept out", "after"]


def test_a_disk_that_stays_full_uses_up_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more lines than are kept the newest are said."""
    disk = FullDisk(monkeypatch)
    log = PilotLog(tmp_path / "pilot.log")
    disk.room = 0
    for number in range(pilot_log.UNSAID + 5):
        log.say(str(number))
    disk.room = 10**9
    log.say("after")
    lines = (tmp_path / "pilot.log").read_text().splitlines()
    assert len(lines) <= pilot_log.UNSAID + 1
    assert lines[-1].endswith("after")
    assert lines[0].endswith("monitor: 6")
