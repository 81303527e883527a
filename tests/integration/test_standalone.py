"""`pilot run --job` as a person types it: one job, no central, the same pipeline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pilot.errors import ExitCode

TOP = Path(__file__).resolve().parents[2]
JOB = """\
name: letters
executable: ./letters.sh
arguments: ["{word}"]
inputs: [data/text.txt]
outputs: ["*.out", plots/]
needs: {cores: 1, memory: 200 MB, wall_time: 1 min}
sweep: {word: [alpha, beta]}
"""
SCRIPT = """\
#!/bin/sh
set -e
echo "job $PILOTAGE_JOB has $PILOTAGE_CORES cores"
tr a-z A-Z < data/text.txt > "$1.out"
mkdir plots
echo "$1" > plots/word
echo careful >&2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job with its files, beside the folder that the command is typed in."""
    job = tmp_path / "job"
    (job / "data").mkdir(parents=True)
    (job / "job.yaml").write_text(JOB)
    (job / "letters.sh").write_text(SCRIPT)
    (job / "data" / "text.txt").write_text("some text\n")
    (tmp_path / "here").mkdir()
    return tmp_path


def command(*words: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "pilot", *words]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        cwd=folder / "here",
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_job_runs_with_no_central(folder: Path) -> None:
    """One job of a sweep runs here: inputs beside its file, outputs and logs in a folder named after it."""
    done = run(folder, "run", "--job", "../job/job.yaml", "--member", "word=beta", "--work", "../work")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert "outcome   success (exit code 0)" in done.stdout
    target = folder / "here" / "letters-word-beta-output"
    assert f"outputs   {target.name}/: beta.out (10 B), plots/word (5 B)" in done.stdout
    assert (target / "beta.out").read_text() == "SOME TEXT\n"
    assert (target / "plots" / "word").read_text() == "beta\n"
    assert (target / "stdout").read_text() == "job 1 has 1 cores\n"
    assert (target / "stderr").read_text() == "careful\n"
    assert "cores = " in (target / "pilot.log").read_text()
    assert sorted(path.name for path in target.iterdir()) == ["beta.out", "pilot.log", "plots", "stderr", "stdout"]
    assert list((folder / "work" / "attempts").iterdir()) == []


def test_a_job_that_fails_shows_why(folder: Path) -> None:
    """A payload that fails has an exit code of its own for us, its outcome and its last lines."""
    (folder / "job" / "fail.yaml").write_text('command: [sh, -c, "echo it went wrong >&2; exit 3"]\n')
    done = run(folder, "run", "--job", "../job/fail.yaml")
    assert done.returncode == ExitCode.PAYLOAD_FAILED
    assert "outcome   payload-error (exit code 3)" in done.stdout
    assert "  it went wrong" in done.stdout


def test_a_job_that_does_not_fit_says_so(folder: Path) -> None:
    """A job that needs more than this machine has is not run, and the report says what is lacking."""
    done = run(folder, "run", "--job", "../job/job.yaml", "--member", "word=beta", "--set", "needs.cores=60000")
    assert done.returncode == ExitCode.PAYLOAD_FAILED
    assert "did not run: no slot for attempt 1 of job 1: it needs 60000 cores" in done.stdout


def test_a_wrong_job_is_refused_with_every_problem(folder: Path) -> None:
    """What is wrong with a job file is told, all of it, before anything runs."""
    done = run(folder, "run", "--job", "../job/job.yaml", "--set", "needs.memory=-1", "--set", "colour=red")
    assert done.returncode == ExitCode.USAGE
    assert "needs.memory: expected" in done.stderr
    assert "colour: unknown key" in done.stderr
    assert not list((folder / "here").iterdir())


def test_limits_hold_at_home_too(folder: Path) -> None:
    """A payload that runs for longer than its wall time is stopped here as it would be on the grid."""
    (folder / "job" / "long.yaml").write_text("command: [sleep, 600]\nneeds: {wall_time: 1s}\ngrace: 1s\n")
    done = run(folder, "run", "--job", "../job/long.yaml")
    assert done.returncode == ExitCode.PAYLOAD_FAILED
    assert "outcome   limit-exceeded" in done.stdout
    assert "its limit of wall time" in done.stdout


def test_ctrl_c_ends_the_payload(folder: Path) -> None:
    """Interrupted, the pilot ends its payload, keeps what that has saved, reports, and leaves nothing running."""
    (folder / "job" / "long.yaml").write_text(
        'command: [sh, -c, "echo 7 > at.ckpt; echo $$ > $HOME/../../../pid; sleep 600"]\ncheckpoint: ["*.ckpt"]\n'
    )
    with subprocess.Popen(
        command("run", "--job", "../job/long.yaml", "--work", "../work"),
        cwd=folder / "here",
        env={**os.environ, "PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        noted = folder / "work" / "pid"
        end = time.monotonic() + 30
        while not (noted.exists() and noted.read_text().endswith("\n")):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == ExitCode.PREEMPTED
    assert "outcome   preempted" in output
    assert "interrupted by SIGINT" in output
    saved = folder / "here" / "long-output" / "checkpoint"
    assert (saved / "at.ckpt").read_text() == "7\n"
    assert not Path(f"/proc/{noted.read_text().strip()}").exists()


def test_a_saved_checkpoint_is_gone_on_from(folder: Path) -> None:
    """`--resume` puts a checkpoint, folders in it too, into the job's directory; one that is none is refused."""
    (folder / "job" / "on.yaml").write_text('command: [cat, at.ckpt, state/more]\ncheckpoint: ["*.ckpt", state/]\n')
    saved = folder / "here" / "on-output" / "checkpoint"
    (saved / "state").mkdir(parents=True)
    (saved / "at.ckpt").write_text("seven\n")
    (saved / "state" / "more").write_text("eight\n")
    done = run(folder, "run", "--job", "../job/on.yaml", "--resume", "on-output/checkpoint")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert (folder / "here" / "on-output" / "stdout").read_text() == "seven\neight\n"
    none = run(folder, "run", "--job", "../job/on.yaml", "--resume", "elsewhere")
    assert (none.returncode, none.stdout) == (ExitCode.USAGE, "")
    assert "expected a folder with files, as on-output/checkpoint, got elsewhere" in none.stderr
    member = run(folder, "run", "--job", "../job/job.yaml", "--member", "word=beta", "--resume", "on-output/checkpoint")
    assert member.returncode == ExitCode.USAGE
    assert "lists no `checkpoint`" in member.stderr


def test_isolation_that_is_not_given_is_a_warning(folder: Path) -> None:
    """A job that requires isolation runs here without it, and the report says so."""
    (folder / "job" / "alone.yaml").write_text("command: [echo, hello]\nneeds: {isolation: required}\n")
    done = run(folder, "run", "--job", "../job/alone.yaml")
    assert done.returncode == ExitCode.DONE
    assert "warning   `isolation: required` is not given here" in done.stdout


def test_the_doctor_reports(folder: Path) -> None:
    """The doctor prints what the machine has, with sources; for programs as JSON; and says whether psutil loads."""
    import json

    shown = run(folder, "doctor")
    assert shown.returncode == 0
    assert "affinity" in shown.stdout
    assert "psutil" in shown.stdout
    told = json.loads(run(folder, "doctor", "--json", "--work", "../work/below").stdout)
    assert not (folder / "work").exists()
    assert (told["fit"], told["problem"]) == (True, "")
    facts = told["facts"]
    names = {fact["name"] for fact in facts}
    assert {"cores", "memory", "disk", "arch", "os", "psutil", "seconds_left"} <= names
    assert all(fact["source"] for fact in facts)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--work", "/proc"], ExitCode.UNFIT, "not fit for jobs: nothing can be written to /proc"),
        (["--work", "/proc/none"], ExitCode.USAGE, "--work: /proc/none cannot be made"),
        (["--reach", "somewhere"], ExitCode.USAGE, "--reach: expected HOST:PORT, got 'somewhere'"),
        (["--reach", "a:99999"], ExitCode.USAGE, "--reach: expected HOST:PORT"),
    ],
)
def test_what_the_doctor_cannot_look_at(folder: Path, words: list[str], code: ExitCode, said: str) -> None:
    """A folder in which no pilot could work is told as unfit; one that is none, or an address, as a wrong word."""
    done = run(folder, "doctor", *words)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Errno" not in done.stdout + done.stderr


def test_under_nohup_payloads_hear_everything(folder: Path) -> None:
    """A pilot that was started to ignore signals does so; its payload begins with none ignored."""
    (folder / "job" / "signals.yaml").write_text("command: [grep, SigIgn, /proc/self/status]\n")
    words = command("run", "--job", "../job/signals.yaml")
    done = subprocess.run(
        ["/bin/sh", "-c", "trap '' HUP INT QUIT USR1; exec \"$@\"", "sh", *words],
        cwd=folder / "here",
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    (printed,) = (folder / "here").rglob("stdout")
    assert int(printed.read_text().split()[1], 16) == 0
