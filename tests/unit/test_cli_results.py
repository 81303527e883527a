"""The command line where it reads logs and fetches outputs: what has no effect is refused, nothing is lost silently."""

import json

import pytest

from central.__main__ import main as central_main
from pilot.errors import InvalidInput, PilotageError
from pilot.protocol import Needs, OutputFile
from pilot.queues import QueueView
from pilot.states import JobState
from pilot.use import WastePage
from pilot.views import JobDetail, JobOutputs, JobPage, PilotDetail, VerbResult, WhoAmI
from pilotage.__main__ import main
from pilotage.exits import Exit
from pilotage.files import Fetched
from pilotage.screen import visible
from tests.unit.client_scene import job
from tests.unit.test_cli import STAMP, FakeClient, pilot, run


def detail(state: JobState = JobState.DONE, attempt: int = 1) -> JobDetail:
    return JobDetail(job(7, state, attempt=attempt), ("true",), Needs(), 0, 0, 0)


FILE = OutputFile("a.png", 2_000_000, "ab" * 32, ("sandbox",))


# -- names that nobody knows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("jobs", "--site", "nowhere"), "no site nowhere is configured; there are: here"),
        (("jobs", "--queue", "lost"), "no queue lost is configured; there are: local"),
        (("kill", "--site", "nowhere"), "no site nowhere is configured"),
        (("pilots", "--queue", "lost"), "no queue lost is configured"),
    ],
)
def test_a_place_that_nobody_knows_is_named(words, told):
    """Nothing was found, and why: the name is wrong."""
    me = WhoAmI("ada", "p", "u", "member")
    queues = (QueueView("local", "here", "local", 1, {}),)

    assert told in run(FakeClient(job_page=JobPage(()), kill=(), pilots=(), whoami=me, queues=queues), *words).stderr


# -- what would steer a terminal --------------------------------------------------------------------------------------


def test_characters_that_would_steer_a_terminal_are_shown():
    """In tables, facts, lines and remarks alike; lines stay lines, and letters of every script stay themselves."""
    evil = "a\x1b[2J\x9b\u202e\rb"
    shown = "a\\x1b[2J\\x9b\\u202e\\x0db"
    page = JobPage((job(7, JobState.HELD, name=evil, reason=evil),), counts={"held": 1})
    result = run(FakeClient(job_page=page, whoami=WhoAmI("ada", "p", "u", "member")), "jobs")
    assert result.stdout.count(shown) == 2

    held = JobDetail(job(7, JobState.HELD, name=evil, reason="one\ntwo"), ("true", evil), Needs(), 0, 0, 0)
    lines = run(FakeClient(job=held, attempts=()), "job", "7").stdout.splitlines()
    assert any(line.endswith(f"7 {shown}") for line in lines)
    assert any(line.split() == ["reason", "one"] for line in lines)
    assert "\x1b" not in "".join(lines)

    found = run(FakeClient(kill=(VerbResult(7, False, None, problem=evil),)), "kill", "7")
    assert shown in found.stderr
    assert visible("größe → 大 👩\u200d🔬\tx\ny") == "größe → 大 👩\u200d🔬\tx\ny"


# -- the disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("down", "--folder", "/dev/null/x"),
        ("up", "--detach", "--port", "0", "--folder", "/dev/null/x"),
    ],
)
def test_what_the_disk_refuses_is_a_sentence(words, capsys):
    """No traceback: which file, and why; the exit code is 1."""
    assert main(words) == Exit.FAILED
    said = capsys.readouterr().err
    assert said.startswith("pilotage: ")
    assert "/dev/null" in said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_made_is_a_sentence(capsys):
    """The central's own verbs say it the same way, which is what `up` shows."""
    assert central_main(["init", "--folder", "/dev/null/x"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("central: cannot use /dev/null")
    assert "Traceback" not in said


def test_a_picture_that_cannot_be_written_is_a_sentence(monkeypatch, capsys):
    """The question is answered, the file cannot be made."""
    page = WastePage(0.0, None, ("site",), ())
    monkeypatch.setattr("pilotage.__main__.connect", lambda *given: FakeClient(waste=page))

    assert main(["waste", "--svg", "/dev/null/x.svg"]) == Exit.FAILED
    assert capsys.readouterr().err == "pilotage: cannot use /dev/null/x.svg: Not a directory\n"


# -- outputs ----------------------------------------------------------------------------------------------------------


def test_outputs_can_be_listed_without_fetching():
    """--list shows names, sizes and where."""
    client = FakeClient(job=detail(), outputs=JobOutputs(1, (FILE,), ("b.png",)))

    result = run(client, "output", "7", "--list")

    assert "a.png  2.0 MB  abababababab  sandbox" in result.stdout
    assert "b.png" in result.stdout
    assert "not delivered" in result.stdout


@pytest.mark.parametrize("state", [JobState.WAITING, JobState.RUNNING, JobState.COMPLETING, JobState.HELD])
def test_a_job_that_has_not_ended_has_nothing_to_fetch(state):
    """A script that goes on after `output` does not go on without the files; an earlier attempt can be named."""
    found = JobOutputs(1, (FILE,))
    client = FakeClient(job=detail(state, 2), outputs=found, fetch_outputs=Fetched(()))

    with pytest.raises(PilotageError, match="has not ended yet"):
        run(client, "output", "7")
    assert [name for name, _, _ in client.asked] == ["job"]
    assert run(client, "output", "7", "--attempt", "1").exit_code == Exit.DONE


def test_files_that_were_not_delivered_have_an_exit_code(tmp_path):
    """What came is fetched and what did not is told, also to scripts."""
    client = FakeClient(
        job=detail(), outputs=JobOutputs(1, (FILE,), ("b",)), fetch_outputs=Fetched((tmp_path / "a.png",), (), ("b",))
    )

    result = run(client, "output", "7", "-d", str(tmp_path), "--force")

    assert result.exit_code == Exit.PARTLY
    assert "b was not delivered" in result.stderr
    assert client.asked[-1][2]["force"] is True
    assert json.loads(run(client, "output", "7", "--json").stdout)["undelivered"] == ["b"]


# -- logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("7", "-F"),
        ("7", "-i"),
        ("7", "--stream", "boot"),
        ("--pilot", STAMP, "--stderr"),
        ("--pilot", STAMP, "--attempt", "2"),
        ("7", "--grep", "x", "--offset", "9"),
    ],
)
def test_an_option_without_effect_is_refused(words):
    """Nobody is left to believe that it had one."""
    assert run(FakeClient(), "logs", *words).exit_code == Exit.USAGE


def test_a_stream_that_a_pilot_does_not_have_is_refused():
    """With the names of those that it has; one that is followed may begin later."""
    client = FakeClient(
        pilot=PilotDetail(pilot(), streams={"boot": 1, "pilot": 2}), pilot_logs=b"hi", follow_pilot=[b"ho"]
    )

    with pytest.raises(PilotageError, match="has no stream bot; it has boot, pilot"):
        run(client, "logs", "--pilot", STAMP, "--stream", "bot")
    assert run(client, "logs", "--pilot", STAMP, "--stream", "boot").stdout == "hi"
    assert run(client, "logs", "--pilot", STAMP, "--stream", "step-9-late", "-f").stdout == "ho"


def test_a_pilot_without_a_log_of_its_own_has_its_streams_named():
    """Nothing is not all that is said of a pilot that never enrolled: what there is of it is in other streams."""
    client = FakeClient(pilot=PilotDetail(pilot(), streams={"ce": 9}), pilot_logs=b"")
    told = run(client, "logs", "--pilot", STAMP)
    assert told.stdout == ""
    assert "--stream shows ce" in told.stderr


def test_an_offset_behind_the_end_is_told():
    """An error when no stream that was asked for is so long; the longer one is printed."""

    class Client(FakeClient):
        def logs(self, job_id: int, stream: str, *, attempt: int | None = None, offset: int = 0) -> bytes:
            if stream == "stderr":
                raise InvalidInput("offset", f"this log has 3 bytes until now, and none at {offset}")
            return b"out"[offset:]

    assert run(Client(), "logs", "7", "--offset", "1").stdout == "ut"
    with pytest.raises(InvalidInput, match="--offset: stderr: this log has 3 bytes"):
        run(Client(), "logs", "7", "--offset", "9", "--stderr")


def test_a_search_without_a_match_has_an_exit_code():
    """As of grep, for scripts."""
    assert run(FakeClient(search=[]), "logs", "7", "--grep", "x").exit_code == Exit.FAILED
