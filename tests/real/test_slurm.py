"""Pilots as jobs of a real Slurm, held by cgroups and held by nothing: they find what they were given, and no more."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilot.errors import ExitCode
from tests.system import BUNDLE, TOP

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("PILOTAGE_SLURM_USER" not in os.environ, reason="what this needs is set up by the lane slurm"),
]
USER = os.environ.get("PILOTAGE_SLURM_USER", "")
SCRIPT = TOP / "tests" / "real" / "slurm.sh"
MIB = 1024 * 1024
#: Two GPUs, as many as the script of this lane declares.
NVIDIA_SMI = """#!/bin/sh
echo "0, GPU-11111111-2222, NVIDIA A100-SXM4-40GB, 40960, 8.0"
echo "1, GPU-22222222-3333, NVIDIA A100-SXM4-40GB, 40960, 8.0"
"""


@dataclass(frozen=True)
class Ended:
    code: int
    output: str


@dataclass(frozen=True)
class Slurm:
    """Submits as an ordinary user, with a folder that both sides can read."""

    folder: Path
    environment: dict[str, str]

    def run(self, script: str, *options: str) -> Ended:
        """Run a batch job to its end."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.chown(place, USER, USER)
        # The code is written last, and under another name first: when it is there, all is there.
        wrapped = f"cd {place}; ({script}) > output 2>&1; echo $? > .code; mv .code code"
        submit = ["sbatch", "--parsable", "--no-requeue", "--output=/dev/null", *options, f"--wrap={wrapped}"]
        subprocess.run(self.as_user(submit), env=self.environment, check=True, capture_output=True, timeout=30, cwd="/")
        end = time.monotonic() + 60
        while not (place / "code").exists():
            assert time.monotonic() < end, (place / "output").read_text() if (place / "output").exists() else "no start"
            time.sleep(0.1)
        return Ended(int((place / "code").read_text()), (place / "output").read_text())

    def pilot(self, words: str, *options: str) -> Ended:
        return self.run(f"PATH={self.folder}/bin:$PATH python3 -I {self.folder}/pilot.pyz {words}", *options)

    def facts(self, *options: str) -> dict[str, object]:
        """What a pilot finds as a job with these options."""
        ended = self.pilot("doctor --json", *options)
        assert ended.code == ExitCode.DONE, ended.output
        return {fact["name"]: fact["value"] for fact in json.loads(ended.output)["facts"]}

    def as_user(self, words: list[str]) -> list[str]:
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *words]


@pytest.fixture(scope="module", params=["1", "0"], ids=["confined", "unconfined"])
def slurm(request: pytest.FixtureRequest) -> Iterator[Slurm]:
    """A Slurm that claims four CPUs when nothing holds its jobs, and the machine's when cgroups do."""
    plan = {"SLURM_CONFINE": request.param, **({} if request.param == "1" else {"SLURM_CPUS": "4"})}
    started = subprocess.run([SCRIPT, "start"], env={**os.environ, **plan}, capture_output=True, text=True, timeout=120)
    assert started.returncode == 0, started.stdout + started.stderr
    told = subprocess.run([SCRIPT, "env"], capture_output=True, text=True, check=True).stdout
    home = pwd.getpwnam(USER).pw_dir
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "USER": USER}
    environment["SLURM_CONF"] = shlex.split(told)[1].partition("=")[2]
    with tempfile.TemporaryDirectory(prefix="pilotage-slurm-", dir=home) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "bin").mkdir()
        (folder / "bin" / "nvidia-smi").write_text(NVIDIA_SMI)
        (folder / "bin" / "nvidia-smi").chmod(0o755)
        shutil.copyfile(BUNDLE, folder / "pilot.pyz")
        yield Slurm(folder, environment)


def test_a_job_has_its_cores_its_memory_and_its_time(slurm: Slurm) -> None:
    """One core, its memory and its limit of time, whatever the machine has."""
    facts = slurm.facts("--ntasks=1", "--mem-per-cpu=200", "--time=20")
    assert (facts["batch"], facts["cores"], facts["memory"]) == ("Slurm", 1, 200 * MIB)
    left = facts["seconds_left"]
    assert isinstance(left, int)
    assert 1170 <= left <= 1200


def test_memory_for_the_whole_job(slurm: Slurm) -> None:
    """Two cores of one task, and memory that was asked for as a whole."""
    facts = slurm.facts("--ntasks=1", "--cpus-per-task=2", "--mem=700", "--time=1:00:00")
    assert (facts["cores"], facts["memory"]) == (min(2, os.cpu_count() or 1), 700 * MIB)


def test_no_limit_is_unlimited_and_not_unknown(slurm: Slurm) -> None:
    """A partition without a limit of time says so, and so does the pilot."""
    assert slurm.facts("--partition=endless", "--ntasks=1")["seconds_left"] == "unlimited"


def test_more_than_the_machine_has_is_not_believed(slurm: Slurm) -> None:
    """What Slurm was told to claim does not become cores."""
    facts = slurm.facts("--ntasks=1", "--cpus-per-task=2")
    cores = facts["cores"]
    assert isinstance(cores, int)
    assert cores <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("options", "gpus"), [((), []), (("--gres=gpu:1",), ["0"]), (("--gpus=2",), ["0", "1"])])
def test_a_job_has_the_gpus_that_it_was_given(slurm: Slurm, options: tuple[str, ...], gpus: list[str]) -> None:
    """None, one or two of two; the GPUs themselves are those of a program that stands in for nvidia-smi."""
    # Not all cores: who has these is believed to have the machine.
    facts = slurm.facts("--ntasks=1", "--cpus-per-task=1", *options)
    assert facts["gpus"] == len(gpus)
    assert [str(facts[f"gpu{number}_index"]) for number in range(len(gpus))] == gpus


def test_tasks_that_share_a_node_share_what_it_gives(slurm: Slurm) -> None:
    """Two pilots in one step have half of its cores and memory each."""
    script = f"srun --overlap --ntasks=2 sh -c 'python3 -I {slurm.folder}/pilot.pyz doctor --json > $SLURM_PROCID.json'"
    ended = slurm.run(f"{script}; cat 0.json; echo ,; cat 1.json", "--ntasks=2", "--mem=600", "--time=10")
    assert ended.code == 0, ended.output
    for told in json.loads(f"[{ended.output}]"):
        facts = {fact["name"]: fact["value"] for fact in told["facts"]}
        assert (facts["cores"], facts["memory"]) == (1, 300 * MIB)


@pytest.mark.parametrize(("cores", "code"), [(1, ExitCode.DONE), (2, ExitCode.PAYLOAD_FAILED)])
def test_a_payload_gets_no_core_that_the_job_does_not_have(slurm: Slurm, cores: int, code: ExitCode) -> None:
    """In an allocation of one core a job of one core runs, and one of two does not, whatever the machine has."""
    job = f'{{"command": ["true"], "name": "needs-{cores}", "needs": {{"cores": {cores}, "wall_time": 10}}}}'
    run = f"echo {shlex.quote(job)} > job.json; python3 -I {slurm.folder}/pilot.pyz run --job job.json"
    ended = slurm.run(run, "--ntasks=1", "--time=10")
    assert ended.code == code, ended.output
    if cores == 2:
        assert "it needs 2 cores, and 1 of 1 are free" in ended.output
