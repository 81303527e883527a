"""Pilots as jobs of a real ARC: the contract, bad days, and a central that runs jobs there."""

from __future__ import annotations

import asyncio
import getpass
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509

from central.elements.arc.client import Client
from central.elements.arc.credentials import BEARER, PROXY, Credential, CredentialFile
from central.elements.arc.delegation import Delegations
from central.elements.arc.element import ArcElement
from central.elements.arc.jobs import SCRIPT, Door
from central.elements.arc.wire import Wire
from central.elements.conformance import ComputingElementContract, Scene, asking
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.trial import ENVIRONMENT
from pilot.states import PilotState
from tests.real import element_scene
from tests.real.element_scene import submission
from tests.real.grid_credentials import Issuer, proxy
from tests.system import TOP, Plan, System, running_system

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("PILOTAGE_ARC_URL" not in os.environ, reason="what this needs is set up by the lane arc"),
]
T = TypeVar("T")
URL = os.environ.get("PILOTAGE_ARC_URL", "")
PLACE = Path(os.environ.get("PILOTAGE_ARC_PLACE", "/"))
MIB = 1024 * 1024
SMALL = Request(memory=100 * MIB, wall_time=600)
HELLO = 'echo "hello, the secret is $(cat secret)"\n'


def element(
    file: Path, prefix: str, kind: str = PROXY, client: type[Client] = Client, queue: str = "main"
) -> ArcElement:
    """An adapter to the ARC of this lane, with the credential in a file."""
    found = CredentialFile(str(file), kind)
    spoken = client(URL, Wire(str(PLACE / "certificates"), lambda: found.read(time.time()), 30))
    door = Door(prefix, queue, environment=tuple(ENVIRONMENT.items()))
    delegations = Delegations(spoken, time.time) if kind == PROXY else None
    return ArcElement(spoken, door, delegations, lambda: "", lambda what: None)


async def until(arc: ArcElement, stamp: str, standing: Standing, patience: float = 120) -> Listed:
    """The entry of a pilot, once it stands so."""
    end = time.monotonic() + patience
    found: dict[str, Listed] = {}
    while not (stamp in found and found[stamp].standing is standing):
        assert time.monotonic() < end, f"waited {patience} s until {stamp} is {standing}: {found}"
        await asyncio.sleep(0.5)
        found = {entry.stamp: entry for entry in await arc.listing()}
    return found[stamp]


@contextmanager
def asked(arc: ArcElement) -> Iterator[Callable[[Awaitable[T]], T]]:
    """Calls of an adapter, one after another; whatever it has left at ARC is ended."""

    async def clean() -> None:
        await arc.cancel([entry.reference for entry in await arc.listing()])
        await arc.close()

    async def wait(call: Awaitable[T]) -> T:
        return await call

    with asyncio.Runner() as runner:
        try:
            yield lambda call: runner.run(wait(call))
        finally:
            runner.run(clean())


def script(*words: str) -> None:
    """The script of this lane, with a verb."""
    done = subprocess.run([TOP / "tests/real/arc.sh", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proxy that is good for hours."""
    return proxy(PLACE, "user", tmp_path_factory.mktemp("arc") / "proxy", 6 * 3600)


@pytest.fixture(scope="module", autouse=True)
def endless(file: Path) -> str:
    """Asks for a minute and takes all that it gets. It is submitted first, so that nobody has to wait for its end."""
    return element_scene.endless(element(file, "endless"), replace(SMALL, wall_time=60))


class TestArc(ComputingElementContract):
    """With an X.509 proxy, which is delegated to the jobs."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, file: Path) -> Scene:
        return Scene(
            fresh=lambda: element(file, "contract"),
            refused=asking(replace(SMALL, wall_time=10**30)),  # more cores than there are it takes, and fails later
            request=SMALL,
            patience=90,
            pause=0.5,
            unknown="nosuchjob99999999",
        )


# --- Who we are -------------------------------------------------------------------------------------------------------


def test_a_proxy_that_ended_is_told_and_a_new_one_taken_up(tmp_path: Path) -> None:
    """With an expired proxy nothing is asked, and it is told when it ended; a new one in its file is used at once."""
    path = proxy(PLACE, "user", tmp_path / "proxy", -5)
    one = submission(request=SMALL)
    arc = element(path, "expired")
    with pytest.raises(ComputingError, match=r"the proxy in .* ended at 20.*Z, .* ago") as raised:
        asyncio.run(arc.listing())
    assert raised.value.trouble is Trouble.CREDENTIAL
    proxy(PLACE, "user", path, 3600)
    with asked(arc) as call:
        result = call(arc.submit([one]))[one.stamp]
        assert isinstance(result, str), result
        assert call(until(arc, one.stamp, Standing.QUEUED)).reference == result


def test_whom_arc_does_not_know(tmp_path: Path) -> None:
    """A person with a good certificate whom ARC does not let in."""
    pem = proxy(PLACE, "stranger", tmp_path / "proxy", 3600).read_bytes()
    with pytest.raises(ComputingError, match="403 User can't be assigned configuration") as raised:
        Client(URL, Wire(str(PLACE / "certificates"), lambda: Credential(pem=pem), 30)).states()
    assert raised.value.trouble is Trouble.CREDENTIAL


def test_a_proxy_that_ended_by_the_clock_of_arc(tmp_path: Path) -> None:
    """ARC says so or drops the connection, as it comes; either way the certificate is what one is told to look at."""
    pem = proxy(PLACE, "user", tmp_path / "proxy", -5).read_bytes()
    with pytest.raises(ComputingError, match="does not take our certificate"):
        Client(URL, Wire(str(PLACE / "certificates"), lambda: Credential(pem=pem), 30)).states()


def test_an_arc_that_is_not_who_it_says(file: Path) -> None:
    """A server whose certificate our authorities have not signed is not spoken to."""
    found = CredentialFile(str(file), PROXY)
    with pytest.raises(ComputingError, match="certificate verify failed") as raised:
        Client(URL, Wire("", lambda: found.read(time.time()), 30)).states()
    assert raised.value.trouble is Trouble.UNREACHABLE


def test_with_a_token(tmp_path: Path) -> None:
    """A pilot is submitted, followed, read and forgotten by who has a bearer token and no certificate at all."""
    one = submission(HELLO, SMALL)
    with Issuer(PLACE) as issuer:
        path = tmp_path / "token"
        path.touch(0o600)
        path.write_text(issuer.token("pilots", 3600))
        arc = element(path, "token", BEARER)
        with asked(arc) as call:
            result = call(arc.submit([one]))[one.stamp]
            assert isinstance(result, str), result
            entry = call(until(arc, one.stamp, Standing.ENDED))
            assert (entry.exit_code, entry.reference) == (0, result)
            assert call(arc.output(one.stamp, result)) == f"hello, the secret is {one.secret}\n".encode()
            call(arc.forget(one.stamp, result))
            assert call(arc.listing()) == []


def test_a_delegation_is_renewed(tmp_path: Path) -> None:
    """When the proxy in the file has been renewed, so is what the jobs have of it, also by an adapter that knows
    nothing of them."""
    path = proxy(PLACE, "user", tmp_path / "proxy", 1800)
    one = submission(request=SMALL)

    def lasts(arc: ArcElement, job: str) -> float:
        """When the delegation of a job ends, as ARC has it."""
        [[delegation]] = arc.client.delegations_of([job]).values()
        told = arc.client.wire.ask("POST", f"{URL}/rest/1.0/delegations/{delegation}?action=get")
        return x509.load_pem_x509_certificate(told.body).not_valid_after_utc.timestamp() - time.time()

    with asked(element(path, "renewed")) as call:
        arc = element(path, "renewed")
        job = call(arc.submit([one]))[one.stamp]
        assert isinstance(job, str), job
        assert 1500 < lasts(arc, job) < 1800
        proxy(PLACE, "user", path, 7200)
        call(arc.close())
        arc = element(path, "renewed")
        call(until(arc, one.stamp, Standing.RUNNING))
        assert 7000 < lasts(arc, job) < 7200
        call(arc.close())


# --- Half a submission ------------------------------------------------------------------------------------------------


class Cut(Client):
    """The connection breaks after the first file."""

    def upload(self, reference: str, name: str, content: bytes) -> None:
        if name == SCRIPT:
            raise ComputingError("the connection broke", Trouble.UNREACHABLE)
        super().upload(reference, name, content)


class Lost(Client):
    """What was asked is done, and the answer lost."""

    def create(self, descriptions: bytes, count: int) -> list[str | ComputingError]:
        super().create(descriptions, count)
        raise ComputingError("no answer came", Trouble.UNREACHABLE)


@pytest.mark.parametrize("client", [Cut, Lost])
def test_half_a_submission_is_completed_and_never_doubled(file: Path, client: type[Client]) -> None:
    """A job that was made and did not get its files is not listed; submitted once more, its pilot runs in that job,
    with the new secret."""
    prefix = f"half-{client.__name__}"
    one = submission(HELLO, SMALL)
    before = element(file, prefix, client=client)
    with asked(element(file, prefix)) as call:
        result = call(before.submit([one]))[one.stamp]
        call(before.close())
        assert isinstance(result, ComputingError), result
        assert result.trouble is Trouble.UNREACHABLE
        arc = element(file, prefix)
        made = {job for job in arc.client.states() if f"{prefix}-{one.stamp}" in arc.client.told(job, "local")}
        assert call(arc.listing()) == []
        renewed = replace(one, secret="another")
        assert {call(arc.submit([renewed]))[one.stamp]} == made
        entry = call(until(arc, one.stamp, Standing.ENDED))
        assert call(arc.output(one.stamp, entry.reference)) == b"hello, the secret is another\n"
        call(arc.close())


# --- Bad days ---------------------------------------------------------------------------------------------------------


def test_arc_goes_and_comes_back(file: Path) -> None:
    """While ARC does not answer that is told, and not that jobs are gone; back, it has them still."""
    one, more = submission(request=SMALL), submission(request=SMALL)
    arc = element(file, "back")
    with asked(arc) as call:
        job = call(arc.submit([one]))[one.stamp]
        call(until(arc, one.stamp, Standing.RUNNING))
        script("down")
        try:
            with pytest.raises(ComputingError) as raised:
                call(arc.listing())
            assert raised.value.trouble is Trouble.UNREACHABLE
            told = call(arc.submit([more]))[more.stamp]
            assert isinstance(told, ComputingError)
            assert told.trouble is Trouble.UNREACHABLE
        finally:
            script("up")
        assert call(until(arc, one.stamp, Standing.RUNNING)).reference == job
        taken = call(arc.submit([more]))[more.stamp]
        assert isinstance(taken, str), taken


# --- With a central ---------------------------------------------------------------------------------------------------

QUEUE = """\
interval = 1
[queues.arc]
url = "{url}"
queue = "main"
ca = "{ca}"
patience = "20 s"

[queues.credential]
community = "physics"
owner = "{owner}"
name = "grid"
"""


@pytest.fixture(scope="module")
def system(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    plan = Plan(
        kind="arc",
        slots=2,
        cores=2,
        memory="1200 MiB",
        wall_time="1 h",
        idle="60 s",
        queue=QUEUE.format(url=URL, ca=PLACE / "certificates", owner=getpass.getuser()),
        workers=1,
    )
    with running_system(tmp_path_factory.mktemp("central") / "central", plan) as system, system.client() as client:
        client.keep_credential("grid", "x509-proxy", {"proxy": file.read_text()})
        yield system


def test_fifty_jobs(system: System) -> None:
    """Fifty jobs are done by pilots that the director sent through ARC with a proxy of the vault; they found in their
    allocation what the queue asked for."""
    for pilot in element_scene.fifty_jobs(system, patience=150):
        assert pilot.pilot.reference
        assert element_scene.fact(pilot, "cores")[0] == min(2, os.cpu_count() or 1)
        assert element_scene.fact(pilot, "memory")[0] == 1200 * MIB
        assert 3300 <= element_scene.fact(pilot, "seconds_left")[0] <= 3600


def test_a_pilot_cancelled_at_arc(system: System, file: Path) -> None:
    """A pilot that is ended at ARC gives its job back, which goes on in another; it is closed with what is known."""
    ended, _ = element_scene.outlived(system, element(file, "any"), patience=120)
    assert ended.pilot.state in (PilotState.DONE, PilotState.LOST), ended


def test_killed_by_its_limit(file: Path, endless: str) -> None:
    """What takes longer than it asked for is killed by the batch system behind ARC, and how it ended is told."""
    arc = element(file, "endless")
    with asked(arc) as call:
        entry = call(until(arc, endless, Standing.ENDED, patience=180))
        assert "FAILED" in entry.why
        assert "TIMEOUT" in entry.why.upper() or "time limit" in entry.why.lower(), entry
