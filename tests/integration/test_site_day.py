"""The day of a site's admin, by the command line at a real central: what our pilots do there, and how they are stopped.

`docs/people.md` tells the same day.
"""

from __future__ import annotations

import json

from pilot.states import JobState, PilotState
from pilotage import Client
from tests.integration.test_community_day import Desk, desk, operator
from tests.system import System, wait_for

__all__ = ["operator"]

FAR = """
name = "far"
site = "yonder"
kind = "local"
cores = 1
memory = "1 GB"
disk = "1 GB"
tags = ["far"]
idle = "120 s"
lease = "60 s"
"""
SECRET = "a-word-that-no-site-reads"


def runs(client: Client, job: int, queue: str, system: System) -> str:
    """The stamp of the pilot that runs a job."""
    wait_for(lambda: client.job(job).job.state is JobState.RUNNING, 90, f"job {job} to run", system.log)
    (stamp,) = (pilot.stamp for pilot in client.pilots([PilotState.RUNNING], queue))
    return stamp


def test_the_day_of_a_sites_admin(system: System, operator: Desk) -> None:
    """An operator makes somebody the admin of a site, who sees its pilots alone, what they say, and nothing of people's
    jobs; bans the site, so that what waits says so; drains its pilots; lifts the ban; and is let go of."""
    operator.types("site", "add", "yonder")
    file = operator.folder / "far.toml"
    file.write_text(FAR)
    operator.types("queue", "add", str(file))
    assert operator.types("member", "add", "kim", "--site", "here") == "kim is site-admin of here\n"
    kim = desk(system, operator, "kim", "--site", "here", "--scope", "read", "--scope", "manage")
    assert "site-admin" in kim.types("whoami")
    with operator.client() as client:
        command = ["sh", "-c", f"echo {SECRET}; sleep 30"]
        client.submit({"command": command, "name": SECRET, "needs": {"sites": ["here"]}})
        client.submit({"command": command, "name": SECRET, "needs": {"tags": "far"}})
        here, yonder = runs(client, 1, "local", system), runs(client, 2, "far", system)
        looks_around(kim, here, system)
        meets_what_is_not_theirs(kim, here, yonder)
        stops_and_starts(kim, operator, client, (here, yonder), system)
    done = operator.types("audit", "list", "--who", "kim")
    assert all(what in done for what in ("site.ban", "pilot.order", "site.unban"))
    gone = operator.types("member", "revoke", "kim", "--site", "here")
    assert gone == "kim is no admin of here any more\n1 token ended\n"
    assert "not known here" in kim.types("pilots", code=1)


def looks_around(kim: Desk, here: str, system: System) -> None:
    """What is at the site, and what it says; nothing of the job but that it runs."""
    assert [one["name"] for one in json.loads(kim.types("sites", "--json"))["sites"]] == ["here"]
    assert [one["name"] for one in json.loads(kim.types("queues", "--json"))["queues"]] == ["local"]
    assert [one["stamp"] for one in json.loads(kim.types("pilots", "--json"))["pilots"]] == [here]
    shown = kim.types("pilot", here[:8])
    assert "discover" in shown
    assert shown.splitlines()[-1].split()[:3] == ["1", "1", "running"]
    assert SECRET not in shown + kim.types("pilot", here, "--json")
    wait_for(lambda: "enrolled as" in kim.types("logs", "--pilot", here), 30, "the pilot's log", system.log)
    assert "yonder" not in kim.types("waste") + kim.types("cost")
    assert "there are none" in kim.types("enrolment", "list")
    assert "local" in kim.types("queue", "show", "local")
    assert "no virtual machines" in kim.types("vms")


def meets_what_is_not_theirs(kim: Desk, here: str, yonder: str) -> None:
    """Jobs are refused in a sentence; what payloads print, and what is elsewhere, is not there."""
    job = kim.folder / "job.yaml"
    job.write_text("command: ['true']\n")
    told = kim.types("logs", "--pilot", here, "--stream", "job-1-1-stdout", code=1)
    assert "has no stream job-1-1-stdout" in told.replace("\n", " ")
    for words in (("jobs",), ("logs", "1"), ("submit", str(job)), ("shares",), ("kill", "1"), ("explain", "1")):
        assert "an admin of the site here" in kim.types(*words, code=1).replace("\n", " "), words
    for words in (("pilot", yonder), ("drain", yonder), ("queues", "pause", "far", "--reason", "mine")):
        assert "there is no" in kim.types(*words, code=1).lower(), words


def stops_and_starts(kim: Desk, operator: Desk, client: Client, stamps: tuple[str, str], system: System) -> None:
    """Nothing comes any more, what waits says why, and what is there ends; elsewhere all goes on."""
    here, yonder = stamps
    operator.types("queues", "pause", "local", "--reason", "to be looked at")
    assert "who is no admin of here" in kim.types("queues", "resume", "local", code=1).replace("\n", " ")
    operator.types("queues", "resume", "local")
    assert "kim" in kim.types("sites", "ban", "here", "--reason", "power cut")
    kim.types("drain", here, "--reason", "power cut")
    client.submit({"command": ["true"], "needs": {"sites": ["here"], "cores": 2}})
    wait_for(lambda: client.pilot(here).pilot.state is PilotState.DONE, 90, "the pilot to go", system.log)
    assert client.job(1).job.state is JobState.DONE
    assert client.job(3).job.state is JobState.WAITING
    assert "banned with its site here by kim: power cut" in operator.types("explain", "3").replace("\n", " ")
    assert client.pilot(yonder).pilot.state is PilotState.RUNNING
    kim.types("sites", "unban", "here")
    client.wait([3], timeout=120)
    assert client.job(3).job.state is JobState.DONE
