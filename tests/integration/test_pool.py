"""The Pool over the process element, with real payloads. Each test's payloads are gone when it ends."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.context import Capacity
from pilot import procfs
from pilot.attempts.containment import Containment
from pilot.attempts.diskmeter import DiskMeter
from pilot.enclosures.ports import Bounds
from pilot.errors import PilotageError, Refusal, TransportError
from pilot.payloads.payload import Launch, Payload
from pilot.protocol import Needs
from pilot.states import Outcome, Phase, PilotReason
from tests.integration.pool_bench import MB, PoolBench, pool_bench
from tests.patience import PATIENCE
from tests.pilot_fakes import make_lease, shell

PYTHON = sys.executable


PATH = os.environ["PATH"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PoolBench]:
    with pool_bench(tmp_path) as bench:
        yield bench


def gone(pid: int) -> bool:
    about = procfs.process(pid)
    return about is None or about.over


# -- a good day -------------------------------------------------------------------------------------------------------


def test_inputs_come_and_outputs_go(bench: PoolBench) -> None:
    """A payload finds its inputs, and its files, directories and globs are brought home file by file."""
    script = (
        "./tool.sh < data/in.txt > out.txt; mkdir -p plots/deep; echo 1 > plots/a; echo 2 > plots/deep/b; echo x > n"
    )
    inputs = (
        bench.central.add("tool.sh", b"#!/bin/sh\ntr a-z A-Z\n", executable=True),
        bench.central.add("data/in.txt", b"hello\n"),
    )
    report = bench.run(1, script, inputs=inputs, outputs=["*.txt", "plots/", "n"])
    assert report.outcome is Outcome.SUCCESS
    assert report.exit_code == 0
    assert bench.central.outputs(report) == {
        "out.txt": b"HELLO\n",
        "plots/a": b"1\n",
        "plots/deep/b": b"2\n",
        "n": b"x\n",
    }
    assert bench.central.phases(1) == [Phase.RUNNING, Phase.COMPLETING, Phase.ENDED]
    bench.wait_until_empty()
    assert not (bench.work / "attempts" / "1.1").exists()


def test_the_payload_knows_who_it_is_and_little_else(bench: PoolBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment holds what was granted and what the job says, and nothing of the pilot's that is not allowed."""
    bench.services.host["SECRET_OF_THE_HOST"] = "x"  # type: ignore[index]
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    lease = shell(
        7,
        "env; stat -c '%a' \"$PILOTAGE_JOB_TOKEN_FILE\" . ; cat $PILOTAGE_JOB_TOKEN_FILE > copy; pwd",
        needs=Needs(cores=1, max_cores=3, memory_per_core=100 * MB, wall_time=60),
        environment={"MINE": "a b", "PILOTAGE_JOB": "forged"},
        outputs=["copy"],
    )
    bench.pool.start(lease)
    report = bench.central.end_of(7)
    place = bench.work / "attempts" / "7.1"
    lines = bench.central.logs["job-7-1-stdout"].decode().splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    assert told["PILOTAGE_JOB"] == "7"
    assert told["PILOTAGE_ATTEMPT"] == "1"
    assert told["PILOTAGE_CORES"] == told["OMP_NUM_THREADS"] == "3"
    assert told["PILOTAGE_MEMORY"] == str(300 * MB)
    assert told["MINE"] == "a b"
    assert told["HOME"] == str(place / "home")
    assert told["TMPDIR"] == str(place / "tmp")
    assert "SECRET_OF_THE_HOST" not in told
    assert lines[-3:] == ["600", "700", str(place / "job")]
    assert bench.central.outputs(report) == {"copy": b"token-of-7-1"}


def test_a_payload_begins_with_a_clean_slate(bench: PoolBench) -> None:
    """No signal is blocked or ignored, no core is dumped, and the kernel takes a payload first when memory runs out."""
    script = (
        "grep -E '^Sig(Blk|Ign)' /proc/self/status; cat /proc/self/oom_score_adj; ulimit -c; ps -o sid= -p $$; echo $$"
    )
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        bench.run(1, script)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    blocked, ignored, score, core, session, pid = bench.central.logs["job-1-1-stdout"].decode().split("\n")[:6]
    assert int(blocked.split()[1], 16) == 0
    assert int(ignored.split()[1], 16) == 0
    assert score == "1000"
    assert core == "0"
    assert session.strip() == pid


def test_attempts_are_bound_to_their_own_cpus(bench: PoolBench) -> None:
    """Where CPUs were set aside for the pilot, each attempt may use those of its slot alone."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    bench.pool.open(Capacity(cores=2, cpus=tuple(cpus), memory=1000 * MB, disk=1000 * MB), {"PATH": PATH})
    script = "grep Cpus_allowed_list /proc/self/status; touch here; while [ ! -e go ]; do sleep 0.05; done"
    for job in (1, 2):
        bench.pool.start(shell(job, script))
    for job in (1, 2):
        bench.central.wait_for(lambda job=job: (bench.job_directory(job) / "here").exists(), "both")  # type: ignore[misc]
    for job in (1, 2):
        (bench.job_directory(job) / "go").touch()
        bench.central.end_of(job)
    shown = {bench.central.logs[f"job-{job}-1-stdout"].split()[1].decode() for job in (1, 2)}
    assert shown == {str(cpu) for cpu in cpus}
    assert sorted(os.sched_getaffinity(0))[:2] == cpus


def test_usage_is_measured(bench: PoolBench) -> None:
    """The report tells wall time, CPU, the peak of memory and what was written."""
    code = "import time; a = bytearray(120_000_000)\nwhile time.process_time() < 0.6: pass"
    lease = make_lease(1, PYTHON, "-c", code + "\nopen('f', 'wb').write(bytes(3_000_000))")
    bench.pool.start(lease)
    usage = bench.central.end_of(1).usage
    assert usage.cpu is not None
    assert 0.6 <= usage.cpu <= usage.wall + 0.1
    assert usage.memory_peak is not None
    assert 120 * MB <= usage.memory_peak <= 400 * MB
    assert usage.disk is not None
    assert 3 * MB <= usage.disk <= 5 * MB


def test_progress_names_what_runs(bench: PoolBench) -> None:
    """While a payload runs the central hears of its phase and usage again and again."""
    bench.pool.start(shell(1, "sleep 60"))
    bench.central.wait_for(lambda: bool(bench.central.progressed), "progress")
    (report,) = bench.central.progressed[-1]
    assert (report.job, report.attempt, report.phase) == (1, 1, Phase.RUNNING)
    assert report.usage.memory


# -- how payloads end -------------------------------------------------------------------------------------------------


def test_an_exit_code_is_the_payloads(bench: PoolBench) -> None:
    """A payload that fails is reported with its code and last lines, and its outputs are brought home all the same."""
    report = bench.run(1, "echo why >&2; echo log > log; exit 5", outputs=["log"])
    assert (report.outcome, report.exit_code, report.signal) == (Outcome.PAYLOAD_ERROR, 5, None)
    assert report.tail == "why"
    assert bench.central.outputs(report) == {"log": b"log\n"}


def test_a_signal_of_its_own_is_named(bench: PoolBench) -> None:
    """A payload that ends by a signal is reported with it."""
    report = bench.run(1, "kill -SEGV $$")
    assert (report.outcome, report.exit_code, report.signal) == (Outcome.PAYLOAD_ERROR, None, signal.SIGSEGV)
    assert "SIGSEGV" in report.message


def test_bytes_that_are_no_text_do_no_harm(bench: PoolBench) -> None:
    """What a payload prints need not be UTF-8: the log has its bytes, the last lines stand-ins."""
    report = bench.run(1, r"printf 'a\377\376z\n'; exit 1")
    assert bench.central.logs["job-1-1-stdout"] == b"a\xff\xfez\n"
    assert report.tail == "a\ufffd\ufffdz"
    assert report.log_sizes == {"job-1-1-stdout": 5}


def test_the_token_does_not_show_in_the_last_lines(bench: PoolBench) -> None:
    """A payload that prints its token does not thereby publish it in the report."""
    report = bench.run(1, "cat $PILOTAGE_JOB_TOKEN_FILE; exit 1")
    assert report.tail == "*" * len("token-of-1-1")


@pytest.mark.parametrize(
    ("words", "mode", "code", "saying"),
    [
        (("./none",), None, 127, "not among the files"),
        (("/no/such/program",), None, 127, "does not exist on this node"),
        (("no-such-program-anywhere",), None, 127, "not found on the PATH"),
        (("./tool",), b"#!/bin/sh\n", 126, "not executable"),
        (("./tool",), b"#!/no/such/python -u\n", 127, "'/no/such/python'"),
        (("./tool",), b"#!/bin/sh\r\necho\r\n", 127, r"'/bin/sh\r'"),
    ],
)
def test_a_program_that_cannot_run_is_explained(
    bench: PoolBench, words: tuple[str, ...], mode: Any, code: int, saying: str
) -> None:
    """A missing, not executable or headless program is told as such, with the code that a shell would give."""
    inputs = (bench.central.add("tool", mode, executable=code == 127),) if mode else ()
    bench.pool.start(make_lease(1, *words, inputs=inputs))
    report = bench.central.end_of(1)
    assert (report.outcome, report.exit_code) == (Outcome.PAYLOAD_ERROR, code)
    assert saying in report.message


# -- who gets away ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "launcher",
    [
        "sleep 600 & echo $! > pid",
        "setsid sleep 600 & sleep 0.3; pgrep -n -x sleep > /dev/null; echo $! > pid",
        "setsid sh -c 'sleep 600 & echo $! > pid; exit' ; sleep 0.2",
        "env -i /usr/bin/setsid /bin/sh -c '/bin/sleep 600 & echo $! > pid; exit'; sleep 0.2",
    ],
)
def test_what_a_payload_leaves_behind_is_ended(bench: PoolBench, launcher: str) -> None:
    """Whatever a payload started, in its session or far away from it, ends with it."""
    lease = shell(1, f"{launcher}; while [ ! -e go ]; do sleep 0.05; done")
    bench.pool.start(lease)
    pid = int(bench.wait_for_file(1, "pid"))
    assert not gone(pid)
    (bench.job_directory(1) / "go").touch()
    assert bench.central.end_of(1).outcome is Outcome.SUCCESS
    assert gone(pid)


def test_strays_are_found_on_any_kernel(bench: PoolBench) -> None:
    """Where the kernel does not list children, they are found by looking at every process."""
    bench.element.families.lists_children = False
    report = bench.run(1, "setsid sleep 600 & echo $! > pid", outputs=["pid"])
    assert gone(int(bench.central.outputs(report)["pid"]))


def test_a_stray_of_one_payload_is_not_taken_for_anothers(bench: PoolBench) -> None:
    """The end of one attempt ends its own strays, not those of an attempt that runs on."""
    away = "setsid sh -c 'sleep 600 & echo $! > pid; exit'; while [ ! -e go ]; do sleep 0.05; done"
    bench.pool.start(shell(1, away))
    bench.pool.start(shell(2, away))
    first, second = int(bench.wait_for_file(1, "pid")), int(bench.wait_for_file(2, "pid"))
    (bench.job_directory(1) / "go").touch()
    bench.central.end_of(1)
    assert gone(first)
    assert not gone(second)
    (bench.job_directory(2) / "go").touch()
    bench.central.end_of(2)
    assert gone(second)


def test_who_ignores_the_request_is_killed(bench: PoolBench) -> None:
    """A kill order ends a payload that ignores SIGTERM, strays included, after its grace; others are untouched."""
    deaf = "trap '' TERM; setsid sh -c \"trap '' TERM; sleep 600\" & echo $! > pid; while :; do sleep 1; done"
    bench.pool.start(shell(1, deaf, grace=1))
    bench.pool.start(shell(2, "while [ ! -e go ]; do sleep 0.05; done"))
    pid = int(bench.wait_for_file(1, "pid"))
    asked = time.monotonic()
    bench.pool.kill(1, 1, "by its owner")
    report = bench.central.end_of(1)
    assert 0.9 <= time.monotonic() - asked < 10 * PATIENCE
    assert (report.outcome, report.message) == (Outcome.KILLED, "by its owner")
    assert report.signal == signal.SIGKILL
    assert gone(pid)
    bench.central.wait_for(lambda: bench.job_directory(2).exists(), "the other")
    (bench.job_directory(2) / "go").touch()
    assert bench.central.end_of(2).outcome is Outcome.SUCCESS


# -- limits -----------------------------------------------------------------------------------------------------------


def test_wall_time_is_enforced_and_named(bench: PoolBench) -> None:
    """A payload that runs for longer than it said is stopped, and the limit is named."""
    report = bench.run(1, "sleep 600", needs=Needs(wall_time=1))
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "wall_time")
    assert 1 <= report.usage.wall < 60  # of the ten minutes that it sleeps


def test_memory_is_enforced_and_named(bench: PoolBench) -> None:
    """A payload that takes more memory than it said is killed, and the limit is named."""
    code = "import time\na = []\nwhile True: a.append(bytearray(10_000_000)); time.sleep(0.02)"
    bench.pool.start(make_lease(1, PYTHON, "-c", code, needs=Needs(memory=200 * MB, wall_time=60)))
    report = bench.central.end_of(1)
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "memory")
    assert "200 MB" in report.message
    assert (report.usage.memory_peak or 0) > 200 * MB


def test_shared_memory_counts_once(bench: PoolBench) -> None:
    """Processes that share their memory are not charged for it each."""
    code = (
        "import os, time\na = bytearray(os.urandom(1) * 150_000_000)\n"
        "for _ in range(4):\n    if os.fork() == 0: time.sleep(2.5); os._exit(0)\n"
        "time.sleep(2.5)"
    )
    bench.pool.start(make_lease(1, PYTHON, "-c", code, needs=Needs(memory=400 * MB, wall_time=60)))
    report = bench.central.end_of(1)
    assert report.outcome is Outcome.SUCCESS
    assert 150 * MB <= (report.usage.memory_peak or 0) <= 400 * MB


def test_disk_is_enforced_and_named(bench: PoolBench) -> None:
    """A payload that writes more than it said is killed, and the limit is named."""
    script = "i=0; while :; do head -c 5000000 /dev/zero > f$i; i=$((i+1)); sleep 0.02; done"
    report = bench.run(1, script, needs=Needs(disk=50 * MB, wall_time=60), outputs=["f*"])
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "disk")
    assert report.outputs == ()


def test_what_is_printed_counts_as_disk(bench: PoolBench) -> None:
    """A payload that prints without end is stopped by its limit of disk, before the disk is full."""
    report = bench.run(1, "yes 0123456789012345678901234567890123456789", needs=Needs(disk=100 * MB, wall_time=60))
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "disk")
    assert report.log_sizes["job-1-1-stdout"] < 2_000 * MB


def test_a_single_file_cannot_outrun_the_watchdog(bench: PoolBench) -> None:
    """However fast a file grows, the kernel stops it a little above the limit of disk, and the limit is named."""
    script = "fallocate -l 1500MB big || truncate -s 1500MB big"
    report = bench.run(1, script, needs=Needs(disk=50 * MB, wall_time=60))
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "disk")


def test_who_asks_for_no_disk_is_bounded_too(tmp_path: Path) -> None:
    """Without a need of disk the default of the settings is the limit."""
    with pool_bench(tmp_path, default_disk=30 * MB, min_disk=1) as bench:
        report = bench.run(1, "yes", needs=Needs(wall_time=60))
        assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "disk")


def test_a_hundred_megabytes_of_output_are_fine(bench: PoolBench) -> None:
    """Printing a hundred megabytes within the limits is no reason to fail."""
    report = bench.run(1, "head -c 100000000 /dev/zero")
    assert report.outcome is Outcome.SUCCESS
    assert report.log_sizes == {"job-1-1-stdout": 100_000_000}


# -- files that do not travel -----------------------------------------------------------------------------------------


def test_a_missing_input_is_an_input_error(bench: PoolBench) -> None:
    """An input that nobody has ends the attempt before its payload ran, and is named."""
    lost = bench.central.add("lost.dat", b"lost")
    bench.central.files.clear()
    report = bench.run(1, "touch ran", inputs=(lost,))
    assert report.outcome is Outcome.INPUT_ERROR
    assert "lost.dat" in report.message
    assert bench.central.phases(1) == [Phase.ENDED]


def test_trouble_that_passes_costs_nothing(bench: PoolBench) -> None:
    """A central that is away for a moment, busy or garbling is asked again, for inputs and for outputs."""
    bench.central.problems = [
        TransportError("away"),
        Refusal("busy", "later", retry_after=0.1),
        Refusal("digest-mismatch", "garbled"),
    ]
    given = bench.central.add("in", b"in\n")
    bench.pool.start(shell(1, "cp in out; while [ ! -e go ]; do sleep 0.05; done", inputs=(given,), outputs=["out"]))
    bench.central.wait_for(lambda: bench.job_directory(1).joinpath("out").exists(), "the payload")
    bench.central.problems = [TransportError("away")]
    (bench.job_directory(1) / "go").touch()
    report = bench.central.end_of(1)
    assert report.outcome is Outcome.SUCCESS
    assert bench.central.outputs(report) == {"out": b"in\n"}


def test_an_input_may_not_leave_its_directory(bench: PoolBench) -> None:
    """An input with a name that leads elsewhere is refused by the pilot itself."""
    report = bench.run(1, "true", inputs=(bench.central.add("../../evil", b"x"),))
    assert report.outcome is Outcome.INPUT_ERROR
    assert not (bench.work / "attempts" / "evil").exists()


def test_an_output_that_is_refused_is_an_output_error(bench: PoolBench) -> None:
    """What the central will not take is named, and the job has not succeeded."""
    bench.central.problems = [Refusal("too-large", "more than the bound")]
    report = bench.run(1, "echo 1 > a; echo 2 > b", outputs=["*"])
    assert (report.outcome, report.exit_code) == (Outcome.OUTPUT_ERROR, 0)
    assert len(report.undelivered) == 1  # both are on their way at the same time: the refusal is of either
    assert sorted([*report.undelivered, *(output.name for output in report.outputs)]) == ["a", "b"]
    assert "more than the bound" in report.message


def test_outputs_are_tried_until_the_pilot_must_end(bench: PoolBench) -> None:
    """While the central is away outputs wait; when the pilot must end, what was not delivered is named."""
    bench.central.problems = [TransportError("away")] * 1000
    bench.pool.start(shell(1, "echo 1 > a", outputs=["a"]))
    bench.central.wait_for(lambda: Phase.COMPLETING in bench.central.phases(1), "the delivery")
    bench.pool.stop(PilotReason.SIGNAL, "the node is wanted", grace=0.3)
    report = bench.central.end_of(1)
    assert (report.outcome, report.undelivered) == (Outcome.OUTPUT_ERROR, ("a",))
    assert "away" in report.message


def test_a_missing_output_is_told(bench: PoolBench) -> None:
    """A named output that is not there is an error that names it; a glob that finds nothing is not worth a word."""
    report = bench.run(1, "true", outputs=["result.root", "*.log"])
    assert report.outcome is Outcome.OUTPUT_ERROR
    assert report.message.startswith("the output result.root is not there")


def test_links_do_not_lead_out(bench: PoolBench, tmp_path: Path) -> None:
    """Outputs that are links out of the job's directory are left out, and told; links within it are followed."""
    secret = tmp_path / "secret"
    secret.write_text("of somebody else")
    script = (
        f"mkdir d; ln -s {secret} d/file; ln -s {tmp_path} dir; ln -s / root; echo x > real; ln -s real alias; mkfifo p"
    )
    report = bench.run(1, script, outputs=["d/", "dir/secret", "root/etc/passwd", "alias", "p"])
    assert bench.central.outputs(report) == {"alias": b"x\n"}
    assert "d/file leads out of the job's directory" in report.message
    assert "dir/secret leads out" in report.message
    assert "p is no plain file" in report.message


def test_what_cannot_be_entered_is_removed_all_the_same(bench: PoolBench) -> None:
    """Directories that the payload has closed up, or nested without end, do not stay on the node."""
    script = "mkdir -p a/b; touch a/b/c; chmod 000 a; exec " + PYTHON + " -c "
    script += '\'import os\nfor _ in range(1100): os.mkdir("d"); os.chdir("d")\''
    report = bench.run(1, script, outputs=["d/"])
    assert report.outcome is Outcome.OUTPUT_ERROR
    assert "nested too deeply" in report.message
    bench.wait_until_empty()
    assert not (bench.work / "attempts" / "1.1").exists()


# -- orders and faults ------------------------------------------------------------------------------------------------


def test_a_lost_lease_leaves_no_word(bench: PoolBench) -> None:
    """When the lease is gone the payload is killed at once, nothing more is reported, nothing is kept."""
    bench.pool.start(shell(1, "trap '' TERM; echo $$ > pid; while :; do sleep 1; done", grace=30))
    pid = int(bench.wait_for_file(1, "pid"))
    bench.pool.gone(1, 1)
    bench.wait_until_empty()
    assert gone(pid)
    assert bench.central.phases(1) == [Phase.RUNNING]
    assert not (bench.work / "attempts" / "1.1").exists()


def test_preempted_payloads_may_save_their_work(bench: PoolBench) -> None:
    """At the end of a pilot payloads are asked to end, find the deadline in a file, and are reported as preempted."""
    script = (
        "trap 'read d < $PILOTAGE_DEADLINE_FILE; echo \"until $d\"; exit 0' TERM; "
        "echo ready > ready; while :; do sleep 0.05; done"
    )
    bench.pool.start(shell(1, script))
    bench.pool.start(shell(2, "trap '' TERM; echo ready > ready; while :; do sleep 0.05; done"))
    bench.wait_for_file(1, "ready")
    bench.wait_for_file(2, "ready")
    now = time.time()
    bench.pool.stop(PilotReason.SIGNAL, "the node is wanted", grace=4)
    first, second = bench.central.end_of(1), bench.central.end_of(2)
    assert (first.outcome, first.exit_code) == (Outcome.PREEMPTED, 0)
    assert (second.outcome, second.signal) == (Outcome.PREEMPTED, signal.SIGKILL)
    word, deadline = bench.central.logs["job-1-1-stdout"].split()
    assert word == b"until"
    assert abs(float(deadline) - (now + 4)) < 3
    assert bench.pool.stopping() == (PilotReason.SIGNAL, "the node is wanted")


def test_a_draining_pool_starts_nothing(bench: PoolBench) -> None:
    """A drained Pool finishes what runs and refuses what is new."""
    bench.pool.start(shell(1, "sleep 0.3"))
    bench.pool.drain(PilotReason.DRAINED, "ordered by the operator")
    with pytest.raises(PilotageError, match="ordered by the operator"):
        bench.pool.start(shell(2, "true"))
    assert bench.central.end_of(1).outcome is Outcome.SUCCESS


def test_what_does_not_fit_is_refused_and_takes_nothing(bench: PoolBench) -> None:
    """A lease without room is refused with the reason, and the offer is what it was before."""
    before = bench.pool.offer()
    with pytest.raises(PilotageError, match="it needs 5 cores, and 4 of 4 are free"):
        bench.pool.start(shell(1, "true", needs=Needs(cores=5)))
    with pytest.raises(PilotageError, match=r"5\.0 GB of memory"):
        bench.pool.start(shell(1, "true", needs=Needs(memory=5_000 * MB)))
    assert (bench.pool.offer().cores, bench.pool.offer().memory) == (before.cores, before.memory)
    assert bench.pool.running() == 0


def test_the_offer_shrinks_and_grows(bench: PoolBench) -> None:
    """What an attempt was granted is missing from the offer while it runs, and is back afterwards."""
    bench.pool.start(shell(1, "while [ ! -e go ]; do sleep 0.05; done", needs=Needs(cores=3, max_cores=3, memory=MB)))
    offer = bench.pool.offer()
    assert (offer.cores, offer.memory, offer.empty) == (1, 3_999 * MB, False)
    bench.central.wait_for(lambda: bench.job_directory(1).exists(), "the attempt")
    (bench.job_directory(1) / "go").touch()
    bench.central.end_of(1)
    bench.wait_until_empty()
    offer = bench.pool.offer()
    assert (offer.cores, offer.memory, offer.empty) == (4, 4_000 * MB, True)


def test_a_dead_worker_costs_its_own_attempt(bench: PoolBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in one attempt is reported as the node's; its payload is ended, the others never notice."""
    bench.pool.start(shell(2, "echo > ready; while [ ! -e go ]; do sleep 0.05; done"))
    bench.wait_for_file(2, "ready")
    pids: list[int] = []
    start = bench.element.start

    def faulty(launch: Launch) -> Payload:
        payload = start(launch)
        pids.append(payload.pid)
        monkeypatch.setattr(payload, "wait", lambda: {}["no such thing"])
        return payload

    monkeypatch.setattr(bench.element, "start", faulty)
    bench.pool.start(shell(1, "sleep 600"))
    report = bench.central.end_of(1)
    assert report.outcome is Outcome.NODE_FAULT
    assert "KeyError" in report.message
    bench.wait_for_freed_cores(3)
    assert gone(pids[0])
    (bench.job_directory(2) / "go").touch()
    assert bench.central.end_of(2).outcome is Outcome.SUCCESS


def test_an_end_is_told_whatever_else_fails(bench: PoolBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even killing a payload works, the end of its attempt is told, and its slot is free."""
    start = bench.element.start
    payloads: list[Payload] = []

    def faulty(launch: Launch) -> Payload:
        payload = start(launch)
        payloads.append(payload)
        monkeypatch.setattr(payload, "wait", lambda: {}["no such thing"])
        monkeypatch.setattr(payload, "kill", lambda: {}["no way to kill"])
        return payload

    monkeypatch.setattr(bench.element, "start", faulty)
    bench.pool.start(shell(1, "sleep 600"))
    assert bench.central.end_of(1).outcome is Outcome.NODE_FAULT
    bench.wait_for_freed_cores(4)
    monkeypatch.undo()
    payloads[0].clear(5.0)
    assert any("no way to kill" in line for line in bench.said)


@pytest.mark.parametrize("order", ["kill", "stop"])
def test_a_verdict_that_comes_while_the_end_is_measured(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """A payload that ended well just when its attempt was ended is no success without its outputs."""
    final = DiskMeter.final

    def late(meter: DiskMeter) -> int:
        if order == "kill":
            bench.pool.kill(1, 1, "too late")
        else:
            bench.pool.stop(PilotReason.SIGNAL, "too late", 5.0, 5.0)
        return final(meter)

    monkeypatch.setattr(DiskMeter, "final", late)
    report = bench.run(1, "echo x > out", outputs=["out"])
    assert (report.outcome, report.message) == (
        Outcome.KILLED if order == "kill" else Outcome.PREEMPTED,
        "too late",
    )


def test_an_enclosure_goes_with_a_payload_that_cannot_start(tmp_path: Path) -> None:
    """What was made to hold a payload does not stay when there is nothing to hold."""
    made: list[str] = []

    class Noted:
        described = "noted"

        def enclose(self, name: str, bounds: Bounds) -> Any:
            made.append(name)
            return self

        def close(self) -> None:
            made.append("closed")

    with pool_bench(tmp_path, Containment(enclosures=Noted())) as bench:
        bench.pool.start(make_lease(1, "./is-not-there"))
        assert bench.central.end_of(1).exit_code == 127
        assert made == ["1.1", "closed"]


def test_a_container_is_refused_honestly(bench: PoolBench) -> None:
    """A pilot without a container runtime does not run a job outside of the container that it asked for."""
    report = bench.run(1, "touch ran", container="image.sif")
    assert report.outcome is Outcome.NODE_FAULT
    assert "container" in report.message


def test_many_at_once_end_once_each(bench: PoolBench) -> None:
    """Forty short jobs through four slots: each ends once, and nothing is left of them."""
    threads_before = threading.active_count()
    for job in range(1, 41):
        while bench.pool.offer().cores == 0:
            bench.pool.wait(5)
        bench.pool.start(shell(job, "echo done"))
    for job in range(1, 41):
        assert bench.central.end_of(job).outcome is Outcome.SUCCESS
    bench.wait_until_empty()
    ended = [job for job, _, report in bench.central.reports if report.phase is Phase.ENDED]
    assert sorted(ended) == list(range(1, 41))
    assert not list((bench.work / "attempts").iterdir())
    assert threading.active_count() <= threads_before + 1
    assert stat.S_IMODE((bench.work / "attempts").stat().st_mode) & 0o077 == 0
