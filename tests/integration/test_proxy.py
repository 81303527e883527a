"""Nodes without outbound network: pilots on a computer without a route, whose only way out is a proxy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilot.errors import ExitCode
from pilot.states import JobState, Outcome, PilotReason, PilotState
from pilotage import Client
from tests.integration.faulty_storage import FaultyStorage, storing
from tests.integration.https import make_authority
from tests.integration.island import Island
from tests.integration.proxy import Proxy
from tests.integration.real_pilot import RealPilot
from tests.integration.running_central import RunningCentral
from tests.system import Plan, System, check_log, running_system, wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are made by root"),
]

#: How nodes call the central. No resolver knows the name: only the proxy does.
NAME = "central.example"
PROGRAM = (str(Path(__file__).parent / "central_of_island.py"),)

#: Says whether the central is reached without the proxy, and by which proxy programs go; makes an output of two inputs.
LOOKS = (
    "import os, socket, sys\n"
    "try: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print('a way')\n"
    "except OSError: print('no way')\n"
    "print(os.environ['https_proxy'])\n"
    "open('out.txt', 'w').write(open('near.txt').read() + open('far.txt').read())\n"
)
#: Works until it is told that it may end.
WORKS = "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint('over')\n"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """On the island, and with one foot here."""
    with Island() as island, Proxy(island.listen, {NAME: "127.0.0.1"}, place=island.namespace) as proxy:
        yield proxy


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FaultyStorage]:
    authority = make_authority(tmp_path)
    (tmp_path / "storages.pem").write_text(authority.ca_pem)
    with storing(authority) as storage:
        storage.put("/far.txt", b"from afar")
        yield storage


@pytest.fixture
def system(tmp_path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """A whole system whose nodes have no route; made, and not yet started."""
    monkeypatch.setenv("PILOTAGE_TEST_ISLAND", proxy.place)
    lines = (f'proxy = "{proxy.url}"', f'environment = {{ SSL_CERT_FILE = "{tmp_path}/storages.pem" }}')
    system = System(tmp_path / "central", Plan(queue="\n".join(lines), program=PROGRAM))
    system.plan.url = f"https://{NAME}:{system.port}"
    system.make()
    try:
        yield system
    finally:
        system.end()


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    with system.client() as client:
        yield client


def looks(system: System, storage: FaultyStorage, number: int) -> dict[str, Any]:
    return {
        "command": ["python3", "-c", LOOKS, str(system.port)],
        "inputs": ["near.txt", {"url": f"{storage.url}/far.txt"}],
        "outputs": [{"path": "out.txt", "to": ["sandbox" if number % 2 else f"{storage.url}/out/{{job}}/"]}],
    }


def test_jobs_of_nodes_without_a_route(
    tmp_path: Path, system: System, client: Client, proxy: Proxy, storage: FaultyStorage
) -> None:
    """Five jobs with inputs and outputs, at the central and at a storage, and all logs go through the proxy alone."""
    (tmp_path / "near.txt").write_text("from here, ")
    system.start()
    jobs = list(client.submit([looks(system, storage, number) for number in range(5)], tmp_path).ids)
    client.wait(jobs, timeout=360)
    for number, job in enumerate(jobs):
        assert client.job(job).job.state is JobState.DONE, client.attempts(job)
        check_log(client, job, f"no way\n{proxy.url}\n".encode())
        if number % 2:
            client.fetch_outputs(job, tmp_path / str(job))
            assert (tmp_path / str(job) / "out.txt").read_text() == "from here, from afar"
        else:
            assert storage.content(f"/out/{job}/out.txt") == b"from here, from afar"
    [stamp] = {client.attempts(job)[-1].pilot for job in jobs}
    wait_for(lambda: b"Starting the pilot in" in client.pilot_logs(stamp, "boot"), 30, "the boot log")
    assert set(proxy.asked) == {f"{NAME}:{system.port}", storage.url.removeprefix("https://")}


def test_a_proxy_that_dies_and_comes_back(tmp_path: Path, system: System, client: Client, proxy: Proxy) -> None:
    """The job goes on meanwhile; its end, its output and every byte of its log arrive when the proxy is back."""
    system.start()
    [job] = client.submit({"command": ["python3", "-c", WORKS], "outputs": ["go"]}).ids
    wait_for(lambda: client.job(job).job.state is JobState.RUNNING, 60, "the job to run", system.log)
    wait_for(lambda: client.logs(job) == b"begun\n", 60, "the payload to begin")
    attempt = client.attempts(job)[-1]
    proxy.die()
    said = next((system.folder / "pilots").glob(f"*/{attempt.pilot}/{attempt.pilot}/pilot.log"))
    wait_for(lambda: f"by way of the proxy 127.0.0.1:{proxy.port}" in said.read_text(), 60, "the pilot to notice")
    [folder] = (system.folder / "pilots").glob(f"*/*/*/attempts/{job}.1/job")
    (folder / "go").write_text("what it made")
    wait_for(lambda: not system.processes(WORKS), 60, "the payload's end")
    proxy.start()
    client.wait([job], timeout=360)
    [only] = client.attempts(job)
    assert (only.attempt, only.outcome) == (1, Outcome.SUCCESS)
    check_log(client, job, b"begun\nover\n")
    client.fetch_outputs(job, tmp_path / "outputs")
    assert (tmp_path / "outputs" / "go").read_text() == "what it made"


def test_a_proxy_that_does_not_let_pilots_through(system: System, client: Client, proxy: Proxy) -> None:
    """The wrapper says which proxy refused, and the pilot's message has it."""
    proxy.refused.add(f"{NAME}:{system.port}")
    system.start()
    client.submit({"command": ["true"]})
    ended = wait_for(lambda: list(client.pilots([PilotState.FAILED])), 90, "a pilot to fail", system.log)
    assert ended[0].reason is PilotReason.NEVER_CALLED, ended[0]
    assert "Tunnel connection failed: 403 Forbidden" in ended[0].message
    assert f"pilot.pyz could not be had from any URL (proxy: {proxy.url})." in ended[0].message


def test_a_storage_that_the_proxy_does_not_let_through(
    tmp_path: Path, system: System, client: Client, proxy: Proxy, storage: FaultyStorage
) -> None:
    """The output is kept at the central, and the attempt's message names the proxy and what it said."""
    proxy.refused.add(storage.url.removeprefix("https://"))
    system.start()
    rule = {"path": "out.txt", "to": [f"{storage.url}/out/"]}
    [job] = client.submit({"command": ["sh", "-c", "echo kept > out.txt"], "outputs": [rule]}).ids
    client.wait([job], timeout=360)
    [only] = client.attempts(job)
    assert only.outcome is Outcome.OUTPUT_ERROR
    assert f"by way of the proxy 127.0.0.1:{proxy.port}: Tunnel connection failed: 403 Forbidden" in only.message
    client.fetch_outputs(job, tmp_path / "outputs")
    assert (tmp_path / "outputs" / "out.txt").read_text() == "kept\n"


def test_what_is_reached_without_the_proxy(tmp_path: Path) -> None:
    """Neither wrapper nor pilot goes through it for hosts and domains of `no_proxy`."""
    with Proxy() as proxy:
        queue = f'proxy = "{proxy.url}"\nno_proxy = ["elsewhere.example", "localhost"]'
        with running_system(tmp_path / "central", Plan(queue=queue)) as system, system.client() as client:
            command = ["sh", "-c", "echo $NO_PROXY; echo out > out.txt"]
            [job] = client.submit({"command": command, "outputs": ["out.txt"]}).ids
            client.wait([job], timeout=180)
            assert client.job(job).job.state is JobState.DONE
            check_log(client, job, b"elsewhere.example,localhost\n")
        assert proxy.asked == []


def test_a_pilot_that_its_proxy_does_not_let_through(tmp_path: Path, central: RunningCentral) -> None:
    """It ends as one that reached nobody, and says which proxy refused, without the password in its address."""
    stamp, secret = central.plan()
    with Proxy(user="ann:sesame") as proxy:
        proxy.refused.add(central.url.removeprefix("https://"))
        pilot = RealPilot(tmp_path, central.url, central.ca, secret, stamp=stamp, patience=1)
        pilot.start(environment={"https_proxy": "", "HTTPS_PROXY": proxy.url})
        assert pilot.wait() == ExitCode.NO_CONTACT
    assert f"by way of the proxy 127.0.0.1:{proxy.port}: Tunnel connection failed: 403 Forbidden" in pilot.log
    assert "sesame" not in pilot.log
