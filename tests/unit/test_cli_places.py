"""The command line for sites, queues and enrolments that operators add."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pilot.errors import InvalidInput, Refusal
from pilot.places import BootstrapView, CanaryView, EnrolmentView, OpenedEnrolment, PlaceVersion, QueueDetail
from pilot.queues import QueueView, SiteView
from pilot.states import PilotReason, PilotState
from pilot.views import PilotDetail, PilotView, StepView
from pilotage import canary, words
from tests.unit.test_cli import FakeClient, run

FAR = PlaceVersion("queue", "far", 2, 'name = "far"\n', "ada", 0.0, said="the computing element answers")


def test_a_queue_is_added_from_a_file_or_standard_input(tmp_path: Path) -> None:
    """The text goes to the central as it was written, and what came of it is told."""
    file = tmp_path / "far.toml"
    file.write_text(FAR.text)
    client = FakeClient(add_queue=FAR)
    told = run(client, "queue", "add", str(file)).stdout
    assert told == "the queue far is in force, version 2; the computing element answers\n"
    run(client, "queue", "add", "-", "--force", input=FAR.text)
    assert client.asked == [
        ("add_queue", (FAR.text,), {"force": False}),
        ("add_queue", (FAR.text,), {"force": True}),
    ]


def test_mistakes_in_a_queue_are_lines_with_their_places(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What is wrong with it is raised with every place, which is what the program prints."""
    problems = (InvalidInput("cores", "expected a number"), InvalidInput("site", "expected a declared site"))
    client = FakeClient(add_queue=Refusal("invalid", "2 problems", problems=problems))
    file = tmp_path / "far.toml"
    file.write_text(FAR.text)
    with pytest.raises(Refusal) as refused:
        run(client, "queue", "add", str(file))
    assert refused.value.problems == problems


def test_a_queue_is_shown_with_where_it_comes_from() -> None:
    """Settings that are not the usual ones, and who added it; or that the file declares it; or its text alone."""
    detail = QueueDetail("far", "there", "slurm", {"slots": "9", "memory": "8000000000", "wall_time": "14400"}, FAR)
    told = run(FakeClient(queue=detail), "queue", "show", "far").stdout
    assert "version 2, by ada" in told
    assert [line.split(maxsplit=1)[1] for line in told.splitlines()[-3:]] == ["9", "8.0 GB", "4h"]
    assert run(FakeClient(queue=detail), "queue", "show", "far", "--text").stdout == FAR.text
    declared = replace(detail, added=None)
    assert "in central.toml" in run(FakeClient(queue=declared), "queue", "show", "far").stdout
    assert "was not added" in run(FakeClient(queue=declared), "queue", "show", "far", "--text").output


def test_versions_are_a_table_and_an_older_one_is_shown() -> None:
    """The newest first, with who and what; an older text is printed as it was."""
    older = replace(FAR, number=1, text='name = "far"\nslots = 2\n', who="bob")
    client = FakeClient(queue_history=(replace(FAR, note="restored version 1"), older))
    told = run(client, "queue", "history", "far").stdout.splitlines()
    assert [line.split()[0] for line in told] == ["VERSION", "2", "1"]
    assert "restored version 1" in told[1]
    assert run(client, "queue", "show", "far", "--version", "1", "--text").stdout == older.text
    assert run(client, "queue", "show", "far", "--version", "7").exit_code == 2


def test_sites_are_listed_and_removed() -> None:
    """Each with its queues."""
    client = FakeClient(
        sites=(SiteView("here", ("local", "far")),), remove_site=PlaceVersion("site", "there", 2, "", "ada", 0.0)
    )
    assert "here  local, far" in run(client, "site", "list").stdout
    for options in (("--json",), ()):
        assert run(client, "site", "list", *options).stdout == run(client, "sites", *options).stdout
    assert run(client, "site", "remove", "there").stdout == "the site there is removed\n"


def test_what_was_added_in_vain_is_in_the_list_of_queues() -> None:
    """A queue that cannot be used has its reason for its last decision; beside a name of the file's both are told."""
    odd = QueueView("odd", "", "", 0, {}, problem="cors: unknown key")
    far = QueueView("far", "here", "local", 4, {}, 2, "no demand", problem="central.toml declares it")
    told = run(FakeClient(queues=(odd, far)), "queues").stdout.splitlines()
    assert told[1].split(maxsplit=1) == ["odd", "not used: cors: unknown key"]
    assert told[2].endswith("no demand; what was added is not used: central.toml declares it")
    said = run(FakeClient(queues=(odd, far), pilots=()), "pilots", "--queue", "odd").stderr
    assert said == "no queue odd is configured; there are: far\n"


# -- tests of queues

STAMP = "ab" * 16
SENT = PilotView(STAMP, PilotState.SUBMITTED, "here", "local", ("physics",), created=100.0, reference="4711")
CHECKED = (
    StepView(1, "check_node", "ok", 0.5, "cores fine", began=0.0),
    StepView(2, "discover", "ok", 1.0, began=0.5),
    StepView(3, "run_jobs", None, 0.0, began=2.0),
)


class Story:
    """A central that answers one look after another, and a clock that moves when somebody sleeps."""

    def __init__(self, looks: Sequence[PilotDetail], element: Sequence[CanaryView]) -> None:
        self.looks = list(looks)
        self.element = list(element)
        self.time = 100.0
        self.drained: list[float] = []
        self.told: list[tuple[float, str, str]] = []

    def pilot(self, stamp: str) -> PilotDetail:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def canary(self, queue: str, stamp: str) -> CanaryView:
        return self.element.pop(0) if len(self.element) > 1 else self.element[0]

    def drain(self, stamp: str, reason: str) -> None:
        self.drained.append(self.time)

    def sleep(self, seconds: float) -> None:
        self.time += 5 * seconds  # another process had its turn

    def follow(self, patience: float = 600.0) -> PilotDetail:
        return canary.follow(
            self,  # type: ignore[arg-type]
            "local",
            CanaryView(STAMP, 2.0),
            now=lambda: self.time,
            sleep=self.sleep,
            patience=patience,
            say=lambda line: self.told.append((line.after, line.what, line.more)),
        )


def test_what_becomes_of_a_pilot_is_told_once_with_its_time() -> None:
    """Each thing that happens is a line with the seconds since the beginning; the pilot is told to end when it has done
    all that comes before jobs."""
    running = replace(SENT, state=PilotState.DRAINING, enrolled=104.0, host="n1", cores=4)
    over = replace(running, state=PilotState.DONE, reason=PilotReason.DRAINED, exit_code=0, ended=110.0)
    story = Story(
        [PilotDetail(SENT), PilotDetail(SENT), PilotDetail(running, CHECKED), PilotDetail(over, CHECKED)],
        [CanaryView(STAMP, 2.0, "4711", "queued", "PENDING (Resources)")],
    )
    assert canary.succeeded(story.follow())
    assert story.told == [
        (0.0, "submitted", "the computing element calls it 4711"),
        (0.0, "queued, says the computing element", "PENDING (Resources)"),
        (4.0, "enrolled", "from n1, 4 cores"),
        (4.5, "check_node", "ok in 0.5s; cores fine"),
        (5.5, "discover", "ok in 1s"),
        (10.0, "ended: done", "drained, exit code 0"),
    ]
    assert len(story.drained) == 1


def test_a_pilot_that_does_not_come_is_left_after_a_while() -> None:
    """What the computing element says is told when it changes, and watching ends."""
    story = Story(
        [PilotDetail(SENT)],
        [CanaryView(STAMP, 2.0, problem="no route"), CanaryView(STAMP, 2.0, "4711", "queued", "PENDING (Priority)")],
    )
    detail = story.follow(patience=30)
    assert not canary.succeeded(detail)
    assert [what for _, what, _ in story.told] == [
        "submitted",
        "not asked",
        "queued, says the computing element",
    ]
    assert not story.drained


def test_a_pilot_that_failed_has_not_succeeded() -> None:
    """The test of a queue fails with a pilot that ended badly, or ended well before it was checked."""
    failed = replace(SENT, state=PilotState.FAILED, reason=PilotReason.UNFIT, exit_code=20, message="no space")
    story = Story([PilotDetail(failed)], [CanaryView(STAMP, 2.0)])
    assert not canary.succeeded(story.follow())
    assert [more for _, what, more in story.told if what == "ended: failed"] == ["unfit, exit code 20, no space"]
    assert not canary.succeeded(PilotDetail(replace(SENT, state=PilotState.DONE, exit_code=0)))


@pytest.mark.parametrize(
    ("changes", "steps", "last", "said"),
    [
        (
            {"state": PilotState.DONE, "exit_code": 0, "host": "n1", "enrolled": 104.0},
            CHECKED,
            canary.Line(10.0, "ended: done", "drained"),
            "queue local works: its pilot enrolled from n1, found nothing wrong and ended as it should, 10s after",
        ),
        (
            {"state": PilotState.FAILED, "exit_code": 20},
            CHECKED,
            canary.Line(10.0, "ended: failed", "unfit, no space"),
            "queue local does not work: its pilot ended as failed: unfit, no space",
        ),
        (
            {"state": PilotState.DONE, "exit_code": 0},
            (),
            canary.Line(10.0, "ended: done"),
            "queue local does not work: its pilot ended before it had checked everything",
        ),
        (
            {"state": PilotState.PLANNED},
            (),
            canary.Line(60.0, "not submitted yet", "the director: no credential"),
            "queue local does not work: after 1m its pilot was not submitted (the director: no credential)",
        ),
        (
            {},
            (),
            canary.Line(10.0, "queued, says the computing element", "PENDING (Resources)"),
            "whether queue local works is not known yet: the last that was heard of its pilot is queued, says the",
        ),
    ],
)
def test_the_verdict_is_a_sentence(
    changes: dict[str, object], steps: tuple[StepView, ...], last: canary.Line, said: str
) -> None:
    """Whether the queue works, does not, or may still turn out to, each with what it follows from."""
    detail = PilotDetail(replace(SENT, **changes), steps)  # type: ignore[arg-type]
    told = [canary.Line(0.0, "in the journal"), last]
    assert canary.verdict("local", detail, told).startswith(said)
    if detail.pilot.state is PilotState.PLANNED:
        assert "is not known yet: the last that was heard of its pilot is in the" in canary.verdict(
            "local", detail, told[:1]
        )


def test_why_a_pilot_ended_is_said_once() -> None:
    """A message that begins with the reason stands for both."""
    gone = replace(SENT, state=PilotState.FAILED, reason=PilotReason.NEVER_CALLED)
    assert words.pilot_note(gone) == "never-called"
    assert words.pilot_note(replace(gone, message="no space")) == "never-called: no space"
    said = replace(gone, message="never-called, exit code 93")
    assert words.pilot_note(said) == "never-called, exit code 93"
    story = Story([PilotDetail(said)], [CanaryView(STAMP, 2.0)])
    story.follow()
    assert story.told[-1][1:] == ("ended: failed", "never-called, exit code 93")


# -- enrolments

TOKEN = EnrolmentView(3, "here", "vacuum", ("physics",), 10, 4, "ada", 0.0, 1e12)


def test_a_token_goes_into_a_file_of_its_own(tmp_path: Path) -> None:
    """The file is for its owner alone and new, and the token is not printed then."""
    file = tmp_path / "token"
    client = FakeClient(open_enrolment=OpenedEnrolment("s3cret", TOKEN))
    words = ("enrolment", "create", "--queue", "vacuum", "--count", "10", "--for", "7d")
    done = run(client, *words, "--output", str(file))
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("s3cret\n", 0o600)
    assert "s3cret" not in done.output
    assert client.asked == [("open_enrolment", ("vacuum",), {"pilots": 10, "seconds": 604800, "communities": ()})]
    assert "s3cret" not in run(client, *words, "--output", str(tmp_path / "more"), "--json").output
    assert run(client, *words).stdout.startswith("s3cret\n")
    assert "is there already; name a new file" in run(client, *words, "--output", str(file)).output


def test_a_token_that_was_not_made_leaves_no_file(tmp_path: Path) -> None:
    """A refusal leaves nothing behind that could be taken for a token."""
    file = tmp_path / "token"
    client = FakeClient(open_enrolment=Refusal("conflict", "the queue has a director"))
    with pytest.raises(Refusal):
        run(client, "enrolment", "create", "--queue", "q", "--count", "1", "--for", "1d", "--output", str(file))
    assert not file.exists()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "good"),
        ({"used": 10}, "all in"),
        ({"expires": 1.0}, "expired"),
        ({"revoked": 5.0, "revoked_by": "bob"}, "revoked by bob"),
    ],
)
def test_tokens_are_listed_with_their_state(changes: dict[str, object], word: str) -> None:
    """How many are in, until when, and whether it is good still."""
    client = FakeClient(enrolments=(replace(TOKEN, **changes),))  # type: ignore[arg-type]
    told = run(client, "enrolment", "list").stdout
    assert word in told
    assert f"{changes.get('used', 4)} of 10" in told


def test_user_data_is_not_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a secret and is no text: nothing is asked for, and what to do is said."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    client = FakeClient()
    told = run(client, "user-data", "--cloud", "ec2", "--queue", "cloud")
    assert (told.exit_code, client.asked) == (2, [])
    assert "write it to a file" in told.output


BOOTSTRAP = BootstrapView(
    ("https://central.example/v1/pilot/aa",), "aa" * 32, ("https://central.example",), "", "here", "cloud", {}
)


def test_user_data_goes_into_a_file_of_its_own(tmp_path: Path) -> None:
    """With --output it is in a new file for its owner alone, and nowhere else; a refusal leaves no file."""
    file = tmp_path / "user-data"
    client = FakeClient(bootstrap=BOOTSTRAP, open_enrolment=OpenedEnrolment("s3cret-of-a-machine", TOKEN))
    words = ("user-data", "--cloud", "openstack", "--queue", "cloud", "--output", str(file))
    told = run(client, *words)
    assert (told.exit_code, told.stdout, stat.S_IMODE(file.stat().st_mode)) == (0, "", 0o600)
    assert file.read_bytes()
    assert "is there already" in run(client, *words).output
    file.unlink()
    assert "user_data" not in run(client, *words, "--json").stdout
    file.unlink()
    with pytest.raises(Refusal):
        run(FakeClient(bootstrap=Refusal("not-found", "there is no queue cloud")), *words)
    assert not file.exists()


def test_a_machine_boots_within_its_life() -> None:
    """A boot deadline after the machine's end is a wrong command line, before anything is asked for."""
    client = FakeClient()
    told = run(client, "user-data", "--cloud", "ec2", "--queue", "cloud", "--life", "30m", "--json")
    assert (told.exit_code, client.asked) == (2, [])
    assert "expected at most the 30m of --life" in told.output
