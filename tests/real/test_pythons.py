"""A whole `pilot.pyz` under each Python that a node may have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pilot.states import JobState
from tests.system import BUNDLE, TOP, Plan, check_log, running_system, wait_for

PYTHONS = [Path(path) for path in os.environ.get("PILOTAGE_NODE_PYTHONS", "").split(os.pathsep) if path]


@pytest.fixture(params=PYTHONS, ids=lambda path: path.parent.parent.name)
def python(request: pytest.FixtureRequest) -> Path:
    """One of the interpreters that the lane has set up."""
    found: Path = request.param
    return found


def version(python: Path) -> str:
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def test_a_job_by_way_of_the_central(python: Path, tmp_path: Path) -> None:
    """The wrapper finds this Python, the pilot runs under it, and a job with input, output and log is done."""
    (tmp_path / "in.txt").write_text("from home\n")
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    with running_system(tmp_path / "central", Plan(path=path)) as system, system.client() as client:
        command = ["sh", "-c", "cat in.txt; cp in.txt out.txt"]
        document = {"command": command, "inputs": ["in.txt"], "outputs": ["*.txt"]}
        [job] = client.submit(document, base=tmp_path).ids
        client.wait([job], timeout=90)
        assert client.job(job).job.state is JobState.DONE
        check_log(client, job, b"from home\n")
        client.fetch_outputs(job, tmp_path / "back")
        assert (tmp_path / "back" / "out.txt").read_text() == "from home\n"
        stamp = client.attempts(job)[-1].pilot
        # What was found comes with a heartbeat, and that may be after the end of so short a job.
        found = wait_for(lambda: client.pilot(stamp).facts.get("python", ""), 30, "what the pilot found", system.log)
        assert version(python) in found


def test_a_job_without_any_central(python: Path, tmp_path: Path) -> None:
    """``pilot.pyz run --job`` runs one job from a file, brings its output, and tells success from failure."""
    (tmp_path / "job.yaml").write_text("command: [sh, -c, 'echo hi > out.txt']\noutputs: [out.txt]\nname: one\n")
    (tmp_path / "bad.yaml").write_text("command: [sh, -c, 'exit 3']\nname: bad\n")
    for file, code in (("job.yaml", 0), ("bad.yaml", 10)):
        done = subprocess.run(
            [python, "-I", BUNDLE, "run", "--job", file], cwd=tmp_path, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == code, done.stdout + done.stderr
    assert [path.read_text() for path in tmp_path.rglob("one-output/**/out.txt")] == ["hi\n"]


def test_doctor(python: Path, tmp_path: Path) -> None:
    """``pilot.pyz doctor`` tells what it found, each with its source."""
    done = subprocess.run([python, "-I", BUNDLE, "doctor"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cores" in done.stdout
    assert "psutil" in done.stdout


@pytest.mark.parametrize("suite", ["test_pool.py", "test_pool_slots.py", "test_checkpoints.py", "test_standalone.py"])
def test_payloads_from_the_checkout(python: Path, suite: str, tmp_path: Path) -> None:
    """The suites with real payloads (Pool, slots, checkpoints, standalone runs) pass under this Python too."""
    # Without the conftest of the folder, which is for centrals and asks for what no node has.
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'suite'}"]
    done = subprocess.run(
        [python, "-m", "pytest", *options, f"tests/integration/{suite}"],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
