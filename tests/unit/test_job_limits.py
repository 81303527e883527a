"""What a job says about its end: CPU time, progress, and a signal before its wall time is over."""

from __future__ import annotations

from typing import Any

import pytest

from pilot.errors import InvalidJob
from pilot.jobfile import fill_spec, parse
from pilot.payloads.user_traces import system_v
from pilot.protocol import JobSpec, StopSignal


def spec(**keys: Any) -> JobSpec:
    document = parse({"command": ["true"], "needs": {"wall_time": "1h"}, **keys})
    return fill_spec(document.spec, {"seed": "1"}, ())


def test_what_holds_when_nothing_is_said() -> None:
    """Two hours without progress end a job, its CPU time is that of its cores, and no signal is sent."""
    assert (spec().no_progress, spec().cpu_time, spec().stop_signal) == (7200, 0, None)


def test_a_job_has_its_say() -> None:
    """Durations as everywhere, the signal with or without SIG; what a job says is in every member of its sweep."""
    said = spec(cpu_time="90 min", no_progress=0, stop_signal={"before": "5 min", "signal": "USR2", "program": "fit*"})
    assert (said.cpu_time, said.no_progress) == (5400, 0)
    assert said.stop_signal == StopSignal(300, "SIGUSR2", "fit*")
    assert spec(stop_signal={"before": 60}).stop_signal == StopSignal(60, "SIGUSR1", "")


@pytest.mark.parametrize("nothing", ["", None, {}])
def test_nothing_is_no_signal(nothing: Any) -> None:
    """Who leaves the key empty wants none."""
    assert spec(stop_signal=nothing).stop_signal is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"before": "1h"}, "less than the wall time"),
        ({"before": 0}, "before"),
        ({"signal": "SIGKILL"}, "expected one of SIGUSR1"),
        ({"signal": "no such"}, "expected one of SIGUSR1"),
        ({"after": 5}, "after"),
        ("USR1", "stop_signal"),
    ],
)
def test_what_is_wrong_is_named(value: Any, problem: str) -> None:
    """A signal that would come at once, cannot be caught, or is none, is refused with the key."""
    with pytest.raises(InvalidJob) as caught:
        spec(stop_signal=value)
    assert problem in "; ".join(map(str, caught.value.problems))


def test_system_v_tables_are_read_by_their_heads() -> None:
    """What a user owns or has made is found whatever columns a kernel has; a kernel without tables has nothing."""
    head = "key shmid perms size cpid lpid nattch uid gid cuid cgid\n"
    table = f"{head} 0 7 600 4096 1 1 0 29000 1 29000 1\n 0 8 600 1 1 1 0 0 0 0 0\n"
    assert system_v(table, 29000) == [7]
    assert system_v(table.replace(" 0 0 0 0\n", " 0 0 29000 0\n"), 29000) == [7, 8]
    assert system_v("", 29000) == []
    assert system_v("something else\n", 29000) == []
