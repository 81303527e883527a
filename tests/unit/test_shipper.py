"""When logs are pushed, and what becomes of them on bad days."""

from __future__ import annotations

import gzip
import random
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pilot.errors import Refusal, TransportError
from pilot.masking import Secrets
from pilot.monitor.central_client import LogChunk
from pilot.monitor.kept_logs import KeptLogs
from pilot.monitor.shipper import CHUNK, MAX_STREAMS, Shipper
from pilot.protocol import LogReply


class Scene:
    """A shipper, its files, and a central that does what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1000.0
        self.stored: dict[str, bytes] = defaultdict(bytes)
        self.chunks: list[LogChunk] = []
        self.problems: list[Exception] = []
        self.followed = False
        self.said: list[str] = []
        self.secrets = Secrets()
        self.shipper = Shipper(
            self.send, self.secrets, interval=3.0, bound=10**6, steady=lambda: self.now, rng=lambda: 1.0,
            say=self.said.append,
        )  # fmt: skip

    def send(self, chunk: LogChunk) -> LogReply:
        if self.problems:
            raise self.problems.pop(0)
        self.chunks.append(chunk)
        had = self.stored[chunk.stream]
        if chunk.offset > len(had):
            raise Refusal("gap", "a hole", expected=str(len(had)))
        body = gzip.decompress(chunk.body) if chunk.encoding == "gzip" else chunk.body
        self.stored[chunk.stream] = had + body[len(had) - chunk.offset :]
        return LogReply(len(self.stored[chunk.stream]), self.followed)

    def write(self, name: str, data: bytes) -> None:
        with (self.folder / name).open("ab") as file:
            file.write(data)
        self.shipper.add(name, self.folder / name)

    def turns(self, seconds: float) -> None:
        """Let so much time pass, looking as often as the shipper wants to."""
        end = self.now + seconds
        for _ in range(10_000):
            wait = self.shipper.turn()
            if self.now + wait > end:
                break
            self.now += wait
        self.now = end


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_first_bytes_go_at_once(scene: Scene) -> None:
    """What comes after a quiet time is pushed at the next look, what follows soon after waits for the interval."""
    scene.write("pilot", b"one\n")
    scene.turns(0.3)
    assert scene.stored["pilot"] == b"one\n"
    scene.write("pilot", b"two\n")
    scene.turns(2.0)
    assert scene.stored["pilot"] == b"one\n"
    scene.turns(1.0)
    assert scene.stored["pilot"] == b"one\ntwo\n"
    assert len(scene.chunks) == 2


@pytest.mark.parametrize("how", ["reply", "heartbeat"])
def test_followed(scene: Scene, how: str) -> None:
    """While somebody reads a stream it is pushed twice a second."""
    scene.followed = how == "reply"
    scene.write("pilot", b"one\n")
    scene.turns(0.3)
    if how == "heartbeat":
        scene.shipper.follow(["pilot"])
    scene.write("pilot", b"two\n")
    scene.turns(0.5)
    assert scene.stored["pilot"] == b"one\ntwo\n"
    scene.shipper.follow([])
    scene.write("pilot", b"three\n")
    scene.turns(0.5)
    assert b"three" not in scene.stored["pilot"]


def test_flush(scene: Scene) -> None:
    """A flush pushes what there is, whatever the interval."""
    scene.write("pilot", b"one\n")
    scene.turns(0.3)
    scene.write("pilot", b"two\n")
    scene.shipper.flush()
    scene.turns(0.3)
    assert scene.stored["pilot"] == b"one\ntwo\n"


def test_chunks(scene: Scene) -> None:
    """Much is sent in chunks one after the other, compressed where that pays, and the last one says so."""
    scene.write("job-1-1-stdout", b"line\n" * 100_000)
    assert scene.shipper.close_attempt(1, 1) == {"job-1-1-stdout": 500_000}
    scene.turns(0.3)
    assert scene.stored["job-1-1-stdout"] == b"line\n" * 100_000
    assert [(chunk.offset, chunk.encoding, chunk.last) for chunk in scene.chunks] == [
        (0, "gzip", False),
        (CHUNK, "gzip", True),
    ]
    assert scene.shipper.waiting == ()


def test_length_is_known_after_everything_was_sent(scene: Scene) -> None:
    """Logs that were closed and pushed before the report of the end is made are in it all the same."""
    scene.write("job-1-1-stderr", b"oh\n")
    scene.shipper.close("job-1-1-stderr")
    scene.turns(1.0)
    assert scene.shipper.waiting == ()
    assert scene.shipper.close_attempt(1, 1) == {"job-1-1-stderr": 3}
    scene.shipper.forget(1, 1)
    assert scene.shipper.close_attempt(1, 1) == {}


def test_random_bytes_are_not_compressed(scene: Scene) -> None:
    """What does not get smaller travels as it is."""
    data = random.Random(1).randbytes(2000)
    scene.write("pilot", data)
    scene.turns(0.3)
    assert scene.chunks[0].encoding == "identity"
    assert scene.stored["pilot"] == data


def test_empty_stream(scene: Scene) -> None:
    """Nothing is sent for a payload that printed nothing, and its size is not told."""
    scene.write("job-1-1-stdout", b"")
    assert scene.shipper.close_attempt(1, 1) == {}
    scene.turns(1.0)
    assert scene.chunks == []
    assert scene.shipper.waiting == ()


def test_closed_after_everything_was_sent(scene: Scene) -> None:
    """A stream that ends after its last byte was pushed is closed by a chunk without bytes."""
    scene.write("pilot", b"one\n")
    scene.turns(0.3)
    scene.shipper.close_all()
    scene.turns(0.3)
    assert [(chunk.offset, chunk.body, chunk.last) for chunk in scene.chunks][1:] == [(4, b"", True)]


def test_payloads_before_our_own(scene: Scene) -> None:
    """At each turn the payloads' logs go before the pilot's."""
    for name in ("boot", "pilot", "job-1-1-stdout"):
        scene.write(name, b"x\n")
    scene.turns(0.3)
    assert [chunk.stream for chunk in scene.chunks] == ["job-1-1-stdout", "boot", "pilot"]


def test_central_is_away(scene: Scene) -> None:
    """While no central answers nothing is lost and nobody is hammered; afterwards everything arrives, once."""
    asked = [0]

    def away(chunk: LogChunk) -> LogReply:
        asked[0] += 1
        raise TransportError("away")

    send, scene.shipper.send = scene.shipper.send, away
    scene.write("pilot", b"one\n")
    scene.turns(300.0)
    assert 5 <= asked[0] <= 25
    scene.write("pilot", b"two\n")
    scene.shipper.send = send
    scene.turns(60.0)
    assert scene.stored["pilot"] == b"one\ntwo\n"


@pytest.mark.parametrize("more", [0, 2_000_000])
def test_ten_minutes_without_a_central(scene: Scene, more: int) -> None:
    """What was printed in ten minutes without a central arrives without a hole; beyond the bound head and tail, and
    the gap says how much it is. The central is asked seldom meanwhile."""
    asked = [0]

    def away(chunk: LogChunk) -> LogReply:
        asked[0] += 1
        raise TransportError("away")

    stream = "job-1-1-stdout"
    scene.write(stream, b"before\n")
    scene.turns(1.0)
    send, scene.shipper.send = scene.shipper.send, away
    lines = [f"line {number}\n".encode() + b"x" * (more // 600) for number in range(600)]
    for line in lines:
        scene.write(stream, line)
        scene.turns(1.0)
    assert asked[0] < 40
    scene.shipper.close(stream)
    scene.shipper.send = send
    scene.turns(60.0)
    printed, stored = b"before\n" + b"".join(lines), scene.stored[stream]
    assert scene.shipper.waiting == ()
    if not more:
        assert stored == printed
        return
    assert len(stored) == scene.shipper.bound
    head, _, tail = stored.partition(b"\n[... ")
    left_out, _, tail = tail.partition(b" bytes are left out here")
    assert head == printed[: len(head)]
    tail = tail[tail.index(b"]") :].partition(b"\n")[2]
    assert tail == printed[-len(tail) :]
    assert len(head) + len(tail) + int(left_out) == len(printed)


def test_lost_reply(scene: Scene) -> None:
    """A chunk whose reply was lost is sent again at the same offset, and stored once."""
    original = scene.shipper.send

    def lossy(chunk: LogChunk) -> LogReply:
        reply = original(chunk)
        scene.shipper.send = original
        raise TransportError(f"lost {reply}")

    scene.shipper.send = lossy
    scene.write("pilot", b"one\n")
    scene.turns(5.0)
    assert [chunk.offset for chunk in scene.chunks] == [0, 0]
    assert scene.stored["pilot"] == b"one\n"


def test_central_had_more(scene: Scene) -> None:
    """Where the central has bytes already, as of the boot log, they are not sent twice."""
    scene.stored["boot"] = b"the wrapper "
    scene.write("boot", b"the wrapper")
    scene.shipper.add("boot", scene.folder / "boot")
    with (scene.folder / "boot").open("ab") as file:
        file.write(b" was here\n")
    scene.turns(5.0)
    assert scene.stored["boot"] == b"the wrapper was here\n"


def test_gap(scene: Scene) -> None:
    """A central that lacks bytes says from where, and gets them."""
    scene.write("pilot", b"one\n")
    scene.turns(0.3)
    scene.stored["pilot"] = b"o"
    scene.write("pilot", b"two\n")
    scene.turns(5.0)
    assert scene.stored["pilot"] == b"one\ntwo\n"


def test_refused_for_good(scene: Scene) -> None:
    """A stream that the central will not have is given up, said once, and the others go on."""
    scene.problems = [Refusal("too-large", "enough")]
    scene.write("job-1-1-stdout", b"x\n")
    scene.write("pilot", b"y\n")
    scene.turns(1.0)
    assert scene.shipper.waiting == ("pilot",)
    assert scene.stored == {"pilot": b"y\n"}
    assert len(scene.said) == 1
    assert "job-1-1-stdout" in scene.said[0]


def test_busy(scene: Scene) -> None:
    """A busy central is asked again no sooner than it wants."""
    scene.problems = [Refusal("busy", "later", retry_after=20.0)]
    scene.write("pilot", b"x\n")
    scene.turns(19.9)
    assert not scene.chunks
    scene.turns(2.0)
    assert scene.stored["pilot"] == b"x\n"


def test_secrets_are_kept_until_the_logs_are_through(scene: Scene) -> None:
    """An attempt that is over is still masked in what is on its way, and then forgotten."""
    scene.secrets.add("1-1", ["token-of-job-1"])
    scene.write("job-1-1-stdout", b"token-of-job-1\n")
    scene.shipper.close_attempt(1, 1)
    scene.shipper.forget(1, 1)
    scene.turns(1.0)
    assert scene.stored["job-1-1-stdout"] == b"**************\n"
    assert scene.secrets.of("1-1") == ()


def test_too_many_streams(scene: Scene) -> None:
    """When far too many logs wait, the oldest that is closed is given up rather than anything else stopped."""
    scene.problems = [Refusal("internal", "broken") for _ in range(10**4)]
    for job in range(MAX_STREAMS):
        scene.write(f"job-{job}-1-stdout", b"x")
    scene.shipper.close("job-7-1-stdout")
    scene.write("pilot", b"x")
    assert len(scene.shipper.waiting) == MAX_STREAMS
    assert "job-7-1-stdout" in scene.said[0]
    scene.shipper.close_all()
    scene.problems = []
    scene.turns(120.0)
    assert scene.shipper.waiting == ()


def test_wakes_up(scene: Scene) -> None:
    """The thread ends when it is told to."""
    stop = threading.Event()
    thread = threading.Thread(target=scene.shipper.run, args=(stop,))
    thread.start()
    stop.set()
    scene.shipper.wake()
    thread.join(10)
    assert not thread.is_alive()


def test_boot_log_has_its_own_bound(scene: Scene) -> None:
    """The boot log is never longer than the central allows it to be."""
    scene.shipper.bound = 10**8
    scene.write("boot", b"x" * 3_000_000)
    scene.shipper.close_all()
    scene.turns(5.0)
    sent: Any = scene.stored["boot"]
    assert len(sent) == 1024 * 1024


# -- for a monitor that takes the place of another


def followed(scene: Scene, folder: Path) -> Shipper:
    """A shipper whose logs another can find."""
    return Shipper(
        scene.send, scene.secrets, interval=3.0, bound=10**6, steady=lambda: scene.now, rng=lambda: 1.0,
        say=scene.said.append, kept=KeptLogs(folder, scene.said.append),
    )  # fmt: skip


def test_another_monitor_pushes_what_was_left(scene: Scene, tmp_path: Path) -> None:
    """Each byte is there once, also of a log whose directory has gone; what is pushed is not kept."""
    scene.shipper = followed(scene, tmp_path / "logs")
    scene.write("job-7-1-stdout", b"begun ")
    scene.turns(1.0)
    scene.write("job-7-1-stdout", b"and ended")
    scene.write("job-7-1-stderr", b"said once")
    (tmp_path / "job-7-1-stdout").unlink()
    scene.shipper = followed(scene, tmp_path / "logs")
    scene.shipper.take_up()
    scene.turns(1.0)
    assert scene.stored == {"job-7-1-stdout": b"begun and ended", "job-7-1-stderr": b"said once"}
    assert [chunk.last for chunk in scene.chunks if chunk.stream == "job-7-1-stdout"][-1]
    assert list((tmp_path / "logs").iterdir()) == []
    assert scene.shipper.waiting == ()


def test_it_is_kept_in_mind_that_logs_may_show_credentials(scene: Scene, tmp_path: Path) -> None:
    """From before the attempt begins until its last log is pushed and the attempt over."""
    kept = KeptLogs(tmp_path / "logs", scene.said.append)
    scene.shipper = followed(scene, tmp_path / "logs")
    scene.shipper.credentials_in(7, 1)
    assert kept.has_secret("7-1")
    scene.write("job-7-1-stdout", b"ended")
    scene.shipper.close_attempt(7, 1)
    scene.shipper.forget(7, 1)
    assert kept.has_secret("7-1")
    scene.turns(1.0)
    assert not kept.has_secret("7-1")
