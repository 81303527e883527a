"""The pilot's requests: signed so that the central accepts them, repeated where that is safe, refusals typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pilot import codec, protocol, signatures
from pilot.errors import Refusal, TransportError
from pilot.monitor.central_client import CentralClient, LogChunk
from pilot.monitor.standing import Standing
from pilot.protocol import (
    Accepted,
    AttemptReport,
    EnrolReply,
    EnrolRequest,
    HeartbeatReply,
    HeartbeatRequest,
    LogReply,
    MatchReply,
    MatchRequest,
    Offer,
    Problem,
    RenewReply,
    Settings,
)
from pilot.states import Phase, PilotState
from pilot.transport import Response

STAMP = "0123456789abcdef" * 2
KEY = bytes(range(32))


def replied(record: Any) -> Response:
    return Response(200, "application/json", codec.dumps(record))


def refused(type: str, **more: Any) -> Response:
    return Response(400, "application/problem+json", codec.dumps(Problem(type, detail="no", **more)))


class Central:
    """A transport that verifies each signed request as the central does, and answers from a list."""

    def __init__(self) -> None:
        self.time = 5_000_000.0
        self.node_time = 100.0
        self.answers: list[Any] = []  # responses, and errors to raise
        self.asked: list[tuple[str, str]] = []  # method, URL
        self.bodies: list[bytes] = []
        self.tokens: list[str] = []
        self.nonces: set[str] = set()

    def steady(self) -> float:
        return self.node_time

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        self.asked.append((method, url))
        self.bodies.append(body)
        if not url.endswith("/enrol"):
            problem = self.verify(method, url, headers, body)
            if problem is not None:
                return problem
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def verify(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Response | None:
        lower = {name.lower(): value for name, value in headers.items()}
        signed = signatures.read(lower)
        assert signed.nonce not in self.nonces
        self.nonces.add(signed.nonce)
        self.tokens.append(lower["authorization"])
        target = "/" + url.split("/", 3)[3]
        try:
            signatures.verify(signed, KEY, method, target, body, lower, now=self.time)
        except Refusal as refusal:
            return refused(refusal.type, server_time=refusal.server_time)
        return None


@pytest.fixture
def central() -> Central:
    return Central()


def random_bytes() -> Callable[[int], bytes]:
    drawn = iter(range(10**6))
    return lambda count: next(drawn).to_bytes(count, "big")


@pytest.fixture
def client(central: Central) -> CentralClient:
    urls = ["https://one.example", "https://two.example/prefix"]
    return CentralClient(urls, central, Standing(STAMP, KEY, central.steady), random_bytes())


def enrolled(central: Central, client: CentralClient) -> None:
    central.answers = [replied(EnrolReply(3, "token-1", 3600, central.time, Settings()))]
    client.enrol(EnrolRequest("secret", "key", "0"))


BEAT = HeartbeatRequest(3, 1, PilotState.RUNNING)


def test_enrolment_gives_token_epoch_and_time(central: Central, client: CentralClient) -> None:
    """After it, requests are signed with the central's time, however far the node's clock is off."""
    enrolled(central, client)
    assert (client.standing.epoch, client.standing.token) == (3, "token-1")
    central.answers = [replied(HeartbeatReply(1)), replied(MatchReply(1)), replied(Accepted()), replied(LogReply(4))]
    client.heartbeat(BEAT)
    client.match(MatchRequest(1, Offer("s", "q")))
    client.report(7, 2, AttemptReport(Phase.RUNNING))
    client.log(LogChunk("job-7-2-stdout", 0, b"text", last=True))
    assert central.asked[1:] == [
        ("POST", f"https://one.example/v1/pilots/{STAMP}/heartbeat"),
        ("POST", f"https://one.example/v1/pilots/{STAMP}/match"),
        ("POST", "https://one.example/v1/attempts/7/2/report"),
        ("PUT", f"https://one.example/v1/logs/{STAMP}/job-7-2-stdout?offset=0&last=1"),
    ]
    assert set(central.tokens) == {"Pilot token-1"}


def test_clock_is_learnt_again(central: Central, client: CentralClient) -> None:
    """A refused time is corrected, and the request signed again, with a new nonce and the same body."""
    enrolled(central, client)
    central.time += 3600
    central.answers = [replied(MatchReply(1))]
    client.match(MatchRequest(1, Offer("s", "q")))
    assert len(central.asked) == 3
    assert central.bodies[1] == central.bodies[2]


def test_clock_is_corrected_only_once(central: Central, client: CentralClient) -> None:
    """A central that refuses every time is not asked without end."""
    enrolled(central, client)
    central.answers = [refused("clock-skew", server_time=central.time)] * 5
    with pytest.raises(Refusal) as error:
        client.heartbeat(BEAT)
    assert error.value.type == "clock-skew"
    assert len(central.asked) == 3


def test_heartbeat_keeps_the_clock(central: Central, client: CentralClient) -> None:
    """Each heartbeat's answer sets the clock again, so that a slow drift is never refused."""
    enrolled(central, client)
    for _ in range(10):
        central.time += 50.0
        central.node_time += 20.0
        central.answers = [replied(HeartbeatReply(1, server_time=central.time))]
        client.heartbeat(BEAT)
    assert abs(client.standing.now() - central.time) < 1.0
    assert len(central.asked) == 11


def test_token_is_renewed(central: Central, client: CentralClient) -> None:
    """An aged token is renewed and the request repeated; what a heartbeat brings is used at once."""
    enrolled(central, client)
    central.answers = [
        refused("token-expired"),
        replied(RenewReply("token-2", 3600, central.time)),
        replied(MatchReply(1)),
        replied(HeartbeatReply(1, token="token-3")),
        replied(MatchReply(2)),
    ]
    client.match(MatchRequest(1, Offer("s", "q")))
    client.heartbeat(BEAT)
    client.match(MatchRequest(2, Offer("s", "q")))
    assert [token[-1] for token in central.tokens] == ["1", "1", "2", "2", "3"]
    assert central.asked[2] == ("POST", f"https://one.example/v1/pilots/{STAMP}/renew")


def test_renewal_with_a_clock_that_is_off(central: Central, client: CentralClient) -> None:
    """A pilot that slept past its token's end and its clock's truth finds back."""
    enrolled(central, client)
    central.answers = [refused("token-expired")]
    original = central.send

    def late(method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        if len(central.asked) == 2:
            central.time += 7200
            central.answers = [replied(RenewReply("token-2", 3600, central.time)), replied(MatchReply(1))]
        return original(method, url, headers, body, timeout)

    central.send = late  # type: ignore[method-assign]
    assert client.match(MatchRequest(1, Offer("s", "q"))).number == 1


def test_next_central(central: Central, client: CentralClient) -> None:
    """When one central does not answer the next is asked, under its own target, and from then on first."""
    enrolled(central, client)
    central.answers = [TransportError("down"), replied(HeartbeatReply(1)), replied(HeartbeatReply(2))]
    client.heartbeat(BEAT)
    client.heartbeat(BEAT)
    assert [url.split("/v1")[0] for _, url in central.asked] == [
        "https://one.example",
        "https://one.example",
        "https://two.example/prefix",
        "https://two.example/prefix",
    ]


def test_no_central(central: Central, client: CentralClient) -> None:
    """When none answers the caller is told so, once each was tried."""
    enrolled(central, client)
    central.answers = [TransportError("down"), TransportError("down too")]
    with pytest.raises(TransportError, match="down too"):
        client.heartbeat(BEAT)
    assert len(central.asked) == 3


def test_refusal_is_an_answer(central: Central, client: CentralClient) -> None:
    """A refusal is not tried elsewhere; it arrives with everything it carries, and counts as a sign of life."""
    enrolled(central, client)
    central.node_time += 50.0
    problems = ({"where": "leases[0].job", "problem": "expected a whole number"},)
    central.answers = [refused("gap", expected="17", got="20", retry_after=2.5, problems=problems)]
    with pytest.raises(Refusal) as error:
        client.log(LogChunk("pilot", 20, b""))
    refusal = error.value
    assert (refusal.type, refusal.expected, refusal.got, refusal.retry_after) == ("gap", "17", "20", 2.5)
    assert str(refusal.problems[0]) == "leases[0].job: expected a whole number"
    assert client.standing.heard == central.node_time


@pytest.mark.parametrize(
    "answer",
    [
        Response(502, "text/html", b"<html>bad gateway"),
        Response(302, "text/html", b"elsewhere"),
        Response(200, "application/json", b"not json"),
        Response(200, "application/json", b"{}"),
        Response(500, "application/problem+json", b"[]"),
    ],
)
def test_not_a_centrals_answer(central: Central, client: CentralClient, answer: Response) -> None:
    """What a proxy or another server says is no answer: nothing is known, and trying again is right."""
    enrolled(central, client)
    central.answers = [answer, answer]
    with pytest.raises(TransportError):
        client.heartbeat(BEAT)


def test_retry_after_header(central: Central, client: CentralClient) -> None:
    """A refusal without its own time to wait has that of the header."""
    enrolled(central, client)
    central.answers = [Response(503, "application/problem+json", codec.dumps(Problem("busy")), retry_after=7.0)]
    with pytest.raises(Refusal) as error:
        client.heartbeat(BEAT)
    assert error.value.retry_after == 7.0
    assert error.value.transient


def test_every_message_has_its_version(central: Central, client: CentralClient) -> None:
    """Whatever is sent says which version it speaks."""
    enrolled(central, client)
    central.answers = [replied(HeartbeatReply(1)), replied(Accepted())]
    client.heartbeat(BEAT)
    client.step(protocol.StepReport(1, "discover"))
    assert all(f'"version":{protocol.VERSION}'.encode() in body for body in central.bodies)
