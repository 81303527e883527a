"""Checkpoints in the Pool, with real payloads: saved when an attempt is preempted, there when the next one begins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pilot.errors import Refusal, TransportError
from pilot.protocol import AttemptReport, InputFile, Lease
from pilot.states import Outcome, PilotReason
from tests.integration.pool_bench import PoolBench, pool_bench
from tests.pilot_fakes import shell

#: Counts in a file until it is told to stop, and then saves where it is.
COUNT = (
    "n=0; [ -e state.ckpt ] && n=$(cat state.ckpt); "
    "trap 'echo $n > state.ckpt; exit 0' TERM; "
    "while :; do n=$((n + 1)); echo $n > count; echo ready > up; sleep 0.05; done"
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PoolBench]:
    with pool_bench(tmp_path) as bench:
        yield bench


def preempted(bench: PoolBench, lease: Lease, grace: float = 5.0, files: float = 5.0) -> AttemptReport:
    """Start it, and stop the pool once it has begun."""
    bench.pool.start(lease)
    bench.wait_for_file(lease.job, "up")
    bench.pool.stop(PilotReason.SIGNAL, "the node is wanted", grace, files)
    return bench.central.end_of(lease.job)


def stored(bench: PoolBench, report: AttemptReport) -> dict[str, bytes]:
    return {file.name: bench.central.files[file.sha256] for file in report.checkpoint}


def test_saved_when_preempted(bench: PoolBench) -> None:
    """A payload that is preempted is told, saves its state, and the files that its job lists are brought home."""
    report = preempted(bench, shell(1, f"mkdir d; echo x > d/part.ckpt; {COUNT}", checkpoint=("*.ckpt", "d/*.ckpt")))
    assert report.outcome is Outcome.PREEMPTED
    files = stored(bench, report)
    assert set(files) == {"state.ckpt", "d/part.ckpt"}
    assert int(files["state.ckpt"]) >= 1
    assert report.outputs == ()


def test_the_next_attempt_goes_on(bench: PoolBench) -> None:
    """What the lease says was saved is in the payload's directory when it begins, over an input of the same name."""
    begun = bench.central.add("state.ckpt", b"0\n")
    saved = bench.central.add("state.ckpt", b"41\n")
    deep = bench.central.add("d/e/f", b"deep\n")
    lease = replace(shell(1, "cat state.ckpt d/e/f > out", inputs=(begun,), outputs=["out"]), checkpoint=(saved, deep))
    bench.pool.start(lease)
    report = bench.central.end_of(1)
    assert (report.outcome, report.message) == (Outcome.SUCCESS, "")
    assert bench.central.outputs(report) == {"out": b"41\ndeep\n"}


def test_killed_at_its_deadline_keeps_what_it_wrote(bench: PoolBench) -> None:
    """A payload that does not end by itself is killed at the deadline that it can read; what it wrote is saved."""
    script = (
        "trap '' TERM; echo ready > up; "
        "while [ ! -s $PILOTAGE_DEADLINE_FILE ]; do sleep 0.02; done; cp $PILOTAGE_DEADLINE_FILE told.ckpt; "
        "while :; do sleep 0.05; done"
    )
    report = preempted(bench, shell(1, script, checkpoint=("told.ckpt",)), grace=1.0)
    assert (report.outcome, report.signal) == (Outcome.PREEMPTED, 9)
    assert stored(bench, report)["told.ckpt"].strip().isdigit()


def test_half_a_checkpoint_is_none(bench: PoolBench) -> None:
    """When one of the files cannot be brought home none counts, and the report says why."""
    script = f"echo 1 > a.ckpt; {COUNT}"
    lease = shell(1, script, checkpoint=("a.ckpt", "state.ckpt"))
    bench.pool.start(lease)
    bench.wait_for_file(1, "up")
    bench.central.problems = [Refusal("too-large", "more than the bound")]
    bench.pool.stop(PilotReason.SIGNAL, "the node is wanted", 5.0, 5.0)
    report = bench.central.end_of(1)
    assert (report.outcome, report.checkpoint) == (Outcome.PREEMPTED, ())
    assert "no checkpoint was saved: more than the bound" in report.message


def test_tried_until_the_time_is_over(bench: PoolBench) -> None:
    """A central that is away is tried again for as long as there is time, and no longer."""
    bench.pool.start(shell(1, COUNT, checkpoint=("*.ckpt",)))
    bench.wait_for_file(1, "up")
    bench.central.problems = [TransportError("away")] * 1000
    bench.pool.stop(PilotReason.SIGNAL, "the node is wanted", 1.0, 0.5)
    report = bench.central.end_of(1, seconds=10)
    assert report.outcome is Outcome.PREEMPTED
    assert report.checkpoint == ()
    assert "away" in report.message


def test_nothing_listed_nothing_saved(bench: PoolBench) -> None:
    """A job without `checkpoint` is preempted without a file going anywhere."""
    report = preempted(bench, shell(1, COUNT, outputs=["*"]))
    assert (report.outcome, report.checkpoint, report.outputs) == (Outcome.PREEMPTED, (), ())
    assert bench.central.files == {}


def test_a_person_who_kills_saves_nothing(bench: PoolBench) -> None:
    """A job that is killed by a person has no next attempt: its checkpoint is not brought home."""
    bench.pool.start(shell(1, COUNT, checkpoint=("*.ckpt",)))
    bench.wait_for_file(1, "up")
    bench.pool.kill(1, 1, "enough")
    report = bench.central.end_of(1)
    assert (report.outcome, report.checkpoint) == (Outcome.KILLED, ())
    assert bench.central.files == {}


def test_a_checkpoint_that_is_gone_is_no_error(bench: PoolBench) -> None:
    """A checkpoint that nobody has any more costs the progress and not the job: it begins anew, and says so."""
    gone = InputFile("state.ckpt", hashlib.sha256(b"gone").hexdigest(), 4)
    here = bench.central.add("other.ckpt", b"1")
    bench.pool.start(replace(shell(1, "ls > out", outputs=["out"]), checkpoint=(here, gone)))
    report = bench.central.end_of(1)
    assert report.outcome is Outcome.SUCCESS
    assert bench.central.outputs(report) == {"out": b"out\n"}, "half of a checkpoint was left there"
    assert "it began anew" in report.message


@pytest.mark.parametrize("name", ["../../evil", "/evil", "d/../../evil"])
def test_a_checkpoint_may_not_leave_its_directory(bench: PoolBench, name: str) -> None:
    """A checkpoint with a name that leads elsewhere is refused by the pilot itself."""
    bench.pool.start(replace(shell(1, "true"), checkpoint=(bench.central.add(name, b"x"),)))
    report = bench.central.end_of(1)
    assert report.outcome is Outcome.SUCCESS
    assert "path inside the job's directory" in report.message
    bench.wait_until_empty()
    assert not list(bench.work.rglob("evil"))


def test_a_link_out_of_the_directory_is_not_saved(bench: PoolBench, tmp_path: Path) -> None:
    """A payload cannot have a file of somebody else saved by way of a link."""
    secret = tmp_path / "secret"
    secret.write_text("of somebody else")
    report = preempted(bench, shell(1, f"ln -s {secret} evil.ckpt; {COUNT}", checkpoint=("*.ckpt",)))
    assert report.checkpoint == ()
    assert "leads out of the job's directory" in report.message
    assert bench.central.files == {}


def test_told_by_the_batch_system_first(bench: PoolBench) -> None:
    """A payload that hears of its end before the pilot does was preempted, and has not failed."""
    bench.pool.start(shell(1, "echo 7 > state.ckpt; echo ready > up; kill -TERM $$", checkpoint=("*.ckpt",)))
    bench.wait_for_file(1, "up")
    bench.pool.stop(PilotReason.SIGNAL, "the node is wanted", 5.0, 5.0)
    report = bench.central.end_of(1)
    assert (report.outcome, report.message) == (Outcome.PREEMPTED, "the node is wanted")
    assert stored(bench, report) == {"state.ckpt": b"7\n"}


def test_less_time_than_was_said(bench: PoolBench) -> None:
    """When there is less time than the payload was told, its deadline is written anew; it is asked to end once."""
    script = (
        "trap 'echo asked >> asked' TERM; echo ready > up; "
        "while :; do cp $PILOTAGE_DEADLINE_FILE new 2>/dev/null && mv new deadline.ckpt; sleep 0.02; done"
    )
    bench.pool.start(shell(1, script, checkpoint=("deadline.ckpt", "asked")))
    bench.wait_for_file(1, "up")
    bench.pool.stop(PilotReason.DRAINED, "in an hour", 3600.0, 5.0)
    told = int(bench.wait_for_file(1, "deadline.ckpt"))
    bench.pool.stop(PilotReason.SIGNAL, "at once", 1.5, 5.0)
    report = bench.central.end_of(1, seconds=15)
    assert (report.outcome, report.message) == (Outcome.PREEMPTED, "in an hour")
    files = stored(bench, report)
    assert files["asked"] == b"asked\n"
    assert told - int(files["deadline.ckpt"]) > 3000
