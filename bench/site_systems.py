"""The computing elements that submission is measured on: how each is started, its adapter, its bare clients.

Each is started by its script in tests/real, and ended by it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from central.configuration.elements import Ssh
from central.elements.arc import jobs
from central.elements.arc.client import Client
from central.elements.arc.credentials import PROXY, CredentialFile
from central.elements.arc.delegation import Delegations
from central.elements.arc.element import ArcElement
from central.elements.arc.wire import Answer, Wire
from central.elements.batch import BatchElement
from central.elements.here import Here
from central.elements.host import Host, Ran
from central.elements.port import ComputingElement
from central.elements.ssh import SshHost
from central.elements.system import BatchSystem, Door
from central.elements.systems.condor import Condor
from central.elements.systems.gridengine import GridEngine
from central.elements.systems.oar import Oar
from central.elements.systems.processes import Processes
from central.elements.systems.slurm import Slurm
from tests.real import slurm_scene
from tests.system import TOP, wait_for

SCRIPT = "#!/bin/sh\nexec sleep 600\n" + "# as long as a wrapper is\n" * 500
USER = slurm_scene.USER
#: What stands for the name of a job that a bare client submits.
NAME = "%name%"
#: Seconds for a system to be rid of all jobs.
PATIENCE = 300


@dataclass(frozen=True)
class Bare:
    """A client without us: its words, in which `NAME` stands for a name of the program's own."""

    words: Sequence[str]
    each: int = 1  # jobs that one program submits


@dataclass(frozen=True)
class Measured:
    """A computing element that is running, and empty."""

    element: ComputingElement
    calls: Callable[[], int]  # how many programs or requests the adapter has needed until now
    host: Host  # where the bare clients are run
    bare: Mapping[str, Bare]  # by what the table calls them
    clear: Callable[[], object]  # ends all jobs, and waits until nothing is left of them


class Counting:
    """A host that counts what is run there."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.runs = 0

    @property
    def name(self) -> str:
        return self.host.name

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        self.runs += 1
        return await self.host.run(argv, stdin)

    async def close(self) -> None:
        await self.host.close()


class CountingWire(Wire):
    """HTTPS that counts its requests."""

    asked = 0

    def ask(self, method: str, url: str, body: bytes = b"", *, again: bool = True, **headers: str) -> Answer:
        self.asked += 1
        return super().ask(method, url, body, again=again, **headers)


# --- Slurm ------------------------------------------------------------------------------------------------------------


@contextmanager
def slurm() -> Iterator[Measured]:
    with ending("slurm"), slurm_scene.running_cluster() as cluster:
        words = ("sbatch", "--parsable", "--hold", "--mem=1M", "--time=10", "--output=/dev/null", f"--job-name={NAME}")

        def clear() -> None:
            cluster.operator("scancel", "--user=root")
            wait_for(lambda: {state for _, state in cluster.states()} <= {"CANCELLED"}, PATIENCE, "no jobs")

        yield batch(
            cluster.folder,
            Here(cluster.environment),  # as a director runs programs: as nobody else
            Slurm(Door(partition="main", extra=("--hold",))),
            (*words, script_in(cluster.folder)),
            clear,
        )


# --- HTCondor ---------------------------------------------------------------------------------------------------------


@contextmanager
def condor() -> Iterator[Measured]:
    with running("condor", CONDOR_MOST_JOBS="10000") as told, a_folder() as folder:
        os.environ.update(told)  # where the scene looks for it
        from tests.real import condor_scene

        description = folder / "description"
        lines = (f"executable = {script_in(folder)}", f"initialdir = {folder}", "request_memory = 1", "hold = true")
        description.write_text("\n".join((*lines, "queue", "")))
        bare = (f"{condor_scene.PROGRAMS}/condor_submit", "-terse", "-append", f"batch_name = {NAME}", str(description))
        door = Door(extra=("hold = true",))
        yield batch(folder, Here({}), Condor(door), bare, condor_scene.take_all_away, condor_scene.PROGRAMS)


# --- Grid Engine ------------------------------------------------------------------------------------------------------


@contextmanager
def gridengine() -> Iterator[Measured]:
    with running("gridengine") as told, a_folder() as folder:
        bare = ("qsub", "-terse", "-h", "-r", "n", "-j", "y", "-o", "/dev/null", "-S", "/bin/sh", "-N", NAME)

        def clear() -> None:
            program("qdel", "-u", "*", **told)
            wait_for(lambda: not program("qstat", "-u", "*", **told).strip(), PATIENCE, "no jobs")

        system = GridEngine(Door(extra=("-h",)))
        yield batch(folder, Here(told), system, (*bare, "-l", "h_rt=600", script_in(folder)), clear)


# --- OAR --------------------------------------------------------------------------------------------------------------


@contextmanager
def oar() -> Iterator[Measured]:
    with running("oar"), a_folder(USER) as folder:
        host = slurm_scene.HereAs(USER, {"PATH": slurm_scene.SEARCH}, 600)
        bare = ("oarsub", "--hold", "-l", "/nodes=1/core=1,walltime=0:10:0", "-n", NAME, "-d", str(folder))

        def clear() -> None:
            if numbers := left():
                asyncio.run(host.run(["oardel", *numbers]))
            wait_for(lambda: not left(), PATIENCE, "no jobs")

        def left() -> list[str]:
            rows = asyncio.run(host.run(["oarstat", "-u", USER])).output.decode().split("\n")
            return [row.split()[0] for row in rows if row[:1].isdigit()]

        quiet = ("-O", "/dev/null", "-E", "/dev/null")
        yield batch(folder, host, Oar(Door(extra=("--hold",))), (*bare, *quiet, script_in(folder)), clear)


# --- OpenSSH ----------------------------------------------------------------------------------------------------------


@contextmanager
def ssh() -> Iterator[Measured]:
    """Pilots are processes there: they run."""
    with running("ssh") as told, a_folder(told["PILOTAGE_SSH_USER"]) as folder:
        place, user, port = told["PILOTAGE_SSH_PLACE"], told["PILOTAGE_SSH_USER"], int(told["PILOTAGE_SSH_PORT"])
        settings = Ssh("127.0.0.1", user, port, f"{place}/id", f"{place}/known_hosts")
        host = Counting(SshHost(settings, {}))
        pilots = str(folder / "pilots")
        with mastered(ssh_words(settings)) as shared:
            yield Measured(
                element=BatchElement(host, Processes(pilots, Door()), pilots),
                calls=lambda: host.runs,
                host=Here({}, 600),
                bare={
                    "ssh, ControlMaster": Bare(start_by(shared, folder)),
                    "ssh": Bare(start_by(ssh_words(settings), folder)),
                },
                clear=lambda: end_processes_in(folder),
            )


def ssh_words(settings: Ssh) -> Sequence[str]:
    options = ("BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={settings.known_hosts}")
    given = (word for option in options for word in ("-o", option))
    who = f"{settings.user}@{settings.host}"
    return ("ssh", "-F", "none", "-i", settings.key, "-p", str(settings.port), *given, who)


def start_by(words: Sequence[str], folder: Path) -> Sequence[str]:
    """Hand a script over, and start it so that it outlives the connection."""
    start = f"cd {folder} && cat >{NAME} && chmod 700 {NAME} && {{ setsid ./{NAME} </dev/null >/dev/null 2>&1 & }}"
    return ("sh", "-c", 'exec "$@" <"$0"', script_in(folder), *words, start)


@contextmanager
def mastered(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """The same by a connection that is there already and stays."""
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as name:
        shared = (words[0], "-S", f"{name}/control", *words[1:])
        with open(f"{name}/said", "w") as said:  # no pipe: the master would hold it
            subprocess.run([*shared[:3], "-M", "-N", "-f", *shared[3:]], check=True, stderr=said, timeout=30)
        try:
            yield shared
        finally:
            subprocess.run([*shared[:3], "-O", "exit", *shared[3:]], check=True, capture_output=True, timeout=30)


def end_processes_in(folder: Path) -> None:
    def left() -> list[int]:
        """What works in it or below; what it started has no other mark."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and folder in of(entry)]

    def of(process: Path) -> Sequence[Path]:
        try:
            place = process.joinpath("cwd").readlink()
        except OSError:  # it has ended
            return ()
        return (place, *place.parents)

    for process in left():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_for(lambda: not left(), PATIENCE, "no processes")
    shutil.rmtree(folder / "pilots", ignore_errors=True)


# --- ARC --------------------------------------------------------------------------------------------------------------


@contextmanager
def arc() -> Iterator[Measured]:
    """It has no word for holding jobs: they go on to the Slurm behind it while others are submitted."""
    if not shutil.which("arcsub"):
        raise SystemExit("the bare client of ARC is missing: `apt-get install nordugrid-arc-client`")
    from tests.real.grid_credentials import proxy

    with running("arc") as told, a_folder() as folder:
        place, url = Path(told["PILOTAGE_ARC_PLACE"]), told["PILOTAGE_ARC_URL"]
        credential = CredentialFile(str(proxy(place, "user", folder / "proxy", 6 * 3600)), PROXY)
        authorities = str(place / "certificates")
        wire = CountingWire(authorities, lambda: credential.read(time.time()), 60)
        client = Client(url, wire)
        known = {"X509_USER_PROXY": credential.path, "X509_CERT_DIR": authorities, "HOME": str(folder)}
        yield Measured(
            element=ArcElement(
                client, jobs.Door("bench", "main"), Delegations(client, time.time), lambda: "", lambda what: None
            ),
            calls=lambda: wire.asked,
            host=Here(known, 600),
            bare={"arcsub": Bare(arcsub(url, folder)), "arcsub, 10 a program": Bare(arcsub(url, folder, 10), 10)},
            clear=lambda: clear_arc(client),
        )


def arcsub(url: str, folder: Path, each: int = 1) -> Sequence[str]:
    """Programs with lists of jobs of their own: else they wait for each other."""
    description = folder / "description"
    files = f'(inputfiles=("script.sh" "{script_in(folder)}"))'
    description.write_text(f'&(executable="script.sh")(jobname="bare")(memory="1")(walltime="10"){files}\n')
    where = url.removeprefix("https://").partition("/")[0]
    return ("arcsub", "--direct", "-c", where, "-j", f"{folder}/{NAME}.jobs", *[str(description)] * each)


def clear_arc(client: Client) -> None:
    def left() -> set[str]:
        return {state for state in client.states().values() if state not in jobs.ENDED}

    client.kill(list(client.states()))
    wait_for(lambda: not left(), PATIENCE, "no jobs", lambda: str(left()))
    for reference in client.states():
        client.clean(reference)
    wait_for(lambda: not client.states(), PATIENCE, "no jobs")


# --- What they share --------------------------------------------------------------------------------------------------


def batch(
    folder: Path, host: Host, system: BatchSystem, bare: Sequence[str], clear: Callable[[], object], programs: str = ""
) -> Measured:
    """A batch system and its one submit program."""
    counting = Counting(host)
    pilots = folder / "pilots"

    def clear_all() -> None:
        clear()
        shutil.rmtree(pilots, ignore_errors=True)

    return Measured(
        element=BatchElement(counting, system, str(pilots), programs),
        calls=lambda: counting.runs,
        host=host,
        bare={Path(bare[0]).name: Bare(bare)},
        clear=clear_all,
    )


@contextmanager
def running(name: str, **plan: str) -> Iterator[dict[str, str]]:
    """What its script says that clients need."""
    with ending(name):
        started = script(name, "start", **plan)
        if started.returncode:
            raise SystemExit(f"{name} lacks {started.stdout.strip()[-1000:]}")
        words = shlex.split(script(name, "env").stdout)
        yield dict(word.split("=", 1) for word in words if "=" in word)


@contextmanager
def ending(name: str) -> Iterator[None]:
    try:
        yield
    finally:
        script(name, "stop")


def script(name: str, verb: str, **plan: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, **plan}
    return subprocess.run([TOP / f"tests/real/{name}.sh", verb], env=given, capture_output=True, text=True, timeout=900)


def program(*words: str, **environment: str) -> str:
    given = {**os.environ, **environment}
    return subprocess.run(words, env=given, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def a_folder(user: str = "root") -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-", dir="/var/tmp") as name:
        shutil.chown(name, user, user)
        os.chmod(name, 0o755)
        yield Path(name)


def script_in(folder: Path) -> str:
    script = folder / "script.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return str(script)


SYSTEMS: Mapping[str, Callable[[], AbstractContextManager[Measured]]] = {
    "ssh": ssh,
    "slurm": slurm,
    "condor": condor,
    "gridengine": gridengine,
    "oar": oar,
    "arc": arc,
}
