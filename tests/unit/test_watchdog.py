"""Limits and verdicts: what is too much, when to look again, how an attempt has ended."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from pilot.attempts.diskmeter import DiskMeter, sizes
from pilot.attempts.progress import Progress
from pilot.attempts.verdict import Verdict, beyond, judge
from pilot.attempts.watchdog import INTERVAL, MACHINE, SOON, Exceeded, Limits, Watch, Watchdog, exceeded, next_look
from pilot.payloads.payload import Ended, Sample
from pilot.protocol import StopSignal, Usage
from pilot.states import Outcome

MB = 1_000_000
LIMITS = Limits(wall_time=100, memory=200 * MB, disk=50 * MB)
MORE = Limits(wall_time=100, memory=200 * MB, cpu_time=150, processes=10)


@pytest.mark.parametrize(
    ("usage", "limit"),
    [
        (Usage(wall=99.9, memory=200 * MB, disk=50 * MB), None),
        (Usage(wall=100.0), "wall_time"),
        (Usage(memory=200 * MB + 1), "memory"),
        (Usage(disk=50 * MB + 1), "disk"),
        (Usage(wall=500, memory=None, disk=None), "wall_time"),
    ],
)
def test_limits(usage: Usage, limit: str | None) -> None:
    """A limit is exceeded beyond its value, wall time at it; what could not be measured exceeds nothing."""
    found = exceeded(usage, LIMITS)
    assert (found.limit if found else None) == limit


@pytest.mark.parametrize(
    ("usage", "sample", "limit", "words"),
    [
        (Usage(cpu=150.0), Sample(10, 0, 0), None, ""),
        (Usage(cpu=150.1), Sample(1, 0, 0), "cpu_time", "of CPU time, its limit is"),
        (Usage(), Sample(11, 0, 0), "processes", "it had 11 processes, its limit is 10"),
        (Usage(), Sample(1, 0, 0, oom_kills=1), "memory", "out of memory: .* at its limit 200 MB"),
        (Usage(), Sample(1, 0, 0, starved=1), MACHINE, "out of memory: .* within its own limit"),
        (Usage(wall=500), Sample(1, 0, 0, oom_kills=1), "memory", "out of memory"),
    ],
)
def test_further_limits(usage: Usage, sample: Sample, limit: str | None, words: str) -> None:
    """CPU time of all processes together, their number, and what the kernel did for want of memory have their names."""
    found = exceeded(usage, MORE, sample)
    assert (found.limit if found else None) == limit
    assert re.search(words, found.message if found else "")


def test_nothing_is_limited_without_limits() -> None:
    """Without limits nothing is too much."""
    assert exceeded(Usage(wall=1e9, memory=10**15, disk=10**15), Limits()) is None


@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [
        (Usage(wall=0), Usage(wall=0.5), SOON * 2.5),
        (Usage(wall=10, memory=50 * MB), Usage(wall=11, memory=50 * MB), INTERVAL),
        (Usage(wall=10, memory=50 * MB), Usage(wall=11, memory=60 * MB), INTERVAL),
        (Usage(wall=10, memory=50 * MB), Usage(wall=11, memory=130 * MB), SOON),
        (Usage(wall=10, disk=10 * MB), Usage(wall=11, disk=30 * MB), SOON),
    ],
)
def test_what_grows_fast_is_looked_at_soon(before: Usage, after: Usage, seconds: float) -> None:
    """An attempt is looked at soon while it is young, and when it would reach a limit before two usual looks."""
    assert next_look(before, after, LIMITS) == seconds


@pytest.mark.parametrize(
    ("ended", "verdict", "usage", "outcome", "limit"),
    [
        (Ended(0, None, 1, None), None, Usage(), Outcome.SUCCESS, None),
        (Ended(5, None, 1, None), None, Usage(), Outcome.PAYLOAD_ERROR, None),
        (Ended(None, signal.SIGSEGV, 1, None), None, Usage(), Outcome.PAYLOAD_ERROR, None),
        (Ended(None, signal.SIGXFSZ, 1, None), None, Usage(), Outcome.LIMIT_EXCEEDED, "disk"),
        (Ended(153, None, 1, None), None, Usage(), Outcome.LIMIT_EXCEEDED, "disk"),
        (Ended(1, None, 1, None), None, Usage(disk=51 * MB), Outcome.LIMIT_EXCEEDED, "disk"),
        (Ended(0, None, 1, None), None, Usage(disk=51 * MB), Outcome.SUCCESS, None),
        (Ended(None, 9, 1, None), Verdict(Outcome.KILLED, "by x"), Usage(), Outcome.KILLED, None),
        (Ended(0, None, 1, None), Verdict(Outcome.PREEMPTED, "wanted"), Usage(), Outcome.PREEMPTED, None),
        (Ended(None, 9, 1, None), beyond(Exceeded("memory", "m"), 5), Usage(), Outcome.LIMIT_EXCEEDED, "memory"),
        (Ended(None, 9, 1, None, oom_kills=1), None, Usage(), Outcome.LIMIT_EXCEEDED, "memory"),
        (Ended(0, None, 1, None, oom_kills=1), None, Usage(), Outcome.LIMIT_EXCEEDED, "memory"),
        (Ended(None, 9, 1, None, starved=1), None, Usage(), Outcome.NODE_FAULT, None),
        (Ended(None, 9, 1, None, oom_kills=1), Verdict(Outcome.KILLED, "by x"), Usage(), Outcome.KILLED, None),
        (Ended(None, signal.SIGXCPU, 1, None), None, Usage(), Outcome.LIMIT_EXCEEDED, "cpu_time"),
    ],
)
def test_judgement(ended: Ended, verdict: Verdict | None, usage: Usage, outcome: Outcome, limit: str | None) -> None:
    """What others decided comes first, then what the kernel says of the payload."""
    report = judge(ended, verdict, usage, LIMITS)
    assert (report.outcome, report.limit) == (outcome, limit)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_that_was_asked_for_is_no_excuse(number: signal.Signals) -> None:
    """A payload that ends by the signal that its job wanted, or with the code of a shell for it, has not finished."""
    for ended in (Ended(None, number, 1, None), Ended(128 + number, None, 1, None)):
        report = judge(ended, None, Usage(), LIMITS)
        assert (report.outcome, report.limit) == (Outcome.PAYLOAD_ERROR, None)
        assert str(int(ended.signal or ended.exit_code or 0)) in report.message


def test_only_time_gives_time() -> None:
    """A payload over its wall time gets its grace; one that eats memory or disk gets none."""
    assert beyond(Exceeded("wall_time", ""), 10).grace == 10
    assert beyond(Exceeded("memory", ""), 10).grace == 0
    assert beyond(Exceeded("disk", ""), 10).grace == 0
    assert beyond(Exceeded("processes", ""), 10).grace == 0
    assert beyond(Exceeded("no_progress", ""), 10).grace == 10


class Payload:
    """A payload that uses what the test says."""

    def __init__(self, *samples: Sample) -> None:
        self.samples = list(samples)

        self.told: list[tuple[int, str]] = []
        self.heard = 1  # how many processes a signal reaches

    def sample(self) -> Sample:
        return self.samples.pop(0)

    def tell(self, number: int, program: str) -> int:
        self.told.append((number, program))
        return self.heard


def watch(payload: Payload, place: Path, told: list[Exceeded], limits: Limits = LIMITS) -> Watch:
    return Watch(payload, limits, place, 0.0, told.append, lambda: None)  # type: ignore[arg-type]


def test_a_look_measures_and_tells_once(tmp_path: Path) -> None:
    """Each look updates the usage; the peak is kept, CPU never goes back, and too much is told a single time."""
    (tmp_path / "file").write_bytes(bytes(1 * MB))
    told: list[Exceeded] = []
    watched = watch(
        Payload(Sample(2, 5.0, 150 * MB), Sample(1, 4.0, 250 * MB), Sample(1, 6.0, 220 * MB)), tmp_path, told
    )
    watched.look(1.0)
    assert watched.usage.memory_peak == 150 * MB
    assert (watched.usage.disk or 0) >= 1 * MB
    assert not told
    watched.look(2.0)
    watched.look(3.0)
    assert [problem.limit for problem in told] == ["memory"]
    assert (watched.usage.cpu, watched.usage.memory, watched.usage.memory_peak) == (6.0, 220 * MB, 250 * MB)


def test_the_end_of_wall_time_is_not_missed(tmp_path: Path) -> None:
    """The next look is never later than the limit of wall time."""
    watched = watch(Payload(Sample(1, 0, 0)), tmp_path, [])
    watched.look(99.4)
    assert watched.due == 100.0


def scene(place: Path, told: list[Exceeded], limits: Limits, stop: StopSignal | None = None) -> tuple[Watch, Payload]:
    """A watch over a payload that uses nothing."""
    payload = Payload(*[Sample(1, 0.0, 0)] * 20)
    return Watch(payload, limits, place, 0.0, told.append, lambda: None, stop), payload  # type: ignore[arg-type]


def test_a_job_is_told_in_time_and_once(tmp_path: Path) -> None:
    """The signal that a job wants comes so long before its end and not before, once, and the limit holds after it."""
    told: list[Exceeded] = []
    watched, payload = scene(tmp_path, told, Limits(wall_time=3600), StopSignal(600, "SIGUSR2", "fit*"))
    watched.look(60.0)
    assert watched.due <= 3000.0
    for now in (2900.0, 2999.9):
        watched.look(now)
    assert payload.told == []
    assert watched.due == 3000.0
    for now in (3000.0, 3001.0, 3100.0, 3500.0):
        watched.look(now)
    assert payload.told == [(signal.SIGUSR2, "fit*")]
    assert not told
    assert not watched.note
    watched.look(3600.0)
    assert [problem.limit for problem in told] == ["wall_time"]


@pytest.mark.parametrize(("program", "whom"), [("fit*", "the program 'fit*'"), ("", "its command")])
def test_a_signal_that_reaches_nobody_is_told(tmp_path: Path, program: str, whom: str) -> None:
    """When no process runs the program that a job wants told, its owner learns so with the end of the attempt."""
    watched, payload = scene(tmp_path, [], Limits(wall_time=3600), StopSignal(600, "SIGUSR2", program))
    payload.heard = 0
    watched.look(3000.0)
    watched.look(3001.0)
    assert len(payload.told) == 1
    assert watched.note == f"its SIGUSR2 reached nobody, as no process ran {whom} when it was due"


@pytest.mark.parametrize("limits", [Limits(wall_time=3600), Limits()])
def test_who_wants_no_signal_gets_none(tmp_path: Path, limits: Limits) -> None:
    """Without a signal of the job's nobody is told; without a limit of wall time there is no time to tell it."""
    stop = None if limits.wall_time else StopSignal(600)
    watched, payload = scene(tmp_path, [], limits, stop)
    for now in (60.0, 3000.0, 3599.0):
        watched.look(now)
    assert payload.told == []


def test_what_hangs_is_ended(tmp_path: Path) -> None:
    """A payload that neither computes nor changes a file is ended after its patience, and the sentence says so."""
    told: list[Exceeded] = []
    watched, _ = scene(tmp_path, told, Limits(no_progress=7200))
    watched.look(1.0)
    watched.look(7199.0)
    assert not told
    watched.look(7200.0)
    assert [problem.limit for problem in told] == ["no_progress"]
    assert "no CPU time and changed no file" in told[0].message


def test_a_touched_file_is_progress(tmp_path: Path) -> None:
    """Who changes a file, be it only its name, is at work."""
    told: list[Exceeded] = []
    watched, _ = scene(tmp_path, told, Limits(no_progress=7200))
    (tmp_path / "a").write_text("x")
    watched.look(1.0)
    before = (tmp_path / "a").stat().st_ctime
    while (tmp_path / "a").stat().st_ctime == before:  # as fine as the file system's clock is
        (tmp_path / "a").chmod(0o600)
    watched.look(7000.0)
    watched.look(7300.0)
    watched.look(14199.0)
    assert not told
    watched.look(14201.0)
    assert [problem.limit for problem in told] == ["no_progress"]


@pytest.mark.parametrize(
    ("cpu_per_hour", "patience", "stuck"),
    [(0.0, 7200.0, True), (1.0, 7200.0, True), (10.0, 7200.0, False), (0.0, None, False)],
)
def test_looking_is_not_working(cpu_per_hour: float, patience: float | None, stuck: bool) -> None:
    """Who takes a thousandth of a CPU or less only looks whether there is work; who asked for it may wait for ever."""
    progress = Progress(patience, 0.0)
    for minute in range(300):
        progress.look(minute * 60.0, cpu_per_hour * minute / 60, 1.0)
    assert (progress.stuck(300 * 60.0) is not None) == stuck


def test_one_bad_look_leaves_the_others_watched(tmp_path: Path) -> None:
    """A fault in looking at one attempt is said, and the others are looked at all the same."""
    said: list[str] = []
    seen = threading.Event()
    dog = Watchdog(lambda: None, lambda: None, said.append)
    dog.watch(watch(Payload(), tmp_path, []))  # runs out of samples at once
    dog.watch(Watch(Payload(Sample(1, 0, 0)), LIMITS, tmp_path, 0.0, lambda _: None, seen.set))  # type: ignore[arg-type]
    dog.start()
    assert seen.wait(10)
    dog.stop()
    assert "IndexError" in said[0]


def test_appointments_are_kept() -> None:
    """What was to be done at a time is done."""
    done = threading.Event()
    dog = Watchdog(lambda: None, lambda: None, print)
    dog.at(0.0, done.set)
    dog.start()
    assert done.wait(10)
    dog.stop()


def test_a_directory_is_measured_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large directory is walked a portion at a time; what was seen so far counts already."""
    monkeypatch.setattr("pilot.attempts.diskmeter.PORTION", 0.0)
    for folder in range(4):
        (tmp_path / str(folder)).mkdir()
        for file in range(300):
            (tmp_path / str(folder) / str(file)).write_bytes(b"x" * 4096)
    meter = DiskMeter(tmp_path)
    meter.advance(0.0)
    assert meter.bytes is None
    assert 0 < meter.at_least < 4 * 300 * 4096
    turns = 1
    while meter.bytes is None:
        meter.advance(float(turns))
        turns += 1
    assert turns >= 3
    assert meter.bytes >= 4 * 300 * 4096


def test_a_long_walk_is_followed_by_a_rest(tmp_path: Path) -> None:
    """The meter looks for a small part of the time only."""
    meter = DiskMeter(tmp_path)
    meter.advance(0.0)
    meter._not_before = 50.0
    (tmp_path / "new").write_bytes(bytes(MB))
    meter.advance(49.0)
    assert (meter.bytes or 0) < MB
    meter.advance(51.0)
    assert (meter.bytes or 0) >= MB


def test_links_and_second_names_do_not_count(tmp_path: Path) -> None:
    """A file with two names counts once, links are not followed, and what vanishes is left out."""
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "elsewhere").write_bytes(bytes(4 * MB))
    (place / "file").write_bytes(bytes(1 * MB))
    os.link(place / "file", place / "again")
    (place / "link").symlink_to(tmp_path / "elsewhere")
    assert MB <= sum(sizes(place)) < 2 * MB
    assert sum(sizes(tmp_path / "missing")) == 0
