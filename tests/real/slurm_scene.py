"""A real Slurm of several nodes, and what its users and its operator do with it."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from central.elements.batch import BatchElement
from central.elements.here import Here
from central.elements.host import Ran
from central.elements.system import Door
from central.elements.systems.slurm import Slurm
from pilot.states import JobState, Outcome
from pilot.views import AttemptView
from pilotage import Client
from tests.real.element_scene import discovered, fact
from tests.system import TOP, Plan, System, acting_as, running_system, wait_for

USER = os.environ.get("PILOTAGE_SLURM_USER", "pilotage-test")
SCRIPT = TOP / "tests" / "real" / "slurm.sh"
SEARCH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class HereAs(Here):
    """This host, where another user runs the programs."""

    def __init__(self, user: str, environment: Mapping[str, str], patience: float) -> None:
        super().__init__(environment, patience)
        self.user = user

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        return await super().run([*acting_as(self.user), *argv], stdin)


#: More of the queue behind which Slurm is, and another one that has nothing to do with it.
QUEUE = """\
interval = 1
tags = ["cluster"]
[queues.batch]
partition = "main"
patience = "5 s"
environment = {{ SLURM_CONF = "{conf}" }}
[queues.settings]
notice = "4 s"

[[queues]]
name = "desk"
site = "here"
kind = "local"
slots = 1
cores = 1
memory = "1 GB"
disk = "1 GB"
communities = ["physics"]
tags = ["desk"]
required_tags = ["desk"]
"""


@dataclass(frozen=True)
class Cluster:
    """The Slurm that runs, with a folder of the user that its nodes see."""

    folder: Path
    conf: str

    @property
    def environment(self) -> dict[str, str]:
        """Of the programs that speak to it."""
        return {"PATH": SEARCH, "SLURM_CONF": self.conf}

    def element(self, name: str, environment: Mapping[str, str], *, patience: float = 20.0) -> BatchElement:
        """An adapter to it, which acts as the user."""
        system = Slurm(Door(partition="main", environment=tuple(environment.items())))
        return BatchElement(HereAs(USER, self.environment, patience), system, str(self.folder / name))

    def operator(self, *words: str) -> str:
        """Run one of its programs as its operator, and return what it printed."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, cwd="/")
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def jobs(self) -> list[tuple[str, str, str]]:
        """Number, name and state of all jobs that it knows."""
        told = self.operator("squeue", "--states=all", "--noheader", "--format=%i %j %T")
        return [(words[0], words[1], words[2]) for words in map(str.split, told.splitlines())]

    def states(self) -> set[tuple[str, str]]:
        """Name and state of them."""
        return {(name, state) for _, name, state in self.jobs()}

    @property
    def controller(self) -> int:
        """The process of slurmctld."""
        return int((Path(self.conf).parent.parent / "run" / "slurmctld.pid").read_text())

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The controller takes connections, and does not answer."""
        process = self.controller
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    def forget_everything(self) -> None:
        """Start the controller anew without the state that it keeps: nodes then end the jobs that it does not know."""
        process = self.controller
        os.kill(process, signal.SIGTERM)
        wait_for(lambda: not Path(f"/proc/{process}").exists(), 20, "slurmctld to end")
        self.operator("slurmctld", "-c")
        wait_for(self._answers, 30, "slurmctld to answer")

    def _answers(self) -> bool:
        words = ["squeue", "--noheader"]
        return subprocess.run(words, env=self.environment, capture_output=True, timeout=60, check=False).returncode == 0


@contextmanager
def running_cluster(**plan: str) -> Iterator[Cluster]:
    """Three unconfined nodes of three CPUs each, or as planned in the words of the script."""
    given = {"SLURM_CONFINE": "0", "SLURM_NODES": "3", "SLURM_CPUS": "3", **plan}
    started = subprocess.run(
        [SCRIPT, "start"], env={**os.environ, **given}, capture_output=True, text=True, timeout=180
    )
    assert started.returncode == 0, started.stdout + started.stderr
    told = subprocess.run([SCRIPT, "env"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="pilotage-slurm-", dir=pwd.getpwnam(USER).pw_dir) as name:
        os.chmod(name, 0o755)
        os.chown(name, pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_gid)
        cluster = Cluster(Path(name), shlex.split(told)[1].partition("=")[2])
        try:
            yield cluster
        finally:
            cluster.operator("scancel", f"--user={USER}")


@contextmanager
def central_of(cluster: Cluster) -> Iterator[System]:
    """A central of the user, whose pilots have two cores of a node of Slurm each; a node has room for one."""
    plan = Plan(
        kind="slurm",
        user=USER,
        slots=8,  # three nodes, and room for pilots of which nobody knows what became
        cores=2,
        memory="1200 MiB",
        wall_time="1 h",
        idle="20 s",
        lease="20 s",
        silent_after="6 s",
        queue=QUEUE.format(conf=cluster.conf),
        workers=1,
    )
    with running_system(cluster.folder / "central", plan) as system:
        yield system


def on_cluster(command: list[str], cores: int = 1, **more: Any) -> dict[str, Any]:
    """A job for the queue behind which Slurm is."""
    needs = {"cores": cores, "wall_time": 600, "memory": 10**8, "tags": "cluster"}
    return {"command": command, "needs": needs, **more}


def running(system: System, client: Client, job: int) -> AttemptView:
    """The attempt of a job once it runs."""
    wait_for(lambda: client.job(job).job.state is JobState.RUNNING, 40, f"job {job} to run", system.log)
    return client.attempts(job)[-1]


def each_once(client: Client, cluster: Cluster) -> bool:
    """Whether Slurm was given no pilot of the central twice."""
    names = [name for _, name, _ in cluster.jobs()]
    return all(names.count(pilot.stamp) <= 1 for pilot in client.pilots())


def fifty_jobs(client: Client, cluster: Cluster) -> None:
    """They are done, each once, by pilots that are jobs of Slurm and found in it what the queue asked for."""
    jobs = list(client.submit(on_cluster(["sleep", "0.1"], sweep={"n": "1..50"})).ids)
    client.wait(jobs, timeout=60)
    attempts = {job: client.attempts(job) for job in jobs}
    for job, of in attempts.items():
        assert [attempt.outcome for attempt in of if attempt.outcome] == [Outcome.SUCCESS], (job, of)
    numbers = {name: number for number, name, _ in cluster.jobs()}
    for stamp in {of[-1].pilot for of in attempts.values()}:
        detail = discovered(client, stamp)
        assert detail.pilot.reference == numbers[stamp]
        cores, _ = fact(detail, "cores")
        assert cores == min(2, os.cpu_count() or 1)
        memory, source = fact(detail, "memory")
        assert (memory, "SLURM_MEM_PER_NODE" in source) == (1200 * 1024**2, True), source
        left, source = fact(detail, "seconds_left")
        assert 3480 <= left <= 3600
        assert "TimeLimit" in source, source
