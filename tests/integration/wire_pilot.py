"""A pilot made of nothing but the wire: it signs and sends what a test tells it, and decodes what comes back."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests

from pilot import protocol, signatures
from pilot.errors import InvalidInput, Refusal
from pilot.states import Outcome, Phase, PilotReason, PilotState

T = TypeVar("T")
OFFER = protocol.Offer("here", "local", cores=4, memory=8 * 10**9, disk=10**11, seconds_left="unlimited")


def decoded(response: requests.Response, kind: type[T]) -> T:
    """The record in an answer. Raises the `Refusal` that it is."""
    if response.headers.get("Content-Type") == "application/problem+json":
        problem = msgspec.json.decode(response.content, type=protocol.Problem)
        raise Refusal(
            problem.type,
            problem.detail,
            retry_after=problem.retry_after,
            server_time=problem.server_time,
            expected=problem.expected,
            got=problem.got,
            problems=tuple(InvalidInput(entry["where"], entry["problem"]) for entry in problem.problems),
        )
    return msgspec.json.decode(response.content, type=kind)


class SignedPilot:
    """Speaks to one central. `skew` is what its clock is ahead by, in seconds."""

    def __init__(self, url: str, ca: str, stamp: str, secret: str, offer: protocol.Offer = OFFER) -> None:
        self.url = url
        self.stamp = stamp
        self.secret = secret
        self.offer = offer
        self.key = secrets.token_bytes(32)
        self.token = ""
        self.epoch = 0
        self.sequence = 0
        self.number = 0
        self.skew = 0.0
        self.http = requests.Session()
        self.http.verify = ca
        self.http.trust_env = False  # a bundle named in the environment would take the place of ours

    # -- what a pilot says ----------------------------------------------------------------------------------------

    def enrol(self, facts: tuple[protocol.Fact, ...] = ()) -> protocol.EnrolReply:
        key = base64.b64encode(self.key).decode()
        request = protocol.EnrolRequest(self.secret, key, pilot_version="test", instance="boot-1", facts=facts)
        body = msgspec.json.encode(request)
        reply = decoded(self.http.post(self._path("enrol"), data=body, timeout=30), protocol.EnrolReply)
        self.token, self.epoch = reply.token, reply.epoch
        return reply

    def resume(self, epoch: int | None = None) -> protocol.EnrolReply:
        request = protocol.ResumeRequest(self.epoch if epoch is None else epoch, "boot-1")
        reply = self.post(self._path("resume"), request, protocol.EnrolReply)
        self.token, self.epoch, self.sequence = reply.token, reply.epoch, 0
        return reply

    def renew(self) -> protocol.RenewReply:
        reply = self.post(self._path("renew"), protocol.RenewRequest(self.epoch), protocol.RenewReply)
        self.token = reply.token
        return reply

    def match(self, most: int = 1, wait: float = 0.0, number: int | None = None) -> protocol.MatchReply:
        if number is None:
            self.number += 1
            number = self.number
        request = protocol.MatchRequest(number, self.offer, most=most, wait=wait)
        return self.post(self._path("match"), request, protocol.MatchReply)

    def heartbeat(
        self,
        leases: tuple[protocol.LeaseReport, ...] = (),
        *,
        sequence: int | None = None,
        through: int | None = None,
        state: PilotState = PilotState.RUNNING,
        acknowledgements: tuple[protocol.Acknowledgement, ...] = (),
        epoch: int | None = None,
        facts: tuple[protocol.Fact, ...] = (),
    ) -> protocol.HeartbeatReply:
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        request = protocol.HeartbeatRequest(
            self.epoch if epoch is None else epoch,
            sequence,
            state,
            {} if through is None else {"1": through},
            leases,
            acknowledgements=acknowledgements,
            facts=facts,
        )
        return self.post(self._path("heartbeat"), request, protocol.HeartbeatReply)

    def report(self, lease: protocol.Lease | tuple[int, int], phase: Phase, **fields: Any) -> protocol.Accepted:
        job, attempt = lease if isinstance(lease, tuple) else (lease.job, lease.attempt)
        path = f"{self.url}/v1/attempts/{job}/{attempt}/report"
        return self.post(path, protocol.AttemptReport(phase, **fields), protocol.Accepted)

    def succeed(self, lease: protocol.Lease, **fields: Any) -> protocol.Accepted:
        return self.report(lease, Phase.ENDED, outcome=Outcome.SUCCESS, exit_code=0, **fields)

    def release(self, *leases: protocol.Lease) -> protocol.Accepted:
        ids = tuple(protocol.AttemptId(lease.job, lease.attempt) for lease in leases)
        return self.post(self._path("release"), protocol.ReleaseRequest(ids, "test"), protocol.Accepted)

    def step(self, number: int, command: str, **fields: Any) -> protocol.Accepted:
        return self.post(self._path("steps"), protocol.StepReport(number, command, **fields), protocol.Accepted)

    def log(
        self, stream: str, offset: int, content: bytes, *, last: bool = False, encoding: str = "identity"
    ) -> protocol.LogReply:
        path = f"{self.url}/v1/logs/{self.stamp}/{stream}?offset={offset}" + ("&last=1" if last else "")
        return decoded(self.send("PUT", path, content, {"Content-Encoding": encoding}), protocol.LogReply)

    def bye(self, reason: PilotReason = PilotReason.IDLE) -> protocol.Accepted:
        return self.post(self._path("bye"), protocol.GoodbyeRequest(reason), protocol.Accepted)

    # -- how ----------------------------------------------------------------------------------------------------------

    def post(self, url: str, message: object, kind: type[T]) -> T:
        return decoded(self.send("POST", url, msgspec.json.encode(message)), kind)

    def send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str] | None = None, nonce: str | None = None
    ) -> requests.Response:
        return self.http.request(
            method, url, data=body, headers={**(headers or {}), **self.proof(method, url, body, nonce)}, timeout=60
        )

    def proof(self, method: str, url: str, body: bytes, nonce: str | None = None) -> dict[str, str]:
        parts = urlsplit(url)
        return signatures.sign(
            self.key,
            method,
            parts.path + (f"?{parts.query}" if parts.query else ""),
            body,
            f"{protocol.PILOT_SCHEME} {self.token}",
            keyid=self.stamp,
            created=int(time.time() + self.skew),
            nonce=nonce or secrets.token_urlsafe(12),
        )

    def _path(self, what: str) -> str:
        return f"{self.url}/v1/pilots/{self.stamp}/{what}"


def held(lease: protocol.Lease, phase: Phase = Phase.RUNNING, **usage: Any) -> protocol.LeaseReport:
    """A lease as a heartbeat lists it."""
    return protocol.LeaseReport(lease.job, lease.attempt, phase, protocol.Usage(**usage))
