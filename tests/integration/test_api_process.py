"""The central as a process: made, started, stopped, crashed, backed up."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from cryptography import x509

from pilot.errors import Refusal
from pilot.protocol import Acknowledgement
from pilot.states import JobState, OrderVerb, Phase
from pilot.views import OrderReply, PilotDetail
from tests import chosen_store
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral, client_settings, until
from tests.integration.wire_pilot import held


@pytest.fixture
def own(make_central: CentralMaker) -> Iterator[RunningCentral]:
    """A central of the test's own, to stop and to start."""
    central = make_central()
    yield central
    central.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- init -------------------------------------------------------------------------------------------------------------


def test_init_makes_a_folder_that_serves(tmp_path: Path) -> None:
    """From nothing, `init` makes settings, keys and the owner's token, all private, and `serve` works with it."""
    central = RunningCentral(tmp_path / "new", "")
    (tmp_path / "pilot").write_bytes(b"a pilot")
    made = central.run("init", "--port", "0", "--pilot", str(tmp_path / "pilot"))
    assert made.returncode == 0, made.stderr
    assert "client.toml" in made.stdout
    client = client_settings(central.folder)
    token = client["token"]
    assert token not in made.stdout
    assert token not in (central.folder / "central.toml").read_text()
    assert mode(central.folder) == 0o700
    assert mode(central.folder / "private") == 0o700
    private = [central.folder / "client.toml", *(central.folder / "private").iterdir()]
    assert [mode(path) for path in private] == [0o600] * len(private)

    central.url = client["url"]
    central.start()
    try:
        owner = Person(client["url"], client["ca"], token)
        assert owner.get("/v1/whoami").json()["role"] == "operator"
        assert owner.get("/v1/queues").json()["queues"][0]["name"] == "local"
        owner.close()
    finally:
        assert central.end() == 0


def test_init_again_keeps_what_is_there(tmp_path: Path) -> None:
    """A second `init` changes nothing; a lost client file is made anew, with another token beside the old ones."""
    central = RunningCentral(tmp_path / "new", "")
    assert central.run("init", "--port", "0").returncode == 0
    files = {path: path.read_bytes() for path in central.folder.rglob("*") if path.is_file()}
    again = central.run("init", "--port", "1234")
    assert "kept" in again.stdout
    assert {path: path.read_bytes() for path in central.folder.rglob("*") if path.is_file()} == files
    (central.folder / "client.toml").unlink()
    assert central.run("init").returncode == 0
    assert (central.folder / "central.toml").read_text().count("[[tokens]]") == 2


# -- serve ------------------------------------------------------------------------------------------------------------


def test_a_second_central_on_the_folder_is_refused(own: RunningCentral) -> None:
    """One folder, one central: the second says which process serves it, and the first does not notice."""
    second = own.run("serve")
    assert second.returncode == 1
    assert own.process is not None
    assert f"process {own.process.pid}" in second.stderr
    assert own.person(None).get("/healthz").status_code == 200


def test_a_port_in_use_is_a_sentence(own: RunningCentral) -> None:
    """Where somebody else listens, `serve` says so and ends."""
    own.end()
    with socket.create_server(("127.0.0.1", urlsplit(own.url).port or 0)):
        failed = own.run("serve")
    assert failed.returncode == 1
    assert re.search(r"cannot listen on 127\.0\.0\.1:\d+", failed.stderr)
    assert "Traceback" not in failed.stderr


def test_wrong_settings_are_told_with_their_place(own: RunningCentral) -> None:
    """A mistake in the file ends `serve` with its place and what was expected."""
    own.end()
    settings = own.folder / "central.toml"
    settings.write_text(settings.read_text().replace("cores = 4", "cores = 0"))
    failed = own.run("serve")
    assert failed.returncode == 1
    assert "central.toml: queues[0].cores: expected a whole number from 1" in failed.stderr


def test_stopping_answers_who_waits_and_loses_nothing(own: RunningCentral) -> None:
    """SIGTERM answers held requests, ends followers, writes what was heard, and ends with 0 although clients stay."""
    ann = own.person("ann")
    job = ann.submit_one()
    pilot = own.pilot()
    (lease,) = pilot.match().leases
    pilot.heartbeat((held(lease, wall=7.0),))
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(pilot.match, wait=30.0)
        headers = {"Accept": "text/event-stream"}
        following = pool.submit(own.person("ann").get, f"/v1/jobs/{job}/logs/stdout", headers=headers)
        until(lambda: pilot_is_followed(own, pilot.stamp), "the follower and the held request")
        began = time.monotonic()
        assert own.end() == 0
        assert time.monotonic() - began < 25  # a request is held for 30 s
        with pytest.raises(Refusal, match="stopping"):
            waiting.result(20)
        assert following.result(20).status_code == 200
    own.start()
    assert ann.attempts(job)[0].usage.wall == 7.0


def pilot_is_followed(central: RunningCentral, stamp: str) -> bool:
    oli = central.person("oli")
    return "pilotage_held_requests 1.0" in oli.get("/metrics").text and stamp != ""


def test_a_crash_keeps_everything_that_was_answered(own: RunningCentral) -> None:
    """After kill -9 and a new start every job, lease, log byte, order, file and number is where it was."""
    ann, oli = own.person("ann"), own.person("oli")
    file = ann.upload("x", b"an input")
    waiting = ann.submit({"command": ["true"], "name": "waits", "needs": {"cores": 64}}, key="once").jobs[0].first
    job = ann.submit_one()
    pilot = own.pilot()
    first = pilot.match()
    (lease,) = first.leases
    pilot.report(lease, Phase.RUNNING)
    pilot.log("pilot", 0, b"before the crash, ")
    pilot.heartbeat((held(lease),))
    order = oli.say(f"/v1/pilots/{pilot.stamp}/orders", {"verb": "flush"}, OrderReply).order

    own.kill()
    own.start()

    assert ann.job(job).state is JobState.RUNNING
    assert ann.job(waiting).state is JobState.WAITING
    assert (
        ann.submit({"command": ["true"], "name": "waits", "needs": {"cores": 64}}, key="once").jobs[0].first == waiting
    )
    assert ann.head(f"/v1/sandboxes/{file.sha256}").status_code == 200
    again = pilot.match(number=1)
    assert [(one.job, one.attempt) for one in again.leases] == [(job, 1)]
    reply = pilot.heartbeat((held(lease),))
    assert reply.leases[0].seconds == 60
    assert [(one.id, one.verb) for one in reply.orders] == [(order, OrderVerb.FLUSH)]
    pilot.heartbeat((held(lease),), acknowledgements=(Acknowledgement(order, "received"),))
    assert pilot.log("pilot", 0, b"before the crash, after it").next == 26
    pilot.succeed(lease)
    assert ann.job(job).state is JobState.DONE
    assert ann.get(f"/v1/pilots/{pilot.stamp}/logs/pilot").content == b"before the crash, after it"
    assert oli.read(f"/v1/pilots/{pilot.stamp}", PilotDetail).pilot.epoch == 1


def test_storage_that_fails_is_busy_and_mends(own: RunningCentral) -> None:
    """When a log cannot be written the pilot is told to come back, and nothing is lost once storage works again."""
    pilot = own.pilot()
    blocked = own.folder / "objects" / "logs" / pilot.stamp
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_bytes(b"a file where a folder should be")
    with pytest.raises(Refusal) as caught:
        pilot.log("pilot", 0, b"words\n")
    assert (caught.value.type, caught.value.transient) == ("busy", True)
    blocked.unlink()
    assert pilot.log("pilot", 0, b"words\n").next == 6


# -- certificates -----------------------------------------------------------------------------------------------------


def certificate(central: RunningCentral) -> x509.Certificate:
    context = ssl.create_default_context(cafile=central.ca)
    with (
        socket.create_connection(("127.0.0.1", urlsplit(central.url).port or 0), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")


def test_certificates_change_under_open_connections(make_central: CentralMaker) -> None:
    """The server's certificate is renewed while it serves: new connections see the new one, an open one goes on."""
    central = make_central("certificate_life = 6")
    open_one = central.person(None)
    assert open_one.get("/healthz").status_code == 200
    first = certificate(central).serial_number
    second = until(lambda: (found := certificate(central)).serial_number != first and found, "a new certificate")
    assert open_one.get("/healthz").status_code == 200
    assert second.serial_number != first


def test_the_server_is_named_by_its_certificate(own: RunningCentral) -> None:
    """By name and by both loopback addresses the server is believed; old TLS is refused."""
    port = urlsplit(own.url).port
    for host in ("localhost", "127.0.0.1"):
        session = requests.Session()
        session.trust_env = False
        assert session.get(f"https://{host}:{port}/healthz", verify=own.ca, timeout=10).status_code == 200
        session.close()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(own.ca)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port or 0), timeout=10) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="localhost")


# -- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(chosen_store.NAME != "sqlite", reason="PostgreSQL is copied with pg_dump")
def test_a_backup_made_while_serving_is_restored(own: RunningCentral) -> None:
    """A copy taken under load holds what was answered before it; restored, the central goes on from there."""
    ann = own.person("ann")
    before = ann.submit_one(name="before")
    copy = own.folder / "copy.db"
    done = own.run("backup", str(copy))
    assert done.returncode == 0, done.stderr
    assert mode(copy) == 0o600
    after = ann.submit_one(name="after")
    refused = own.run("restore", str(copy))
    assert refused.returncode == 1
    assert "serves this folder" in refused.stderr
    own.end()
    restored = own.run("restore", str(copy))
    assert restored.returncode == 0, restored.stderr
    assert "the database before is" in restored.stdout
    own.start()
    assert ann.job(before).name == "before"
    assert ann.get(f"/v1/jobs/{after}").status_code == 404


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_what_is_no_backup_is_not_restored(own: RunningCentral, content: bytes) -> None:
    """A file that is no copy of a database is refused, and the database stays."""
    job = own.person("ann").submit_one()
    own.end()
    wrong = own.folder / "wrong.db"
    wrong.write_bytes(content)
    refused = own.run("restore", str(wrong))
    assert refused.returncode == 1, refused.stdout
    own.start()
    assert own.person("ann").job(job).id == job


def test_a_faulty_command_line_is_two(own: RunningCentral) -> None:
    """Unknown verbs and options end with 2 and the usage."""
    done: Callable[..., subprocess.CompletedProcess[str]] = own.run
    assert done("fly").returncode == 2
    assert done("init", "--port", "99999").returncode == 2
    assert own.process is not None
    assert own.end(signal.SIGINT) == 0
