"""Limits and verdicts: what is too much, when to look again, how an attempt has ended."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from pilot.diskmeter import DiskMeter, sizes
from pilot.payload import Ended, Sample
from pilot.protocol import Usage
from pilot.states import Outcome
from pilot.verdict import Verdict, beyond, judge
from pilot.watchdog import INTERVAL, SOON, Exceeded, Limits, Watch, Watchdog, exceeded, next_look

MB = 1_000_000
LIMITS = Limits(wall_time=100, memory=200 * MB, disk=50 * MB)


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
    ],
)
def test_judgement(ended: Ended, verdict: Verdict | None, usage: Usage, outcome: Outcome, limit: str | None) -> None:
    """What others decided comes first, then what the kernel says of the payload."""
    report = judge(ended, verdict, usage, LIMITS)
    assert (report.outcome, report.limit) == (outcome, limit)


def test_only_time_gives_time() -> None:
    """A payload over its wall time gets its grace; one that eats memory or disk gets none."""
    assert beyond(Exceeded("wall_time", ""), 10).grace == 10
    assert beyond(Exceeded("memory", ""), 10).grace == 0
    assert beyond(Exceeded("disk", ""), 10).grace == 0


class Payload:
    """A payload that uses what the test says."""

    def __init__(self, *samples: Sample) -> None:
        self.samples = list(samples)

    def sample(self) -> Sample:
        return self.samples.pop(0)


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
    monkeypatch.setattr("pilot.diskmeter.PORTION", 0.0)
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
