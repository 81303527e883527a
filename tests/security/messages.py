"""Every message that a pilot or a payload sends, a row each: how it is proved, when it is good, and what is older.

A row's scene has somebody who may send it. What is late in it was sent too late: something newer was said before.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilot import protocol
from pilot.protocol import AttemptId
from pilot.renewals import CredentialsRequest
from pilot.states import Outcome, Phase, PilotReason, PilotState
from pilot.transfers import DownloadRequest, UploadRequest
from tests.integration.running_central import RunningCentral
from tests.security.cast import Cast
from tests.security.scenes import INPUT, Proof, Scene, Words, awaited, called, enrolled, leased

OBJECT = "s3://lake/ann/x"


@dataclass(frozen=True)
class Late:
    """What comes too late: the refusals that may answer it, none: it is answered; then these fields are in the answer.
    `by`: whose words they are, when not of the scene in which they are said."""

    what: str
    words: Words
    refused: Collection[str] = ()
    answer: Mapping[str, object] = field(default_factory=dict)
    by: Scene | None = None


@dataclass(frozen=True)
class Row:
    """One message. `number`: what in it makes a repeat harmless; empty: it changes nothing that could change twice."""

    route: str
    proof: Proof
    number: str
    scene: Callable[[RunningCentral, Cast], Scene]
    words: Callable[[Scene], Words]
    late: Callable[[Scene], list[Late]]

    def __str__(self) -> str:
        return f"{self.route} by {self.proof.name.lower()}"


def enrolment(scene: Scene, key: bytes = b"") -> Words:
    session = base64.b64encode(key or scene.pilot.key).decode()
    return scene.of_pilot("enrol", protocol.EnrolRequest(scene.pilot.secret, session, "test", instance="boot-1"))


def after_a_new_secret(scene: Scene) -> list[Late]:
    digest = hashlib.sha256(secrets.token_bytes(8)).hexdigest()
    scene.central.store(lambda store: store.renew_secret(scene.pilot.stamp, digest, 3600.0))
    return [Late("the secret of an earlier submission", enrolment(scene), ["superseded"])]


def resumption(scene: Scene) -> Words:
    return scene.of_pilot("resume", protocol.ResumeRequest(1, "boot-1"))


def after_two_resumptions(scene: Scene) -> list[Late]:
    first = scene.pilot.token
    scene.pilot.resume()
    scene.pilot.resume()
    words = resumption(scene)
    old = Words(words.method, words.path, words.body, first)
    return [Late("the first epoch", words, ["superseded"]), Late("and its token", old, ["superseded"])]


def renewal(scene: Scene) -> Words:
    return scene.of_pilot("renew", protocol.RenewRequest(1))


def after_resumption(scene: Scene, what: str, message: object) -> Late:
    """This, by the monitor that another has taken the place of."""
    old = scene.pilot.token
    scene.pilot.resume()
    return Late("by the token of the epoch before", scene.of_pilot(what, message, old), ["superseded"], by=scene)


def request(scene: Scene, number: int = 1) -> protocol.MatchRequest:
    return protocol.MatchRequest(number, scene.pilot.offer)


def after_a_newer_request(scene: Scene) -> list[Late]:
    scene.pilot.match(number=1)
    scene.pilot.match(number=2)
    superseded = {"reason": "superseded", "leases": []}
    late = Late("an older number", scene.of_pilot("match", request(scene)), answer=superseded)
    other = enrolled(scene.central, scene.cast)
    return [late, after_resumption(other, "match", request(other, 3))]


def beat(sequence: int = 1, state: PilotState = PilotState.RUNNING) -> protocol.HeartbeatRequest:
    return protocol.HeartbeatRequest(1, sequence, state, {"1": 9}, ())


def after_a_newer_beat(scene: Scene) -> list[Late]:
    """An older sequence, and by another pilot an older epoch."""
    other = enrolled(scene.central, scene.cast)
    scene.pilot.heartbeat(sequence=2)
    late = Late("an older sequence", scene.of_pilot("heartbeat", beat(1, PilotState.DRAINING)), ["replayed"])
    stale = beat(9, PilotState.DRAINING)
    by_token = after_resumption(other, "heartbeat", stale)
    by_epoch = Late("an older epoch", other.of_pilot("heartbeat", stale), ["superseded"], by=other)
    return [late, by_token, by_epoch]


def giving_back(scene: Scene) -> Words:
    id = AttemptId(scene.lease.job, scene.lease.attempt)
    return scene.of_pilot("release", protocol.ReleaseRequest((id,), "test"))


def after_the_start(scene: Scene) -> list[Late]:
    other = scene.leases[1]
    scene.pilot.report(scene.lease, Phase.RUNNING)
    scene.pilot.succeed(other)
    of_ended = protocol.ReleaseRequest((AttemptId(other.job, other.attempt),), "test")
    return [Late("it runs", giving_back(scene), ["conflict"]), Late("it ended", scene.of_pilot("release", of_ended))]


def newer(scene: Scene) -> CredentialsRequest:
    """What was set anew since an attempt was given another version than it ever was."""
    versions = {one.name: "older" for one in scene.lease.credentials}
    return CredentialsRequest((protocol.CredentialVersions(scene.lease.job, scene.lease.attempt, versions),))


def after_its_attempt(scene: Scene) -> list[Late]:
    """Nothing for an attempt that is over; and by another pilot an older epoch."""
    other = leased(scene.central, scene.cast)
    scene.pilot.succeed(scene.lease)
    over = Late("its attempt ended", scene.of_pilot("credentials", newer(scene)), answer={"attempts": []})
    return [over, after_resumption(other, "credentials", newer(other))]


def step(scene: Scene, outcome: Any = None) -> Words:
    return scene.of_pilot("steps", protocol.StepReport(1, "discover", outcome))


def after_the_end_of_a_step(scene: Scene) -> list[Late]:
    scene.pilot.step(1, "discover", outcome="ok")
    return [Late("that it began", step(scene))]


def goodbye(scene: Scene, reason: PilotReason = PilotReason.IDLE) -> protocol.GoodbyeRequest:
    return protocol.GoodbyeRequest(reason)


def after_a_goodbye(scene: Scene) -> list[Late]:
    gone = enrolled(scene.central, scene.cast)
    gone.pilot.bye()
    again = Late("another goodbye", gone.of_pilot("bye", goodbye(gone, PilotReason.HALTED)), by=gone)
    return [again, after_resumption(scene, "bye", goodbye(scene))]


def after_a_later_phase(scene: Scene) -> list[Late]:
    """One attempt is at its end, and the other was given back; of a third the end is known."""
    done, (first, other) = leased(scene.central, scene.cast), scene.leases
    scene.pilot.report(first, Phase.COMPLETING)
    scene.pilot.release(other)
    done.pilot.succeed(done.lease)
    given_back = Scene(scene.central, scene.cast, scene.pilot, (other,))
    failed = done.report(Phase.ENDED, outcome=Outcome.PAYLOAD_ERROR, exit_code=1)
    return [
        Late("an older phase", scene.report(Phase.RUNNING)),
        Late("of one that was given back", given_back.report(Phase.RUNNING), ["stale-attempt"]),
        Late("a phase after the end", done.report(Phase.RUNNING), by=done),
        Late("another end", failed, by=done),
    ]


def after_more(stream: str) -> Callable[[Scene], list[Late]]:
    def more(scene: Scene) -> list[Late]:
        proof = Proof.TICKET if stream == "boot" else Proof.SIGNATURE
        for offset, content in ((0, b"one "), (4, b"two")):
            assert scene.say(proof, scene.log(stream, offset, content)).status_code == 200
        return [
            Late("an older offset", scene.log(stream, 0, b"other"), answer={"next": 7}),
            Late("beyond a hole", scene.log(stream, 9, b"three"), ["gap"]),
        ]

    return more


def file_path(content: bytes) -> str:
    return f"/v1/sandboxes/{hashlib.sha256(content).hexdigest()}"


def output(scene: Scene) -> bytes:
    return f"made by {scene.lease.job}, attempt {scene.lease.attempt}".encode()


def after_its_end(words: Callable[[Scene], Words]) -> Callable[[Scene], list[Late]]:
    """The message, when its attempt is over."""

    def over(scene: Scene) -> list[Late]:
        scene.pilot.succeed(scene.lease)
        return [Late("of an attempt that is over", words(scene), ["stale-attempt"])]

    return over


def fetched(scene: Scene) -> Words:
    return Words("GET", file_path(INPUT))


def asked(scene: Scene) -> Words:
    return Words("HEAD", file_path(INPUT))


def stored(scene: Scene) -> Words:
    return Words("PUT", file_path(output(scene)), output(scene))


def upload(scene: Scene) -> Words:
    return scene.of_attempt("uploads", UploadRequest(OBJECT, 10, "0" * 64))


def download(scene: Scene) -> Words:
    return scene.of_attempt("downloads", DownloadRequest(OBJECT))


ROWS = (
    Row("POST /v1/pilots/{stamp}/enrol", Proof.SECRET, "session_key", called, enrolment, after_a_new_secret),
    Row("POST /v1/pilots/{stamp}/resume", Proof.SIGNATURE, "epoch", enrolled, resumption, after_two_resumptions),
    Row(
        "POST /v1/pilots/{stamp}/renew",
        Proof.SIGNATURE,
        "",
        enrolled,
        renewal,
        lambda scene: [after_resumption(scene, "renew", protocol.RenewRequest(1))],
    ),
    Row(
        "POST /v1/pilots/{stamp}/match",
        Proof.SIGNATURE,
        "number",
        awaited,
        lambda scene: scene.of_pilot("match", request(scene)),
        after_a_newer_request,
    ),
    Row(
        "POST /v1/pilots/{stamp}/heartbeat",
        Proof.SIGNATURE,
        "sequence",
        enrolled,
        lambda scene: scene.of_pilot("heartbeat", beat()),
        after_a_newer_beat,
    ),
    Row(
        "POST /v1/pilots/{stamp}/credentials",
        Proof.SIGNATURE,
        "",
        leased,
        lambda scene: scene.of_pilot("credentials", newer(scene)),
        after_its_attempt,
    ),
    Row("POST /v1/pilots/{stamp}/release", Proof.SIGNATURE, "attempt", leased, giving_back, after_the_start),
    Row(
        "POST /v1/pilots/{stamp}/steps",
        Proof.SIGNATURE,
        "number",
        enrolled,
        lambda scene: step(scene, "ok"),
        after_the_end_of_a_step,
    ),
    Row(
        "POST /v1/pilots/{stamp}/bye",
        Proof.SIGNATURE,
        "stamp",
        enrolled,
        lambda scene: scene.of_pilot("bye", goodbye(scene)),
        after_a_goodbye,
    ),
    Row(
        "POST /v1/attempts/{job}/{attempt}/report",
        Proof.SIGNATURE,
        "phase",
        leased,
        lambda scene: scene.report(Phase.ENDED, outcome=Outcome.SUCCESS, exit_code=0),
        after_a_later_phase,
    ),
    Row(
        "PUT /v1/logs/{stamp}/{stream}",
        Proof.SIGNATURE,
        "offset",
        enrolled,
        lambda scene: scene.log("pilot", 0, b"said once"),
        after_more("pilot"),
    ),
    Row(
        "PUT /v1/logs/{stamp}/{stream}",
        Proof.TICKET,
        "offset",
        called,
        lambda scene: scene.log("boot", 0, b"said once"),
        after_more("boot"),
    ),
    Row("GET /v1/sandboxes/{sha256}", Proof.JOB, "", leased, fetched, after_its_end(fetched)),
    Row("HEAD /v1/sandboxes/{sha256}", Proof.JOB, "", leased, asked, after_its_end(asked)),
    Row("PUT /v1/sandboxes/{sha256}", Proof.JOB, "sha256", leased, stored, after_its_end(stored)),
    Row(
        "POST /v1/attempts/{job}/{attempt}/uploads",
        Proof.JOB,
        "",
        leased,
        upload,
        after_its_end(upload),
    ),
    Row(
        "POST /v1/attempts/{job}/{attempt}/downloads",
        Proof.JOB,
        "",
        leased,
        download,
        after_its_end(download),
    ),
)
