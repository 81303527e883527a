"""The command line: what it prints for people and for programs, and how it ends."""

import json
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pilot.errors import InvalidInput, InvalidJob, PilotageError, Refusal, TransportError
from pilot.looking import LogLine, PeekView
from pilot.protocol import Needs, Platform, StopSignal, Usage
from pilot.queues import PauseView, PilotsWait, QueueExplanation, QueueView, SiteView
from pilot.states import JobState, Outcome, Phase, PilotReason, PilotState
from pilot.views import (
    AttemptView,
    JobDetail,
    JobExplanation,
    JobPage,
    JobRange,
    NeedFailure,
    PilotDetail,
    PilotExplanation,
    PilotView,
    Selection,
    StepView,
    VerbResult,
    WhoAmI,
)
from pilotage import NotConfigured, exits, words
from pilotage.__main__ import cli, main
from pilotage.exits import Exit
from pilotage.jobs import Submission
from pilotage.screen import Screen, Table, plain
from pilotage.shell import Shell
from tests.unit.client_scene import job

STAMP, OTHER = "3f9a12bc" * 4, "3f9a77aa" * 4
QUEUE = QueueView("local", "here", "local", 1, {"running": 1}, 4, "enough pilots")


def pilot(stamp: str = STAMP, state: PilotState = PilotState.RUNNING, **fields: object) -> PilotView:
    return PilotView(stamp, state, "here", "local", ("physics",), created=0.0, **fields)


class FakeClient:
    """Answers what it was given, and remembers what it was asked."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def __enter__(self) -> "FakeClient":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __getattr__(self, name: str):
        def ask(*arguments: object, **options: object) -> object:
            self.asked.append((name, arguments, options))
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        if name not in self.answers:
            raise AssertionError(f"nobody expected {name} to be asked")
        return ask


def run(client: FakeClient, *arguments: str, **options: object):
    return CliRunner().invoke(
        cli, list(arguments), obj=Shell(lambda *given: client, Screen()), catch_exceptions=False, **options
    )


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_jobs_are_a_plain_table_when_nobody_looks():
    """Without a terminal each job is one line with aligned columns, whatever its length, and counts go to stderr."""
    long = "it failed " * 20
    page = JobPage(
        (
            job(12, JobState.FAILED, name="fit-2", reason=long, attempt=1),
            job(7, JobState.RUNNING, pilot=STAMP, site="here"),
        ),
        counts={"failed": 1, "running": 1},
    )
    result = run(FakeClient(job_page=page, whoami=WhoAmI("ada", "physics", "users", "member")), "jobs")

    lines = result.stdout.splitlines()
    assert lines[0].split() == ["JOB", "NAME", "STATE", "TRY", "OWNER", "SITE", "PILOT", "AGE", "SINCE", "NOTE"]
    assert lines[1].startswith(" 12  fit-2  failed")
    assert lines[1].endswith(long.strip())
    assert "3f9a12bc" in lines[2]
    assert len(lines) == 3
    assert result.stderr == "1 running, 1 failed\n"


def test_jobs_are_ones_own_unless_others_are_asked_for():
    """The list is of the caller's jobs; --owner and --all look further."""
    me = WhoAmI("ada", "physics", "users", "member")
    client = FakeClient(job_page=JobPage(()), whoami=me)

    for options in ((), ("--owner", "bob"), ("--all", "--state", "held")):
        run(client, "jobs", *options)

    asked = [arguments[0] for name, arguments, _ in client.asked if name == "job_page"]
    assert asked == [Selection(owner="ada"), Selection(owner="bob"), Selection(states=(JobState.HELD,))]


def test_jobs_are_chosen_by_states_place_and_time():
    """States are typed with commas or again and again; site, queue and a moment narrow the choice further."""
    queues = (QueueView("q", "here", "local", 1, {}),)
    client = FakeClient(job_page=JobPage(()), whoami=WhoAmI("ada", "p", "u", "member"), queues=queues)
    words = ("--state", "failed,killed", "--state", "held", "--site", "here", "--queue", "q", "--since", "2h")
    before = time.time()
    assert run(client, "jobs", *words).exit_code == 0
    (chosen,) = [arguments[0] for name, arguments, _ in client.asked if name == "job_page"]
    assert chosen.states == (JobState.FAILED, JobState.KILLED, JobState.HELD)
    assert (chosen.site, chosen.queue, chosen.owner) == ("here", "q", "ada")
    assert chosen.submitted_since == pytest.approx(before - 7200, abs=60)


@pytest.mark.parametrize("words", [("--state", "failed,lost"), ("--state", ","), ("--since", "yesterday")])
def test_what_is_no_state_or_time_is_a_usage_error(words):
    """A word that chooses nothing is refused with what is expected."""
    result = run(FakeClient(), "jobs", *words)
    assert result.exit_code == 2
    assert "expected" in result.stderr


def test_json_is_the_record_itself():
    """--json prints the view of the API, and nothing else, to stdout."""
    page = JobPage((job(7, JobState.WAITING),), counts={"waiting": 1})
    result = run(FakeClient(job_page=page, whoami=WhoAmI("ada", "p", "u", "member")), "jobs", "--json")

    shown = json.loads(result.stdout)
    assert shown["jobs"][0]["id"] == 7
    assert shown["jobs"][0]["state"] == "waiting"
    assert shown["counts"] == {"waiting": 1}
    assert result.stderr == ""


def test_a_job_is_shown_with_its_attempts_and_last_lines():
    """One job: facts in words, a row for each attempt, and what the last one said before it failed."""
    needs = Needs(cores=4, max_cores=4, memory=2 * 10**9, memory_per_core=500 * 10**6, tags="cvmfs", wall_time=14400)
    detail = JobDetail(
        job(7, JobState.FAILED, outcome=Outcome.PAYLOAD_ERROR, exit_code=3, parameters={"seed": "1"}, attempt=1),
        ("python3", "fit.py", "a b"),
        needs,
        retries=2,
        retries_used=2,
        blameless_ends=1,
        container="fit.sif",
        checkpoint=("*.ckpt",),
        grace=30,
        cpu_time=0,
        no_progress=7200,
        stop_signal=StopSignal(600, "SIGUSR2", "fit*"),
    )
    usage = Usage(wall=61.0, cpu=2.5, memory_peak=10**6)
    ended = AttemptView(
        7, 1, STAMP, "here", Phase.ENDED, 4, 0.0, 61.0, Outcome.PAYLOAD_ERROR, 3, tail="Traceback\nboom\n", usage=usage
    )
    result = run(FakeClient(job=detail, attempts=(ended,)), "job", "7")

    assert "python3 fit.py 'a b'" in result.stdout
    assert "4 cores, 2.0 GB + 500 MB per core memory, 4h wall time, tags cvmfs" in result.stdout
    assert "2 of 2 used" in result.stdout
    assert "once, through no fault of the job" in result.stdout
    facts = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    for fact in (["isolation", "not required"], ["container", "fit.sif"], ["checkpoint", "*.ckpt"]):
        assert fact in facts
    assert "30s between the request to stop and the kill" in result.stdout
    assert "as much as its cores give in its wall time" in result.stdout
    assert "ended after 2h without progress" in result.stdout
    assert "SIGUSR2 to programs named fit*, 10m before the end of its wall time" in result.stdout
    assert "seed = 1" in result.stdout
    assert "payload-error" in result.stdout
    assert "1m 1s" in result.stdout
    assert result.stdout.rstrip().endswith("boom")


def test_ids_are_typed_with_ranges():
    """`7 9-11 10` names each job once."""
    results = tuple(VerbResult(number, True, JobState.KILLED) for number in (7, 9, 10, 11))
    client = FakeClient(kill=results)

    result = run(client, "kill", "7", "9-11", "10", "--reason", "wrong seed")

    assert client.asked == [("kill", ((7, 9, 10, 11), "wrong seed"), {})]
    assert result.stdout.splitlines() == [f"job {number}: killed" for number in (7, 9, 10, 11)]
    assert result.exit_code == 0


@pytest.mark.parametrize("word", ["seven", "0", "9-7", "1-999999999", "-1", "7-"])
def test_what_is_no_id_is_a_usage_error(word):
    """A word that names no jobs is refused before anything is asked."""
    result = run(FakeClient(), "kill", "--", word)

    assert result.exit_code == Exit.USAGE
    assert "expected" in result.stderr


def test_jobs_that_were_not_changed_are_told_and_change_the_exit_code():
    """What could not be changed says why on stderr, and the code tells programs."""
    client = FakeClient(kill=(VerbResult(7, True, JobState.KILLED), VerbResult(8, False, problem="it is done")))

    result = run(client, "kill", "7", "8")

    assert result.stdout == "job 7: killed\n"
    assert result.stderr == "job 8: it is done\n"
    assert result.exit_code == Exit.PARTLY


def test_a_bulk_change_needs_something_chosen():
    """Neither ids nor a filter, or both: an error, not everything."""
    for arguments in (("kill",), ("kill", "7", "--state", "waiting")):
        result = run(FakeClient(), *arguments)
        assert result.exit_code == Exit.USAGE
        assert "Name jobs by id" in result.stderr


def test_a_filter_changes_ones_own_jobs():
    """`hold --state waiting` is about the caller's jobs."""
    client = FakeClient(hold=(VerbResult(7, True, JobState.HELD),), whoami=WhoAmI("ada", "p", "u", "member"))

    run(client, "hold", "--state", "waiting")

    assert client.asked[-1] == ("hold", (Selection(states=(JobState.WAITING,), owner="ada"), ""), {})


def test_a_reschedule_tells_the_new_job():
    """The id to watch now is the new one."""
    result = run(FakeClient(reschedule=(VerbResult(7, True, JobState.WAITING, new_job=99),)), "reschedule", "7")

    assert result.stdout == "job 7: new job 99\n"


# -- submitting -------------------------------------------------------------------------------------------------------


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_submit_tells_the_ids_and_the_warnings(tmp_path):
    """Ids come as ranges on stdout, and a warning names the file instead of a number."""
    name = write(tmp_path / "fit.yaml", "command: [a]\nsweep: {n: 1..3}\n")
    submission = Submission((JobRange(7, 3),), ("jobs[0]: no configured queue has 1000 cores",), 2)
    client = FakeClient(submit_prepared=submission)

    result = run(client, "submit", name, "--set", "name=fit")

    assert result.stdout == "submitted 3 jobs: 7-9; 2 input files sent\n"
    assert result.stderr == f"warning: {name}: no configured queue has 1000 cores\n"
    prepared = client.asked[0][1][0]
    assert prepared.documents[0]["name"] == "fit"


def test_submit_tells_every_problem_of_every_file(tmp_path):
    """Mistakes in several files come together, each with its file and key, and nothing is sent."""
    one = write(tmp_path / "one.yaml", "command: [a]\nneeds: {cores: -1}\n")
    two = write(tmp_path / "two.yaml", "command: [a]\ninputs: [gone]\n---\ncomand: [b]\n")

    with pytest.raises(InvalidJob) as caught:
        run(FakeClient(), "submit", one, two)

    lines = exits.sentences(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [one, "needs.cores"],
        [f"{two}, job 1", "inputs[0]"],
        [f"{two}, job 2", "command"],
        [f"{two}, job 2", "comand"],
    ]
    assert exits.of(caught.value) is Exit.USAGE


def test_a_watched_submission_ends_as_its_jobs(tmp_path):
    """--watch waits, tells what failed, and the exit code says so."""
    name = write(tmp_path / "fit.yaml", "command: [a]\n")
    ended = (job(7, JobState.DONE), job(8, JobState.FAILED, reason="exit code 3"))
    client = FakeClient(submit_prepared=Submission((JobRange(7, 2),)), wait=ended)

    result = run(client, "submit", name, "--watch")

    assert result.exit_code == Exit.JOBS_FAILED
    assert "job 8 failed: exit code 3" in result.stderr
    assert "pilotage logs 8" in result.stderr


# -- logs and outputs -------------------------------------------------------------------------------------------------


class LogClient(FakeClient):
    def logs(self, job_id: int, stream: str, *, attempt: int | None = None, offset: int = 0) -> bytes:
        return {"stdout": b"out\xff\n", "stderr": b"err\n"}[stream]


def test_logs_go_where_the_job_sent_them():
    """Standard output and error keep apart, and bytes stay what they are."""
    result = run(LogClient(), "logs", "7")

    assert result.stdout_bytes == b"out\xff\n"
    assert result.stderr_bytes == b"err\n"


def test_one_log_alone_goes_to_standard_output():
    """--stderr is for pipes."""
    assert run(LogClient(), "logs", "7", "--stderr").stdout_bytes == b"err\n"


def test_logs_for_programs_are_lines_of_json():
    """--json gives each piece with its stream, on stdout, whatever its bytes are."""
    lines = [json.loads(line) for line in run(LogClient(), "logs", "7", "--json").stdout.splitlines()]

    assert lines == [{"stream": "stdout", "text": "out\ufffd\n"}, {"stream": "stderr", "text": "err\n"}]


def test_a_job_that_waits_has_nothing_yet():
    """What a job printed that has had no attempt is not missing: it waits, which is no mistake of a name."""
    no = Refusal("not-found", "job 7 has had no attempt yet: there is nothing to read")

    def asked(attempt: int, *options: str):
        detail = JobDetail(job(7, attempt=attempt), ("true",), Needs(), 0, 0, 0)
        return CliRunner().invoke(
            cli,
            ["logs", "7", *options],
            obj=Shell(lambda *given: FakeClient(logs=no, job=detail), Screen()),
        )

    result = asked(0)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("job 7 waits: nothing is ")
    assert asked(1).exception is no
    assert asked(0, "--attempt", "2").exception is no


def test_logs_of_a_pilot_are_found_by_the_beginning_of_its_stamp():
    """A few digits are enough where they name one pilot."""
    client = FakeClient(pilots=(pilot(), pilot(OTHER)), pilot_logs=b"hello\n")

    assert run(client, "logs", "--pilot", "3f9a12").stdout == "hello\n"
    assert client.asked[-1] == ("pilot_logs", (STAMP, "pilot"), {"offset": 0})


def test_logs_need_a_job_or_a_pilot():
    """Neither or both is a usage error."""
    assert run(FakeClient(), "logs").exit_code == Exit.USAGE
    assert run(FakeClient(), "logs", "7", "--pilot", STAMP).exit_code == Exit.USAGE


def test_lines_that_match_are_printed_alone():
    """--grep asks the central for lines of both streams, as text or as JSON, and does not go with --follow."""
    client = FakeClient(search=[LogLine(7, "an error")])

    assert run(client, "logs", "7", "--grep", "error", "-i").stdout == "an error\nan error\n"
    assert client.asked[-1] == (
        "search",
        (7, "error", "stderr"),
        {"attempt": None, "plain": False, "ignore_case": True},
    )
    shown = run(client, "logs", "7", "--grep", "error", "--stdout", "--json").stdout
    assert json.loads(shown) == {"stream": "stdout", "offset": 7, "text": "an error"}
    assert run(client, "logs", "7", "--grep", "error", "-f").exit_code == Exit.USAGE


def test_a_file_of_a_running_job_is_shown_as_it_is():
    """The bytes go to standard output, and what was left out is said beside; what is not there is an error."""
    client = FakeClient(peek=PeekView(True, "fit.log", size=100, offset=90, content=b"the end\xff"))

    result = run(client, "peek", "7", "fit.log", "--tail", "--bytes", "10")
    assert result.stdout_bytes == b"the end\xff"
    assert "bytes 90 to 98 of 100" in result.stderr
    assert client.asked[-1] == ("peek", (7, "fit.log"), {"offset": -10, "most": 10})
    nothing = FakeClient(peek=PeekView(True, "x", problem="x cannot be read: No such file or directory"))
    with pytest.raises(PilotageError, match="^x cannot be read: No such file"):
        run(nothing, "peek", "7", "x")
    short = FakeClient(peek=PeekView(True, "fit.log", size=100, offset=200))
    with pytest.raises(PilotageError, match="fit.log has 100 bytes until now, and none at 200"):
        run(short, "peek", "7", "fit.log", "--offset", "200")


# -- pilots and explanations ------------------------------------------------------------------------------------------


def test_pilots_are_those_that_live():
    """Without options only live states are asked for; with --all every pilot; with --limit the newest of them."""
    client = FakeClient(pilots=(pilot(host="node7", cores=4, running=2),))

    result = run(client, "pilots")
    run(client, "pilots", "--all")

    assert "3f9a12bc  running  here  local  node7" in result.stdout
    both = FakeClient(pilots=(pilot(), pilot(OTHER)))
    assert OTHER[:8] not in run(both, "pilots", "--limit", "1").stdout
    assert run(both, "pilots", "--limit", "1").stderr == "there are more, older ones\n"
    assert (OTHER[:8] in run(both, "pilots", "--limit", "2").stdout, run(both, "pilots", "--limit", "2").stderr) == (
        True,
        "",
    )
    assert set(client.asked[0][1][0]) == {
        PilotState(name) for name in ("planned", "submitting", "submitted", "running", "silent", "draining")
    }
    assert client.asked[1][1][0] == ()


def test_a_pilot_is_shown_with_its_steps():
    """One pilot: facts, what it found out and from where, and each step."""
    detail = PilotDetail(
        pilot(state=PilotState.FAILED, reason=PilotReason.UNFIT, message="no disk", exit_code=20),
        (StepView(1, "check_node", "failed", 0.2, "no disk"),),
        {"cores": "4 (affinity)", "disk": "2000000000 (statvfs)", "batch": " (no variables are set)"},
        streams={"boot": 1200, "job-1-1-stdout": 7},
    )

    result = run(FakeClient(pilot=detail), "pilot", STAMP)

    for text in (
        "unfit: no disk",
        "node: cores",
        "4 (affinity)",
        "check_node",
        "boot (1.2 kB), and 1 stream of jobs",
        "2.0 GB (statvfs)",
        "none (no variables are set)",
    ):
        assert text in result.stdout


def test_a_stamp_that_fits_several_pilots_is_refused():
    """An order goes to one pilot that was really meant."""
    client = FakeClient(pilots=(pilot(), pilot(OTHER)))

    with pytest.raises(PilotageError, match="2 pilots have a stamp that begins with 3f9a"):
        run(client, "drain", "3f9a")


def test_drain_tells_what_happens():
    """The order is given with its reason, and with its deadline in seconds."""
    client = FakeClient(drain=5)

    result = run(client, "drain", STAMP, "--reason", "kernel update", "--deadline", "2h")

    assert client.asked == [("drain", (STAMP, "kernel update"), {"deadline": 7200})]
    assert "finishes what it runs and ends" in result.stdout


def test_all_pilots_of_a_queue_are_drained():
    """Each that lives is given the order; where none does that is told, and a queue that nobody knows is a mistake."""
    queue = QueueView("local", "here", "local", 2, {})
    client = FakeClient(pilots=(pilot(), pilot(OTHER)), drain=5)
    assert run(client, "drain", "--queue", "local").stdout.count("finishes what it runs and ends") == 2
    assert [what for what, _, _ in client.asked].count("drain") == 2
    assert (
        "no pilot of local lives now"
        in run(FakeClient(pilots=(), queues=(queue,), halt=1), "halt", "--queue", "local").stderr
    )
    with pytest.raises(PilotageError, match="nowhere"):
        run(FakeClient(pilots=(), queues=(queue,)), "drain", "--queue", "nowhere")
    assert run(FakeClient(), "drain").exit_code == 2
    assert run(FakeClient(), "drain", STAMP, "--queue", "local").exit_code == 2


def test_a_queue_is_paused_and_resumed():
    """Pausing asks for a reason and shows the queue as it is then; `queues` alone lists them all."""
    paused = QueueView("local", "here", "local", 2, {}, decision="paused by ada: new disks")
    client = FakeClient(pause_queue=paused, resume_queue=paused, queues=(paused,))

    result = run(client, "queues", "pause", "local", "--reason", "new disks")
    assert "paused by ada: new disks" in result.stdout
    assert run(client, "queues", "pause", "local").exit_code == 2
    assert json.loads(run(client, "queues", "resume", "local", "--json").stdout)["name"] == "local"
    assert [(name, arguments) for name, arguments, _ in client.asked] == [
        ("pause_queue", ("local", "new disks", None)),
        ("resume_queue", ("local",)),
    ]
    assert "LAST DECISION" in run(client, "queues").stdout


def test_a_site_is_banned_for_a_time_and_unbanned():
    """A ban asks for a reason, may have an end, and is shown with who said so; so may a pause."""
    banned = SiteView("here", ("local",), PauseView("ada", "power cut", 1.0, 7201.0, "here"))
    client = FakeClient(ban_site=banned, unban_site=SiteView("here"), sites=(banned,), pause_queue=QUEUE)

    result = run(client, "sites", "ban", "here", "--reason", "power cut", "--for", "2h")
    assert "by ada since" in result.stdout
    told = run(client, "sites").stdout
    assert "power cut" in told
    assert "with the site" not in told
    assert run(client, "sites", "ban", "here", "--reason", "x", "--for", "soon").exit_code == Exit.USAGE
    assert json.loads(run(client, "sites", "unban", "here", "--json").stdout)["banned"] is None
    run(client, "queues", "pause", "local", "--reason", "x", "--for", "30m")
    assert [(name, arguments) for name, arguments, _ in client.asked] == [
        ("ban_site", ("here", "power cut", 7200)),
        ("sites", ()),
        ("unban_site", ("here",)),
        ("pause_queue", ("local", "x", 1800)),
    ]


def test_a_deadline_that_is_none():
    """A deadline that is no duration is a wrong command line, and no order is given."""
    client = FakeClient(halt=5)

    result = run(client, "halt", STAMP, "--deadline", "soon")

    assert result.exit_code == Exit.USAGE
    assert "--deadline" in result.stderr
    assert client.asked == []


def test_a_job_is_explained_need_by_need():
    """The summary, the figures, and a row for each need that is not met, in units that people use."""
    explained = JobExplanation(
        7,
        JobState.WAITING,
        "no pilot and no queue has 1000 cores",
        pilots=1,
        queues=2,
        failures=(
            NeedFailure("cores", "1000", 1, 2, "pilot 3f9a12bc offers 2"),
            NeedFailure("memory", "8000000000", 0, 1, "queue local has 4 GB"),
        ),
        nearest="queue local lacks 998 cores",
        ahead=3,
        no_pilot=("local: nothing fits",),
    )

    result = run(FakeClient(explain_job=explained), "explain", "7")

    for text in (
        "no pilot and no queue has 1000 cores",
        "1 live pilot and 2 configured queues",
        "3 jobs of its owner",
        "local: nothing fits",
        "8.0 GB",
        "pilot 3f9a12bc offers 2",
    ):
        assert text in result.stdout


def test_a_pilot_is_explained_by_the_jobs_that_it_fails():
    """The table of a pilot counts the waiting jobs that it cannot take, and in how many task queues they are."""
    explained = PilotExplanation(
        STAMP, PilotState.RUNNING, "nothing fits", 421, 0, (NeedFailure("cores", "8", 0, 17, "offers 2", jobs=421),)
    )
    lines = run(FakeClient(explain_pilot=explained), "explain", "pilot", STAMP).stdout.splitlines()
    (heading,) = [line for line in lines if "TASK QUEUES" in line]
    (row,) = [line for line in lines if line.startswith("cores")]
    assert "JOBS" in heading
    assert ("421" in row, "17" in row) == (True, True)


def test_a_pilot_and_a_queue_are_explained():
    """`explain pilot` and `explain queue` answer, the latter with since when and what it waits for."""
    client = FakeClient(
        explain_pilot=PilotExplanation(STAMP, PilotState.RUNNING, "nothing fits", 4, 0),
        explain_queue=QueueExplanation(
            QUEUE, "full", time.time() - 5, time.time() - 600, 1.0, (PilotsWait(3, "PENDING (Resources)"),)
        ),
    )

    assert "4 wait, 0 of them would fit" in run(client, "explain", "pilot", STAMP).stdout
    told = run(client, "explain", "queue", "local").stdout
    for said in ("enough pilots", "full, for 10m", "5s ago", "3 pilots: PENDING (Resources)", "with a single pilot"):
        assert said in told
    assert run(client, "explain", "site", "here").exit_code == Exit.USAGE


# -- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            Refusal("not-found", "there is no job 9 that you may see"),
            Exit.FAILED,
            "There is no job 9 that you may see.",
        ),
        (
            Refusal("too-large", "the file is too large.", expected="5 GB"),
            Exit.FAILED,
            "The file is too large (expected at most 5 GB).",
        ),
        (
            Refusal("busy", "too many", retry_after=5.0),
            Exit.FAILED,
            "Too many: try again in 5 s.",
        ),
        (TransportError("https://x cannot be reached."), Exit.UNREACHABLE, "https://x cannot be reached."),
        (NotConfigured("There is no client.toml."), Exit.UNREACHABLE, "There is no client.toml."),
        (
            InvalidJob((InvalidInput("a", "one"), InvalidInput("b", "two"))),
            Exit.USAGE,
            "a: one\nb: two",
        ),
    ],
)
def test_every_error_has_its_sentence_and_code(error, code, sentence):
    """Errors become one sentence with what to do, and the exit code of their kind."""
    assert exits.sentences(error) == sentence
    assert exits.of(error) is code


def test_a_sentence_about_a_file_begins_with_its_name():
    """A file is called as it is called, also where that is the first word."""
    error = Refusal("conflict", "central.toml declares ben in muons")
    assert exits.sentences(error).startswith("central.toml declares ben")


def test_an_error_ends_the_command_line_with_a_sentence(monkeypatch, capsys, tmp_path):
    """No traceback: the program's name, the sentence, the code."""
    monkeypatch.setenv("PILOTAGE_FOLDER", str(tmp_path))
    monkeypatch.delenv("PILOTAGE_URL", raising=False)

    assert main(["jobs"]) == Exit.UNREACHABLE
    said = capsys.readouterr().err
    assert said.startswith("pilotage: There is no ")
    assert len(said.splitlines()) == 1


def test_every_command_teaches_with_an_example():
    """--help of every command shows how it is used, and every command has --json and --folder."""
    for name, command in cli.commands.items():
        _teaches((name,), command)


def _teaches(words: tuple[str, ...], command: click.Command) -> None:
    shown = run(FakeClient(), *words, "--help").stdout
    name = " ".join(words)
    assert f"pilotage {name}" in shown.split("Usage:")[1].split("\n", 1)[1], name
    if isinstance(command, click.Group):
        for more, inner in command.commands.items():
            _teaches((*words, more), inner)
        return
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--json", "--folder"} <= options, name


def test_every_command_is_in_the_overview():
    """`pilotage --help` lists each command once."""
    shown = CliRunner().invoke(cli, ["--help"]).stdout
    for name in cli.commands:
        assert shown.count(f"\n  {name} ") == 1, name


# -- words ------------------------------------------------------------------------------------------------------------


def test_ids_are_shown_as_they_are_typed():
    """Runs of ids are ranges."""
    assert words.ids([7, 10, 9, 11, 13]) == "7 9-11 13"


def test_a_long_list_of_names_is_cut():
    """A job with a thousand inputs is still readable."""
    assert words.some(["a", "b"]) == "a b"
    assert words.some(list("abcde"), most=3) == "a b c and 2 more"


def test_needs_are_told_in_words():
    """Every need that asks something is named."""
    needs = Needs(
        whole_node=True,
        disk=10**10,
        gpus=1,
        gpu_memory=8 * 10**9,
        sites=("a", "b"),
        not_sites=("c",),
        platform=Platform("x86_64", 3, (2, 28)),
        isolation=True,
        wall_time=60,
    )
    assert words.needs(needs) == (
        "a whole node, 10.0 GB disk, 1 GPU, 8.0 GB in each GPU, 1m wall time, sites a, b, not at c, "
        "x86_64 level v3 or better glibc 2.28 or newer, isolation"
    )


def test_a_plain_table_keeps_a_row_on_one_line():
    """Line breaks inside a cell do not break the table."""
    assert plain(Table(("A", "B"), [("1", "x\ny")], right=("A",))) == ["A  B", "1  x y"]
