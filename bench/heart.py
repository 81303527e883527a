"""Heartbeats while a payload burns cores, memory, processes or the disk, and how fast it is ended (`-m bench.heart`).

Beside ours, under the same payload and the same bounds: what a site would write by hand, a shell that starts the
payload and sends a beat a second with curl.
"""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import report
from pilot.protocol import Order, Settings, attempt_stream
from pilot.states import OrderVerb
from tests.integration import stress
from tests.integration.real_pilot import RealPilot
from tests.integration.stress import MB
from tests.integration.wire_central import WireCentral

SECONDS = 20.0
BEAT = 1.0
SECRET = "one-time-secret-of-the-measurement"
CALM = 'import time\nprint("tick")\ntime.sleep(1000)'
#: $1 is where beats go; the rest is the payload.
BY_HAND = 'url=$1; shift; "$@" & while :; do curl -s -o /dev/null -m 10 "$url"; sleep 1; done'
AGAIN = 'url=$1; shift; (while :; do "$@"; done) & while :; do curl -s -o /dev/null -m 10 "$url"; sleep 1; done'
GOAL = "0 beats lost"


@dataclass
class Scene:
    """A payload, and what is taken of the machine for it."""

    program: str
    python: str = sys.executable
    user: int | None = None
    before: Callable[[], None] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    start: Callable[[RealPilot], RealPilot] | None = None
    begun: Callable[[], None] = lambda: None  # called once the payload runs
    again: bool = False  # it is ended for what it does, and followed by another of its kind

    @property
    def command(self) -> tuple[str, ...]:
        return (self.python, "-u", "-c", self.program)


def main() -> None:
    heads = ("payload", "who beats", "beats in 20 s", "lost", "longest pause, s", "ended after order, s")
    rows: list[Sequence[object]] = []
    for name, make in (
        ("sleeps", calm),
        ("16 busy processes", cores),
        ("eats all memory, again and again", memory),
        ("takes all processes", processes),
        ("fills the disk", disk),
    ):
        try:
            rows += [(name, "pilot", *pilot_row(make)), (name, "shell and curl", *by_hand_row(make))]
        except stress.Unable as reason:
            rows.append((name, "not measured", str(reason), "", "", ""))
    report.table("The heart under stress", heads, rows, GOAL)


# -- payloads ---------------------------------------------------------------------------------------------------------


def calm(stack: ExitStack, folder: Path, central: WireCentral) -> Scene:
    return Scene(CALM)


def cores(stack: ExitStack, folder: Path, central: WireCentral) -> Scene:
    return Scene(stress.BURN)


def memory(stack: ExitStack, folder: Path, central: WireCentral) -> Scene:
    group = stack.enter_context(stress.memory_group(400 * MB))

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    return Scene(stress.EAT, before=join, config={"memory": None}, again=True)


def processes(stack: ExitStack, folder: Path, central: WireCentral) -> Scene:
    place = stack.enter_context(stress.anybodys())
    return Scene(
        stress.BOMB,
        place.python,
        stress.SOMEBODY,
        lambda: stress.bound(stress.MOST_PROCESSES),
        place.config(central),
        lambda pilot: place.start(pilot, stress.MOST_PROCESSES),
    )


def disk(stack: ExitStack, folder: Path, central: WireCentral) -> Scene:
    place = stack.enter_context(stress.small_disk(folder / "small"))
    return Scene(stress.FILL, config={"folder": place}, begun=lambda: _full(place))


def _full(place: Path) -> None:
    end = time.monotonic() + 30
    while stress.fill(place / "neighbours") > 0 and time.monotonic() < end:
        time.sleep(0.05)


# -- who beats --------------------------------------------------------------------------------------------------------

Maker = Callable[[ExitStack, Path, WireCentral], Scene]


def pilot_row(make: Maker) -> tuple[object, ...]:
    """Beats, beats lost, the longest pause between two, and the seconds from the order to kill to the report."""
    settings = Settings(("physics",), beat=BEAT, match_wait=1, log_interval=0.2, min_disk=MB, default_disk=10**12)
    with _folder() as folder, WireCentral(folder, SECRET, settings) as central, ExitStack() as stack:
        central.beat = BEAT
        scene = make(stack, folder, central)
        job = central.submit(*scene.command, grace=1)
        for _ in range(500 if scene.again else 0):
            central.submit(*scene.command, grace=1)
        place, ca = scene.config.pop("folder", folder), scene.config.pop("ca", central.ca)
        pilot = RealPilot(place, central.url, ca, SECRET, **scene.config)
        stack.callback(pilot.end)
        if scene.start is not None:
            scene.start(pilot)
        else:
            pilot.start(before=scene.before)
        central.until(lambda: b"tick" in central.log(attempt_stream(job, 1, "stdout")), 60)
        scene.begun()
        first, since = len(central.beats_at), time.monotonic()
        time.sleep(SECONDS)
        times = [since, *central.beats_at[first:], time.monotonic()]
        numbers = [beat.sequence for beat in central.heartbeats[first:]]
        lost = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else int(SECONDS)
        if scene.again:
            return len(numbers), lost, f"{_longest(times):.1f}", f"{len(central.ended())} ended at their limit"
        ordered = time.monotonic()  # it reaches the pilot with its next beat
        central.orders.append(Order(1, OrderVerb.KILL, job=job, attempt=1, who="the measurement"))
        central.until(lambda: (job, 1) in central.ended(), 60)
        return len(numbers), lost, f"{_longest(times):.1f}", f"{time.monotonic() - ordered:.1f}"


def by_hand_row(make: Maker) -> tuple[object, ...]:
    """The same of a shell that beats with curl; who ends it, does so with a signal to the shell's session."""
    settings = Settings(("physics",))
    with _folder() as folder, WireCentral(folder, SECRET, settings) as central, ExitStack() as stack:
        scene = make(stack, folder, central)
        place = scene.config.get("folder", folder)
        counter = stack.enter_context(_counter())
        work = place / "by-hand"
        work.mkdir()
        if scene.user is not None:
            os.chown(work, scene.user, scene.user)
        process = subprocess.Popen(
            ["/bin/sh", "-c", AGAIN if scene.again else BY_HAND, "by-hand", counter.url, *scene.command],
            cwd=work,
            user=scene.user,
            group=scene.user,
            extra_groups=None if scene.user is None else [],
            preexec_fn=scene.before,  # noqa: PLW1509 - no thread holds a lock that it needs
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        stack.callback(process.wait)
        stack.callback(os.killpg, process.pid, signal.SIGKILL)
        time.sleep(3)
        scene.begun()
        first, since = len(counter.times), time.monotonic()
        time.sleep(SECONDS)
        times = [since, *counter.times[first:], time.monotonic()]
        beats = len(times) - 2
        return beats, max(0, int(SECONDS / (BEAT + 0.1)) - beats), f"{_longest(times):.1f}", ""


def _longest(times: Sequence[float]) -> float:
    return max(after - before for before, after in pairwise(times))


class _Counter(http.server.ThreadingHTTPServer):
    """Notes when somebody called."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Noted)
        self.times: list[float] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class _Noted(http.server.BaseHTTPRequestHandler):
    server: _Counter

    def do_GET(self) -> None:
        self.server.times.append(time.monotonic())
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _counter() -> Iterator[_Counter]:
    server = _Counter()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pilotage-heart-") as name:
        yield Path(name)


if __name__ == "__main__":
    main()
