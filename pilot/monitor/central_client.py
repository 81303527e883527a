"""The pilot's requests to the central: signed, repeated where that is safe, each refusal a typed error.

The monitor alone uses this. All methods may be called from any thread; each raises `TransportError` when no central
answered and `Refusal` when one said no.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional, TypeVar
from urllib.parse import quote, urlsplit

from pilot import codec, signatures
from pilot.errors import InvalidInput, Refusal, TransportError
from pilot.monitor.standing import Standing
from pilot.protocol import (
    PILOT_SCHEME,
    Accepted,
    AttemptReport,
    EnrolReply,
    EnrolRequest,
    GoodbyeRequest,
    HeartbeatReply,
    HeartbeatRequest,
    LogReply,
    MatchReply,
    MatchRequest,
    Problem,
    ReleaseRequest,
    RenewReply,
    RenewRequest,
    ResumeRequest,
    StepReport,
)
from pilot.renewals import CredentialsReply, CredentialsRequest
from pilot.transport import Response, Transport

#: Seconds for an answer that the central need not think about.
TIMEOUT = 30.0

Reply = TypeVar("Reply")


@dataclass(frozen=True)
class LogChunk:
    """A piece of a log stream as it is sent: `body` is compressed where `encoding` says so."""

    stream: str
    offset: int
    body: bytes
    encoding: str = "identity"
    last: bool = False


class CentralClient:
    """Speaks for one pilot to any of several centrals; the one that answered last is asked first.

    `random_bytes` gives so many unpredictable bytes.
    """

    def __init__(
        self, urls: Sequence[str], transport: Transport, standing: Standing, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.urls = tuple(urls)
        self.transport = transport
        self.standing = standing
        self.random_bytes = random_bytes
        self._preferred = 0
        self._renewing = threading.Lock()

    # -- the requests -----------------------------------------------------------------------------------------------

    def enrol(self, request: EnrolRequest) -> EnrolReply:
        """Trade the one-time secret for a token, and take it over."""
        began = self.standing.steady()
        body = codec.dumps(request)
        reply = self._ask("POST", self._path("enrol"), body, {"Content-Type": "application/json"}, TIMEOUT, EnrolReply)
        self.standing.enrolled(reply, self.standing.steady() - began)
        return reply

    def resume(self, request: ResumeRequest) -> EnrolReply:
        """Have the next epoch, and take it over."""
        began = self.standing.steady()
        reply = self._post(self._path("resume"), request, EnrolReply)
        self.standing.enrolled(reply, self.standing.steady() - began)
        return reply

    def renew(self) -> None:
        """Have a fresh token, which is also a word of the pilot."""
        self._renew(self.standing.token)

    def match(self, request: MatchRequest) -> MatchReply:
        return self._post(self._path("match"), request, MatchReply, TIMEOUT + request.wait)

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        began = self.standing.steady()
        reply = self._post(self._path("heartbeat"), request, HeartbeatReply)
        self.standing.learn(reply.server_time, self.standing.steady() - began)
        if reply.token:
            self.standing.renewed(reply.token)
        return reply

    def credentials(self, request: CredentialsRequest) -> CredentialsReply:
        return self._post(self._path("credentials"), request, CredentialsReply)

    def report(self, job: int, attempt: int, report: AttemptReport) -> None:
        self._post(f"/v1/attempts/{job}/{attempt}/report", report, Accepted)

    def release(self, request: ReleaseRequest) -> None:
        self._post(self._path("release"), request, Accepted)

    def step(self, report: StepReport) -> None:
        self._post(self._path("steps"), report, Accepted)

    def bye(self, request: GoodbyeRequest) -> None:
        self._post(self._path("bye"), request, Accepted)

    def log(self, chunk: LogChunk) -> LogReply:
        path = f"/v1/logs/{self.standing.stamp}/{quote(chunk.stream, safe='')}?offset={chunk.offset}"
        headers = {"Content-Type": "application/octet-stream", "Content-Encoding": chunk.encoding}
        return self._signed("PUT", path + ("&last=1" if chunk.last else ""), chunk.body, headers, TIMEOUT, LogReply)

    # -- how ----------------------------------------------------------------------------------------------------------

    def _path(self, what: str) -> str:
        return f"/v1/pilots/{self.standing.stamp}/{what}"

    def _post(self, path: str, message: Any, kind: type[Reply], timeout: float = TIMEOUT) -> Reply:
        headers = {"Content-Type": "application/json"}
        return self._signed("POST", path, codec.dumps(message), headers, timeout, kind)

    def _signed(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float, kind: type[Reply]
    ) -> Reply:
        """A signed request. A clock that is off is set once, a token that has aged is renewed once."""
        mended: set[str] = set()
        while True:
            token, began = self.standing.token, self.standing.steady()
            try:
                return self._ask(method, path, body, headers, timeout, kind, token)
            except Refusal as refusal:
                if refusal.type in mended or refusal.type not in ("clock-skew", "token-expired"):
                    raise
                mended.add(refusal.type)
                if refusal.type == "token-expired":
                    self._renew(token)
                else:
                    self.standing.learn(refusal.server_time or 0.0, self.standing.steady() - began)

    def _renew(self, aged: str) -> None:
        """Get a fresh token, unless another thread has just done so."""
        with self._renewing:
            if self.standing.token != aged:
                return
            path, body = self._path("renew"), codec.dumps(RenewRequest(self.standing.epoch))
            headers = {"Content-Type": "application/json"}
            try:
                reply = self._ask("POST", path, body, headers, TIMEOUT, RenewReply, aged)
            except Refusal as refusal:
                if refusal.type != "clock-skew" or not refusal.server_time:
                    raise
                self.standing.learn(refusal.server_time, 0.0)
                reply = self._ask("POST", path, body, headers, TIMEOUT, RenewReply, aged)
            self.standing.renewed(reply.token)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,
        kind: type[Reply],
        token: Optional[str] = None,
    ) -> Reply:
        """Ask each central in turn until one answers; signed where a token is given."""
        first = self._preferred
        problem = TransportError("no central is configured")
        for turn in range(len(self.urls)):
            index = (first + turn) % len(self.urls)
            url = self.urls[index] + path
            proof = self._proof(method, url, body, token) if token is not None else {}
            try:
                reply = understood(self.transport.send(method, url, {**headers, **proof}, body, timeout), kind, url)
            except TransportError as error:
                problem = error
            except Refusal:
                self._heard(index)
                raise
            else:
                self._heard(index)
                return reply
        raise problem

    def _heard(self, index: int) -> None:
        self._preferred = index
        self.standing.heard = self.standing.steady()

    def _proof(self, method: str, url: str, body: bytes, token: str) -> dict[str, str]:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return signatures.sign(
            self.standing.key,
            method,
            target,
            body,
            f"{PILOT_SCHEME} {token}",
            keyid=self.standing.stamp,
            created=int(self.standing.now()),
            nonce=base64.urlsafe_b64encode(self.random_bytes(15)).decode(),
        )


def understood(response: Response, kind: type[Reply], url: str) -> Reply:
    """The reply in a response. Raises `Refusal` for a refusal, `TransportError` for what no central would say."""
    try:
        if 200 <= response.status < 300:
            return codec.loads(kind, response.body)
        if response.content_type == "application/problem+json":
            raise _refusal(codec.loads(Problem, response.body), response.retry_after)
    except InvalidInput as error:
        raise TransportError(f"{url}: the answer is not understood: {error}") from error
    shown = response.body[:200].decode("utf-8", "replace")
    raise TransportError(f"{url}: status {response.status}, not a central's answer: {shown!r}")


def _refusal(problem: Problem, retry_after: Optional[float]) -> Refusal:
    return Refusal(
        problem.type,
        problem.detail or problem.title,
        retry_after=problem.retry_after if problem.retry_after is not None else retry_after,
        server_time=problem.server_time,
        expected=problem.expected,
        got=problem.got,
        problems=tuple(InvalidInput(spot.get("where", ""), spot.get("problem", "")) for spot in problem.problems),
    )
