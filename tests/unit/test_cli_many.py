"""The command line about many jobs at once: what it prints stays readable, whatever their number."""

import json

import pytest

from pilot.states import JobState
from pilot.views import (
    ExplainedJobs,
    ExplainReply,
    JobExplanation,
    JobPage,
    NeedFailure,
    Selection,
    VerbResult,
    WhoAmI,
)
from pilotage import words
from pilotage.exits import Exit
from tests.unit.test_cli import FakeClient, run

ME = WhoAmI("ada", "physics", "users", "member")


def explained(jobs: tuple[int, ...], summary: str, *failures: NeedFailure) -> ExplainedJobs:
    return ExplainedJobs(jobs, JobExplanation(jobs[0], JobState.WAITING, summary, 3, 1, failures=failures))


REPLY = ExplainReply(
    (
        explained((9, 10, 11, 7), "Nothing here offers 9 cores", NeedFailure("cores", "9 cores", 3, 1)),
        explained((8,), "It fits 1 live pilot"),
    )
)


def test_jobs_with_one_reason_are_one_block():
    """`explain` with several ids prints a block for each reason, with its jobs as they are typed."""
    client = FakeClient(explain_jobs=REPLY)

    result = run(client, "explain", "7", "8-11")

    assert client.asked == [("explain_jobs", (Selection(ids=(7, 8, 9, 10, 11)),), {})]
    first, second = result.stdout.split("\n\n")
    assert "7 9-11 (4 jobs)" in first
    assert "Nothing here offers 9 cores" in first
    assert "cores  9 cores" in first
    assert second.splitlines()[0].split() == ["job", "8"]


def test_a_filter_explains_what_waits_of_ones_own():
    """`explain --name` is about the caller's waiting jobs; --all and --state look further."""
    client = FakeClient(explain_jobs=ExplainReply(()), job_page=JobPage(()), whoami=ME)

    result = run(client, "explain", "--name", "fit-")
    run(client, "explain", "--all", "--state", "held")

    asked = [arguments[0] for name, arguments, _ in client.asked if name == "explain_jobs"]
    assert asked == [
        Selection(states=(JobState.WAITING,), owner="ada", name="fit-"),
        Selection(states=(JobState.HELD,)),
    ]
    assert result.stderr == "there is no such job\n"


class HeldClient(FakeClient):
    """Nothing waits of what it has: it explains what is held alone."""

    def explain_jobs(self, selection: Selection) -> ExplainReply:
        held = ExplainedJobs((7, 8), JobExplanation(7, JobState.HELD, "It is held: by ada"))
        return ExplainReply((held,) if selection.states == (JobState.HELD,) else ())


def test_where_none_waits_those_that_are_held_are_explained():
    """A filter that finds no job that waits says what there is instead, and why those that are held are."""
    page = JobPage((), counts={"held": 2, "done": 1234})

    result = run(HeldClient(job_page=page, whoami=ME), "explain", "--name", "fit-")

    assert result.stderr == "none waits: 2 held, 1,234 done\n"
    assert "It is held: by ada" in result.stdout
    assert "7-8 (2 jobs)" in result.stdout
    told = json.loads(run(HeldClient(job_page=page, whoami=ME), "explain", "--name", "fit-", "--json").stdout)
    assert [one["jobs"] for one in told["explained"]] == [[7, 8]]


def test_what_cannot_be_explained_is_told():
    """Unknown ids end with a code of their own, and more jobs than one answer holds are said to be more."""
    client = FakeClient(explain_jobs=ExplainReply(REPLY.explained, unknown=(99,), next="7"))

    result = run(client, "explain", "7-11", "99")

    assert result.exit_code == Exit.PARTLY
    assert "no such job that you may see: 99" in result.stderr
    assert "the newest 5 jobs" in result.stderr


def test_explanations_of_many_for_programs():
    """--json is the record itself."""
    shown = json.loads(run(FakeClient(explain_jobs=REPLY), "explain", "7-11", "--json").stdout)
    assert shown["explained"][0]["jobs"] == [9, 10, 11, 7]


@pytest.mark.parametrize(
    "words", [(), ("7", "--state", "waiting"), ("pilot",), ("queue", "a", "b"), ("seven",), ("7-3",)]
)
def test_explain_wants_jobs_or_a_pilot_or_a_queue(words):
    """Nothing, too much, or what is no id is a usage error."""
    assert run(FakeClient(), "explain", *words).exit_code == Exit.USAGE


def test_thousands_of_changes_are_a_few_lines():
    """What became of very many jobs fits on a screen: ranges of ids, and a line for each reason."""
    results = tuple(
        VerbResult(number, number % 2 == 0, JobState.KILLED, "" if number % 2 == 0 else "it is done already")
        for number in range(1, 10_001)
    )

    result = run(FakeClient(kill=results), "kill", "1-10000")

    assert result.exit_code == Exit.PARTLY
    (line,) = result.stdout.splitlines()
    assert line.startswith("changed 5,000 jobs: 2 4 6 ")
    assert line.endswith(" and 4,980 more ranges")
    (note,) = result.stderr.splitlines()
    assert note.startswith("5,000 jobs not changed: it is done already: 1 3 5 ")
    assert len(note) < 200


def test_thousands_of_new_jobs_are_ranges():
    """Rescheduled jobs tell the ids to watch now."""
    results = tuple(VerbResult(number, True, JobState.WAITING, new_job=number + 500) for number in range(1, 301))

    assert run(FakeClient(reschedule=results), "reschedule", "1-300").stdout.splitlines() == [
        "changed 300 jobs: 1-300",
        "new jobs: 501-800",
    ]


def test_many_different_reasons_are_cut():
    """A line for each of the first reasons, and how many more there are."""
    results = tuple(VerbResult(number, False, None, f"reason {number}") for number in range(1, 51))

    lines = run(FakeClient(hold=results), "hold", "1-50").stderr.splitlines()

    assert len(lines) == 21
    assert lines[-1] == "and 30 more reasons; --json has them all"


def test_an_operator_names_a_community():
    """--community is about everybody's jobs in it."""
    client = FakeClient(kill=(VerbResult(7, True, JobState.KILLED),), whoami=ME)

    run(client, "kill", "--community", "biology", "--state", "waiting")

    assert client.asked == [("kill", (Selection(states=(JobState.WAITING,), community="biology"), ""), {})]


def test_very_many_ids_are_cut():
    """Ranges are shown up to a number of them."""
    assert words.many_ids([1, 2, 3, 7]) == "1-3 7"
    assert words.many_ids(range(0, 100, 2), most=3) == "0 2 4 and 47 more ranges"
