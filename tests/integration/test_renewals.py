"""What an owner sets anew reaches attempts that run, on a real pilot: their payloads, and the pilot's own transfers."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.credential import CredentialHistory, CredentialView
from pilot.states import JobState, Outcome
from tests.integration.conftest import CentralMaker
from tests.integration.faulty_storage import FaultyStorage, storing
from tests.integration.https import make_authority
from tests.integration.real_pilot import RealPilot
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.test_credentials import files_with
from tests.integration.wire_pilot import decoded

pytestmark = pytest.mark.integration

OLD, NEW = "correct-horse-battery-staple", "another-horse-with-a-battery"

#: Prints what it has until that is something else, and prints that.
LOOPS = """
first=$(cat "$PILOTAGE_CREDENTIALS/eos")
echo "had $first"
touch running
while [ "$(cat "$PILOTAGE_CREDENTIALS/eos")" = "$first" ]; do sleep 0.1; done
echo "has $(cat "$PILOTAGE_CREDENTIALS/eos")"
stat -c '%a %U' "$PILOTAGE_CREDENTIALS/eos" "$PILOTAGE_CREDENTIALS" > about.txt
echo result > result.txt
"""


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    return make_central()


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FaultyStorage]:
    """One that knows the newer token alone."""
    authority = make_authority(tmp_path)
    (tmp_path / "system-ca.pem").write_text(authority.ca_pem)
    with storing(authority) as storage:
        storage.valid = f"Bearer {NEW}"
        yield storage


@pytest.fixture
def pilot(central: RunningCentral, tmp_path: Path) -> Iterator[RealPilot]:
    """A real pilot, not started yet, that keeps the directories of its attempts."""
    stamp, secret = central.plan()
    pilot = RealPilot(tmp_path, central.url, central.ca, secret, stamp=stamp, keep_work=True)
    yield pilot
    pilot.end()
    print(pilot.log)


def keep(person: Person, token: str, **more: object) -> CredentialView:
    body = json.dumps({"kind": "bearer", "values": {"token": token}, **more})
    return decoded(person.put("/v1/credentials/eos", data=body), CredentialView)


def started(pilot: RealPilot, job: int) -> Path:
    """The attempt's directory, once its payload runs."""
    place = pilot.work / "attempts" / f"{job}.1"
    until((place / "job" / "running").exists, "the payload to run")
    return place


def ended(person: Person, job: int) -> None:
    until(lambda: person.job(job).state in (JobState.DONE, JobState.FAILED), "the job to end")


def test_a_payload_reads_what_was_set_anew(central: RunningCentral, ann: Person, pilot: RealPilot) -> None:
    """It loops until its file is another one, and ends well; neither secret is in a log, nor on a disk afterwards."""
    keep(ann, OLD)
    job = ann.submit_one(command=["sh", "-c", LOOPS], outputs=["about.txt"], credentials=["eos"], retries=0)
    pilot.start()
    place = started(pilot, job)
    assert keep(ann, NEW).running == 1
    ended(ann, job)
    (attempt,) = ann.attempts(job)
    log = ann.get(f"/v1/jobs/{job}/logs/stdout").text
    assert attempt.outcome is Outcome.SUCCESS, (attempt, log)
    assert log.splitlines() == [f"had {'*' * len(OLD)}", f"has {'*' * len(NEW)}"]
    (output,) = attempt.outputs
    modes = ann.get(f"/v1/sandboxes/{output.sha256}").text.splitlines()
    assert [line.split()[0] for line in modes] == ["600", "700"]
    assert len({line.split()[1] for line in modes}) == 1
    for secret in (OLD, NEW):
        assert secret not in pilot.log
        assert [name for name in files_with(pilot.work, secret) if not name.endswith("/stdout")] == []
        assert [name for name in files_with(central.folder, secret) if not name.startswith("objects/")] == []
        assert secret not in str(attempt)
    assert not (place / "credentials").exists()
    events = ann.read("/v1/credentials/eos/history", CredentialHistory).events
    mine = [event.detail.split(",")[0] for event in events if event.what == "delivered" and event.job == job]
    assert len(mine) == 2
    assert mine[0] == "renewed"


def test_an_upload_has_the_newer_token(ann: Person, pilot: RealPilot, storage: FaultyStorage, tmp_path: Path) -> None:
    """The pilot's own transfer uses what came while the payload ran: the storage never saw the older one."""
    where = f"{storage.url}/data/"
    keep(ann, OLD, urls=[where])
    outputs = [{"path": "result.txt", "to": [where]}]
    job = ann.submit_one(command=["sh", "-c", LOOPS], outputs=outputs, credentials=["eos"], retries=0)
    pilot.start(environment={"SSL_CERT_FILE": str(tmp_path / "system-ca.pem")})
    started(pilot, job)
    keep(ann, NEW, urls=[where])
    ended(ann, job)
    (attempt,) = ann.attempts(job)
    assert attempt.outcome is Outcome.SUCCESS, (attempt, pilot.log)
    assert storage.content("/data/result.txt") == b"result\n"
    assert set(storage.credentials) == {f"Bearer {NEW}"}
    assert NEW not in pilot.log
    assert OLD not in pilot.log


def test_nothing_is_left_when_the_agent_is_killed(ann: Person, pilot: RealPilot) -> None:
    """kill -9 of the agent: the monitor wipes the newer and the older ones."""
    keep(ann, OLD)
    job = ann.submit_one(command=["sh", "-c", "touch running; sleep 300"], credentials=["eos"], retries=0)
    pilot.start()
    place = started(pilot, job)
    keep(ann, NEW)
    until(lambda: (place / "credentials" / "eos").read_text() == NEW, "the newer one")
    os.kill(pilot.agent, signal.SIGKILL)
    pilot.wait()
    assert place.is_dir(), "the test wants the directory kept"
    assert files_with(pilot.work, OLD) == files_with(pilot.work, NEW) == []
    ann.post("/v1/jobs/kill", json={"selection": {"ids": [job]}})


SPEAKS = """
[ "$PILOTAGE_ATTEMPT" = 1 ] || exit 0
first=$(cat "$PILOTAGE_CREDENTIALS/eos")
touch running
while [ ! -e go ]; do sleep 0.1; done
echo "had $first"
echo "has $(cat "$PILOTAGE_CREDENTIALS/eos")"
touch said
sleep 300
"""


def test_a_monitor_that_takes_over_knows_both(central: RunningCentral, ann: Person, tmp_path: Path) -> None:
    """What was printed last is pushed by the monitor that follows a killed one, with both secrets starred out."""
    keep(ann, OLD)
    job = ann.submit_one(command=["sh", "-c", SPEAKS], credentials=["eos"])
    stamp, secret = central.plan()
    pilot = RealPilot(tmp_path, central.url, central.ca, secret, stamp=stamp, resume=True)
    pilot.start()
    try:
        place = started(pilot, job)
        keep(ann, NEW)
        until(lambda: (place / "credentials" / "eos").read_text() == NEW, "the newer one")
        agent = pilot.agent
        os.kill(pilot.pid, signal.SIGSTOP)
        (place / "job" / "go").touch()
        until((place / "job" / "said").exists, "the last words")
        os.kill(agent, signal.SIGKILL)
        os.kill(pilot.pid, signal.SIGKILL)
        pilot.wait()
        pilot.start()
        until(lambda: ann.job(job).state is JobState.DONE, "the second attempt")
        log = ann.get(f"/v1/jobs/{job}/logs/stdout", params={"attempt": 1}).text
        assert log.splitlines() == [f"had {'*' * len(OLD)}", f"has {'*' * len(NEW)}"]
    finally:
        pilot.end()
        print(pilot.log)
    assert files_with(pilot.work, OLD) == files_with(pilot.work, NEW) == []
