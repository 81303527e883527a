"""The site's word by way of a real central and its director: who waits is told why, and a touched file is heard of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.errors import Refusal
from pilot.states import JobState, PilotReason
from tests.system import Plan, System, wait_for


def test_a_site_that_restricts_and_drains(tmp_path: Path) -> None:
    """A job of somebody who is not let in waits and is told why; a touched file drains; the next pilot runs the job."""
    policy, drain = tmp_path / "policy.yaml", tmp_path / "drain"
    policy.write_text("owners: [somebody]\n")
    policy.chmod(0o644)
    system = System(tmp_path / "central", Plan())
    system.make()
    settings = system.folder / "central.toml"
    lines = f'kind = "local"\npolicy = "{policy}"\ndrain_file = "{drain}"\n'
    settings.write_text(settings.read_text().replace('kind = "local"\n', lines, 1))
    system.start()
    try:
        with system.client() as client:
            [job] = client.submit([{"command": ["true"]}]).ids
            wait_for(
                lambda: "owner" in {failure.need for failure in client.explain_job(job).failures},
                60,
                "the owner to be told",
                system.log,
            )
            assert client.job(job).job.state is JobState.WAITING
            policy.write_text("cores: 1\n")
            drain.write_text("new kernel at 14:00\n")
            [gone] = wait_for(
                lambda: [pilot for pilot in client.pilots() if pilot.reason is PilotReason.DRAINED][:1], 60, "the drain"
            )
            assert gone.message == f"the site drains this computer ({drain}): new kernel at 14:00"
            assert client.job(job).job.state is JobState.WAITING
            wait_for(
                lambda: (
                    "new kernel at 14:00" in client.queues()[0].decision
                    and "new kernel at 14:00" in " ".join(client.explain_job(job).no_pilot)
                ),
                30,
                "the queue to slow down and say why",
                system.log,
            )
            drain.unlink()
            wait_for(lambda: client.job(job).job.state is JobState.DONE, 120, "the job to run", system.log)
    finally:
        system.end()


def test_an_operator_pauses_a_queue_and_resumes_it(tmp_path: Path) -> None:
    """Nothing is sent to a paused queue, also by a central that has started anew; whoever asks why is told by whom and
    for what; when it is resumed the job runs."""
    system = System(tmp_path / "central", Plan())
    system.make()
    system.start()
    try:
        with system.client() as client:
            first = client.pause_queue("local", "old disks")
            assert (first.paused and first.paused.reason, first.instead_of) == ("old disks", None)
            second = client.pause_queue("local", "new disks")
            assert second.decision.endswith(": new disks")
            assert second.paused
            assert second.paused.reason == "new disks"
            assert second.instead_of == first.paused
            with pytest.raises(Refusal, match="there is no queue far"):
                client.pause_queue("far", "new disks")
            submitted = client.submit([{"command": ["true"]}])
            assert "every queue that could run it is paused" in submitted.warnings[0]
            [job] = submitted.ids
            assert "no more are sent: the queue local is paused by" in client.explain_job(job).summary
            log = system.log()
            assert f"A queue is paused  queue=local who={client.whoami().user} reason=new disks" in log
            client.hold([job], "later\nplease")
            assert (
                f"Jobs are changed  verb=hold who={client.whoami().user} jobs=1 first={job} last={job}" in system.log()
            )
            assert "reason=later please" in system.log()
            client.release([job])
        system.stop()
        system.start()
        with system.client() as client:
            me = client.whoami().user
            wait_for(
                lambda: client.explain_job(job).no_pilot == (f"local: paused by {me}: new disks",),
                30,
                "the pause to be told",
                system.log,
            )
            assert list(client.pilots()) == []
            client.resume_queue("local")
            with pytest.raises(Refusal, match="is not paused"):
                client.resume_queue("local")
            wait_for(lambda: client.job(job).job.state is JobState.DONE, 120, "the job to run", system.log)
    finally:
        system.end()
