"""What a pilot may say, how often, and what it is told."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import http_sf
import msgspec
import pytest
import requests
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

from central.records import NewPilot
from central.store.port import Store
from pilot import protocol
from pilot.errors import Refusal
from pilot.protocol import UNLIMITED, Acknowledgement, EnrolRequest, StepReport
from pilot.queues import QueueExplanation, QueuePage, SitePage, SiteView
from pilot.states import JobState, OrderVerb, Outcome, Phase, PilotReason, PilotState
from pilot.views import JobExplanation, MachineView, OrderReply, OrderRequest, PilotDetail
from pilotage import Client
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral, token_of, until
from tests.integration.wire_pilot import SignedPilot, decoded, held


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture
def oli(central: RunningCentral) -> Person:
    return central.person("oli")


@pytest.fixture
def pilot(central: RunningCentral) -> SignedPilot:
    return central.pilot()


def detail(person: Person, pilot: SignedPilot) -> PilotDetail:
    return person.read(f"/v1/pilots/{pilot.stamp}", PilotDetail)


# -- queues -----------------------------------------------------------------------------------------------------------


def test_pauses_of_queues_are_for_operators_and_for_queues_with_a_director(ann: Person, oli: Person) -> None:
    """A member pauses nothing; an operator gives a reason, and cannot pause where nobody sends pilots."""
    path = "/v1/queues/local/pause"
    answers = [
        (ann, path, {"reason": "mine"}, "forbidden"),
        (oli, path, {"reason": " "}, "invalid"),
        (oli, path, {"reason": "new disks"}, "conflict"),
        (oli, "/v1/queues/nowhere/pause", {"reason": "new disks"}, "not-found"),
        (ann, "/v1/queues/local/resume", {}, "forbidden"),
    ]
    for person, where, body, expected in answers:
        answer = person.request("POST", where, data=json.dumps(body))
        assert answer.json()["type"].rpartition("/")[2] == expected, (where, answer.text)


def test_bans_of_sites_are_for_operators(ann: Person, oli: Person) -> None:
    """An operator bans a site for a time; everybody sees who did and why, also at its queues, until it is lifted."""
    site = oli.read("/v1/sites", SitePage).sites[0].name
    answers = [
        (ann, f"/v1/sites/{site}/ban", {"reason": "mine"}, "forbidden"),
        (oli, f"/v1/sites/{site}/ban", {"reason": " "}, "invalid"),
        (oli, f"/v1/sites/{site}/ban", {"reason": "power cut", "seconds": 0}, "invalid"),
        (oli, "/v1/sites/nowhere/ban", {"reason": "power cut"}, "not-found"),
        (oli, f"/v1/sites/{site}/unban", {}, "conflict"),
        (ann, f"/v1/sites/{site}/unban", {}, "forbidden"),
    ]
    for person, where, body, expected in answers:
        answer = person.request("POST", where, data=json.dumps(body))
        assert answer.json()["type"].rpartition("/")[2] == expected, (where, answer.text)
    banned = oli.say(f"/v1/sites/{site}/ban", {"reason": "power cut", "seconds": 3600.0}, SiteView).banned
    assert banned
    assert banned.until
    assert (banned.who, banned.reason, round(banned.until - banned.since)) == ("oli", "power cut", 3600)
    queue = ann.read("/v1/queues", QueuePage).queues[0].name
    explained = ann.read(f"/v1/queues/{queue}/explain", QueueExplanation)
    assert explained.queue.paused == banned
    assert ann.read("/v1/sites", SitePage).sites[0].banned == banned
    assert oli.say(f"/v1/sites/{site}/unban", {}, SiteView).banned is None
    assert ann.read(f"/v1/queues/{queue}/explain", QueueExplanation).queue.paused is None


# -- enrolment --------------------------------------------------------------------------------------------------------


def test_a_pilot_enrols_and_learns_how_to_behave(central: RunningCentral, oli: Person) -> None:
    """The secret buys a token and the settings of the pilot's queue, for its own communities."""
    pilot = central.pilot(enrolled=False, end_of_life=3600.0)
    reply = pilot.enrol()
    assert reply.epoch == 1
    assert reply.settings.communities == ("physics",)
    assert (reply.settings.lease, reply.settings.beat) == (60, 1.0)
    assert isinstance(reply.settings.end_of_life, int)
    assert 3590 <= reply.settings.end_of_life <= 3600
    assert abs(reply.server_time - time.time()) < 30
    assert detail(oli, pilot).pilot.state is PilotState.RUNNING
    assert central.pilot().enrol().settings.end_of_life == UNLIMITED


def test_the_same_secret_with_the_same_key_is_answered_again(pilot: SignedPilot) -> None:
    """A lost reply to an enrolment is no alarm: the pilot asks again and goes on."""
    assert pilot.enrol().epoch == 1
    assert pilot.match().reason == "nothing-waits"


def test_another_key_is_refused_and_stops_new_work(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """Somebody else with the secret is refused and raises an alarm; the first holder finishes and gets no new jobs."""
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    thief = SignedPilot(pilot.url, central.ca, pilot.stamp, pilot.secret)
    central.sessions.append(thief.http)
    assert refused(thief.enrol).type == "secret-used"
    assert detail(central.person("oli"), pilot).pilot.alarm
    ann.submit_one()
    reply = until(lambda: (reply := pilot.match()).reason and reply, "the alarm to count")
    assert reply.reason == "banned"
    pilot.succeed(lease)
    assert ann.job(job).state is JobState.DONE
    ann.say("/v1/jobs/kill", {"selection": {"states": ["waiting"], "owner": "ann"}}, dict)


def test_a_wrong_secret_or_stamp_is_nobody(central: RunningCentral) -> None:
    """A secret that was never given, or a stamp that was never planned, is unauthorized, each with the same words."""
    pilot = central.pilot(enrolled=False)
    pilot.secret = "guess"
    wrong = refused(pilot.enrol)
    pilot.stamp = secrets.token_hex(16)
    unknown = refused(pilot.enrol)
    assert wrong.type == unknown.type == "unauthorized"
    assert wrong.detail == unknown.detail


def test_a_secret_ends(central: RunningCentral) -> None:
    """A pilot that comes later than its secret lives is refused."""
    pilot = central.pilot(enrolled=False, secret_ttl=-1.0)
    assert refused(pilot.enrol).type == "secret-expired"


def test_a_replaced_secret_is_superseded(central: RunningCentral) -> None:
    """When the director has submitted anew with another secret, the first submission's is told so."""
    pilot = central.pilot(enrolled=False)
    central.store(lambda store: store.renew_secret(pilot.stamp, hashlib.sha256(b"newer").hexdigest(), 60.0))
    assert refused(pilot.enrol).type == "superseded"
    pilot.secret = "newer"
    assert pilot.enrol().epoch == 1


def test_a_session_key_must_be_one(central: RunningCentral) -> None:
    """A session key that is not 32 bytes in base64 is invalid."""
    stamp, secret = central.plan()
    for key in ("", "short", base64.b64encode(b"x" * 31).decode(), "ü" * 44):
        request = EnrolRequest(secret, key, pilot_version="test")
        answer = central.person(None).post(f"/v1/pilots/{stamp}/enrol", data=msgspec.json.encode(request))
        assert refused(lambda answer=answer: decoded(answer, dict)).problems[0].where == "session_key"  # type: ignore[misc]


def test_resume_raises_the_epoch_and_ends_what_ran(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """After a reboot the pilot goes on under the next epoch; what ran ends as node-fault and waits again."""
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    old = central.pilot(enrolled=False)
    old.stamp, old.key, old.token, old.epoch, old.sequence = pilot.stamp, pilot.key, pilot.token, 1, 7
    assert pilot.resume().epoch == 2
    assert ann.attempts(job)[0].outcome is Outcome.NODE_FAULT
    assert refused(lambda: old.heartbeat(())).type == "superseded"
    assert refused(lambda: old.match()).type == "superseded"
    assert refused(lambda: pilot.report(lease, Phase.RUNNING)).type == "stale-attempt"
    (again,) = pilot.match().leases
    assert (again.job, again.attempt) == (job, 2)
    pilot.succeed(again)


def test_what_was_asked_before_a_resume_gets_nothing(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """A request that is held for a pilot that died does not get the job that its successor asks for."""
    old = central.pilot(enrolled=False)
    old.stamp, old.key, old.token, old.epoch, old.number = pilot.stamp, pilot.key, pilot.token, 1, 7
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(old.match, wait=20.0)
        oli = central.person("oli")
        until(lambda: "pilotage_held_requests 1.0" in oli.get("/metrics").text, "the request to be held")
        assert pilot.resume().epoch == 2
        assert waiting.result(18).reason == "superseded"
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    assert (lease.job, lease.attempt) == (job, 1)


def test_a_resume_whose_reply_was_lost_is_answered_again(pilot: SignedPilot) -> None:
    """Resuming twice from the same epoch gives the same epoch, and the token that came is good."""
    assert pilot.resume(epoch=1).epoch == 2
    pilot.sequence = 3
    assert pilot.resume(epoch=1).epoch == 2
    assert pilot.heartbeat().sequence == 1


# -- signatures -------------------------------------------------------------------------------------------------------


def test_each_wrong_proof_has_its_refusal(central: RunningCentral, pilot: SignedPilot) -> None:
    """Another key, clock, pilot or a changed body: each is refused by its own name."""
    stranger = central.pilot()
    match = f"{pilot.url}/v1/pilots/{pilot.stamp}/match"
    good_key = pilot.key
    pilot.key = secrets.token_bytes(32)
    assert refused(pilot.match).type == "bad-signature"
    pilot.key = good_key

    pilot.skew = 300.0
    skewed = refused(pilot.match)
    assert skewed.type == "clock-skew"
    assert skewed.transient
    assert skewed.server_time is not None
    pilot.skew = skewed.server_time - time.time()
    assert pilot.match(number=1).reason == "nothing-waits"

    assert refused(lambda: stranger.post(match, protocol.MatchRequest(1, pilot.offer), dict)).type == "forbidden"
    proof = pilot.proof("POST", match, b"{}")
    assert refused(lambda: decoded(pilot.http.post(match, data=b"{ }", headers=proof), dict)).type == "bad-signature"
    del proof["Signature"]
    assert refused(lambda: decoded(pilot.http.post(match, data=b"{}", headers=proof), dict)).type == "bad-signature"
    proof = {**pilot.proof("POST", match, b"{}"), "Authorization": "Pilot k1.forged"}
    assert refused(lambda: decoded(pilot.http.post(match, data=b"{}", headers=proof), dict)).type == "unauthorized"


def test_a_captured_request_is_not_heard_again(central: RunningCentral, pilot: SignedPilot) -> None:
    """The very same signed bytes are answered once; the same message signed anew is a retry and is answered."""
    path = f"{pilot.url}/v1/pilots/{pilot.stamp}/steps"
    body = msgspec.json.encode(StepReport(1, "discover"))
    proof = pilot.proof("POST", path, body)
    assert pilot.http.post(path, data=body, headers=proof).status_code == 200
    assert refused(lambda: decoded(pilot.http.post(path, data=body, headers=proof), dict)).type == "replayed"
    assert pilot.send("POST", path, body).status_code == 200


class _Key(HTTPSignatureKeyResolver):
    def __init__(self, key: bytes) -> None:
        self.key = key

    def resolve_private_key(self, key_id: str) -> bytes:
        return self.key

    def resolve_public_key(self, key_id: str) -> bytes:
        return self.key


def test_a_request_signed_by_another_implementation_is_heard(pilot: SignedPilot) -> None:
    """The central takes signatures that a library for RFC 9421 makes: it is the standard that is spoken."""
    body = msgspec.json.encode(StepReport(2, "by another's hand"))
    request = requests.Request("POST", f"{pilot.url}/v1/pilots/{pilot.stamp}/steps", data=body).prepare()
    request.headers["Authorization"] = f"Pilot {pilot.token}"
    request.headers["Content-Digest"] = str(http_sf.ser({"sha-256": hashlib.sha256(body).digest()}))
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=_Key(pilot.key))
    signer.sign(
        request,
        key_id=pilot.stamp,
        use_existing_digest=True,
        created=datetime.datetime.now(datetime.UTC),
        nonce=secrets.token_urlsafe(12),
        label="pilotage",
        include_alg=True,
        covered_component_ids=("@method", "@request-target", "content-digest", "authorization"),
    )
    answer = pilot.http.send(request)
    assert answer.status_code == 200, answer.text


def test_an_aged_token_is_renewed(make_central: CentralMaker) -> None:
    """After its token's end a pilot must renew before it matches; what it says of its jobs is heard still."""
    central = make_central("token_life = 6")
    ann = central.person("ann")
    job = ann.submit_one()
    pilot = central.pilot()
    enrolled = time.time()
    (lease,) = pilot.match().leases
    until(lambda: time.time() > enrolled + 6.1, "the token to age")
    assert refused(pilot.match).type == "token-expired"
    pilot.report(lease, Phase.RUNNING)
    pilot.log("pilot", 0, b"still here\n")
    reply = pilot.heartbeat((held(lease),))
    assert reply.token
    assert reply.token_life == 6
    assert reply.leases[0].seconds == 60
    pilot.renew()
    assert pilot.match().reason == "nothing-waits"
    pilot.succeed(lease)
    assert ann.job(job).state is JobState.DONE


# -- matching ---------------------------------------------------------------------------------------------------------


def test_the_same_number_gets_the_same_answer(ann: Person, pilot: SignedPilot) -> None:
    """A match reply that was lost is given again: the same leases, never more."""
    jobs = {ann.submit_one(), ann.submit_one()}
    first = pilot.match(most=1)
    again = pilot.match(most=1, number=pilot.number)
    assert [(lease.job, lease.attempt) for lease in again.leases] == [(first.leases[0].job, 1)]
    other = pilot.match(most=5)
    assert {lease.job for lease in (*first.leases, *other.leases)} == jobs
    for lease in (*first.leases, *other.leases):
        pilot.succeed(lease)


def test_a_held_request_is_answered_when_a_job_comes(ann: Person, pilot: SignedPilot) -> None:
    """A request that nothing fits waits at the central, and gets the job as soon as there is one."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pilot.match, wait=20.0)
        time.sleep(0.2)  # it is on its way; were it late, the job would be there already
        began = time.monotonic()
        job = ann.submit_one()
        (lease,) = waiting.result(20).leases
    assert lease.job == job
    assert time.monotonic() - began < 15  # and not when the 20 s are over for which it is held
    pilot.succeed(lease)


def test_who_hangs_up_is_given_nothing(make_central: CentralMaker) -> None:
    """A pilot that dies while its request is held gets no job: the next one goes to a pilot that lives."""
    central = make_central()
    dead, alive = central.pilot(), central.pilot()
    oli = central.person("oli")
    url = f"{dead.url}/v1/pilots/{dead.stamp}/match"
    body = msgspec.json.encode(protocol.MatchRequest(1, dead.offer, wait=60.0))
    with pytest.raises(requests.ReadTimeout):
        dead.http.post(url, data=body, headers=dead.proof("POST", url, body), timeout=0.5)
    dead.http.close()
    left = time.monotonic()
    until(lambda: "pilotage_held_requests 0.0" in oli.get("/metrics").text, "nobody to wait")
    assert time.monotonic() - left < 25  # and not when the 30 s are over for which requests are held
    job = central.person("ann").submit_one()
    assert alive.match(wait=10.0).leases[0].job == job
    assert [attempt.pilot for attempt in central.person("ann").attempts(job)] == [alive.stamp]


def test_more_requests_than_can_wait_are_told_to_come_back(make_central: CentralMaker) -> None:
    """Beyond the bound on held requests a pilot is refused as busy, with a time to ask again."""
    central = make_central("max_held = 1")
    first, second = central.pilot(), central.pilot()
    oli = central.person("oli")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(first.match, wait=20.0)
        until(lambda: "pilotage_held_requests 1.0" in oli.get("/metrics").text, "the first to wait")
        busy = refused(lambda: second.match(wait=20.0))
        assert busy.type == "busy"
        assert busy.transient
        assert busy.retry_after
        assert second.match(wait=0.0).reason == "nothing-waits"
        job = central.person("ann").submit_one()
        assert waiting.result(20).leases[0].job == job


def test_why_nothing_was_given(ann: Person, pilot: SignedPilot) -> None:
    """No job at all, and no job that fits, are told apart; the nearest miss is named."""
    assert pilot.match().reason == "nothing-waits"
    job = ann.submit_one(needs={"cores": 1000})
    reply = pilot.match()
    assert reply.reason == "nothing-fits"
    assert "1000 cores" in reply.detail or "1,000 cores" in reply.detail
    ann.say("/v1/jobs/kill", {"selection": {"ids": [job]}}, dict)


@pytest.mark.parametrize("field", ["number", "agent", "most"])
def test_numbers_begin_at_one(pilot: SignedPilot, field: str) -> None:
    """A request number, agent or count below one is invalid."""
    request = {**msgspec.to_builtins(protocol.MatchRequest(1, pilot.offer)), field: 0}
    found = refused(lambda: pilot.post(f"{pilot.url}/v1/pilots/{pilot.stamp}/match", request, dict))
    assert (found.type, found.problems[0].where) == ("invalid", field)


def test_more_cores_than_any_machine_has_are_refused(ann: Person, pilot: SignedPilot) -> None:
    """A pilot that counts wrongly gets no whole-node job, whose owner would be charged for cores that nobody has."""
    job = ann.submit_one(needs={"cores": "whole-node"})
    honest, pilot.offer = pilot.offer, replace(pilot.offer, cores=2**40)
    found = refused(lambda: pilot.match())
    assert (found.type, found.problems[0].where) == ("invalid", "offer.cores")
    pilot.offer = honest
    assert [(lease.job, lease.cores) for lease in pilot.match().leases] == [(job, honest.cores)]


def test_released_leases_wait_again(ann: Person, pilot: SignedPilot) -> None:
    """Leases that were not started go back, uncharged; giving them back twice is harmless."""
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    pilot.release(lease)
    pilot.release(lease)
    assert ann.job(job).state is JobState.WAITING
    (again,) = pilot.match().leases
    assert (again.job, again.attempt) == (job, 2)
    pilot.succeed(again)


# -- heartbeats -------------------------------------------------------------------------------------------------------


def test_a_heartbeat_renews_what_is_held_and_ends_what_is_not(ann: Person, pilot: SignedPilot) -> None:
    """Each listed lease gets its seconds; one that is the pilot's no longer gets none."""
    ann.submit_one()
    (lease,) = pilot.match().leases
    gone = protocol.LeaseReport(lease.job + 1000, 1)
    reply = pilot.heartbeat((held(lease), gone))
    assert [renewal.seconds for renewal in reply.leases] == [60, 0]
    pilot.succeed(lease)
    assert pilot.heartbeat((held(lease),)).leases[0].seconds == 0


def test_leases_that_were_never_seen_go_back(ann: Person, pilot: SignedPilot) -> None:
    """A lease of an answer that was seen, and that is not listed, waits again; one under way does not."""
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    pilot.heartbeat((), through=pilot.number - 1)
    assert ann.job(job).state is JobState.MATCHED
    pilot.heartbeat((), through=pilot.number)
    assert ann.job(job).state is JobState.WAITING
    (again,) = pilot.match().leases
    assert (again.job, again.attempt) == (job, 2)
    assert refused(lambda: pilot.report(lease, Phase.RUNNING)).type == "stale-attempt"
    pilot.succeed(again)


def test_heartbeats_are_numbered(pilot: SignedPilot) -> None:
    """The same number is answered again; an older one is refused."""
    assert pilot.heartbeat(sequence=5).sequence == 5
    assert pilot.heartbeat(sequence=5).sequence == 5
    old = refused(lambda: pilot.heartbeat(sequence=4))
    assert (old.type, old.expected) == ("replayed", "6")
    assert refused(lambda: pilot.heartbeat(sequence=6, epoch=9)).type == "superseded"


def test_what_a_transfer_waits_for_is_shown(ann: Person, pilot: SignedPilot) -> None:
    """What a pilot says of a transfer that it tries again stands with the attempt, at a length that people read, and in
    the explanation of its job."""
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    why = "to https://h/x: connection refused; tried 4 times, next in 40 s"
    for sequence, sentence in enumerate(("x" * 5000, why), start=1):
        request = protocol.HeartbeatRequest(1, sequence, PilotState.RUNNING, leases=(held(lease, waits_for=sentence),))
        pilot.post(f"{pilot.url}/v1/pilots/{pilot.stamp}/heartbeat", request, protocol.HeartbeatReply)
        until(lambda said=sentence[:1000]: ann.attempts(job)[0].usage.waits_for == said, "the sentence")  # type: ignore[misc]
    assert ann.read(f"/v1/jobs/{job}/explain", JobExplanation).summary.endswith(f"tried again: {why}")


def test_usage_and_facts_are_kept(oli: Person, ann: Person, pilot: SignedPilot) -> None:
    """What a heartbeat tells of attempts and of the node is read by people."""
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    request = protocol.HeartbeatRequest(
        1,
        1,
        PilotState.RUNNING,
        leases=(held(lease, wall=12.5, memory_peak=1000),),
        facts=(protocol.Fact("hostname", "node7", "uname"), protocol.Fact("cores", 4, "affinity")),
    )
    pilot.post(f"{pilot.url}/v1/pilots/{pilot.stamp}/heartbeat", request, protocol.HeartbeatReply)
    until(lambda: ann.attempts(job)[0].usage.wall == 12.5, "the usage to be written")
    shown = until(lambda: (found := detail(oli, pilot)).facts and found, "the facts to be written")
    assert shown.facts["hostname"] == "node7 (uname)"
    assert (shown.pilot.host, shown.pilot.cores, shown.pilot.running) == ("node7", 4, 1)
    assert shown.leases[0].job == job
    pilot.succeed(lease)


# -- orders -----------------------------------------------------------------------------------------------------------


def test_a_kill_reaches_its_attempt_until_it_was_received(ann: Person, pilot: SignedPilot) -> None:
    """A killed job's attempt is ordered to end; the order is repeated until received, and dies with the attempt."""
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    pilot.report(lease, Phase.RUNNING)
    ann.say("/v1/jobs/kill", {"selection": {"ids": [job]}, "reason": "wrong input"}, dict)
    assert ann.job(job).state is JobState.KILLED
    (order,) = pilot.heartbeat((held(lease),)).orders
    assert (order.verb, order.job, order.attempt) == (OrderVerb.KILL, job, 1)
    assert pilot.heartbeat((held(lease),)).orders == (order,)
    acknowledged = (Acknowledgement(order.id, "received"),)
    reply = pilot.heartbeat((held(lease),), acknowledgements=acknowledged)
    assert reply.orders == ()
    assert reply.leases[0].seconds == 60
    pilot.report(lease, Phase.ENDED, outcome=Outcome.KILLED, signal=15)
    assert ann.job(job).state is JobState.KILLED
    assert pilot.heartbeat((), acknowledgements=(Acknowledgement(order.id, "done"),)).orders == ()


def test_a_drained_pilot_gets_no_new_jobs(oli: Person, ann: Person, pilot: SignedPilot) -> None:
    """An order to drain counts at once: a held request is answered, and the pilot hears of the order."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pilot.match, wait=20.0)
        time.sleep(0.2)  # it is on its way; were it late, it would find the pilot drained
        path = f"/v1/pilots/{pilot.stamp}/orders"
        number = oli.say(path, {"verb": "drain", "reason": "maintenance"}, OrderReply).order
        assert waiting.result(18).reason == "draining"
    job = ann.submit_one()
    assert pilot.match().reason == "draining"
    (order,) = pilot.heartbeat().orders
    assert (order.id, order.verb, order.reason, order.who) == (number, OrderVerb.DRAIN, "maintenance", "oli")
    assert detail(oli, pilot).pilot.state is PilotState.DRAINING
    ann.say("/v1/jobs/kill", {"selection": {"ids": [job]}}, dict)


def test_a_pilot_may_drain_of_its_own(oli: Person, ann: Person, pilot: SignedPilot) -> None:
    """A pilot that says it drains gets no new jobs and is shown so."""
    pilot.heartbeat(state=PilotState.DRAINING)
    job = ann.submit_one()
    assert pilot.match().reason == "draining"
    assert detail(oli, pilot).pilot.state is PilotState.DRAINING
    ann.say("/v1/jobs/kill", {"selection": {"ids": [job]}}, dict)


@pytest.mark.parametrize("verb", [OrderVerb.DRAIN, OrderVerb.HALT])
def test_a_pilot_that_was_not_sent_yet_is_withdrawn(central: RunningCentral, oli: Person, verb: OrderVerb) -> None:
    """An order to end it closes it, with who gave the order and why, so that nothing keeps its queue; nobody sends it
    any more."""
    stamp = secrets.token_hex(16)
    new = NewPilot(stamp, "here", "local", ("physics",), hashlib.sha256(stamp.encode()).hexdigest(), 3600.0, 60, None)
    central.store(lambda store: store.plan_pilot(new))
    oli.say(f"/v1/pilots/{stamp}/orders", OrderRequest(verb, "", "no such host"), OrderReply)
    shown = oli.read(f"/v1/pilots/{stamp}", PilotDetail).pilot
    assert (shown.state, shown.reason) == (PilotState.CANCELLED, PilotReason.CANCELLED)
    assert shown.message == f"{verb.value} ordered by oli before it was sent: no such host"

    async def submitting(store: Store) -> bool:
        epoch = await store.lead("tests", "tests", 3600.0)
        return epoch is not None and await store.submitting(stamp, "tests", epoch)

    assert not central.store(submitting)


def test_only_operators_give_orders(central: RunningCentral, oli: Person, pilot: SignedPilot) -> None:
    """Others are refused; a verb that is for attempts is invalid; a pilot that is over takes no orders."""
    path = f"/v1/pilots/{pilot.stamp}/orders"
    cam = central.person("cam")
    assert refused(lambda: cam.say(path, {"verb": "drain"}, dict)).type == "forbidden"
    assert refused(lambda: oli.say(path, {"verb": "kill"}, dict)).type == "invalid"
    pilot.bye()
    assert refused(lambda: oli.say(path, {"verb": "drain"}, dict)).type == "conflict"


# -- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_is_harmless_twice(ann: Person, pilot: SignedPilot) -> None:
    """The end of an attempt counts once, however often it is told; an older phase after it changes nothing."""
    job = ann.submit_one(retries=1)
    (lease,) = pilot.match().leases
    for _ in range(2):
        pilot.report(lease, Phase.ENDED, outcome=Outcome.PAYLOAD_ERROR, exit_code=3)
    shown = ann.job(job)
    assert (shown.state, shown.attempt) == (JobState.WAITING, 1)
    (again,) = pilot.match().leases
    assert again.attempt == 2
    pilot.succeed(again)
    pilot.report(again, Phase.RUNNING)
    assert ann.job(job).state is JobState.DONE


def test_an_attempt_is_its_pilots_alone(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """Another pilot cannot report on an attempt, nor can anybody on one that is not the current one."""
    ann.submit_one()
    (lease,) = pilot.match().leases
    assert refused(lambda: central.pilot().report(lease, Phase.RUNNING)).type == "not-yours"
    assert refused(lambda: pilot.report((lease.job, 2), Phase.RUNNING)).type in ("stale-attempt", "not-found")
    pilot.succeed(lease)


def test_a_report_that_says_too_much_is_cut(ann: Person, pilot: SignedPilot) -> None:
    """The end of an attempt is not lost for its length: the last words are kept."""
    job = ann.submit_one()
    (lease,) = pilot.match().leases
    pilot.succeed(lease, tail="ü" * 100_000 + " at last", message="m" * 100_000)
    (attempt,) = ann.attempts(job)
    assert attempt.tail.endswith("ü at last")
    assert len(attempt.tail.encode()) <= protocol.MAX_TAIL


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"phase": "ended"}, "outcome"),
        ({"phase": "running", "outcome": "success"}, "outcome"),
        ({"phase": "ended", "outcome": "fine"}, "outcome"),
    ],
)
def test_a_malformed_report_is_refused(pilot: SignedPilot, fields: dict[str, object], where: str) -> None:
    """What does not fit is invalid, and says where."""
    found = refused(lambda: pilot.post(f"{pilot.url}/v1/attempts/1/1/report", fields, dict))
    assert (found.type, found.problems[0].where) == ("invalid", where)


def test_a_goodbye_ends_the_pilot_and_frees_its_jobs(oli: Person, ann: Person, pilot: SignedPilot) -> None:
    """What a pilot held when it says goodbye waits again; the pilot is over, and a second goodbye is harmless."""
    job = ann.submit_one()
    pilot.match()
    pilot.bye(PilotReason.SIGNAL)
    pilot.bye(PilotReason.SIGNAL)
    shown = detail(oli, pilot).pilot
    assert (shown.state, shown.reason) == (PilotState.DONE, PilotReason.SIGNAL)
    assert ann.attempts(job)[0].outcome is Outcome.PREEMPTED
    assert ann.job(job).state is JobState.WAITING
    assert refused(pilot.match).type == "revoked"
    ann.say("/v1/jobs/kill", {"selection": {"ids": [job]}}, dict)


def test_steps_are_shown(oli: Person, pilot: SignedPilot) -> None:
    """The newest word on each step of the pipeline is what people read."""
    pilot.step(1, "discover")
    pilot.step(1, "discover", outcome="ok", seconds=1.5)
    pilot.step(2, "prepare", outcome="failed", tail="no space left")
    steps = detail(oli, pilot).steps
    assert [(step.number, step.command, step.outcome) for step in steps] == [
        (1, "discover", "ok"),
        (2, "prepare", "failed"),
    ]


def test_a_silent_pilot_loses_its_jobs_and_hears_so(make_central: CentralMaker) -> None:
    """Past its lease an attempt is lost and its job goes to another; the old attempt's words are refused."""
    central = make_central("silent_after = 1")
    ann = central.person("ann")
    job = ann.submit_one()
    silent, other = central.pilot(lease=2), central.pilot()
    (lease,) = silent.match().leases
    until(lambda: ann.job(job).state is JobState.WAITING, "the sweep")
    assert ann.attempts(job)[0].outcome is Outcome.LOST
    assert silent.heartbeat((held(lease),)).leases[0].seconds == 0
    (again,) = other.match(wait=10.0).leases
    assert (again.job, again.attempt) == (job, 2)
    assert refused(lambda: silent.succeed(lease)).type == "stale-attempt"
    other.succeed(again)
    assert [attempt.outcome for attempt in ann.attempts(job)] == [Outcome.LOST, Outcome.SUCCESS]


# -- virtual machines -------------------------------------------------------------------------------------------------


def test_a_pilot_on_a_virtual_machine_says_what_that_does(central: RunningCentral, pilot: SignedPilot) -> None:
    """What its heartbeats say of the machine is in the list of machines, and its load is kept; a pilot that says
    nothing of the kind is none of them, and who may not see the pilot does not see the machine."""
    said: dict[str, int | float | str] = {"uptime": 70, "load_1": 0.25, "jobs": 0, "disk_free": 10**9}
    said |= {"cloud": "openstack", "instance_type": "m1.large"}
    pilot.heartbeat(facts=tuple(protocol.Fact(name, value, "test") for name, value in said.items()))
    other = central.pilot()
    with Client(central.url, token_of("ann"), central.ca, patience=5) as ann:
        until(lambda: ann.pilot(pilot.stamp).loads, "its load")
        (vm,) = (one for one in ann.vms() if one.stamp == pilot.stamp)
        assert vm.machine == MachineView("m1.large", "openstack", load=0.25, disk_free=10**9, uptime=70)
        assert other.stamp not in {one.stamp for one in ann.vms()}
        assert ann.pilot(other.stamp).pilot.machine is None
        assert [one.stamp for one in ann.vms_called(pilot.stamp[:12])] == [pilot.stamp]
        assert ann.vms_called(other.stamp) == ann.vms_called("no such") == ()
        (sample,) = ann.pilot(pilot.stamp).loads
        assert (sample.load, sample.jobs, sample.disk_free) == (0.25, 0, 10**9)
        assert abs(sample.time - time.time()) < 60
    with Client(central.url, token_of("dan"), central.ca, patience=5) as dan:
        assert pilot.stamp not in {one.stamp for one in dan.vms()}
        assert dan.vms_called(pilot.stamp) == ()
