"""Pilots and payloads that may say something now, and how they prove what they say. Each scene is for one use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
import requests

from central.trust.rules import Who
from central.trust.seal import Ticket
from pilot import protocol
from pilot.protocol import AttemptReport, Lease
from pilot.states import Phase
from tests.integration.running_central import RunningCentral
from tests.integration.wire_pilot import SignedPilot
from tests.security.cast import Cast

#: Seconds that leases last: longer than any test.
LEASE = 3600
S3 = {"endpoint": "https://s3.example:9000", "access_key": "AKIAEXAMPLE", "secret_key": "horse/battery+staple"}
INPUT = b"what the job begins with"


class Proof(Enum):
    """What shows who sends a message."""

    SECRET = "the one-time secret in it"
    SIGNATURE = "a signature with the session key"
    JOB = "the attempt's token"
    TICKET = "the ticket for a boot log"


#: What a route asks of those whom it names.
PROOFS: Mapping[Who, Proof] = {
    Who.PILOT: Proof.SIGNATURE,
    Who.AGED_PILOT: Proof.SIGNATURE,
    Who.PAYLOAD: Proof.JOB,
    Who.TICKET: Proof.TICKET,
}


@dataclass(frozen=True)
class Words:
    """A message as it is sent. `token`: of the pilot, where it is not the newest that it has."""

    method: str
    path: str
    body: bytes = b""
    token: str = ""


@dataclass
class Scene:
    """A pilot that may send a message now, with a job or without, at a central."""

    central: RunningCentral
    cast: Cast
    pilot: SignedPilot
    leases: tuple[Lease, ...] = ()

    @property
    def lease(self) -> Lease:
        return self.leases[0]

    def of_pilot(self, what: str, message: object, token: str = "") -> Words:
        return Words("POST", f"/v1/pilots/{self.pilot.stamp}/{what}", msgspec.json.encode(message), token)

    def of_attempt(self, what: str, message: object) -> Words:
        path = f"/v1/attempts/{self.lease.job}/{self.lease.attempt}/{what}"
        return Words("POST", path, msgspec.json.encode(message))

    def log(self, stream: str, offset: int, content: bytes) -> Words:
        return Words("PUT", f"/v1/logs/{self.pilot.stamp}/{stream}?offset={offset}", content)

    def report(self, phase: Phase, **fields: Any) -> Words:
        return self.of_attempt("report", AttemptReport(phase, **fields))

    def proved(self, proof: Proof, words: Words) -> dict[str, str]:
        """The headers that go with a message."""
        if proof is Proof.JOB:
            return {"Authorization": f"{protocol.JOB_SCHEME} {self.lease.job_token}"}
        if proof is Proof.TICKET:
            return {"Authorization": f"{protocol.TICKET_SCHEME} {self.cast.ring.seal(Ticket(self.pilot.stamp))}"}
        if proof is Proof.SECRET:
            return {}
        own, self.pilot.token = self.pilot.token, words.token or self.pilot.token
        try:
            return self.pilot.proof(words.method, self.central.url + words.path, words.body)
        finally:
            self.pilot.token = own

    def send(self, words: Words, headers: Mapping[str, str]) -> requests.Response:
        return self.cast.http.request(words.method, words.path, data=words.body, headers=headers)

    def say(self, proof: Proof, words: Words) -> requests.Response:
        """Send a message, proved anew."""
        return self.send(words, self.proved(proof, words))


# -- scenes ---------------------------------------------------------------------------------------------------------
def called(central: RunningCentral, cast: Cast) -> Scene:
    """A pilot that was submitted and has not enrolled."""
    return Scene(central, cast, central.pilot(enrolled=False, lease=LEASE))


def enrolled(central: RunningCentral, cast: Cast) -> Scene:
    return Scene(central, cast, central.pilot(lease=LEASE))


def awaited(central: RunningCentral, cast: Cast) -> Scene:
    """A pilot for which a job waits."""
    scene = enrolled(central, cast)
    submit(central)
    return scene


def leased(central: RunningCentral, cast: Cast) -> Scene:
    """A pilot that was given two jobs, with inputs and a credential."""
    scene = enrolled(central, cast)
    submit(central)
    submit(central)
    scene.leases = scene.pilot.match(most=2).leases
    assert len(scene.leases) == 2
    return scene


def submit(central: RunningCentral) -> None:
    """A job of ann's with an input and a key to a storage."""
    ann = central.person("ann")
    ann.put("/v1/credentials/lake", json={"kind": "s3", "values": S3, "urls": ["s3://lake/ann/"]}).raise_for_status()
    file = ann.upload("input", INPUT)
    ann.submit_one(inputs=["input"], files={"input": {"sha256": file.sha256, "size": file.size}}, credentials=["lake"])
