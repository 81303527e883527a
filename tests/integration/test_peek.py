"""Looking into a job's directory while it runs: a real pilot, asked by way of its heartbeats."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pilot.errors import Refusal
from pilot.looking import PeekReply, PeekRequest
from pilot.states import JobState
from tests.integration.running_central import RunningCentral
from tests.system import Plan, System, running_system, wait_for

pytestmark = pytest.mark.integration

WORK = (
    "mkdir sub; seq 1000 > sub/numbers; ln -s /etc/passwd link; cat $PILOTAGE_JOB_TOKEN_FILE > t; echo ready;"
    " while [ ! -e go ]; do sleep 0.05; done"
)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("peek") / "central", Plan()) as system:
        yield system


def test_the_owner_looks_into_a_running_job(system: System) -> None:
    """A listing, the end of a file, and what cannot be read; a secret is blotted out; after the end there is nothing
    to look into."""
    with system.client() as client:
        (job,) = client.submit({"command": ["sh", "-c", WORK]}).ids
        wait_for(lambda: client.job(job).job.state is JobState.RUNNING, 60, "the job to run")
        wait_for(lambda: b"ready" in client.logs(job), 30, "the payload's word")
        listing = client.peek(job, patience=30)
        assert listing.folder
        assert [line.split()[-1] for line in listing.content.decode().splitlines()] == ["link@", "sub/", "t"]
        numbers = client.peek(job, "sub/numbers", offset=-9, patience=30)
        assert (numbers.content, numbers.size, numbers.offset) == (b"999\n1000\n", 3893, 3884)
        token = client.peek(job, "t", patience=30).content
        assert len(token) > 20
        assert not token.strip(b"*\n")
        assert "link" in client.peek(job, "link", patience=30).problem
        assert "No such file" in client.peek(job, "nothing", patience=30).problem
        client.kill([job])
        wait_for(lambda: client.attempts(job)[-1].ended is not None, 30, "the attempt to end")
        with pytest.raises(Refusal) as refused:
            client.peek(job)
        assert refused.value.type == "conflict"
        names = client.attempts(job)[-1].log_sizes
        assert not [name for name in names if "peek" in name]


def test_only_the_owner_and_admins_may_look(central: RunningCentral) -> None:
    """Another member of the community may read what a job printed, and may not look into its directory."""
    ann, ben, pilot = central.person("ann"), central.person("ben"), central.pilot()
    job = ann.submit_one()
    pilot.match()
    with pytest.raises(Refusal) as refused:
        ben.say(f"/v1/jobs/{job}/peeks", PeekRequest("x"), PeekReply)
    assert refused.value.type == "forbidden"
    asked = ann.say(f"/v1/jobs/{job}/peeks", PeekRequest("x"), PeekReply)
    path = f"/v1/jobs/{job}/peeks/1/{asked.peek}?wait=0"
    assert ben.get(path).status_code == 403
    assert ann.get(path).json()["ready"] is False
    stream = f"job-{job}-1-peek{asked.peek}"
    pilot.log(stream, 0, b'{"path": "x", "size": 9, "offset": 5}\nrest', last=True)
    found = ann.get(path).json()
    assert (found["ready"], found["size"], found["offset"], found["content"]) == (True, 9, 5, "cmVzdA==")
    pilot.bye()
