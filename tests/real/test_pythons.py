"""The pilot under the Pythons of nodes: PILOTAGE_NODE_PYTHONS names the interpreters, as PATH does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BUNDLE = TOP / "dist" / "pilot.pyz"
PYTHONS = [Path(path) for path in os.environ.get("PILOTAGE_NODE_PYTHONS", "").split(os.pathsep) if path]
JOB = """\
name: hello
command: [sh, -c, "cat in.txt > out.txt; echo hello"]
inputs: [in.txt]
outputs: [out.txt]
needs: {memory: 100 MB, wall_time: 1 min}
"""

pytestmark = pytest.mark.skipif(not PYTHONS, reason="PILOTAGE_NODE_PYTHONS names no interpreter")


def run_hello(folder: Path, words: list[str], environment: dict[str, str]) -> None:
    """Run the job in a folder, and look at what it left."""
    (folder / "job.yaml").write_text(JOB)
    (folder / "in.txt").write_text("some text\n")
    done = subprocess.run(
        [*words, "run", "--job", "job.yaml"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "outcome   success" in done.stdout
    assert (folder / "hello-output" / "out.txt").read_text() == "some text\n"
    assert (folder / "hello-output" / "stdout").read_text() == "hello\n"


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parts[-3])
def test_a_job_from_the_checkout(python: Path, tmp_path: Path) -> None:
    """A job runs standalone from the checkout, with warnings as errors."""
    run_hello(tmp_path, [str(python), "-W", "error", "-m", "pilot"], {**os.environ, "PYTHONPATH": str(TOP)})


@pytest.mark.skipif(not BUNDLE.exists(), reason="there is no dist/pilot.pyz: ./dev bundle")
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parts[-3])
def test_a_job_from_the_one_file(python: Path, tmp_path: Path) -> None:
    """A job runs standalone from the one file that travels, with nothing but the interpreter's own library."""
    run_hello(tmp_path, [str(python), "-I", "-S", str(BUNDLE)], {"PATH": os.environ["PATH"]})
