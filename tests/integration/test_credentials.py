"""Credentials from their owner's hand to the job's folder on a real pilot, and gone afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from pilot import procfs
from pilot.credential import CredentialHistory, CredentialView
from pilot.states import JobState, Outcome
from tests.integration.conftest import CentralMaker
from tests.integration.real_pilot import RealPilot
from tests.integration.running_central import ROOT, Person, RunningCentral, until
from tests.integration.wire_pilot import decoded

pytestmark = pytest.mark.integration

SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    return make_central()


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture
def pilot(central: RunningCentral, tmp_path: Path) -> Iterator[RealPilot]:
    """A real pilot, not started yet, that keeps the directories of its attempts."""
    stamp, secret = central.plan()
    pilot = RealPilot(tmp_path, central.url, central.ca, secret, stamp=stamp, keep_work=True)
    yield pilot
    pilot.end()
    print(pilot.log)


def keep(person: Person, name: str, kind: str, values: Mapping[str, str], **more: object) -> CredentialView:
    body = json.dumps({"kind": kind, "values": values, **more})
    return decoded(person.put(f"/v1/credentials/{name}", data=body), CredentialView)


def history(person: Person, name: str) -> list[tuple[str, str]]:
    events = person.read(f"/v1/credentials/{name}/history", CredentialHistory).events
    return [(event.what, event.who) for event in events]


def final(person: Person, job: int) -> bool:
    return person.job(job).state in (JobState.DONE, JobState.FAILED)


def files_with(folder: Path, secret: str) -> list[str]:
    """Every file below a folder in which a secret stands, whatever its name."""
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and secret.encode() in path.read_bytes():
                found.append(str(path.relative_to(folder)))
        except OSError:
            continue  # it went meanwhile
    return found


SHOWS = """
cd "$PILOTAGE_CREDENTIALS"
stat -c '%a %n' . * login/*
cat licence > "$OLDPWD/copy.txt"
cat licence eos login/user login/password
echo
env | grep -c correct-horse
"""


def test_a_job_finds_its_credentials_and_nobody_else_does(
    central: RunningCentral, ann: Person, pilot: RealPilot
) -> None:
    """Files for the payload alone, whole in its output, starred out of its log, and on no disk afterwards."""
    keep(ann, "licence", "text", {"text": f"line one\n{SECRET}\n"})
    keep(ann, "eos", "bearer", {"token": f"token-{SECRET}"}, urls=["https://eos.example/a/"])
    keep(ann, "login", "basic", {"user": "ann", "password": f"pass-{SECRET}"})
    job = ann.submit_one(
        command=["sh", "-c", SHOWS], outputs=["copy.txt"], credentials=["licence", "eos", "login"], retries=0
    )
    pilot.start()
    until(lambda: final(ann, job), "the job to end")
    (attempt,) = ann.attempts(job)
    log = ann.get(f"/v1/jobs/{job}/logs/stdout").text
    assert attempt.outcome is Outcome.SUCCESS or attempt.exit_code == 1, (attempt, log)  # of grep, that finds none
    modes = [tuple(line.split(" ", 1)) for line in log.splitlines()[:6]]
    files = ("eos", "licence", "login/password", "login/user")
    assert sorted(modes) == sorted([("700", "."), ("700", "login"), *(("600", name) for name in files)])
    assert SECRET not in log
    assert SECRET not in attempt.tail
    assert "*" * len(SECRET) in log
    assert log.splitlines()[-1] == "0", "a secret stood in the environment"
    (output,) = attempt.outputs
    assert ann.get(f"/v1/sandboxes/{output.sha256}").text == f"line one\n{SECRET}\n"
    left = [name for name in files_with(pilot.work, SECRET) if not name.endswith(("job/copy.txt", "/stdout"))]
    assert left == [], "what the payload itself wrote is its own; the rest must be gone"
    assert not (pilot.work / "attempts" / f"{job}.1" / "credentials").exists()
    objects = [name for name in files_with(central.folder, SECRET) if not name.startswith("objects/")]
    assert objects == []
    assert history(ann, "licence") == [("delivered", f"pilot {pilot.stamp}"), ("set", "ann")]


def test_gone_when_the_agent_is_killed(central: RunningCentral, ann: Person, pilot: RealPilot) -> None:
    """kill -9 of the agent while its payload runs: the monitor wipes secrets and token, kept work directory or not."""
    keep(ann, "licence", "text", {"text": SECRET})
    job = ann.submit_one(command=["sh", "-c", "touch running; sleep 300"], credentials=["licence"])
    pilot.start()
    place = pilot.work / "attempts" / f"{job}.1"
    until((place / "job" / "running").exists, "the payload to run")
    assert (place / "credentials" / "licence").read_text() == SECRET
    os.kill(pilot.agent, signal.SIGKILL)
    pilot.wait()
    assert (place / "job").is_dir(), "the test wants the directory kept"
    assert files_with(pilot.work, SECRET) == []
    assert not (place / "token").exists()
    ann.post("/v1/jobs/kill", json={"selection": {"ids": [job]}})


@pytest.mark.parametrize("how", ["fails", "kill order", "no program"])
def test_gone_however_the_attempt_ends(central: RunningCentral, ann: Person, pilot: RealPilot, how: str) -> None:
    """A payload that fails, is killed by its owner, or never starts leaves no secret on the node."""
    keep(ann, "licence", "text", {"text": SECRET})
    commands = {"fails": "exit 3", "kill order": "touch running; sleep 300", "no program": ""}
    command = ["sh", "-c", commands[how]] if commands[how] else ["./absent"]
    job = ann.submit_one(command=command, credentials=["licence"])
    pilot.start()
    place = pilot.work / "attempts" / f"{job}.1"
    if how == "kill order":
        until((place / "job" / "running").exists, "the payload to run")
        ann.post("/v1/jobs/kill", json={"selection": {"ids": [job]}})
    until(lambda: ann.attempts(job) and ann.attempts(job)[0].ended, "the attempt to end")
    assert place.is_dir(), "the test wants the directory kept"
    assert files_with(pilot.work, SECRET) == []


def test_a_job_without_a_central_has_its_own(tmp_path: Path) -> None:
    """`run --job` takes them out of a file of mode 0600, refuses one that others read, and leaves none behind."""
    (tmp_path / "job.yaml").write_text(
        'command: [sh, -c, "cp $PILOTAGE_CREDENTIALS/eos copy.txt"]\noutputs: [copy.txt]\ncredentials: [eos]\n'
    )
    file = tmp_path / "credentials.yaml"
    file.write_text(f"eos: {{kind: bearer, token: {SECRET}}}\n")

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pilot", "run", "--job", "job.yaml", "--work", "work", *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    file.chmod(0o644)
    refused, forgotten = run("--credentials", "credentials.yaml"), run()
    assert refused.returncode == forgotten.returncode == 2
    assert "chmod 600 credentials.yaml" in refused.stderr
    assert "asks for eos" in forgotten.stderr
    file.chmod(0o600)
    done = run("--credentials", "credentials.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(files_with(tmp_path, SECRET)) == ["credentials.yaml", "job-output/copy.txt"]


def test_of_several_agents_only_the_dead_ones_secrets_go(
    central: RunningCentral, ann: Person, pilot: RealPilot
) -> None:
    """kill -9 of one of two agents wipes what its attempt had, while the other's payload keeps its own."""
    keep(ann, "licence", "text", {"text": SECRET})
    jobs = [
        ann.submit_one(command=["sh", "-c", "echo $$ > pid; exec sleep 300"], credentials=["licence"]) for _ in range(2)
    ]
    pilot.start(more=("--agents", "2"))
    places = {job: pilot.work / "attempts" / f"{job}.1" for job in jobs}
    pids = {job: int(until(partial(_line, place / "job" / "pid"), "a pid")) for job, place in places.items()}
    dead, living = jobs
    about = procfs.process(pids[dead])
    assert about is not None
    os.kill(about.parent, signal.SIGKILL)
    secrets = [places[dead] / "credentials", places[dead] / "token"]
    until(lambda: not any(path.exists() for path in secrets), "the secrets to be wiped")
    assert (places[living] / "credentials" / "licence").read_text() == SECRET
    ann.post("/v1/jobs/kill", json={"selection": {"ids": jobs}})
    until(lambda: not (places[living] / "credentials").exists(), "the other's to be wiped at its end")


def _line(path: Path) -> str:
    text = path.read_text() if path.exists() else ""
    return text if text.endswith("\n") else ""
