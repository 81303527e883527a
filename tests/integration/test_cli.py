"""The command line against a real central with real pilots."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest

from pilot.states import JobState
from pilotage.embedded import Embedded
from pilotage.exits import Exit
from tests.system import BUNDLE, Plan, System, process_rows, running_system, wait_for

COMMAND = (sys.executable, "-m", "pilotage")


class Terminal:
    """Somebody who types commands, in a directory of their own."""

    def __init__(self, folder: Path, directory: Path) -> None:
        self.folder = folder
        self.directory = directory

    @property
    def environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PILOTAGE_")}
        return {**kept, "PILOTAGE_FOLDER": str(self.folder)}

    def type(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(self.type(*arguments, "--json").stdout)
        return answer

    def write(self, name: str, text: str) -> str:
        (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / name).write_text(text)
        return name

    def submit(self, text: str, *options: str) -> int:
        """Submit one document; returns the first id."""
        shown = self.json("submit", self.write("some.yaml", text), *options)
        return int(shown["jobs"][0]["first"])  # type: ignore[index]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("system"), Plan()) as running:
        yield running


@pytest.fixture
def terminal(system: System, tmp_path: Path) -> Terminal:
    return Terminal(system.folder, tmp_path)


def state(system: System, job: int) -> JobState:
    with system.client() as client:
        return client.job(job).job.state


def test_a_sweep_with_inputs_brings_its_outputs_home(terminal):
    """Submit, watch, look, read what was printed, fetch what was written: everything is there."""
    terminal.write("work/word.txt", "shared ")
    for number in (1, 2):
        terminal.write(f"work/in-{number}.txt", f"input {number}\n")
    name = terminal.write(
        "work/sweep.yaml",
        "name: join-{n}\n"
        "command: [sh, -c, 'cat word.txt in-{n}.txt | tee out-{n}.txt; echo beside >&2']\n"
        "inputs: [word.txt, 'in-{n}.txt']\n"
        "outputs: ['out-{n}.txt']\n"
        "sweep: {n: 1..2}\n",
    )

    done = terminal.type("submit", name, "--watch")

    first = int(done.stdout.split(":")[1].split("-")[0])
    assert done.stdout == f"submitted 2 jobs: {first}-{first + 1}; 3 input files sent\n"
    assert "2 done" in done.stderr
    shown = terminal.type("job", str(first + 1)).stdout
    for text in ("join-2", "n = 2", "in-2.txt word.txt", "success"):
        assert all(word in shown for word in text.split()), text
    logs = terminal.type("logs", str(first))
    assert (logs.stdout, logs.stderr) == ("shared input 1\n", "beside\n")
    fetched = terminal.type("output", str(first), "-d", "results")
    assert fetched.stdout == "results/out-1.txt\n"
    assert (terminal.directory / "results/out-1.txt").read_text() == "shared input 1\n"
    assert [job["name"] for job in terminal.json("jobs", "--name", "join-")["jobs"]] == ["join-2", "join-1"]


def test_a_job_that_fails_says_how(terminal):
    """The watcher's exit code, the reason, and the last lines lead to the cause."""
    name = terminal.write("bad.yaml", "command: [sh, -c, 'echo it is over >&2; exit 3']\n")

    done = terminal.type("submit", name, "--watch", code=Exit.JOBS_FAILED)

    job = done.stdout.split(":")[1].strip()
    assert f"job {job} failed" in done.stderr
    shown = terminal.type("job", job).stdout
    assert "exit code    3" in shown
    assert shown.rstrip().endswith("it is over")


def test_what_nothing_can_run_is_explained(terminal):
    """A job for 1,000 cores and one with an unknown tag say which need fails, where, and what comes nearest."""
    for need, word in (("cores: 1000", "cores"), ("tags: no-such-tag", "tags")):
        name = terminal.write("odd.yaml", f"command: ['true']\nneeds: {{{need}}}\n")
        done = terminal.type("submit", name)
        assert "warning: odd.yaml: " in done.stderr
        job = done.stdout.split(":")[1].strip()

        shown = terminal.type("explain", job).stdout

        row = next(line for line in shown.splitlines() if line.startswith(f"{word} "))
        assert ("1000" if word == "cores" else "no-such-tag") in row.replace(",", "")
        assert terminal.json("explain", job)["failures"][0]["need"] == word
        terminal.type("kill", job)


def test_what_real_jobs_used_is_accounted_for(terminal):
    """What pilots measured of jobs that succeed and fail is a row of the owner's use, and stands in the shares."""
    before = terminal.json("usage", "--by", "owner")["rows"]
    burn = "timeout 0.6 sh -c 'while :; do :; done' || true"
    burn = f'command: [sh, -c, "{burn}"]\nsweep: {{n: 1..2}}\n'
    terminal.submit(burn, "--watch")
    terminal.type("submit", terminal.write("bad.yaml", "command: ['false']\n"), "--watch", code=Exit.JOBS_FAILED)

    (row,) = terminal.json("usage", "--by", "owner")["rows"]

    known = before[0] if before else dict.fromkeys(row, 0)
    attempts, succeeded = row["attempts"] - known["attempts"], row["succeeded"] - known["succeeded"]
    assert (attempts, succeeded) == (3, 2)
    assert 0 < row["cpu_seconds"] - known["cpu_seconds"] < 5
    assert row["core_seconds"] - known["core_seconds"] >= 1.0
    assert row["lost_core_seconds"] < row["core_seconds"]
    (owner,) = [view for view in terminal.json("shares")["shares"] if view["owner"] == row["keys"][0]]
    assert owner["used"] > 0
    assert terminal.json("limits") == {"limits": []}


def test_many_waiting_jobs_are_explained_by_reason(terminal):
    """Jobs that wait for one reason are one block, found by what they are called; killed, none waits."""
    wide = terminal.submit("command: ['true']\nname: many-{n}\nneeds: {cores: 1000}\nsweep: {n: 1..30}\n")
    tagged = terminal.submit("command: ['true']\nname: many-tagged\nneeds: {tags: nowhere}\n")

    blocks = terminal.type("explain", "--name", "many-").stdout.split("\n\n")

    assert f"{wide}-{wide + 29} (30 jobs)" in blocks[0]
    assert "Nothing here offers 1,000 cores" in blocks[0]
    assert blocks[1].split()[:2] == ["job", str(tagged)]
    assert "changed 31 jobs" in terminal.type("kill", "--name", "many-").stdout
    assert terminal.type("explain", "--name", "many-").stderr == "none waits: 31 killed\n"


def test_a_running_job_is_killed(terminal, system, tmp_path):
    """`kill` ends the job at once and its process soon."""
    marker = tmp_path / "marker"
    job = terminal.submit(f"command: [sh, -c, 'touch {marker}; while :; do sleep 0.1; done']\n")
    wait_for(marker.exists, 60, "the job to run")

    killed = terminal.type("kill", str(job), "--reason", "enough")

    assert killed.stdout == f"job {job}: killed\n"
    assert state(system, job) is JobState.KILLED
    again = terminal.type("kill", str(job), code=Exit.PARTLY)
    assert again.stderr.startswith(f"job {job}: ")
    wait_for(lambda: not any(str(marker) in " ".join(row.words) for row in process_rows()), 30, "its process to end")


def test_a_log_is_followed_while_the_job_runs(terminal, tmp_path):
    """Lines arrive before the job ends; when it ends, so does the follower."""
    go = tmp_path / "go"
    job = terminal.submit(
        f"command: [sh, -c, 'echo one; echo wrong >&2; until [ -e {go} ]; do sleep 0.1; done; echo two']\n"
    )
    follower = subprocess.Popen(
        [*COMMAND, "logs", str(job), "-f"],
        env=terminal.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert follower.stdout
        assert follower.stderr
        assert follower.stdout.readline() == b"one\n"
        assert follower.stderr.readline() == b"wrong\n"
        go.touch()
        rest: IO[bytes] = follower.stdout
        assert rest.read() == b"two\n"
        assert follower.wait(60) == 0
    finally:
        follower.kill()
        follower.communicate()


def test_jobs_are_held_released_and_run_again(terminal, system):
    """hold, release and reschedule do what they say; the new job names the old one."""
    job = terminal.submit("command: ['true']\nneeds: {cores: 1000}\n")

    assert terminal.type("hold", str(job)).stdout == f"job {job}: held\n"
    assert terminal.type("release", str(job)).stdout == f"job {job}: waiting\n"
    terminal.type("priority", "9", str(job))
    terminal.type("kill", str(job))
    new = int(terminal.type("reschedule", str(job)).stdout.split("new job ")[1])
    shown = terminal.type("job", str(new)).stdout
    assert f"job {job}" in shown
    assert f"{job}" in terminal.type("kill", str(new)).stdout or state(system, new) is JobState.KILLED


def test_pilots_are_shown_with_their_steps_and_logs(terminal):
    """A pilot that ran is listed, can be looked into by the beginning of its stamp, and has a log."""
    terminal.type("submit", terminal.write("quick.yaml", "command: ['true']\n"), "--watch")
    stamp = str(terminal.json("pilots", "--all")["pilots"][0]["stamp"])

    assert stamp[:8] in terminal.type("pilots").stdout
    shown = terminal.type("pilot", stamp[:8]).stdout
    for text in ("node: cores", "COMMAND", "discover", "queue local"):
        assert text in shown
    assert terminal.type("explain", "pilot", stamp[:8]).stdout.startswith("pilot")
    assert "local" in terminal.type("explain", "queue", "local").stdout
    assert terminal.type("queues").stdout.splitlines()[1].startswith("local")
    wait_for(lambda: terminal.type("logs", "--pilot", stamp[:8]).stdout, 30, "the pilot's log")


def test_mistakes_end_with_a_sentence_and_their_code(terminal, tmp_path):
    """No job, a faulty file, no central: each has its exit code, and no traceback."""
    name = terminal.write("bad.yaml", "command: [a]\nneeds: {cores: -1, memory: much}\ninputs: [gone]\n")
    for arguments, code, lines in (
        (("job", "999999"), Exit.FAILED, 1),
        (("submit", name), Exit.USAGE, 2),
        (("jobs", "--folder", str(tmp_path)), Exit.UNREACHABLE, 1),
    ):
        said = terminal.type(*arguments, code=code).stderr.splitlines()
        assert len(said) == lines, said
        assert all(line.startswith("pilotage: ") for line in said)


def test_a_central_is_started_in_the_background_and_stopped(tmp_path):
    """`up --detach` returns when it serves, once more says that it does; `down` leaves no process behind."""
    folder = tmp_path / "home"
    terminal = Terminal(folder, tmp_path)
    try:
        up = json.loads(terminal.type("up", "--port", "0", "--pilot", str(BUNDLE), "--detach", "--json").stdout)
        assert up["folder"] == str(folder)
        assert terminal.json("up")["process"] == up["process"]
        assert terminal.json("whoami")["role"] == "operator"
        terminal.type("submit", terminal.write("quick.yaml", "command: ['true']\n"), "--watch")
        terminal.type("backup", "copy.db")
        assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3")
    finally:
        terminal.type("down")
    wait_for(
        lambda: not [row for row in process_rows() if any(str(folder) in word for word in row.words)],
        30,
        "every process of the folder to end",
    )
    assert terminal.type("jobs", code=Exit.UNREACHABLE).stderr.startswith("pilotage: ")


def test_a_central_in_the_foreground_ends_with_its_signal(tmp_path):
    """`up` serves until SIGTERM, passes it on, and ends with the central's exit code."""
    terminal = Terminal(tmp_path / "home", tmp_path)
    up = subprocess.Popen(
        [*COMMAND, "up", "--port", "0", "--pilot", str(BUNDLE)],
        env=terminal.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert up.stdout
        assert up.stdout.readline().startswith("The central serves https://localhost:")
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0
        assert Embedded(terminal.folder).holder() is None
    finally:
        up.kill()
        up.communicate()
        Embedded(terminal.folder).stop()
