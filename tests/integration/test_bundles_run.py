"""A community's commands in real pilots: from `publish` to what payloads find, and what is read when it goes wrong."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from pilot.states import LIVE_PILOT, JobState, PilotReason, PilotState
from pilot.views import PilotDetail
from pilotage import Client, signing
from pilotage.bundles import Built
from tests.steps_scene import bundle_of
from tests.system import Plan, System, check_log, wait_for

pytestmark = pytest.mark.integration

PIPELINES = """
[[pipelines]]
community = "physics"
add = [{command = "theirs:go", after = "discover"}]
options = {"theirs:go" = {greet = "hello"}, prepare_software = {setup = "SETUP"}}
"""
GOOD = """
@command(needs=["node"], provides=["greeting"], timeout=60)
def go(context: Context) -> Context:
    context.say(f"{context.option('greet')} from a node with {context.fact('cores')} cores")
    return context.tagged("greeted").evolve(environment={**context.environment, "GREETING": context.option("greet")})
"""
ENV = {"command": ["/bin/sh", "-c", "echo $GREETING $RELEASE"], "needs": {"tags": "greeted"}}


@dataclass
class Place:
    """A system whose community has a key and a pipeline."""

    system: System
    key: Path
    folder: Path

    def publish(self, client: Client, built: Built) -> None:
        signature = signing.sign(self.key, "physics", built)
        client.publish_bundle(built.manifest.name, built.sha256, built.content, signature)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    setup = tmp_path / "setup.sh"
    setup.write_text("RELEASE=v9; export RELEASE; echo the software is ready\n")
    public = signing.make_key(tmp_path / "key")
    queue = 'tags = ["greeted"]\n' + PIPELINES.replace("SETUP", str(setup))
    system = System(tmp_path / "central", Plan(queue=queue, idle="5 s"))
    system.make()
    settings = tmp_path / "central" / "central.toml"
    settings.write_text(settings.read_text().replace('"physics"\n', f'"physics"\nbundle_keys = ["{public}"]\n', 1))
    yield Place(system, tmp_path / "key", tmp_path)
    system.end()


def last_pilot(client: Client) -> PilotDetail:
    """The newest pilot, once it has ended."""

    def ended() -> PilotDetail | None:
        found = [pilot for pilot in client.pilots() if pilot.state in (PilotState.DONE, PilotState.FAILED)]
        return client.pilot(found[0].stamp) if found else None

    return wait_for(ended, 90, "a pilot to end")  # type: ignore[return-value]


def test_a_published_command_runs_in_a_pilot(place: Place) -> None:
    """It adds a tag that a job asks for and a variable that its payload finds; the setup script's go there too; its
    words are a log of their own, and the steps tell when they were."""
    place.system.start()
    with place.system.client() as client:
        place.publish(client, bundle_of(place.folder, GOOD))
        (job,) = client.submit([ENV]).ids
        client.wait([job], timeout=270)
        assert client.job(job).job.state is JobState.DONE
        check_log(client, job, b"hello v9\n")
        detail = last_pilot(client)
        steps = {step.command: step for step in detail.steps}
        assert steps["bundles"].outcome == "ok"
        assert steps["theirs:go"].outcome == steps["prepare_software"].outcome == "ok"
        assert steps["theirs:go"].tail == "hello from a node with 2 cores"
        assert "the software is ready" in steps["prepare_software"].tail
        began = [step.began for step in detail.steps]
        assert None not in began
        assert began == sorted(began, key=float)  # type: ignore[arg-type]
        assert detail.facts["tag:greeted"] == "True (theirs:go)"
        assert {"step-3-theirs.go", "step-1-check_node", "step-4-prepare_software"} <= set(detail.streams)
        log, tail = partial(client.pilot_logs, detail.pilot.stamp, "step-3-theirs.go"), steps["theirs:go"].tail
        wait_for(lambda: log().decode() == f"{tail}\n", 30, "the log of the step")


def test_a_new_version_reaches_the_next_pilot(place: Place) -> None:
    """Pilots that run keep the bundle that they have; those that enrol later get the new one, or after a rollback the
    one before."""
    place.system.start()
    with place.system.client() as client:
        seen = []
        for greeting in ("first", "second", "back"):
            if greeting == "back":
                client.roll_back_bundle("theirs")
            else:
                text = GOOD.replace('"GREETING": context.option("greet")', f'"GREETING": "{greeting}"')
                place.publish(client, bundle_of(place.folder, text))
            job = client.submit([ENV]).ids[0]
            client.wait([job], timeout=270)
            seen.append(client.logs(job).split()[0].decode())
            for pilot in client.pilots([PilotState.RUNNING]):
                client.halt(pilot.stamp)
            wait_for(lambda: not list(client.pilots(LIVE_PILOT)), 60, "the pilot to end")
        assert seen == ["first", "second", "first"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('no licence')", "theirs:go: RuntimeError: no licence"),
        ("os._exit(9)", "its process ended with exit code 9, before it returned"),
        ("time.sleep(600)", "the command theirs:go was not done after 2 s, and ended"),
    ],
)
def test_a_command_that_fails_ends_the_pilot_with_the_reason(place: Place, source: str, message: str) -> None:
    """No job is lost in a pilot whose community's command fails: none starts, and the operator reads why."""
    text = f"@command(needs=['node'], provides=['x'], timeout=2)\ndef go(context):\n    {source}\n    return context\n"
    place.system.start()
    with place.system.client() as client:
        place.publish(client, bundle_of(place.folder, text))
        (job,) = client.submit([{**ENV, "needs": {}}]).ids
        detail = last_pilot(client)
        assert detail.pilot.reason is PilotReason.COMMAND_FAILED
        assert detail.pilot.message == message
        outcomes = {step.command: step.outcome for step in detail.steps}
        assert outcomes["run_jobs"] == "skipped"
        assert client.job(job).job.state is JobState.WAITING


def test_without_its_bundle_nothing_takes_its_place(place: Place) -> None:
    """A queue whose pipeline cannot be run gets no pilot and says why; once the bundle is published it does."""
    place.system.start()
    with place.system.client() as client:
        [job] = client.submit([{**ENV, "needs": {}}]).ids

        def told() -> bool:
            (queue,) = client.queues()
            return queue.decision.startswith("its pilots could not run: no bundle") and "theirs:go" in queue.decision

        wait_for(told, 30, "the director to look", place.system.log)
        assert not list(client.pilots())
        place.publish(client, bundle_of(place.folder, GOOD))
        client.wait([job], timeout=270)
        assert client.job(job).job.state is JobState.DONE


def test_each_agent_of_a_pilot_runs_it(place: Place) -> None:
    """Several agents of a pilot fetch and run it side by side, each with steps of its own."""
    path = place.folder / "central" / "central.toml"
    path.write_text(path.read_text().replace('tags = ["greeted"]', 'agents = 2\ntags = ["greeted"]'))
    place.system.start()
    with place.system.client() as client:
        place.publish(client, bundle_of(place.folder, GOOD))
        jobs = client.submit([ENV, ENV]).ids
        client.wait(jobs, timeout=270)
        for job in jobs:
            check_log(client, job, b"hello v9\n")
        detail = last_pilot(client)
        ran = {step.number: step.outcome for step in detail.steps if step.command.endswith("theirs:go")}
        assert ran == {3: "ok", 1003: "ok"}
        assert "step-1003-theirs.go" in detail.streams


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start payloads as other users")
@pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="there is no Python that every user can read")
def test_where_payloads_have_users_commands_have_them_too(place: Place) -> None:
    """In a pilot of root a community's command does not run as root, and payloads use what it made."""
    top = Path(tempfile.mkdtemp(prefix="pilotage-users-"))
    path = place.folder / "central" / "central.toml"
    own = f'work = "{top}/work"\nslot_users = "29040-29041"\ntags = ["greeted"]'
    (top / "work").mkdir()
    shutil.copy(place.folder / "setup.sh", top)
    for folder in (top, top / "work"):
        folder.chmod(0o711)
    text = path.read_text().replace('tags = ["greeted"]', own).replace(f"{place.folder}/setup.sh", f"{top}/setup.sh")
    path.write_text(text)
    place.system.plan.path = "/usr/bin:/bin"
    place.system.start()
    try:
        with place.system.client() as client:
            place.publish(client, bundle_of(place.folder, AS_WHOM))
            (job,) = client.submit([{"command": ["/bin/sh", "-c", "cat $MADE; id -u"], "needs": {}}]).ids
            client.wait([job], timeout=270)
            who, payload = client.logs(job).decode().split()
            assert {who, payload} <= {"29040", "29041"}
    finally:
        place.system.end()
        shutil.rmtree(top)


AS_WHOM = """
@command(needs=["node"], provides=["greeting"], timeout=60)
def go(context: Context) -> Context:
    made = context.work / "made"
    made.write_text(f"{os.getuid()}\\n")
    return context.evolve(environment={**context.environment, "MADE": str(made)})
"""
