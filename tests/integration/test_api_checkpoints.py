"""Checkpoints over the wire, with a real central: who may say what was saved, who may fetch it, how long it lasts."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing

import pytest
import requests

from pilot.errors import Refusal
from pilot.protocol import InputFile, Lease, OutputFile
from pilot.states import JobState, OrderVerb, Outcome, Phase
from pilot.views import OrderReply, OrderRequest, SandboxReply
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import SignedPilot, decoded


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Payload:
    """What a payload's token opens, as the pilot uses it."""

    def __init__(self, central: RunningCentral, lease: Lease) -> None:
        self.base = central.url
        self.http = requests.Session()
        self.http.verify = central.ca
        self.http.trust_env = False
        self.http.headers["Authorization"] = f"Job {lease.job_token}"
        central.sessions.append(self.http)

    def save(self, name: str, content: bytes) -> OutputFile:
        decoded(self.http.put(f"{self.base}/v1/sandboxes/{digest(content)}", data=content, timeout=30), SandboxReply)
        return OutputFile(name, len(content), digest(content), ("sandbox",))

    def fetch(self, file: InputFile) -> requests.Response:
        return self.http.get(f"{self.base}/v1/sandboxes/{file.sha256}", timeout=30)


def preempt(pilot: SignedPilot, lease: Lease, *files: OutputFile, outcome: Outcome = Outcome.PREEMPTED) -> None:
    pilot.report(lease, Phase.RUNNING)
    pilot.report(lease, Phase.ENDED, outcome=outcome, message="the node is wanted", checkpoint=files)


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


def test_saved_given_and_fetched(central: RunningCentral, ann: Person) -> None:
    """What a preempted attempt saved comes with the next lease, and its token opens those files and no others."""
    job = ann.submit_one(checkpoint=["*.ckpt"])
    pilot = central.pilot()
    (first,) = pilot.match().leases
    assert first.checkpoint == ()
    payload = Payload(central, first)
    state = payload.save("state.ckpt", b"step 7")
    other = payload.save("other", b"of no checkpoint")
    preempt(pilot, first, state)
    (second,) = central.pilot().match().leases
    assert (second.job, second.attempt) == (job, 2)
    assert second.checkpoint == (InputFile("state.ckpt", digest(b"step 7"), 6),)
    again = Payload(central, second)
    assert again.fetch(second.checkpoint[0]).content == b"step 7"
    assert again.fetch(InputFile("other", other.sha256, other.size)).status_code == 404
    assert payload.fetch(second.checkpoint[0]).status_code == 409, "the token of an attempt that is over opened a file"
    assert [file.name for file in ann.attempts(job)[0].checkpoint] == ["state.ckpt"]


def test_survives_a_crash(central: RunningCentral, ann: Person) -> None:
    """A checkpoint whose report was accepted is there after kill -9 of the central: in the lease, and for its token."""
    job = ann.submit_one(checkpoint=["*.ckpt"])
    pilot = central.pilot()
    (first,) = pilot.match().leases
    preempt(pilot, first, Payload(central, first).save("state.ckpt", b"step 7"))
    central.kill()
    central.start()
    taker = central.pilot()
    (second,) = taker.match().leases
    assert [file.name for file in second.checkpoint] == ["state.ckpt"]
    central.kill()
    central.start()
    assert Payload(central, second).fetch(second.checkpoint[0]).content == b"step 7"
    assert ann.job(job).state is JobState.MATCHED


@pytest.mark.parametrize("wrong", ["not there", "size", "name", "outcome"])
def test_a_checkpoint_that_cannot_be_given_is_left_out(central: RunningCentral, ann: Person, wrong: str) -> None:
    """A file that nobody has, or whose name leads elsewhere, spoils the checkpoint and not the report."""
    job = ann.submit_one(checkpoint=["*.ckpt"], retries=1)
    pilot = central.pilot()
    (first,) = pilot.match().leases
    good = Payload(central, first).save("state.ckpt", b"step 7")
    files = {
        "not there": OutputFile("b.ckpt", 3, digest(b"???")),
        "size": OutputFile("b.ckpt", 7, good.sha256),
        "name": OutputFile("../../b.ckpt", 6, good.sha256),
        "outcome": good,
    }
    outcome = Outcome.PAYLOAD_ERROR if wrong == "outcome" else Outcome.PREEMPTED
    preempt(pilot, first, good, files[wrong], outcome=outcome)
    (attempt,) = ann.attempts(job)
    assert (attempt.outcome, attempt.checkpoint) == (outcome, ())
    assert "the node is wanted; its checkpoint is not kept" in attempt.message
    (second,) = central.pilot().match().leases
    assert (second.attempt, second.checkpoint) == (2, ())


def test_of_a_killed_job(central: RunningCentral, ann: Person) -> None:
    """A job that was killed under its attempt stays killed, whatever the attempt has saved."""
    job = ann.submit_one(checkpoint=["*.ckpt"])
    pilot = central.pilot()
    (first,) = pilot.match().leases
    pilot.report(first, Phase.RUNNING)
    state = Payload(central, first).save("state.ckpt", b"step 7")
    ann.post("/v1/jobs/kill", json={"selection": {"ids": [job]}})
    assert ann.job(job).state is JobState.KILLED
    preempt(pilot, first, state)
    assert ann.job(job).state is JobState.KILLED
    assert ann.attempts(job)[0].checkpoint == ()


def test_a_pilot_that_was_preempted_gets_nothing_more(central: RunningCentral, ann: Person) -> None:
    """The report of a preempted attempt is the word that its pilot ends: the job is not given to it again."""
    ann.submit_one()
    pilot = central.pilot()
    (first,) = pilot.match().leases
    preempt(pilot, first)
    assert pilot.match(wait=5.0).reason == "draining"
    assert len(central.pilot().match().leases) == 1


def test_the_late_word_of_a_pilot_that_is_over(central: RunningCentral, ann: Person) -> None:
    """A report of an attempt that ended with its pilot is refused, and nobody is told that the pilot drains."""
    ann.submit_one()
    pilot = central.pilot()
    (first,) = pilot.match().leases
    pilot.bye()
    with closing(ann.get("/v1/events", stream=True)) as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(lines) == ": watching"
        with pytest.raises(Refusal, match="is over"):
            pilot.report(first, Phase.ENDED, outcome=Outcome.PREEMPTED)
        job = ann.submit_one()
        data = next(line for line in lines if line.startswith("data: "))
    assert json.loads(data[6:])["first"] == job


@pytest.mark.parametrize("verb", [OrderVerb.DRAIN, OrderVerb.HALT])
def test_an_order_with_a_deadline(central: RunningCentral, verb: OrderVerb) -> None:
    """A deadline is seconds, which the pilot hears with the order; anything else is refused."""
    pilot, oli = central.pilot(), central.person("oli")
    path = f"/v1/pilots/{pilot.stamp}/orders"
    for wrong in ("5 min", "9" * 400):
        with pytest.raises(Refusal, match=f"expected seconds until it must be over, got '{wrong[:80]}'"):
            oli.say(path, OrderRequest(verb, wrong), OrderReply)
    oli.say(path, OrderRequest(verb, "300", "the rack is wanted"), OrderReply)
    (order,) = pilot.heartbeat().orders
    assert (order.verb, order.argument, order.reason) == (verb, "300", "the rack is wanted")
