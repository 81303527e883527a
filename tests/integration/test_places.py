"""Sites and queues that operators add while a central runs: taken up at once, versioned, tested, taken away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from central.store.port import Store
from pilot.errors import Refusal
from pilot.states import JobState, PilotReason, PilotState
from pilotage import Client
from tests.contract.stores import intent, stamp
from tests.integration.running_central import PEOPLE, RunningCentral, cloud_queue, until
from tests.system import TOP, System, wait_for

SPECIAL = """
# one that has what the first has not
name = "special"
site = "there"
kind = "local"
slots = 1
cores = 1
memory = "1 GB"
disk = "1 GB"
tags = ["special"]
idle = "120 s"
lease = "60 s"
"""


def run(system: System, *words: str, code: int = 0) -> str:
    """A command line of the operator, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pilotage", *words, "--folder", str(system.folder)],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_queue_is_added_used_changed_and_removed_while_the_central_runs(system: System, client: Client) -> None:
    """A job that no queue fitted runs once one is added that fits; a change and the removal count at once, too; all of
    it is still so after a restart, and every version is there with who made it."""
    waits = client.submit({"command": ["true"], "needs": {"tags": "special"}})
    assert waits.warnings
    file = system.folder / "special.toml"
    file.write_text(SPECIAL)
    assert "expected a declared site" in run(system, "queue", "add", str(file), code=2)
    assert run(system, "site", "add", "there") == "the site there is in force, version 1\n"
    again = run(system, "site", "add", "there")
    assert again == f"the site there is in force, version 1; it was there already: {client.whoami().user} added it\n"
    assert "version 1; the computing element answers" in run(system, "queue", "add", str(file))
    (job,) = client.wait(waits.ids, timeout=180)
    assert (job.state, job.site) == (JobState.DONE, "there")
    assert not client.submit({"command": ["true"], "needs": {"tags": "special"}}).warnings

    (stamp,) = (pilot.stamp for pilot in client.pilots([PilotState.RUNNING], "special"))
    assert "while a pilot of it lives" in run(system, "queue", "remove", "special", code=1)
    file.write_text(SPECIAL.replace("slots = 1", "slots = 3"))
    assert "version 2" in run(system, "queue", "add", str(file))
    assert {queue.name: queue.slots for queue in client.queues()} == {"local": 1, "special": 3}

    system.stop()
    system.start()
    assert {queue.name: queue.slots for queue in client.queues()} == {"local": 1, "special": 3}
    assert "version 3" in run(system, "queue", "restore", "special", "1")
    history = client.queue_history("special")
    assert [(one.number, one.text == SPECIAL, one.note) for one in history] == [
        (3, True, "restored version 1"),
        (2, False, ""),
        (1, True, ""),
    ]
    assert {one.who for one in history} == {client.whoami().user}
    assert run(system, "queue", "show", "special", "--text") == SPECIAL

    client.drain(stamp)
    wait_for(lambda: client.pilot(stamp).pilot.state is PilotState.DONE, 30, "the pilot to go", system.log)
    run(system, "queue", "remove", "special")
    run(system, "site", "remove", "there")
    assert [queue.name for queue in client.queues()] == ["local"]
    assert client.submit({"command": ["true"], "needs": {"tags": "special"}}).warnings


def test_a_queue_is_tested_with_one_pilot_that_takes_no_job(system: System, client: Client) -> None:
    """What becomes of the pilot is told step by step with times, also while the queue is paused; a job that waits and
    would fit is not given to it."""
    client.pause_queue("local", "to be tested first")
    job = client.submit({"command": ["true"]}).ids[0]
    told = run(system, "queue", "test", "local")
    assert told.startswith("One pilot that takes no jobs is sent to the queue local")
    assert told.splitlines()[-1].startswith("queue local works: ")
    order = [
        "in the journal",
        "submitted: ",
        "enrolled: from ",
        "check_node: ok",
        "discover: ok",
        "ended: done: drained",
    ]
    places = [told.find(word) for word in order]
    assert -1 not in places, told
    assert places == sorted(places), told
    assert client.job(job).job.state is JobState.WAITING
    client.resume_queue("local")
    assert client.wait([job], timeout=180)[0].state is JobState.DONE


def test_a_queue_whose_pilots_cannot_run_is_found_out(system: System, client: Client) -> None:
    """A test of a queue whose pilots cannot work says what they said, and its exit code is 1."""
    broken = SPECIAL.replace('site = "there"', 'site = "here"\nwork = "/proc/nowhere"')
    client.add_queue(broken)
    told = run(system, "queue", "test", "special", code=1)
    assert "ended: failed" in told
    assert "No work directory" in told
    assert "queue special does not work: its pilot ended as failed" in told


@pytest.fixture
def oli(central: RunningCentral) -> Iterator[Client]:
    with Client(central.url, ("oli" * 40)[:40], central.ca, patience=5) as client:
        yield client


BIG = cloud_queue("big")


def test_a_queue_does_not_leave_its_machines_behind(central: RunningCentral, oli: Client) -> None:
    """While machines of it live, a queue names the account that they are in; all else of it may be changed."""

    async def has_a_machine(store: Store) -> None:
        await store.plan_pilot(intent(7, queue="big"))

    async def ends(store: Store) -> None:
        await store.end_pilot(stamp(7), PilotState.CANCELLED, PilotReason.CANCELLED)

    oli.add_queue(BIG, force=True)
    central.store(has_a_machine)
    oli.add_queue(BIG.replace("small", "large"), force=True)
    for old, new in (('"one"', '"two"'), ("localhost:1", "localhost:2"), ('"cloud"', '"other"')):
        with pytest.raises(Refusal, match="the queue big has 1 live pilots in the account"):
            oli.add_queue(BIG.replace(old, new), force=True)
    central.store(ends)
    oli.add_queue(BIG.replace('"one"', '"two"'), force=True)
    oli.remove_queue("big")


FAR = 'name = "far"\nsite = "here"\nkind = "external"\ncommunities = ["biology"]\n'


@pytest.mark.parametrize("name", sorted(set(PEOPLE) - {"oli"}))
def test_only_operators_add(central: RunningCentral, name: str) -> None:
    """Whoever is no operator is refused."""
    with Client(central.url, (name * 40)[:40], central.ca, patience=5) as client:
        for ask in (
            lambda: client.add_queue(FAR),
            lambda: client.remove_queue("local"),
            lambda: client.add_site("there"),
            lambda: client.queue("local"),
            lambda: client.queue_history("local"),
            lambda: client.test_queue("local"),
            lambda: client.open_enrolment("local", pilots=1, seconds=600),
            lambda: client.enrolments(),
            lambda: client.enrolment_wrapper("local", "/etc/token"),
        ):
            with pytest.raises(Refusal) as refused:
                ask()
            assert refused.value.type == "forbidden"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("cores = \n", ["this is not TOML"]),
        ('name = "far"\nsite = "here"\ncors = 3\n', ["cors: unknown key"]),
        ('[[queues]]\nname = "far"\nsite = "nowhere"\n', ["queues[0].site: expected a declared site"]),
        (f"[[queues]]\n{FAR}[[queues]]\n{FAR}", ["queues: expected one queue, got 2"]),
        (f"[[queues]]\n{FAR}[[sites]]\nname = 'x'\n", ["sites: expected nothing beside [[queues]]"]),
        ('name = "local"\nsite = "here"\nkind = "external"\n', ["name: expected another name: central.toml declares"]),
        ('name = "far"\nsite = "here"\n', ["kind: expected another kind: jobs of such a queue run as the central"]),
        (
            'name = "far"\nsite = "here"\nkind = "slurm"\n[batch]\nprograms = "/tmp"\nenvironment = {A = "b"}\n',
            ["batch.programs: expected none", "batch.environment: expected none"],
        ),
    ],
)
def test_every_mistake_is_told_with_its_place(oli: Client, text: str, problems: list[str]) -> None:
    """What is wrong with a queue is told as in the settings file, and nothing of it is kept."""
    with pytest.raises(Refusal) as refused:
        oli.add_queue(text)
    found = [str(problem) for problem in refused.value.problems]
    assert all(any(problem in one for one in found) for problem in problems), found
    assert [queue.name for queue in oli.queues()] == ["local", "shared"]


def test_a_queue_whose_computing_element_does_not_answer_is_not_added(oli: Client) -> None:
    """The computing element is asked first, what it says is told, and whoever insists gets the queue all the same."""
    text = 'name = "away"\nsite = "here"\nkind = "slurm"\n[batch]\nfolder = "/tmp/pilots"\n'
    text += '[ssh]\nhost = "127.0.0.1"\nport = 1\n'
    with pytest.raises(Refusal) as refused:
        oli.add_queue(text)
    assert refused.value.type == "conflict"
    assert "the queue away is not added" in str(refused.value)
    added = oli.add_queue(text, force=True)
    assert (added.number, added.said) == (1, "it was not asked")
    detail = oli.queue("away")
    assert (detail.kind, detail.added and detail.added.who) == ("slurm", "oli")
    assert detail.settings["ssh"] == '{"host":"127.0.0.1","port":1}'
    assert detail.settings["batch"] == '{"folder":"/tmp/pilots"}'
    oli.remove_queue("away")


def test_what_the_file_declares_is_the_files(oli: Client) -> None:
    """Names of the file are neither changed nor removed, and are shown as such."""
    for refuse in (oli.remove_queue, oli.remove_site, oli.add_site):
        with pytest.raises(Refusal, match="central.toml declares"):
            refuse("local" if refuse == oli.remove_queue else "here")
    detail = oli.queue("local")
    assert detail.added is None
    assert detail.settings["cores"] == "4"


def test_what_was_added_gives_way_to_the_file(central: RunningCentral, oli: Client) -> None:
    """A queue that the file declares later is the file's; what was added is told as not used, in the list of queues,
    too, as is what nobody understands any more. A community sees none of it."""
    oli.add_queue(FAR)
    file = central.folder / "central.toml"
    central.end()
    before = file.read_text()
    file.write_text(before + '\n[[queues]]\nname = "far"\nsite = "here"\nkind = "external"\ncores = 7\n')
    central.store(lambda store: store.keep_place("queue", "odd", "cors = 1\n", "oli"))
    central.start()
    detail = oli.queue("far")
    assert detail.settings["cores"] == "7"
    assert "central.toml declares a queue far" in detail.problem
    assert "is not used: central.toml declares a queue far" in until(central.words, "words")
    far, odd = (next(one for one in oli.queues() if one.name == name) for name in ("far", "odd"))
    assert (far.kind, far.problem) == ("external", "central.toml declares a queue far, which counts")
    assert (odd.kind, "cors: unknown key" in odd.problem) == ("", True)
    with pytest.raises(Refusal, match="the queue odd was added and is not used: "):
        oli.explain_queue("odd")
    with Client(central.url, ("ann" * 40)[:40], central.ca, patience=5) as ann:
        assert "odd" not in {one.name for one in ann.queues()}
    oli.remove_queue("odd")
    oli.remove_queue("far")
    assert oli.queue("far").problem == ""
    central.end()
    file.write_text(before)
    central.start()


def test_a_site_with_queues_stays(oli: Client) -> None:
    """A site goes when it has no queues any more."""
    oli.add_site("there")
    oli.add_queue(FAR.replace("here", "there"))
    with pytest.raises(Refusal, match="has queues: far"):
        oli.remove_site("there")
    oli.remove_queue("far")
    oli.remove_site("there")
    assert [site.name for site in oli.sites()] == ["here"]


def test_the_list_of_versions_is_json(oli: Client) -> None:
    """A record that was read is the one that was written."""
    oli.add_queue(FAR)
    (newest, *_) = oli.queue_history("far")
    assert msgspec.json.decode(msgspec.json.encode(newest))["text"] == FAR
    oli.remove_queue("far")
