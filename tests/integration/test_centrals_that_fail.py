"""Centrals that die, stop and come back: no job is lost or run twice, and no pilot is submitted twice."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from pilot.errors import Refusal
from pilot.states import JobState, PilotState
from tests import postgres
from tests.integration.running_central import RunningCentral, make_folder, until
from tests.integration.several import FAULTY, another, at, first_central
from tests.integration.wire_pilot import SignedPilot
from tests.system import TOP, Plan, System, deliver, process_rows, running_system, wait_for

pytestmark = pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing())

#: One more queue, whose pilots a director starts on this machine.
LOCAL = """
[[queues]]
name = "started"
site = "here"
kind = "local"
cores = 1
memory = "1 GB"
tags = ["started"]
communities = ["physics"]
"""


@pytest.fixture
def two_centrals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[RunningCentral]]]:
    """Makes two centrals over one database, started one after the other; the first has a fault."""
    made: list[RunningCentral] = []

    def make(fault: str) -> list[RunningCentral]:
        monkeypatch.setenv("PILOTAGE_TEST_FAULT", fault)
        (tmp_path / "one").mkdir()
        one = first_central(tmp_path / "one", postgres.cluster().database(), more=LOCAL)
        one.program = (FAULTY,)
        made.extend((one, another(one, tmp_path / "two")))
        for central in made:
            central.start()
        return made

    yield make
    for central in made:
        if central.process:
            central.process.send_signal(signal.SIGCONT)
        central.close()


def test_a_central_that_dies_between_claim_and_reply(two_centrals: Callable[[str], list[RunningCentral]]) -> None:
    """Jobs leased by a central that died before it could say so are had by the same request at another one, once."""
    one, two = two_centrals("dies-after-claim")
    job = two.person("ann").submit_one()
    pilot = one.pilot()
    with pytest.raises(requests.ConnectionError):
        until(lambda: pilot.match(number=1).leases, "the central to die of it")
    assert one.process is not None
    assert one.process.wait(10) == -signal.SIGKILL
    assert two.person("ann").job(job).state is JobState.MATCHED
    (lease,) = at(pilot, two).match(number=1).leases
    assert (lease.job, lease.attempt) == (job, 1)
    pilot.succeed(lease)
    assert two.person("ann").job(job).state is JobState.DONE


def test_a_leader_that_wakes_up_too_late_submits_nothing(
    two_centrals: Callable[[str], list[RunningCentral]],
) -> None:
    """A leader is stopped after it has planned a pilot; another one takes over and submits it; the first does not."""
    one, two = two_centrals("stops-after-plan")
    until(lambda: "This central leads" in one.words(), "the first to lead")
    two.person("ann").submit_one(needs={"tags": "started"})
    assert one.process is not None
    until(lambda: state_of(one) == "T", "the first to stop with a pilot planned")
    wait_for(lambda: submissions(two), 90, "the second to take over and to submit", two.words)
    one.process.send_signal(signal.SIGCONT)
    assert until(lambda: one.person(None).get("/healthz").ok, "the first to go on")
    time.sleep(3.0)  # that something does not happen can only be seen by looking later: more than a turn of a director
    assert submissions(one) == []
    assert len(submissions(two)) <= 1, two.words()
    pilots = two.person("oli").get("/v1/pilots?queue=started").json()["pilots"]
    assert [pilot["reference"] for pilot in pilots] == [pilot["stamp"] for pilot in pilots]


def state_of(central: RunningCentral) -> str:
    """What the system says of the process: T when it is stopped."""
    assert central.process is not None
    return Path(f"/proc/{central.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def submissions(central: RunningCentral) -> list[str]:
    """The pilots that were started from its folder."""
    return [path.parent.name for path in (central.folder / "pilots").rglob("wrapper.sh")]


def test_the_database_may_be_away_for_a_while(tmp_path: Path) -> None:
    """Without its database a central says that it is busy; when that is back nothing is lost, and words get around."""
    server = postgres.Cluster()
    try:
        server.create()
        (tmp_path / "one").mkdir()
        one = first_central(tmp_path / "one", server.database())
        two = another(one, tmp_path / "two")
        with closing(one), closing(two):
            one.start()
            two.start()
            job = two.person("ann").submit_one()
            pilot = one.pilot()
            (lease,) = pilot.match().leases
            server.stop(signal.SIGQUIT)
            with pytest.raises(Refusal) as caught:
                pilot.succeed(lease)
            assert (caught.value.type, caught.value.transient) == ("busy", True)
            assert two.person(None).get("/healthz").status_code == 503
            away = two.person("ann").get("/v1/jobs")
            assert (away.status_code, int(away.headers["Retry-After"]) >= 1) == (503, True)
            server.start()
            for central in (one, two):
                assert until(lambda: central.person(None).get("/healthz").ok, "the central to be well")  # noqa: B023
            pilot.succeed(lease)
            assert two.person("ann").job(job).state is JobState.DONE
            until(lambda: _woken(pilot, two), "words to get around again")
    finally:
        server.remove()


def _woken(pilot: SignedPilot, elsewhere: RunningCentral) -> bool:
    """Whether a pilot that waits gets at once what is submitted elsewhere."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pilot.match, wait=3.0)
        time.sleep(0.5)  # let it wait; when it does not yet, it finds the job and proves nothing wrong
        elsewhere.person("ann").submit_one()
        leases = waiting.result(30).leases
    for lease in leases:
        pilot.succeed(lease)
    return bool(leases)


# -- processes that serve side by side --------------------------------------------------------------------------------


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """A whole system on PostgreSQL, served by two processes."""
    monkeypatch.setattr("tests.chosen_store.NAME", "postgres")
    with running_system(tmp_path / "central", Plan(slots=2, cores=2, workers=2)) as running:
        wait_for(lambda: len(running.workers()) == 2, 30, "both workers")
        yield running


def test_workers_may_die_under_load(system: System) -> None:
    """Whichever worker is killed again and again, it is replaced, and each job is done by exactly one attempt."""
    with system.client() as client:
        script = "import time; time.sleep(0.3)"
        jobs = list(client.submit({"command": ["python3", "-c", script, "{n}"], "sweep": {"n": "1..40"}}).ids)
        killed: set[int] = set()
        for _ in range(6):
            victim = wait_for(lambda: set(system.workers()) - killed, 30, "a worker that was not killed yet").pop()
            deliver(victim, signal.SIGKILL)
            killed.add(victim)
            wait_for(lambda: len(set(system.workers()) - killed) == 2, 60, "another one in its place", system.log)
        client.wait(jobs, timeout=360)
        for job in jobs:
            assert client.job(job).job.state is JobState.DONE
            outcomes = [attempt.outcome for attempt in client.attempts(job)]
            assert [outcome.value for outcome in outcomes if outcome] == ["success"], outcomes
        assert {pilot.state for pilot in client.pilots()} == {PilotState.RUNNING}


def test_workers_end_with_the_process_that_keeps_them(system: System) -> None:
    """When the keeper is killed its workers end, and a new one serves the folder at once."""
    assert system.process
    system.process.kill()
    system.process.wait(10)
    system.process = None
    system.start()
    with system.client() as client:
        [job] = client.submit([{"command": ["true"]}]).ids
        client.wait([job], timeout=180)
        assert client.job(job).job.state is JobState.DONE
    assert len(system.workers()) == 2


def test_whichever_worker_is_asked_the_figures_are_of_all(system: System) -> None:
    """Prometheus gets what every worker counts, told apart, and what the database holds once."""
    settings = tomllib.loads((system.folder / "client.toml").read_text())
    with requests.Session() as session:
        session.trust_env, session.verify = False, settings["ca"]
        session.headers["Authorization"] = f"Bearer {settings['token']}"

        def figures() -> str:
            return session.get(f"{system.url}/metrics", timeout=30).text

        wait_for(lambda: all(f'pilotage_held_requests{{worker="{n}"}}' in figures() for n in (1, 2)), 30, "both")
        assert figures().count('pilotage_jobs{state="waiting"}') == 1


def test_an_order_to_stop_ends_all_of_them(system: System) -> None:
    """SIGTERM to the keeper ends everything in order, with code 0."""
    assert system.process
    system.process.terminate()
    assert system.process.wait(30) == 0
    assert system.workers() == []
    system.process = None


def test_a_port_in_use_is_a_sentence(system: System) -> None:
    """A second central that wants the port of the first is told so, although the first one's workers share theirs."""
    other = system.folder.parent / "other"
    other.mkdir()
    port = urlsplit(system.url).port
    more = f'database = "{postgres.cluster().database()}"\nworkers = 2'
    central = RunningCentral(other, make_folder(other, more))
    settings = other / "central.toml"
    settings.write_text(re.sub(r"(?m)^port = \d+", f"port = {port}", settings.read_text()))
    assert central.run("init").returncode == 0
    failed = central.run("serve")
    assert failed.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_up_makes_a_central_of_several_processes(tmp_path: Path) -> None:
    """`pilotage up --database … --workers 2` serves from nothing and says what that means; `down` ends it."""
    folder, url = tmp_path / "up", postgres.cluster().database()
    choice = ("--folder", str(folder), "--json")
    (tmp_path / "pilot").write_bytes(b"a pilot")
    new = ("--port", "0", "--pilot", str(tmp_path / "pilot"), "--database", url, "--workers", "2")
    up = pilotage("up", *choice, *new, "--detach")
    try:
        assert up.returncode == 0, up.stderr
        assert f"database = {json.dumps(url)}" in (folder / "central.toml").read_text()
        assert "private/keys.json" in up.stderr
        keeper = json.loads(up.stdout)["process"]
        workers = wait_for(lambda: len(found := children(keeper)) == 2 and found, 30, "both workers")
        assert pilotage("whoami", *choice).returncode == 0
    finally:
        down = pilotage("down", *choice, "--wait", "1s")
    assert down.returncode == 0, down.stderr
    assert workers
    assert not children(keeper)


def pilotage(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilotage", *arguments]
    return subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def children(process: int) -> list[int]:
    return [row.pid for row in process_rows() if row.parent == process and "worker" in row.words]


def test_several_workers_need_a_server(tmp_path: Path) -> None:
    """SQLite has one process for itself: more of them are refused with a sentence, wherever they are asked for."""
    made = RunningCentral(tmp_path / "made", "")
    refused = made.run("init", "--port", "0", "--workers", "2")
    assert (refused.returncode, "several share a PostgreSQL database" in refused.stderr) == (1, True)
    assert made.run("init", "--port", "0").returncode == 0
    refused = made.run("serve", "--workers", "2")
    assert (refused.returncode, "several share a PostgreSQL database" in refused.stderr) == (1, True)


def test_a_password_is_written_down_nowhere(tmp_path: Path) -> None:
    """A URL with a password is refused before it gets into a file or a log."""
    made = RunningCentral(tmp_path / "made", "")
    refused = made.run("init", "--port", "0", "--database", "postgresql://ann:geheim@localhost/jobs")
    assert refused.returncode == 1
    assert "without a password" in refused.stderr
    assert "geheim" not in refused.stderr + refused.stdout
    assert not any("geheim" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
