"""The kind "ssh" on a real OpenSSH server: the contract, a director that sends pilots, and bad days."""

from __future__ import annotations

import asyncio
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from central.configuration.elements import Ssh
from central.elements.batch import BatchElement
from central.elements.conformance import ComputingElementContract, Scene, asking
from central.elements.connections import Connections
from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Submission, Trouble
from central.elements.ssh import SshHost
from central.elements.system import Door
from central.elements.systems.processes import Processes
from central.elements.trial import ENVIRONMENT
from pilot.states import PilotState
from pilotage import Client
from tests.contract.shell_batch import ShellBatch
from tests.contract.test_computing import obstacle
from tests.real.element_scene import LONG, fact, fifty_jobs, outlived, running_pilot, submission
from tests.system import TOP, Plan, System, running_system, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("PILOTAGE_SSH_USER" not in os.environ, reason="what this needs is set up by the lane ssh"),
]
USER = os.environ.get("PILOTAGE_SSH_USER", "")
SCRIPT = TOP / "tests" / "real" / "ssh.sh"
GB = 1000**3
QUEUE = """\
interval = 1
[queues.ssh]
host = "127.0.0.1"
user = "{ssh.user}"
port = {ssh.port}
key = "{ssh.key}"
known_hosts = "{ssh.known_hosts}"
[queues.batch]
folder = "{folder}"
patience = "5 s"
[queues.settings]
notice = "4 s"
"""


def server(verb: str) -> str:
    done = subprocess.run([SCRIPT, verb], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Far:
    """The host that is reached by SSH, and a folder of ours there, which this side can see as well."""

    ssh: Ssh
    jump: int  # port of the host to jump through
    folder: Path

    def element(self, name: str, ssh: Ssh | None = None, patience: float = 20, grace: int = 2) -> BatchElement:
        folder = str(self.folder / name)
        system = Processes(folder, Door(environment=tuple(ENVIRONMENT.items())), grace)
        return BatchElement(SshHost(ssh or self.ssh, {}, patience), system, folder)

    def processes(self, word: str) -> list[str]:
        """The command lines of the user there that have a word in them."""
        told = subprocess.run(["ps", "-u", USER, "-ww", "-o", "args="], capture_output=True, text=True).stdout
        return [line for line in told.splitlines() if word in line]


@pytest.fixture(scope="module")
def far() -> Iterator[Far]:
    told = shlex.split(server("env"))
    values = dict(word.split("=", 1) for word in told if "=" in word)
    place = Path(values["PILOTAGE_SSH_PLACE"])
    with tempfile.TemporaryDirectory(prefix="pilotage-ssh-", dir=pwd.getpwnam(USER).pw_dir) as name:
        shutil.chown(name, USER, USER)
        port, jump = int(values["PILOTAGE_SSH_PORT"]), int(values["PILOTAGE_SSH_JUMP"])
        ssh = Ssh("127.0.0.1", USER, port, str(place / "id"), str(place / "known_hosts"))
        yield Far(ssh, jump, Path(name))
        wait_for(lambda: not ended(name), 20, "everything there to end", lambda: str(ended(name)))


def ended(word: str) -> list[str]:
    """End what is left there, with all that is in a session with it; what was."""
    told = subprocess.run(["ps", "-u", USER, "-ww", "-o", "pid=,sid=,args="], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in told.splitlines()]
    sessions = {session for _, session, words in rows if word in words}
    ours = [(pid, words) for pid, session, words in rows if session in sessions]
    for pid, _ in ours:
        subprocess.run(["kill", "-KILL", pid], capture_output=True)
    return [words for _, words in ours]


class TestSsh(ComputingElementContract):
    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, far: Far) -> Scene:
        return Scene(
            fresh=lambda: far.element("contract"),
            refused=obstacle(far.folder / "contract"),
            patience=20,
            unknown=f"{1:032x}",
        )


class TestBatchSystemBySsh(ComputingElementContract):
    """A batch system whose programs are on the far host."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, far: Far) -> Scene:
        folder = far.folder / "batch"
        system = ShellBatch(folder / "spool", Door(environment=tuple(ENVIRONMENT.items())))
        return Scene(
            fresh=lambda: BatchElement(SshHost(far.ssh, {}, 20), system, str(folder / "pilots")),
            refused=asking(Request(cores=100_000)),
            patience=20,
        )


# -- A director that sends pilots there ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def system(far: Far, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A central whose pilots are processes of the far host; it has a file of known hosts of its own."""
    folder = tmp_path_factory.mktemp("ssh")
    known = folder / "known_hosts"
    shutil.copy(far.ssh.known_hosts, known)
    plan = Plan(
        kind="ssh",
        slots=2,
        cores=2,
        memory="2 GB",
        disk="1 GB",
        wall_time="1 h",
        idle="60 s",
        lease="20 s",
        silent_after="8 s",
        queue=QUEUE.format(ssh=replace(far.ssh, known_hosts=str(known)), folder=far.folder / "pilots"),
        workers=1,
    )
    with running_system(folder / "central", plan) as system:
        yield system


@pytest.fixture(scope="module")
def client(system: System) -> Iterator[Client]:
    with system.client() as client:
        yield client


def test_fifty_jobs(system: System, far: Far) -> None:
    """Fifty jobs are done by pilots that are processes of the other user there, with what the queue's settings say."""
    pilots = fifty_jobs(system)
    for pilot in pilots:
        assert pilot.pilot.reference == pilot.pilot.stamp
        assert fact(pilot, "memory")[0] <= 2 * GB
        assert fact(pilot, "cores")[0] <= 2
        assert 3400 <= fact(pilot, "seconds_left")[0] <= 3600, pilot.facts["seconds_left"]


def test_a_cancelled_pilot(system: System, far: Far) -> None:
    """A pilot that is cancelled at the computing element says goodbye, and its job goes on in another."""
    first, _ = outlived(system, far.element("pilots"))
    assert first.pilot.state is PilotState.DONE


def test_a_server_that_goes_away_and_comes_back(client: Client, far: Far) -> None:
    """While the host cannot be reached its pilots work on, and the queue says so; when it is back, so is the queue."""
    job = client.submit(LONG).ids[0]
    first = running_pilot(client, job)
    server("down")
    wait_for(
        lambda: "cannot be reached by SSH" in decision(client), 20, "the director to see", lambda: decision(client)
    )
    client.wait(client.submit({"command": ["true"], "needs": {"cores": 1, "wall_time": 5}}).ids, timeout=30)
    server("up")
    wait_for(lambda: "cannot be reached" not in decision(client), 20, "the director to be back")
    assert client.attempts(job)[-1].pilot == first.pilot.stamp
    assert client.pilot(first.pilot.stamp).pilot.state is PilotState.RUNNING
    client.kill([job])


def test_a_host_key_that_changed(system: System, client: Client, far: Far) -> None:
    """A host with another key than the one that is known gets nothing, and the queue says what to do; once the right
    key is known, it goes on by itself."""
    known = system.folder.parent / "known_hosts"
    right = known.read_text()
    known.write_text(exchanged(far, right))
    server("break")
    wait_for(lambda: "is not the host that we know" in decision(client), 20, "the refusal", lambda: decision(client))
    assert "ssh-keyscan" in decision(client)
    known.write_text(right)
    wait_for(lambda: "is not the host" not in decision(client), 20, "the director to be back")


def decision(client: Client) -> str:
    return client.queues()[0].decision


def exchanged(far: Far, known: str) -> str:
    """Known hosts, with the keys of both exchanged."""
    place = Path(far.ssh.known_hosts).parent
    one, other = ((place / f"{name}.key.pub").read_text().split()[1] for name in ("far", "jump"))
    return known.replace(one, "?").replace(other, one).replace("?", other)


# -- The adapter alone ---------------------------------------------------------------------------------------------


def listed(runner: asyncio.Runner, element: BatchElement) -> dict[str, Listed]:
    return {entry.stamp: entry for entry in runner.run(element.listing())}


def ends(element: BatchElement, *submissions: Submission) -> dict[str, Listed]:
    """Submit, and return what is listed once all have ended."""
    with asyncio.Runner() as runner:
        results = runner.run(element.submit(submissions))
        assert all(isinstance(result, str) for result in results.values()), results
        wait_for(lambda: all_over(listed(runner, element), submissions), 30, "all to end")
        found = listed(runner, element)
        runner.run(element.close())
        return found


def all_over(found: dict[str, Listed], submissions: Sequence[Submission]) -> bool:
    return all(one.stamp in found and found[one.stamp].standing is Standing.ENDED for one in submissions)


def test_one_over_its_limit(far: Far) -> None:
    """A pilot whose wall time is over is asked to end, and made to when it does not; it is told why it ended."""
    second = Request(wall_time=1)
    gentle = submission("trap 'kill $child; exit 5' TERM\nsleep 70 & child=$!\nwait\n", second)
    stubborn = submission("trap '' TERM\nsleep 71\nsleep 71\n", second)
    told = ends(far.element("limits"), gentle, stubborn)
    assert [told[one.stamp].exit_code for one in (gentle, stubborn)] == [5, 137]
    assert {entry.why for entry in told.values()} == {"its wall time of 1 s was over"}
    wait_for(lambda: not far.processes("sleep 7"), 10, "what they started to end")


def test_one_that_was_killed_outright(far: Far) -> None:
    """A pilot whose wrapper and guard were killed is listed as ended, without a code; one whose wrapper alone was has
    the code of its signal."""
    wrapper, both = submission("kill -KILL $$\n"), submission("kill -KILL $PPID $$\n")
    told = ends(far.element("killed"), wrapper, both)
    assert [told[one.stamp].exit_code for one in (wrapper, both)] == [137, None]


def test_through_a_host_on_the_way(far: Far) -> None:
    """With a jump host, only that one is connected to from here, and both keys are checked."""
    ssh = replace(far.ssh, jump=f"{USER}@127.0.0.1:{far.jump}")

    async def reached() -> set[int]:
        host = SshHost(ssh, {}, 10)
        assert (await host.run(["id", "-un"])).output.decode().strip() == USER
        ports = {connection.raddr.port for connection in psutil.Process().net_connections() if connection.raddr}
        await host.close()
        return ports

    assert asyncio.run(reached()) & {far.ssh.port, far.jump} == {far.jump}

    async def refused(known: Path) -> ComputingError:
        with pytest.raises(ComputingError) as caught:
            await SshHost(replace(ssh, known_hosts=str(known)), {}, 10).run(["true"])
        return caught.value

    known = far.folder / "only_far"
    lines = Path(far.ssh.known_hosts).read_text().splitlines(keepends=True)
    known.write_text("".join(line for line in lines if f":{far.jump} " not in line))
    error = asyncio.run(refused(known))
    assert (error.trouble, f"-p {far.jump}" in str(error)) == (Trouble.CREDENTIAL, True)


def test_what_the_settings_leave_out_the_users_configuration_says(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the user's SSH configuration will do: address, port, user, key, known hosts and the way."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host desk\n  HostName 127.0.0.1\n  Port {far.ssh.port}\n  ProxyJump gate\n"
        f"Host gate\n  HostName 127.0.0.1\n  Port {far.jump}\n"
        f"Host *\n  User {USER}\n  IdentityFile {far.ssh.key}\n  UserKnownHostsFile {far.ssh.known_hosts}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))

    async def story() -> bytes:
        host = SshHost(Ssh("desk"), {}, 10)
        ran = await host.run(["id", "-un"])
        await host.close()
        return ran.output

    assert asyncio.run(story()).decode().strip() == USER


class Slow:
    """The far host, where programs take a second: some before they do anything, others when they have done it."""

    def __init__(self, host: SshHost) -> None:
        self.host = host
        self.name = host.name
        self.asked = 0
        self.busy = asyncio.Event()  # the folders are made, four pilots handed over, and the next four half

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        self.asked += 1
        if self.asked == 9:
            self.busy.set()
        words = 'sleep 1; exec "$@"' if self.asked % 2 else '"$@"; code=$?; sleep 1; exit $code'
        return await self.host.run(["sh", "-c", words, "sh", *argv], stdin)

    async def close(self) -> None:
        await self.host.close()


def test_a_connection_that_breaks_in_the_middle(far: Far) -> None:
    """When the connection breaks while pilots are submitted, each was taken or not, and the list tells which; what is
    missing can be submitted again, and none runs twice, though the host still carries out what it was told before."""
    element = far.element("broken")
    host = Slow(SshHost(far.ssh, {}, 10))
    slow = BatchElement(host, element.system, element.folder)
    submissions = [submission(f"echo run >>{far.folder}/broken/{number}.runs\nsleep 2\n") for number in range(12)]

    async def broken() -> Mapping[str, str | ComputingError]:
        under_way = asyncio.create_task(slow.submit(submissions))
        await host.busy.wait()
        await asyncio.to_thread(server, "break")
        results = await under_way
        await slow.close()
        return results

    with asyncio.Runner() as runner:
        results = runner.run(broken())
        failures = [result for result in results.values() if isinstance(result, ComputingError)]
        assert 0 < len(failures) < len(submissions)
        assert all(failure.trouble is Trouble.UNREACHABLE for failure in failures), failures
        there = listed(runner, element)
        again = runner.run(element.submit([one for one in submissions if one.stamp not in there]))
        assert set(again) <= {stamp for stamp, result in results.items() if isinstance(result, ComputingError)}
        assert all(isinstance(result, str) for result in again.values()), again
        wait_for(lambda: all_over(listed(runner, element), submissions), 30, "all to end")
        runner.run(element.close())
    runs = {path.name: path.read_text() for path in (far.folder / "broken").glob("*.runs")}
    assert runs == {f"{number}.runs": "run\n" for number in range(12)}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"user": "nobody"}, "does not let us in as nobody"),
        ({"key": "{place}/id.pub"}, "can be read by others (mode 0644): `chmod 600"),
        ({"key": "{place}/missing"}, "cannot be read: No such file"),
        ({"key": "{place}/far.key"}, "see that the public half of"),
        ({"known_hosts": "/dev/null"}, "ssh-keyscan -p"),
        ({"known_hosts": "{place}/missing"}, "the SSH file of known hosts"),
    ],
)
def test_who_we_are_and_who_they_are(far: Far, wrong: dict[str, str], said: str) -> None:
    """A wrong user, a key that is open, missing or not ours, and a host that is not known: each is told, and is a
    matter of credentials."""
    place = Path(far.ssh.known_hosts).parent
    values: dict[str, Any] = {name: value.format(place=place) for name, value in wrong.items()}
    ssh = replace(far.ssh, **values)
    with pytest.raises(ComputingError) as caught:
        asyncio.run(SshHost(ssh, {}, 10).run(["true"]))
    assert caught.value.trouble is Trouble.CREDENTIAL
    assert said in str(caught.value)


def test_one_connection_for_all(far: Far) -> None:
    """Queues of one host have one connection, over which no more programs run than its server takes by default."""

    async def story() -> tuple[set[int], int]:
        connections = Connections()
        hosts = [SshHost(far.ssh, {}, 20, connections) for _ in range(4)]
        programs = (host.run(["sh", "-c", "sleep 0.2; exit 4"]) for host in hosts for _ in range(8))
        codes = {ran.code for ran in await asyncio.gather(*programs)}
        there = [each.raddr.port for each in psutil.Process().net_connections() if each.raddr]
        for host in hosts:
            await host.close()
        return codes, there.count(far.ssh.port)

    assert asyncio.run(story()) == ({4}, 1)


def test_programs_of_a_host(far: Far) -> None:
    """Words and input arrive as they are; a code, a missing program, too much time and a signal are told apart."""

    async def story() -> None:
        host = SshHost(far.ssh, {"OF_PROGRAMS": "it's $HOME"}, 2)
        ran = await host.run(["sh", "-c", 'echo "$OF_PROGRAMS|$1"; cat; exit 3', "sh", "a  b'\n*"], b"\0input")
        assert (ran.code, ran.output) == (3, b"it's $HOME|a  b'\n*\n\0input")
        assert (await host.run(["sh", "-c", "kill -KILL $$"])).code in (-9, 137)  # as the shell there tells it
        with pytest.raises(ComputingError, match="no-such-program cannot be run on 127.0.0.1") as caught:
            await host.run(["no-such-program"])
        assert caught.value.trouble is Trouble.REFUSED
        with pytest.raises(ComputingError, match="did not end within 2 s") as caught:
            await host.run(["sh", "-c", "sleep 73; true"])
        assert caught.value.trouble is Trouble.UNREACHABLE
        await host.close()

    asyncio.run(story())
    wait_for(lambda: not far.processes("sleep 73"), 10, "the program to be ended")
