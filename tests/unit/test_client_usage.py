"""The client about use, shares, limits, and many jobs at once: what it asks, and what it makes of the answers."""

import json

import pytest
import responses
from responses import matchers

from pilot.states import JobState
from pilot.use import LimitPage, LimitView, SharePage, UsagePage, UsageRow
from pilot.views import ExplainedJobs, ExplainReply, JobExplanation, JobPage, Selection
from tests.unit.client_scene import URL, Time, answer, client


@pytest.fixture
def central():
    with responses.RequestsMock() as mock:
        yield mock


def test_use_is_asked_for_by_keys_and_times(central):
    """Times cross as seconds, keys as a list, and what is not said is left to the central."""
    row = UsageRow(0.0, ("muons",), 2, 1, 3.0, 2.0, 10, 1.0)
    asked = {"by": "group", "since": "1764115200.25", "span": "3600.0", "community": "physics"}
    central.get(
        f"{URL}/v1/usage",
        match=[matchers.query_param_matcher(asked)],
        **answer(UsagePage(0.0, 1.0, ("group",), (row,))),
    )

    page = client(Time()).usage(["group"], since=1764115200.25, span=3600, community="physics")

    assert page.rows == (row,)


def test_shares_and_limits_are_records(central):
    """What the central says is what one gets."""
    limit = LimitView("all", attempts=7)
    central.get(f"{URL}/v1/shares", **answer(SharePage(60.0, ())))
    central.get(f"{URL}/v1/limits", **answer(LimitPage((limit,))))

    assert client(Time()).shares() == SharePage(60.0, ())
    assert client(Time()).limits() == (limit,)


def test_many_jobs_are_explained_in_one_call(central):
    """Ids or a selection, a bound and where to go on."""
    reply = ExplainReply((ExplainedJobs((7, 8), JobExplanation(7, JobState.WAITING, "why")),), (9,), "7")
    central.post(f"{URL}/v1/jobs/explain", **answer(reply))
    central.post(f"{URL}/v1/jobs/explain", **answer(ExplainReply(())))
    asking = client(Time())

    assert asking.explain_jobs([7, 8, 9]) == reply
    asking.explain_jobs(Selection(owner="ada"), limit=10, cursor="7")

    first, second = (json.loads(call.request.body) for call in central.calls)
    assert (first["selection"]["ids"], first["limit"]) == ([7, 8, 9], 5000)
    assert (second["selection"]["owner"], second["limit"], second["cursor"]) == ("ada", 10, "7")


def test_a_community_is_part_of_the_choice(central):
    """An operator's list of one community."""
    central.get(
        f"{URL}/v1/jobs",
        match=[matchers.query_param_matcher({"community": "biology", "limit": "100"})],
        **answer(JobPage(())),
    )

    assert client(Time()).job_page(Selection(community="biology")) == JobPage(())
