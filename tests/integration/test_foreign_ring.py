"""Centrals that have another key ring than their database: they say so before they begin, and what goes on then."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from pilot.errors import Refusal
from pilot.states import JobState
from tests import postgres
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import RunningCentral, until
from tests.integration.several import another, at, first_central
from tests.integration.wire_pilot import SignedPilot
from tests.security.kept import kept
from tests.system import Plan, running_system, wait_for
from tests.system import central as run_central

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    return make_central()


def ring_of(central: RunningCentral) -> Path:
    return central.folder / "private" / "keys.json"


def newest(central: RunningCentral) -> str:
    last = central.store(lambda store: store.unlinked(1)).last
    return last.key_id if last else ""


def lose_ring(central: RunningCentral) -> bytes:
    """As a restore of the database alone on another machine: `init` makes a ring, and says so."""
    lost = ring_of(central).read_bytes()
    ring_of(central).unlink()
    done = central.run("serve")
    assert done.returncode == 1
    assert "keys.json: there is no key ring; restore it from a backup" in done.stderr
    made = central.run("init")
    assert "the key ring; without a copy of it a backup of the database opens no secret" in made.stdout
    return lost


def refuses(central: RunningCentral) -> None:
    done = central.run("serve")
    assert done.returncode == 1, done.stdout
    assert "ready" not in done.stdout
    assert "Traceback" not in done.stderr
    assert "This database was sealed under another key ring than this central has: the newest link" in done.stderr
    assert "`python -m central accept-ring`" in done.stderr


def refusal_of(pilot: SignedPilot) -> str:
    with pytest.raises(Refusal) as caught:
        pilot.heartbeat()
    return f"{caught.value.type}: {caught.value}"


def test_a_database_without_its_ring_is_not_served(central: RunningCentral) -> None:
    """The central ends with a sentence, and leaves the database as it was; pilots wait, and go on with the ring back.
    What accepting another ring costs: tokens and credentials, not jobs, nor the audit."""
    ann = central.person("ann")
    body = json.dumps({"kind": "text", "values": {"text": "correct-horse-battery"}})
    assert ann.put("/v1/credentials/mine", data=body).status_code == 200
    pilot = central.pilot(lease=5)
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    until(lambda: newest(central), "a link of the audit")
    central.end()
    lost = lose_ring(central)
    before = kept(central)
    refuses(central)
    assert kept(central) == before

    ours = ring_of(central).read_bytes()
    ring_of(central).write_bytes(lost)
    central.start()
    assert pilot.heartbeat().next_beat
    assert "nothing to accept" in _accepted_after_end(central)

    ring_of(central).write_bytes(ours)
    refuses(central)
    key = json.loads(ours)["keys"][0]["id"]
    assert f"{key} seals from now on" in central.run("accept-ring").stdout
    central.start()
    assert "a key that this central does not have" in refusal_of(pilot)
    assert until(lambda: ann.job(job).state is JobState.WAITING, "its lease to end")
    (lease,) = central.pilot().match().leases
    assert (lease.job, lease.attempt) == (job, 2)
    assert "cannot be opened" in ann.get("/v1/credentials").json()["credentials"][0]["problem"]
    (line,) = central.person("oli").get("/v1/audit?what=key-ring.accept").json()["lines"]
    assert (line["who"], line["subject"]) == ("central", key)
    central.end()
    assert "as it was noted" in central.run("verify-audit").stdout
    central.start()
    assert ann.get("/v1/whoami").ok


def _accepted_after_end(central: RunningCentral) -> str:
    assert "stop it first" in central.run("accept-ring").stderr
    central.end()
    return central.run("accept-ring").stdout


@pytest.mark.parametrize("workers", [1, 2])
def test_a_central_with_another_ring_does_not_join(tmp_path: Path, workers: int) -> None:
    """Beside one that serves the database, one with a ring of its own ends with the same sentence; nothing changes."""
    if missing := postgres.missing():
        pytest.skip(missing)
    (tmp_path / "one").mkdir()
    one = first_central(tmp_path / "one", postgres.cluster().database())
    two = another(one, tmp_path / "two")
    settings = two.folder / "central.toml"
    settings.write_text(settings.read_text().replace("[central]", f"[central]\nworkers = {workers}", 1))
    with closing(one), closing(two):
        one.start()
        pilot = one.pilot()
        until(lambda: newest(one), "a link of the audit")
        ours = ring_of(two).read_bytes()
        ring_of(two).unlink()
        assert two.run("init").returncode == 0
        refuses(two)
        assert pilot.heartbeat().next_beat
        assert "another central serves this database" in two.run("accept-ring").stderr
        ring_of(two).write_bytes(ours)
        two.start()
        assert at(pilot, two).heartbeat().next_beat


def test_what_becomes_of_real_pilots(tmp_path: Path) -> None:
    """With another ring accepted, a pilot that is under way is heard no more, and its job is done by another pilot. It
    waits with what it has to say; with the keys of both rings in one file it is heard again, and ends."""
    plan = Plan(slots=2, lease="5 s", idle="4 s", silent_after="4 s")
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        script = f"mkdir {tmp_path}/first 2>/dev/null || exit 0; while [ ! -e {tmp_path}/end ]; do sleep 0.1; done"
        [job] = client.submit([{"command": ["sh", "-c", script]}]).ids
        wait_for((tmp_path / "first").exists, 60, "the first attempt to run", system.log)
        [before] = system.monitors()
        [log] = system.folder.glob("pilots/*/*/*/pilot.log")
        system.stop()
        ring = system.folder / "private" / "keys.json"
        lost = json.loads(ring.read_bytes())["keys"]
        ring.unlink()
        for verb in ("init", "accept-ring"):
            run_central(verb, "--folder", str(system.folder))
        system.start()
        client.wait([job], timeout=180)
        outcomes = [attempt.outcome for attempt in client.attempts(job)]
        assert [outcome and outcome.value for outcome in outcomes] == ["lost", "success"]
        (tmp_path / "end").touch()
        wait_for(lambda: "is sent again later (unauthorized)" in log.read_text(), 60, "its report to be refused")
        assert before in system.monitors()
        system.stop()
        ring.write_text(json.dumps({"keys": [*lost, *json.loads(ring.read_bytes())["keys"]]}))
        system.start()
        wait_for(lambda: before not in system.monitors(), 60, "the pilot to end", system.log)
