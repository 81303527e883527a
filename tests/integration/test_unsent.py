"""Pilots that nobody submitted: a site starts them with a script of its own, and they enrol with its token."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pilot.errors import Refusal
from pilot.states import JobState, PilotState
from pilotage import Client
from tests.system import TOP, System, wait_for

QUEUE = """
name = "vacuum"
site = "here"
kind = "external"
cores = 1
memory = "1 GB"
disk = "1 GB"
tags = ["vacuum"]
idle = "2 s"
lease = "60 s"
"""


def run(system: System, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pilotage", *words, "--folder", str(system.folder)],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


class Site:
    """A site: a folder with the script and the token, and the pilots that it starts."""

    def __init__(self, system: System, count: int) -> None:
        self.folder = system.folder / "pilots" / "of-the-site"  # where the system looks for what lives
        self.folder.mkdir(parents=True)
        self.token, self.script = self.folder / "token", self.folder / "start-pilot"
        self.made = run(
            system, "enrolment", "create", "--queue", "vacuum", "--count", str(count), "--for", "1h",
            "--output", str(self.token),
        )  # fmt: skip
        wrapper = run(system, "enrolment", "wrapper", "--queue", "vacuum", "--token-file", str(self.token))
        self.script.write_text(wrapper.stdout)

    def start(self, number: int) -> subprocess.Popen[bytes]:
        scratch = self.folder / str(number)
        scratch.mkdir()
        with (scratch / "output").open("wb") as output:
            return subprocess.Popen(
                ["/bin/sh", str(self.script)],
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "TMPDIR": str(scratch)},
                start_new_session=True,
            )

    def said(self, number: int) -> str:
        return (self.folder / str(number) / "output").read_text()


def ended(process: subprocess.Popen[bytes]) -> int:
    return process.wait(60)


def of_queue(client: Client, states: Sequence[PilotState] = ()) -> list[str]:
    return [pilot.stamp for pilot in client.pilots(states, "vacuum")]


def test_a_site_starts_pilots_by_itself(system: System, client: Client) -> None:
    """Each start of the script is another pilot, counted and journalled when it comes, which runs jobs and ends like
    any other; when as many as the token is for have come the next is refused, and that is told to operators. The token
    is in no argument, environment or log, and nothing is left behind."""
    client.add_queue(QUEUE)
    site = Site(system, 2)
    assert stat.S_IMODE(site.token.stat().st_mode) == 0o600
    token = site.token.read_text().strip()
    assert len(token) == 43
    assert token not in site.made.stdout + site.made.stderr + site.script.read_text()
    jobs = client.submit({"command": ["sh", "-c", "sleep 1; env"], "needs": {"tags": "vacuum"}, "sweep": {"n": "1..2"}})
    processes = [site.start(number) for number in (1, 2)]
    wait_for(lambda: len(of_queue(client, [PilotState.RUNNING])) == 2, 30, "two pilots", lambda: site.said(1))
    for pid in system.processes(""):
        words = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert token.encode() not in words
    assert {job.state for job in client.wait(jobs.ids, timeout=180)} == {JobState.DONE}
    assert [ended(process) for process in processes] == [0, 0], site.said(1) + site.said(2)
    assert {client.pilot(stamp).pilot.state for stamp in of_queue(client)} == {PilotState.DONE}
    for job in jobs.ids:
        assert token.encode() not in client.logs(job)
    assert token not in site.said(1) + site.said(2) + system.log()
    assert [path.name for number in (1, 2) for path in (site.folder / str(number)).iterdir()] == ["output", "output"]

    assert ended(site.start(3)) == 30, site.said(3)
    (kept,) = client.enrolments()
    assert (kept.used, kept.pilots, kept.refused) == (2, 2, 1)
    assert "has let in all of its 2 pilots" in kept.alarm
    assert "came with an enrolment token that is not good" in system.log()
    assert kept.alarm.startswith("at 20")
    assert "1 pilot came in vain" in run(system, "enrolment", "list").stdout
    assert len(of_queue(client)) == 2


def test_a_revoked_token_lets_nobody_in_and_a_signal_reaches_the_pilot(system: System, client: Client) -> None:
    """Pilots that are in when a token is revoked stay, and others are refused; a signal to the script is for its pilot,
    which says goodbye, and the script ends as it does."""
    client.add_queue(QUEUE.replace('idle = "2 s"', 'idle = "60 s"'))
    site = Site(system, 5)
    first = site.start(1)
    (stamp,) = wait_for(lambda: of_queue(client, [PilotState.RUNNING]), 30, "a pilot", lambda: site.said(1))
    assert "let in 1 pilot" in run(system, "enrolment", "revoke", "1").stdout
    assert ended(site.start(2)) == 30, site.said(2)
    assert "was revoked by" in client.enrolments()[0].alarm
    assert client.pilot(stamp).pilot.state is PilotState.RUNNING
    os.kill(first.pid, signal.SIGTERM)
    assert ended(first) == 60, site.said(1)
    assert client.pilot(stamp).pilot.state is PilotState.DONE


def test_a_token_that_everybody_can_read_is_not_used(system: System, client: Client) -> None:
    """The script says what is wrong with the token's file before anything is started."""
    client.add_queue(QUEUE)
    site = Site(system, 1)
    site.token.chmod(0o644)
    assert ended(site.start(1)) == 95
    assert "chmod 600" in site.said(1)
    site.token.unlink()
    assert ended(site.start(2)) == 95
    assert "cannot be read" in site.said(2)


def test_tokens_are_for_external_queues(system: System, client: Client) -> None:
    """A queue that a director sends pilots to takes none unsent; numbers, times and communities have bounds."""
    for ask in (
        lambda: client.open_enrolment("local", pilots=1, seconds=600),
        lambda: client.enrolment_wrapper("local", "/etc/token"),
    ):
        with pytest.raises(Refusal, match="has a director"):
            ask()
    client.add_queue(QUEUE)
    for ask, problem in (
        (lambda: client.open_enrolment("vacuum", pilots=0, seconds=600), "pilots: expected 1 to"),
        (lambda: client.open_enrolment("vacuum", pilots=1, seconds=1), "seconds: expected 60 s to"),
        (lambda: client.open_enrolment("vacuum", pilots=1, seconds=600, communities=["x"]), "expected some of physics"),
        (lambda: client.enrolment_wrapper("vacuum", "etc/token"), "token_file: expected an absolute path"),
        (lambda: client.open_enrolment("nowhere", pilots=1, seconds=600), "there is no queue nowhere"),
    ):
        with pytest.raises(Refusal, match=problem):
            ask()
