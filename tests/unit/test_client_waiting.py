"""Waiting for jobs, and lists over many pages."""

import pytest
import responses
from responses import matchers

from pilot.errors import Refusal
from pilot.states import JobState
from pilot.views import JobPage, Selection
from pilotage import StillRunning
from pilotage.waiting import AT_ONCE, wait_for
from tests.unit.client_scene import URL, Time, answer, client, job


class Jobs:
    """Jobs that end after some looks."""

    def __init__(self, *looks: dict[int, JobState]) -> None:
        self.looks = list(looks)
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, ids):
        self.asked.append(tuple(ids))
        states = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return [job(id, states[id]) for id in ids if id in states]


def test_waiting_ends_when_all_have_ended():
    """Jobs come back in the order asked for; those that have ended are not asked about again."""
    jobs = Jobs(
        {1: JobState.RUNNING, 2: JobState.DONE},
        {1: JobState.COMPLETING},
        {1: JobState.FAILED},
    )
    told = []

    ended = wait_for(jobs, (2, 1), None, lambda counts: told.append(dict(counts)), Time().clock())

    assert [(view.id, view.state) for view in ended] == [(2, JobState.DONE), (1, JobState.FAILED)]
    assert jobs.asked == [(2, 1), (1,), (1,)]
    assert told[0] == {JobState.DONE: 1, JobState.RUNNING: 1}
    assert told[-1] == {JobState.DONE: 1, JobState.FAILED: 1}


def test_waiting_gives_up_after_the_time_allowed():
    """The error names the jobs that have not ended."""
    time = Time()

    with pytest.raises(StillRunning, match="1 jobs have not ended after 5 s: 1") as caught:
        wait_for(Jobs({1: JobState.HELD}), (1,), 5.0, None, time.clock())
    assert caught.value.pending == (1,)
    assert time.now == pytest.approx(5.0)


def test_a_job_that_is_not_there_is_told():
    """Waiting for a job of somebody else does not last for ever."""
    with pytest.raises(Refusal, match="there are no jobs 9"):
        wait_for(Jobs({1: JobState.DONE}), (1, 9), None, None, Time().clock())


def test_many_jobs_are_asked_about_in_parts_and_less_often():
    """A request has at most so many ids, and ten thousand jobs are not asked about every second."""
    ids = tuple(range(1, 10_001))
    jobs = Jobs(dict.fromkeys(ids, JobState.RUNNING))
    time = Time()

    with pytest.raises(StillRunning):
        wait_for(jobs, ids, 60.0, None, time.clock())
    assert max(len(asked) for asked in jobs.asked) == AT_ONCE
    assert len(time.slept) <= 8


def test_the_list_of_jobs_goes_over_all_pages():
    """Iterating follows the cursor to the end."""
    with responses.RequestsMock() as central:
        first = {"owner": "ada", "states": "waiting,held", "limit": "500"}
        central.get(
            f"{URL}/v1/jobs", match=[matchers.query_param_matcher(first)], **answer(JobPage((job(3), job(2)), "c2"))
        )
        central.get(
            f"{URL}/v1/jobs",
            match=[matchers.query_param_matcher({**first, "cursor": "c2"})],
            **answer(JobPage((job(1),))),
        )

        found = client(Time()).jobs(Selection(owner="ada", states=(JobState.WAITING, JobState.HELD)))

        assert [view.id for view in found] == [3, 2, 1]
