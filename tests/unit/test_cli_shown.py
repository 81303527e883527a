"""What the command line shows of jobs, attempts, pilots and queues, beyond tests/unit/test_cli.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pilot.protocol import Needs, OutputFile, OutputRule, UrlInput
from pilot.queues import PauseView, QueueView
from pilot.states import JobState, Outcome, Phase, PilotState
from pilot.views import ANOTHER, AttemptView, JobDetail, PilotDetail, PilotView
from pilotage import words
from tests.unit.client_scene import job
from tests.unit.test_cli import STAMP, FakeClient, run


def test_a_job_is_shown_with_what_comes_by_url_and_where_its_outputs_are_to_go_and_went():
    """Inputs by URL have their URL, outputs their destinations in order, and the last attempt where each file is."""
    far = "https://store.example/7/r.txt"
    detail = JobDetail(
        job(7, JobState.DONE, attempt=1),
        ("true",),
        Needs(),
        0,
        0,
        0,
        inputs=("a.dat",),
        outputs=("*.log", "r.txt"),
        urls=(UrlInput("b.dat", "https://data.example/b.dat"),),
        output_rules=(OutputRule("*.log"), OutputRule("r.txt", ("https://store.example/{job}/", "sandbox"))),
    )
    files = (OutputFile("a.log", 1, "00", ("sandbox",)), OutputFile("r.txt", 1, "00", (far,)))
    ended = AttemptView(7, 1, STAMP, "here", Phase.ENDED, 1, 0.0, 1.0, Outcome.SUCCESS, 0, outputs=files)
    result = run(FakeClient(job=detail, attempts=(ended,)), "job", "7")

    facts = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for fact in (
        "inputs a.dat",
        "b.dat from https://data.example/b.dat",
        "outputs *.log",
        "r.txt to https://store.example/{job}/, else sandbox",
        f"delivered r.txt is at {far}",
    ):
        assert fact in facts


def test_an_attempt_that_was_given_back_is_no_failure():
    """A lease that came back unstarted ends as `given back`, with why."""
    why = "given back unstarted: its credential eos has expired"
    back = AttemptView(7, 1, STAMP, "here", Phase.ENDED, 1, 0.0, 1.0, message=why)
    detail = JobDetail(job(7, JobState.WAITING, attempt=1), ("true",), Needs(), 0, 0, 0)
    result = run(FakeClient(job=detail, attempts=(back,)), "job", "7")
    row = result.stdout.splitlines()[-1]
    assert row.startswith("  1  given back  here")
    assert row.endswith(why)


def test_the_jobs_of_a_pilot_are_named():
    """The table below a pilot has the id of each job, and not again what the pilot is."""
    view = PilotView(STAMP, PilotState.RUNNING, "here", "q", ("p",), 0.0)
    lease = AttemptView(41, 2, STAMP, "here", Phase.RUNNING, 4, 0.0)
    result = run(FakeClient(pilot=PilotDetail(view, leases=(lease,))), "pilot", STAMP)

    head, row = result.stdout.splitlines()[-2:]
    assert head.split()[:4] == ["JOB", "TRY", "PHASE", "CORES"]
    assert row.split()[:4] == ["41", "2", "running", "4"]


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("p", "p alone, until its end: payloads share its account"),
        (ANOTHER, "another community alone, until its end: payloads share its account"),
    ],
)
def test_whom_a_pilot_serves_alone(bound: str, told: str):
    """Its community is named to whom it may be; nothing is said of a pilot that serves all of its own."""
    view = PilotView(STAMP, PilotState.RUNNING, "here", "q", ("p", "r"), 0.0)
    assert "serves" not in run(FakeClient(pilot=PilotDetail(view)), "pilot", STAMP).stdout
    shown = run(FakeClient(pilot=PilotDetail(replace(view, bound=bound))), "pilot", STAMP).stdout
    assert ["serves", *told.split()] in [line.split() for line in shown.splitlines()]


def test_a_pause_says_since_when_and_whose_place_it_took():
    """The queue is shown with who paused it and when, and a second pause with the one before."""
    now, before = PauseView("ada", "new disks", 7200.0), PauseView("bob", "too dear", 3600.0)
    queue = QueueView("local", "here", "local", 2, {}, paused=now, instead_of=before)
    result = run(FakeClient(pause_queue=queue), "queues", "pause", "local", "--reason", "new disks")
    assert f"by ada since {words.clock(7200.0)}: new disks" in result.stdout
    assert f"a pause by bob since {words.clock(3600.0)}: too dear" in result.stdout
