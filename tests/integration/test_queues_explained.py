"""A queue from its first pilot to a ban, as people see it, with a real central and real pilots."""

from __future__ import annotations

from pathlib import Path

from pilot.states import JobState, PilotState
from tests.system import Plan, running_system, wait_for


def test_a_queue_explains_itself_and_keeps_what_pilots_printed(tmp_path: Path) -> None:
    """What the director decides is told with its cause; what a pilot printed stays when it is over, with its exit code;
    while the site is banned a job is told so, and when the ban is lifted it gets its pilot."""
    with running_system(tmp_path / "central", Plan(idle="2 s")) as system, system.client() as client:
        wait_for(lambda: client.explain_queue("local").cause == "no-demand", 30, "the director to look")
        client.submit({"command": ["true"], "name": "one"})
        wait_for(lambda: list(client.pilots([PilotState.DONE])), 60, "a pilot to have come and gone", system.log)
        (pilot,) = client.pilots()
        wait_for(lambda: "ce" in client.pilot(pilot.stamp).streams, 30, "its output to be kept", system.log)
        kept = b"".join(client.follow_pilot(pilot.stamp, "ce"))
        assert kept.endswith(b"[exit code 0, says the computing element]\n")

        client.ban_site("here", "power cut", 600.0)
        (job,) = client.submit({"command": ["true"], "name": "two"}).ids
        (said,) = client.explain_job(job).no_pilot
        assert said.startswith("local: banned with its site here by ")
        assert said.endswith(": power cut")
        wait_for(lambda: client.explain_queue("local").cause == "closed", 30, "the director to obey")
        assert len(list(client.pilots())) == 1
        client.unban_site("here")
        wait_for(lambda: client.job(job).job.state is JobState.DONE, 60, "the job to run", system.log)
