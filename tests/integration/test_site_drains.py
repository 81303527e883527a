"""The site's word by way of a real central and its director: who waits is told why, and a touched file is heard of."""

from __future__ import annotations

from pathlib import Path

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
            drain.unlink()
            wait_for(lambda: client.job(job).job.state is JobState.DONE, 120, "the job to run", system.log)
    finally:
        system.end()
