"""A community's commands in processes of their own: what they may, what they cannot, and how they are ended."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from commands import Context, command
from commands.context import Unfit
from commands.registry import PipelineError
from commands.testing import REAL, attempt
from pilot.bundles import MANIFEST
from pilot.errors import PilotageError
from pilot.payloads.slot_users import SlotUser, SlotUsers, processes_of
from pilot.protocol import Fact
from pilot.states import PilotReason
from pilot.steps import guests
from pilot.steps.guest import Interrupted, TooLate
from pilot.steps.guests import LONGEST_MESSAGE
from pilot.steps.output import TAIL, StepLog
from pilotage.bundles import Built, build, packed
from tests.steps_scene import HEAD, Scene, bundle_of, nowhere

pytestmark = pytest.mark.integration

#: How a command finds the link to the agent, which is none of its business.
LINK = "int(sys.argv[sys.argv.index('--fd') + 1])"
GOOD = """
@command(needs=["node"], provides=["greeting"], timeout=30)
def go(context: Context) -> Context:
    context.say(f"on {context.fact('host')} for {context.communities[0]}")
    ran = context.run("/bin/sh", "-c", "echo ran; exit 3")
    print("printed", ran.code, ran.output.strip(), context.option("greet"), flush=True)
    (context.work / "made").write_text("here")
    found = context.tagged("ready").found("release", "v9")
    return found.evolve(environment={**context.environment, "GREETING": "hello"})
"""


def one(tmp_path: Path, body: str, users: SlotUsers | None = None) -> Scene:
    """A scene with one command that does this."""
    source = "@command(timeout=30)\ndef go(context: Context) -> Context:\n" + "".join(
        f"    {line}\n" for line in body.splitlines()
    )
    return Scene(tmp_path / "work", [bundle_of(tmp_path, source)], users)


def test_a_command_changes_what_it_may(tmp_path: Path) -> None:
    """Facts, options and communities go in; environment, tags and facts come back; what it says and prints is heard."""
    scene, log = Scene(tmp_path / "work", [bundle_of(tmp_path, GOOD)]), nowhere()
    after = scene.run(log, options={"theirs:go": {"greet": "hi"}}, environment={"KEPT": "1"})
    assert after.environment == {"KEPT": "1", "GREETING": "hello"}
    told = (Fact("tag:ready", True, "theirs:go"), Fact("release", "v9", "theirs:go"))
    assert after.facts == (Fact("host", "node1", "a test"), *told)
    assert scene.central.facts_told == list(told)
    assert log.tail().splitlines() == ["on node1 for physics", "ran", "printed 3 ran hi"]
    assert [path.read_text() for path in (tmp_path / "work/steps").glob("*/made")] == ["here"]


def test_variables_of_earlier_commands_reach_it_and_its_programs(tmp_path: Path) -> None:
    """What payloads get so far a command and what it runs have too, but no process of ours was started with it."""
    body = (
        "print(os.environ['SET'], context.run('/bin/sh', '-c', 'echo $SET').output.strip(), flush=True)\n"
        "print(b'SET=' in open('/proc/self/environ', 'rb').read())\n"
        "return context"
    )
    scene, log = one(tmp_path, body), nowhere()
    scene.run(log, environment={"SET": "before"})
    assert log.tail().splitlines() == ["before", "before before", "False"]


def test_what_it_says_of_itself_is_known_before_it_runs(tmp_path: Path) -> None:
    """Needs, provides and time limit come from the module as imported, and are those of the manifest."""
    found = Scene(tmp_path / "work", [bundle_of(tmp_path, GOOD)]).prepare()["theirs:go"]
    assert (found.needs, found.provides, found.timeout) == (("node",), ("greeting",), 30.0)


def test_it_never_runs_in_the_agent(tmp_path: Path) -> None:
    """The process of a command is another one, and nothing of it is imported here."""
    scene, log = one(tmp_path, "print(os.getpid(), flush=True)\nreturn context"), nowhere()
    scene.run(log)
    assert int(log.tail()) != os.getpid()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("raise ValueError('odd')", "theirs:go: ValueError: odd"),
        ("sys.exit(3)", "theirs:go: SystemExit: 3"),
        ("os._exit(7)", "its process ended with exit code 7, before it returned"),
        ("os.kill(os.getpid(), 9)", "its process ended with signal SIGKILL, before it returned"),
        ("return None", "theirs:go returned NoneType, expected a Context"),
        ("context.central.match(None, 1, 1)", "a command in a process of its own has no 'match'"),
        ("context.computing.stop(1, 2, 3)", "a command in a process of its own has no 'stop'"),
        ("return context.evolve(environment={'PILOTAGE_JOB': '1'})", "the variable 'PILOTAGE_JOB', which cannot be"),
        ("return context.evolve(environment={'A': 'x' * 200000})", "the variable 'A', which cannot be"),
        ("return context.found('host', 'evil')", "told the fact host anew"),
        ("return context.found('tag:container:isolated', True)", "told the fact tag:container:isolated anew"),
        ("raise Unfit('x ' * 100_000)", "x x x"),
        (
            f"os.write({LINK}, b'not a word\\n'); time.sleep(60)",
            "what its process answered is no answer: expected JSON",
        ),
        (f"os.set_blocking({LINK}, True)\nwhile True: os.write({LINK}, b'x' * 65536)", "at most 4194304 bytes"),
        ("context.run('/no/such/program')", "/no/such/program cannot be run"),
        ("context.run('sleep', '60', seconds=0.2)", "sleep was not done after 0.2 s"),
    ],
)
def test_what_goes_wrong_in_it_is_named(tmp_path: Path, body: str, problem: str) -> None:
    """Whatever a command does, it ends as a failed step with the reason, and the agent goes on."""
    with pytest.raises(PilotageError, match=".*") as caught:
        one(tmp_path, body).run()
    assert problem in str(caught.value)
    assert len(str(caught.value)) <= LONGEST_MESSAGE


def test_a_machine_may_be_unfit_for_it(tmp_path: Path) -> None:
    """`Unfit` comes across as what it is."""
    with pytest.raises(Unfit, match="no licence server"):
        one(tmp_path, "raise Unfit('no licence server here')").run()


def test_a_traceback_is_among_its_last_lines(tmp_path: Path) -> None:
    """A fault of the command shows where it was."""
    log = nowhere()
    with pytest.raises(PilotageError):
        one(tmp_path, "raise ValueError('odd')").run(log)
    assert "theirs.py" in log.tail()
    assert "ValueError: odd" in log.tail()


def test_an_endless_command_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """When its time is over nothing of it is left: not its children, not those in sessions of their own."""
    body = (
        "stubborn = ['sh', '-c', 'trap \"\" TERM; sleep 989 & wait']\n"
        "for words in (['sleep', '987'], ['setsid', 'sleep', '988'], stubborn):\n"
        "    subprocess.Popen(words)\n"
        "print('started', flush=True)\n"
        "while True: time.sleep(1)"
    )
    scene, log, began = one(tmp_path, body), nowhere(), time.monotonic()
    with pytest.raises(TooLate, match=r"not done after 4 s"):
        scene.run(log, timeout=4)
    assert time.monotonic() - began < 60
    assert log.tail() == "started"
    assert [number for number in (987, 988, 989) if _sleeps(number)] == []


def _sleeps(number: int) -> bool:
    """Whether a process sleeps for so long."""
    lines = (path / "cmdline" for path in Path("/proc").iterdir() if path.name.isdigit())
    wanted = f"sleep\0{number}\0".encode()
    for line in lines:
        try:
            if line.read_bytes() == wanted:
                return True
        except OSError:
            continue
    return False


def test_what_it_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    """A command that returns leaves no process: whatever it started in the background ends with it."""
    body = "subprocess.Popen(['setsid', 'sleep', '986'])\nreturn context"
    one(tmp_path, body).run()
    assert not _sleeps(986)


def test_it_is_ended_when_the_pilot_ends(tmp_path: Path) -> None:
    """A pilot that is told to end does not wait for a step."""
    scene = one(tmp_path, "time.sleep(600)\nreturn context")
    command = scene.prepare()["theirs:go"]
    scene.computing.ending, scene.computing.looks = (PilotReason.SIGNAL, "the node is wanted"), 1
    with pytest.raises(Interrupted, match="the node is wanted") as caught:
        scene.guests.run(command, scene.context(command="theirs:go"), nowhere())
    assert caught.value.reason is PilotReason.SIGNAL


def test_what_runs_at_the_end_has_its_time(tmp_path: Path) -> None:
    """A command that is started when the pilot ends already, as one after the jobs, is not cut off."""
    scene = one(tmp_path, "time.sleep(1.2)\nreturn context.tagged('cleaned')")
    scene.computing.ending = (PilotReason.DRAINED, "empty")
    assert scene.run().fact("tag:cleaned") is True


def test_a_hundred_megabytes_hurt_nobody(tmp_path: Path) -> None:
    """Of a command that prints without end the first bytes and the last are kept, and the disk is spared."""
    file = tmp_path / "log"
    log = StepLog(file.open("wb", buffering=0), 1_000_000, lambda: None)
    body = "line = b'x' * 999 + b'\\n'\nfor _ in range(100_000): os.write(1, line)\nprint('the end')\nreturn context"
    one(tmp_path, body).run(log, timeout=120)
    log.close()
    content = file.read_bytes()
    assert len(content) < 1_000_000 + TAIL + 200
    assert content.startswith(b"xxx")
    assert content.endswith(b"the end\n")
    assert b"bytes are left out here" in content
    assert log.size == 100_000_000 + len("the end\n")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module_of_anybody\n", "No module named 'no_such_module_of_anybody'"),
        ("os._exit(4)\n", "ended with exit code 4, before it returned"),
        ("sys.exit(5)\n", "SystemExit: 5"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_before_anything_runs(
    tmp_path: Path, source: str, problem: str
) -> None:
    """A syntax error, a missing dependency: the pilot says which, and runs nothing."""
    scene = Scene(tmp_path / "work", [changed(tmp_path, source)])
    with pytest.raises(PilotageError, match=".*") as caught:
        scene.prepare()
    assert problem in str(caught.value)


def test_a_module_that_is_never_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that does not come to an end is ended, and named as what it is."""
    monkeypatch.setattr(guests, "LOOK_TIMEOUT", 1.0)
    with pytest.raises(PipelineError, match="the modules of the bundles were not imported within 1 s"):
        Scene(tmp_path / "work", [changed(tmp_path, "time.sleep(984)\n")]).prepare()
    assert not _sleeps(984)


def test_a_module_that_is_not_as_its_manifest_says_is_refused(tmp_path: Path) -> None:
    """By the manifest the pipeline was checked: a command that says other things now does not run."""
    source = "@command(needs=['node', 'more'], provides=['greeting'], timeout=30)\ndef go(context): return context\n"
    with pytest.raises(PipelineError, match="theirs:go is not as its bundle's manifest says"):
        Scene(tmp_path / "work", [changed(tmp_path, source)]).prepare()


def changed(tmp_path: Path, source: str) -> Built:
    """A bundle with the manifest of GOOD, and another module in it."""
    good = bundle_of(tmp_path, GOOD)
    content = packed({"theirs.py": (HEAD + source).encode(), MANIFEST: good.manifest.written()})
    return Built(good.manifest, content)


def test_a_bundle_that_was_changed_on_the_node_is_not_opened(tmp_path: Path) -> None:
    """Before each process the file is what was fetched, or nothing starts."""
    scene = Scene(tmp_path / "work", [bundle_of(tmp_path, GOOD)])
    command = scene.prepare()["theirs:go"]
    (path,) = scene.guests.archives
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(PilotageError, match="was changed since it was fetched"):
        scene.guests.run(command, scene.context(command="theirs:go"), nowhere())


def test_a_pilot_for_several_runs_nobodys_code(tmp_path: Path) -> None:
    """A bundle that comes to a pilot of other communities stops it."""
    scene = Scene(tmp_path / "work", [bundle_of(tmp_path, GOOD)])
    settings = scene.context().settings
    context = scene.context().evolve(settings=replace(settings, communities=("physics", "biology")))
    with pytest.raises(PipelineError, match="the bundle theirs is physics's, and this pilot serves physics, biology"):
        scene.guests.prepare(context, ["theirs:go"], nowhere())


def test_a_bundle_without_the_command_stops_the_pilot(tmp_path: Path) -> None:
    """A bundle that was exchanged while the pilot was on its way: it ends with the reason before any command runs."""
    scene = Scene(tmp_path / "work", [bundle_of(tmp_path, GOOD)])
    with pytest.raises(PipelineError, match="has the command theirs:gone; the commands that came: theirs:go"):
        scene.prepare(["theirs:go", "theirs:gone"])


#: One that other users can read, as a Python in the home of root is not.
COMMON_PYTHON = "/usr/bin/python3"


def as_a_user(tmp_path: Path, body: str, python: str) -> tuple[Scene, SlotUsers]:
    """A scene whose commands run as a user for payloads, started by this Python."""
    user = SlotUser("slot23456", 23456, 23456)
    users = SlotUsers([user], lambda uid: bool(processes_of(uid)), lambda uid: True, lambda uid: None)
    for folder in (tmp_path, *tmp_path.parents):
        if len(folder.parts) > 2:
            folder.chmod(0o711)
    scene = one(tmp_path, body, users)
    scene.guests.words = [python, "-m", "pilot"]
    return scene, users


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as other users")
@pytest.mark.skipif(not os.access(COMMON_PYTHON, os.X_OK), reason="there is no Python that every user can read")
def test_it_runs_as_a_user_for_payloads(tmp_path: Path) -> None:
    """Where payloads have users of their own a command runs as one of them, and gains no rights."""
    body = (
        "import logging\n"
        "print(os.getuid(), os.getgid(), os.getgroups(), flush=True)\n"
        "(context.work / 'made').write_text('x')\n"
        "print([line for line in open('/proc/self/status') if line.startswith('NoNewPrivs')][0].split()[1])\n"
        "return context"
    )
    log = nowhere()
    scene, users = as_a_user(tmp_path, body, COMMON_PYTHON)
    scene.run(log)
    assert log.tail().splitlines() == ["23456 23456 []", "1"]
    (made,) = (tmp_path / "work/steps").glob("*/made")
    assert (made.stat().st_uid, made.parent.stat().st_uid) == (0, 0)  # nothing for its next payload to change
    assert users.any_free()
    assert processes_of(23456) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as other users")
def test_a_python_that_its_user_cannot_read_is_told(tmp_path: Path) -> None:
    """Where the pilot's Python is in a place for root alone, that is the reason, and not a module that is missing."""
    if os.stat(os.path.dirname(os.__file__)).st_uid != 0 or _readable_by_all(Path(os.__file__)):
        pytest.skip("the Python of the tests can be read by everybody")
    scene, _ = as_a_user(tmp_path, "return context", sys.executable)
    with pytest.raises(PilotageError, match="the user 23456 for payloads cannot read the modules of"):
        scene.prepare()


def _readable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def test_the_kit_for_tests_runs_real_programs() -> None:
    """A community's own tests may let a command run the programs of this machine."""

    @command()
    def real(context: Context) -> Context:
        ran = context.run("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
        return context.found("code", ran.code).found("output", ran.output)

    assert attempt(real, programs=REAL).facts == {"code": 3, "output": "out\nerr\n"}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import no_such_module\n", "theirs cannot be imported: ModuleNotFoundError"),
        ("os._exit(4)\n", "importing its modules ended Python with exit code 4"),
        ("x = 1\n", "no command is in it"),
        ("@command(timeout=None)\ndef go(context): return context\n", "timeout: expected seconds up to 86400"),
        ("@command(provides=['slots'])\ndef go(context): return context\n", "only the pilot provides 'slots'"),
    ],
)
def test_a_folder_that_makes_no_bundle_is_told(tmp_path: Path, source: str, problem: str) -> None:
    """What no pilot could run is refused where it is built, with the reason."""
    with pytest.raises(PilotageError, match=".*") as caught:
        bundle_of(tmp_path, source)
    assert problem in str(caught.value)


def test_the_name_of_a_module_that_python_has_is_refused(tmp_path: Path) -> None:
    """It would never be found: Python's own comes first."""
    (tmp_path / "json.py").write_text("from commands import command\n@command()\ndef go(c): return c\n")
    with pytest.raises(PilotageError, match="json is the name of a module that Python has already"):
        build(tmp_path, "theirs")


def test_a_bundle_of_many_commands_is_built(tmp_path: Path) -> None:
    """What its modules say of themselves may be more than a pipe holds."""
    needs = [f"need_{number}_{'x' * 40}" for number in range(20)]
    source = "".join(f"@command(needs={needs})\ndef go{number}(context): return context\n" for number in range(100))
    assert len(bundle_of(tmp_path, source).manifest.commands) == 100


def test_the_same_files_make_the_same_bundle(tmp_path: Path) -> None:
    """A bundle depends on its files alone: not on when, where and by whom it was built."""
    first = bundle_of(tmp_path, GOOD)
    os.utime(tmp_path / "source-theirs" / "theirs.py", (1, 1))
    (tmp_path / "source-theirs" / "theirs.py").chmod(0o600)
    assert bundle_of(tmp_path, GOOD).content == first.content
    assert [command.name for command in first.manifest.commands] == ["theirs:go"]
