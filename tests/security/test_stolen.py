"""Whoever has read something on its way, or where it lay: user-data, a request, a token. What each is worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
import requests

from central.trust.rules import Who
from central.trust.seal import Ticket
from pilot import protocol
from pilot.errors import Refusal
from pilot.renewals import CredentialsRequest
from pilot.states import Outcome, Phase, PilotReason, PilotState
from tests.integration.running_central import RunningCentral, until
from tests.integration.wire_pilot import SignedPilot
from tests.security.cast import NO_FILE, Cast, as_person, filled, name_of, routes_for
from tests.security.kept import unchanged
from tests.user_data import boot

#: What a pilot says under its own stamp; what it says of attempts is another test's.
SPOKEN = [route for route in routes_for(Who.PILOT, Who.AGED_PILOT) if "{stamp" in route.path]


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


def thief_of(central: RunningCentral, pilot: SignedPilot, secret: str) -> SignedPilot:
    """Somebody elsewhere who knows the stamp and the secret, and makes a session key of their own."""
    thief = SignedPilot(central.url, central.ca, pilot.stamp, secret)
    central.sessions.append(thief.http)
    return thief


# -- user-data ------------------------------------------------------------------------------------------------------
def test_user_data_enrolled_second_is_worth_nothing(central: RunningCentral, cast: Cast) -> None:
    """Whoever reads a machine's user-data after it has enrolled is refused, seen, and changes no session."""
    pilot, lease = cast.leased()
    read = boot({"stamp": pilot.stamp, "ticket": cast.ring.seal(Ticket(pilot.stamp))}, secret=pilot.secret)
    thief = thief_of(central, pilot, read.secret)
    for _ in range(3):
        assert refused(thief.enrol).type == "secret-used"
    assert central.person("oli").get(f"/v1/pilots/{pilot.stamp}").json()["pilot"]["alarm"]
    for ask in (thief.match, thief.heartbeat, thief.renew, thief.resume):
        assert refused(ask).type in ("unauthorized", "bad-signature")
    pilot.succeed(lease)  # what the first one runs, it finishes


def test_user_data_enrolled_first_is_noticed(central: RunningCentral) -> None:
    """Whoever is quicker than the machine is found out as soon as it calls, and gets no job and no credential more."""
    pilot = central.pilot(enrolled=False)
    thief = thief_of(central, pilot, pilot.secret)
    thief.enrol()
    assert refused(pilot.enrol).type == "secret-used"
    job = central.person("ann").submit_one()
    reply = until(lambda: (reply := thief.match()).reason and reply, "the alarm to count")
    assert (reply.leases, reply.reason) == ((), "banned")
    central.person("ann").post("/v1/jobs/kill", json={"selection": {"ids": [job]}})


def test_user_data_of_a_machine_that_is_over_is_worth_nothing(central: RunningCentral) -> None:
    """The secret ends with its pilot: nobody enrols in its name, not even with its own key."""
    pilot = central.pilot()
    pilot.bye()
    thief = thief_of(central, pilot, pilot.secret)
    assert refused(thief.enrol).type in ("secret-used", "secret-expired", "revoked", "unauthorized", "superseded")
    assert central.person("oli").get(f"/v1/pilots/{pilot.stamp}").json()["pilot"]["state"] == "done"


@pytest.mark.parametrize("stream", ["boot", "pilot", "job-1-1-stdout", "..%2Fboot", "boot%00"])
def test_the_ticket_in_user_data_writes_a_bounded_boot_log_alone(
    central: RunningCentral, cast: Cast, stream: str
) -> None:
    """The ticket that lies in user-data opens one stream, which nothing in the central ever takes for an order."""
    pilot = central.pilot()
    headers = {"Authorization": f"Ticket {cast.ring.seal(Ticket(pilot.stamp))}"}
    path = f"/v1/logs/{pilot.stamp}/{stream}?offset=0"
    answer = cast.http.put(path, data=b"forged", headers=headers)
    assert answer.status_code in ((200,) if stream == "boot" else (403, 404, 422))
    other = cast.http.put(f"/v1/logs/{'0' * 32}/boot?offset=0", data=b"forged", headers=headers)
    assert other.status_code == 403


# -- captured requests ------------------------------------------------------------------------------------------------
def captured(pilot: SignedPilot, lease: protocol.Lease) -> dict[str, tuple[str, str, bytes]]:
    """One request of each kind that a pilot signs, in an order in which each is good."""
    of_pilot = f"{pilot.url}/v1/pilots/{pilot.stamp}"
    offer = protocol.MatchRequest(pilot.number + 1, pilot.offer)
    beat = protocol.HeartbeatRequest(pilot.epoch, 1, PilotState.RUNNING, {}, ())
    report = f"{pilot.url}/v1/attempts/{lease.job}/{lease.attempt}/report"
    running = protocol.AttemptReport(Phase.RUNNING)
    ended = protocol.AttemptReport(Phase.ENDED, Outcome.SUCCESS, 0)
    said = {
        "match": ("POST", f"{of_pilot}/match", offer),
        "heartbeat": ("POST", f"{of_pilot}/heartbeat", beat),
        "running": ("POST", report, running),
        "step": ("POST", f"{of_pilot}/steps", protocol.StepReport(1, "discover")),
        "ended": ("POST", report, ended),
        "credentials": ("POST", f"{of_pilot}/credentials", CredentialsRequest()),
        "release": ("POST", f"{of_pilot}/release", protocol.ReleaseRequest((), "none")),
        "renew": ("POST", f"{of_pilot}/renew", protocol.RenewRequest(pilot.epoch)),
    }
    found = {name: (method, url, msgspec.json.encode(message)) for name, (method, url, message) in said.items()}
    found["log"] = ("PUT", f"{pilot.url}/v1/logs/{pilot.stamp}/pilot?offset=0", b"said once")
    found["bye"] = ("POST", f"{of_pilot}/bye", msgspec.json.encode(protocol.GoodbyeRequest(PilotReason.IDLE)))
    return found


def test_a_captured_request_of_any_kind_changes_nothing(central: RunningCentral, cast: Cast) -> None:
    """Every request that a pilot signs is refused when its very bytes come again, at once and at the end, and the
    central keeps the same as before."""
    pilot, lease = cast.leased()
    sent: list[tuple[str, str, bytes, dict[str, str]]] = []

    def again(method: str, url: str, body: bytes, headers: dict[str, str]) -> None:
        answer = pilot.http.request(method, url, data=body, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (409, "replayed"), url

    for name, (method, url, body) in captured(pilot, lease).items():
        headers = pilot.proof(method, url, body)
        assert pilot.http.request(method, url, data=body, headers=headers).status_code == 200, name
        again(method, url, body, headers)
        sent.append((method, url, body, headers))
    unchanged(central, lambda: [again(*one) for one in sent])


@pytest.mark.parametrize("change", ["method", "target", "body", "token", "other-pilot"])
def test_a_captured_request_is_good_for_nothing_else(central: RunningCentral, cast: Cast, change: str) -> None:
    """A signature that was captured before it arrived does not pass for another method, path, body, token or pilot, and
    what it was used for in vain changes nothing."""
    pilot, lease = cast.leased()
    other = central.pilot()
    url = f"{central.url}/v1/attempts/{lease.job}/{lease.attempt}/report"
    body = msgspec.json.encode(protocol.AttemptReport(Phase.RUNNING))
    headers = pilot.proof("POST", url, body)
    method = "PUT" if change == "method" else "POST"
    if change == "target":
        url = url.replace("/report", "/report?again=1")
    elif change == "body":
        body = msgspec.json.encode(protocol.AttemptReport(Phase.ENDED, Outcome.SUCCESS, 0))
    elif change == "token":
        headers["Authorization"] = f"Pilot {other.token}"
    elif change == "other-pilot":
        url = f"{central.url}/v1/pilots/{other.stamp}/steps"

    def attack() -> None:
        answer = other.http.request(method, url, data=body, headers=headers)
        assert answer.status_code in (401, 403, 405), answer.text

    unchanged(central, attack)
    pilot.succeed(lease)


# -- a pilot that was taken over ------------------------------------------------------------------------------------
def test_a_pilot_touches_no_other_pilots_work(central: RunningCentral, cast: Cast) -> None:
    """A pilot that somebody has taken over reports, ends, releases, writes and beats for no attempt but its own, and is
    told so; what it says in vain changes nothing of theirs."""
    pilot, lease = cast.leased()
    thief = central.pilot()
    nothing = (999_999, 1)

    def attack() -> None:
        for phase, fields in ((Phase.RUNNING, {}), (Phase.ENDED, {"outcome": Outcome.SUCCESS, "exit_code": 0})):
            told = [refused(partial(thief.report, of, phase, **fields)).type for of in (lease, nothing)]
            assert told == ["not-yours", "stale-attempt"]
        assert refused(lambda: thief.release(lease)).type == "not-yours"
        renewed = thief.heartbeat((protocol.LeaseReport(lease.job, lease.attempt, Phase.RUNNING),))
        assert [one.seconds for one in renewed.leases] == [0]

    unchanged(central, attack, own={"nodes", "pilots"})  # it beats for itself
    pilot.succeed(lease)


@pytest.mark.parametrize("route", SPOKEN, ids=name_of)
def test_a_pilot_speaks_for_no_other(central: RunningCentral, cast: Cast, route: Any) -> None:
    """Under another pilot's path a good signature is forbidden, on every route that there is for pilots."""
    thief, pilot = central.pilot(), central.pilot()
    for stamp in (pilot.stamp, "0" * 32):
        url = central.url + filled(route, stamp=stamp)
        assert thief.send(route.method, url, b"{}").status_code == 403


def test_a_payloads_token_reaches_no_other_job(central: RunningCentral, cast: Cast) -> None:
    """What is handed to a payload opens no other job: not its inputs, not its signed requests, nothing for people."""
    pilot, lease = cast.leased()
    _, other = cast.leased()
    ann = central.person("ann")
    secret = ann.upload("input", b"of another job").sha256
    headers = {"Authorization": f"Job {lease.job_token}"}
    for sha256 in (secret, NO_FILE):
        answer = cast.http.get(f"/v1/sandboxes/{sha256}", headers=headers)
        assert (answer.status_code, answer.json()["detail"].replace(sha256, "")) == (
            404,
            "there is no file  that you may read",
        )
    for what, body in (
        ("uploads", {"destination": "s3://lake/x", "size": 1, "sha256": NO_FILE}),
        ("downloads", {"source": "s3://lake/x"}),
    ):
        answer = cast.http.post(f"/v1/attempts/{other.job}/{other.attempt}/{what}", json=body, headers=headers)
        assert answer.status_code == 403
    for path in (f"/v1/jobs/{lease.job}", f"/v1/jobs/{other.job}/logs/stdout", f"/v1/pilots/{pilot.stamp}"):
        assert cast.http.get(path, headers=headers).status_code == 403


# -- people ---------------------------------------------------------------------------------------------------------
def test_a_token_in_another_scheme_is_worth_nothing(central: RunningCentral, cast: Cast) -> None:
    """No token passes under another's scheme, nor twice in a header, nor in the query or a cookie."""
    pilot, lease = cast.leased()
    ticket = cast.ring.seal(Ticket(pilot.stamp))
    person = as_person(central, "ann")["Authorization"].removeprefix("Bearer ")
    tokens = {"Pilot": pilot.token, "Job": lease.job_token, "Ticket": ticket, "Bearer": person}
    for scheme in tokens:
        for of, token in tokens.items():
            if of != scheme:
                answer = cast.http.get("/v1/whoami", headers={"Authorization": f"{scheme} {token}"})
                assert answer.status_code == 401, (scheme, of)
    for value in (f"Bearer {person},{person}", f"Bearer {person} {person}", f"Bearer\t{person}", person):
        assert cast.http.get("/v1/whoami", headers={"Authorization": value}).status_code == 401, value
    assert cast.http.get(f"/v1/whoami?access_token={person}&token={person}").status_code == 401
    assert cast.http.get("/v1/whoami", cookies={"Authorization": f"Bearer {person}"}).status_code == 401


def test_a_refusal_repeats_no_secret(central: RunningCentral, cast: Cast) -> None:
    """Neither the answer nor the central's log repeats what a caller has shown, good or bad."""
    pilot, lease = cast.leased()
    shown = ["a-secret-that-nobody-has-4711", pilot.token, lease.job_token, pilot.secret]
    for secret in shown:
        for scheme in ("Bearer", "Pilot", "Job", "Ticket", secret[:30]):
            answer = cast.http.get("/v1/whoami", headers={"Authorization": f"{scheme} {secret}"})
            assert secret not in answer.text
    body = json.dumps({"secret": "a-secret-that-nobody-has-4711", "session_key": 7})
    assert "4711" not in cast.http.post(f"/v1/pilots/{pilot.stamp}/enrol", data=body).text
    assert not [secret for secret in shown if secret in central.words()]


def test_answers_are_for_nobody_else(central: RunningCentral, cast: Cast) -> None:
    """No answer lets a page of another origin read it: there is no header that would."""
    for path in ("/v1/whoami", "/v1/jobs", "/healthz"):
        answer: requests.Response = cast.http.get(
            path, headers={**as_person(central, "ann"), "Origin": "https://evil.example"}
        )
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
