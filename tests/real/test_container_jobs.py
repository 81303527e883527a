"""Jobs in real containers, as people run them: by `pilot.pyz run --job`, and by way of a central."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pilot.states import JobState, Outcome
from tests.real.container_scene import APPTAINER, DIRECTORY, FILE, PATH, WHO, become, place_of
from tests.real.registry import registry
from tests.system import BUNDLE, Plan, check_log, running_system, wait_for

pytestmark = pytest.mark.real

#: A Python that ordinary users reach; the one that runs the tests may be in somebody's home.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")
#: What a queue declares whose pilots are expected to run containers.
TAGS = 'tags = ["container:apptainer", "container:sif", "container:isolated"]\n'


# -- without a central -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(PYTHON is None, reason="needs a python3 that every user reaches")
@pytest.mark.parametrize("kind", ["directory", "file"])
@pytest.mark.parametrize("who", WHO)
def test_a_job_without_any_central(who: str, kind: str) -> None:
    """``pilot.pyz run --job`` runs a job in its container: an image of the node's as a directory, or beside the job."""
    with place_of(who) as place:
        shutil.copy(BUNDLE, place / "pilot.pyz")
        if kind == "file":
            shutil.copy(FILE, place / "my.sif")
        image = DIRECTORY if kind == "directory" else "my.sif"
        (place / "job.yaml").write_text(
            f"command: [sh, -c, 'cat /etc/image > out.txt; echo $HOME']\noutputs: [out.txt]\ncontainer: {image}\n"
        )
        done = run_here(who, place, PATH)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (place / "job-output" / "out.txt").read_text() == "the image\n"
        assert (place / "job-output" / "stdout").read_text() == "/srv/home\n"
        assert f"container = apptainer {version()}" in (place / "job-output" / "pilot.log").read_text()


@pytest.mark.skipif(PYTHON is None, reason="needs a python3 that every user reaches")
def test_a_job_with_an_image_from_a_registry() -> None:
    """An ordinary user's pilot pulls an image with the spython that it brings, and runs the job in it."""
    with place_of(WHO[-1]) as place, registry() as shop:
        shutil.copy(BUNDLE, place / "pilot.pyz")
        uri = shop.add("analysis", FILE.read_bytes())
        (place / "job.yaml").write_text(f"command: [cat, /etc/image]\ncontainer: {uri}\n")
        done = run_here(WHO[-1], place, PATH)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (place / "job-output" / "stdout").read_text() == "the image\n"


@pytest.mark.skipif(PYTHON is None, reason="needs a python3 that every user reaches")
def test_no_runtime_no_run() -> None:
    """Where containers cannot be run a job with an image is not started at all, and the reason is said."""
    who = WHO[-1]
    with place_of(who) as place:
        shutil.copy(BUNDLE, place / "pilot.pyz")
        (place / "job.yaml").write_text(f"command: [sh, -c, 'echo ran']\ncontainer: {DIRECTORY}\n")
        done = run_here(who, place, "/usr/bin:/bin")
        assert done.returncode != 0
        assert "did not run: it needs a container" in done.stdout, done.stdout + done.stderr
        assert "neither apptainer nor singularity" in done.stdout
        assert not (place / "job-output" / "stdout").exists()


def run_here(who: str, place: Path, path: str) -> subprocess.CompletedProcess[str]:
    """``pilot.pyz run --job job.yaml`` in a folder, as that user."""
    return subprocess.run(
        [str(PYTHON), "-I", "pilot.pyz", "run", "--job", "job.yaml"],
        cwd=place,
        env={"PATH": path, "HOME": str(place), "APPTAINER_NOHTTPS": "true"},
        capture_output=True,
        text=True,
        timeout=90,
        preexec_fn=lambda: become(who),
    )


def version() -> str:
    told = subprocess.run([APPTAINER / "bin" / "apptainer", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.split()[-1]


# -- by way of a central -----------------------------------------------------------------------------------------------


def test_a_job_by_way_of_the_central(tmp_path: Path) -> None:
    """A job with an image beside it is accepted, its image travels, and it runs where containers were proved to run."""
    shutil.copy(FILE, tmp_path / "my.sif")
    with running_system(tmp_path / "central", Plan(path=path(), queue=TAGS)) as system, system.client() as client:
        document = {"command": ["sh", "-c", "cat /etc/image; echo $HOME"], "container": "my.sif"}
        submitted = client.submit(document, base=tmp_path)
        assert submitted.warnings == ()
        [job] = submitted.ids
        client.wait([job], timeout=90)
        assert client.job(job).job.state is JobState.DONE, client.attempts(job)
        check_log(client, job, b"the image\n/srv/home\n")
        stamp = client.attempts(job)[-1].pilot
        # What was found comes with a heartbeat, and that may be after the end of so short a job.
        found = wait_for(lambda: client.pilot(stamp).facts.get("container", ""), 30, "what the pilot found", system.log)
        assert found.startswith("apptainer")


def test_a_node_that_did_not_prove_it_gets_no_such_job(tmp_path: Path) -> None:
    """A queue that declares containers and cannot run them gets none of their jobs, and explain says what lacks."""
    plan = Plan(path=os.environ["PATH"], queue=TAGS)
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        [job] = client.submit({"command": ["true"], "container": str(DIRECTORY)}).ids
        wait_for(lambda: client.explain_job(job).pilots, 60, "a pilot that could take it", system.log)
        wait_for(lambda: client.explain_job(job).failures, 30, "its offer", system.log)
        told = client.explain_job(job)
        assert [(failure.need, failure.pilots, failure.queues) for failure in told.failures] == [("tags", 1, 0)]
        assert "container:apptainer" in told.failures[0].asked
        why = "container:apptainer absent (neither apptainer nor singularity is on the PATH"
        wait_for(lambda: why in client.explain_job(job).nearest, 30, "what the pilot's trial said", system.log)
        assert client.job(job).job.state is JobState.WAITING
        assert client.attempts(job) == ()
        # The pilot is well: what needs no container is done.
        [plain] = client.submit({"command": ["true"]}).ids
        client.wait([plain], timeout=60)
        assert client.job(plain).job.state is JobState.DONE
        assert client.job(job).job.state is JobState.WAITING


def test_a_queue_whose_payloads_all_have_containers(tmp_path: Path) -> None:
    """Jobs without an image run in the queue's own, see its binds, and are isolated; their own images are kept out."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in").write_text("bound\n")
    settings = f"""
[queues.settings]
containers = "required"
image = "{DIRECTORY}"
job_images = false
bind = ["{tmp_path}/data:/data"]
"""
    plan = Plan(path=path(), queue=TAGS + settings)
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        [own] = client.submit({"command": ["true"], "container": "/etc"}).ids
        document = {"command": ["sh", "-c", "cat /etc/image /data/in"], "needs": {"isolation": "required"}}
        [job] = client.submit(document).ids
        client.wait([job], timeout=90)
        assert client.job(job).job.state is JobState.DONE, client.attempts(job)
        check_log(client, job, b"the image\nbound\n")
        assert client.job(own).job.state is JobState.WAITING
        assert "container:apptainer" in client.explain_job(own).failures[0].asked


#: Says what it has, waits until its file is another one, and says what it has then.
WAITS = """
first=$(cat "$PILOTAGE_CREDENTIALS/licence")
echo "had $first"
touch running
while [ "$(cat "$PILOTAGE_CREDENTIALS/licence")" = "$first" ]; do sleep 0.1; done
echo "has $(cat "$PILOTAGE_CREDENTIALS/licence")"
stat -c %a "$PILOTAGE_CREDENTIALS/licence"
cat /etc/image
"""


def test_a_credential_that_is_set_anew(tmp_path: Path) -> None:
    """A job in a container waits for its owner to set its credential anew, reads it in the same file, and ends well;
    neither the old nor the new one is in its log."""
    old, new = "correct-horse-battery-staple", "another-horse-with-a-battery"
    with running_system(tmp_path / "central", Plan(path=path(), queue=TAGS)) as system, system.client() as client:
        client.keep_credential("licence", "text", {"text": old})
        document = {"command": ["sh", "-c", WAITS], "container": str(DIRECTORY), "credentials": ["licence"]}
        [job] = client.submit(document).ids
        wait_for(lambda: system.attempt(job, 1, "running"), 90, "the payload to run", system.log)
        assert client.keep_credential("licence", "text", {"text": new}).running == 1
        client.wait([job], timeout=90)
        assert client.job(job).job.state is JobState.DONE, client.attempts(job)
        check_log(client, job, f"had {'*' * len(old)}\nhas {'*' * len(new)}\n600\nthe image\n".encode())


def test_a_container_that_fails(tmp_path: Path) -> None:
    """A job whose container a node cannot start is tried again, uncharged: it is not stuck, and not failed for good."""
    settings = '[queues.settings]\nbind = ["/no/such/place"]\n'
    plan = Plan(path=path(), queue=TAGS + settings)
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        [job] = client.submit({"command": ["true"], "container": str(DIRECTORY)}).ids
        wait_for(lambda: len(client.attempts(job)) >= 2, 90, "a second attempt", system.log)
        first = client.attempts(job)[0]
        assert first.outcome is Outcome.NODE_FAULT
        assert "/no/such/place" in first.message


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    """A job that names an image that the node does not have has failed by its input, and the pilot goes on."""
    with running_system(tmp_path / "central", Plan(path=path(), queue=TAGS)) as system, system.client() as client:
        [job] = client.submit({"command": ["true"], "container": "/no/such/image"}).ids
        client.wait([job], timeout=90)
        [attempt] = client.attempts(job)
        assert (client.job(job).job.state, attempt.outcome) == (JobState.FAILED, Outcome.INPUT_ERROR)
        assert "is not on this node" in attempt.message


def path() -> str:
    """PATH of pilots that find the runtime."""
    return f"{APPTAINER}/bin:{os.environ['PATH']}"
