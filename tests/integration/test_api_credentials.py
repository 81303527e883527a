"""Credentials over the wire, with a real central: who may keep, see and get them, and what becomes of jobs without."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import pytest

from central.store.port import Store
from pilot.credential import MAX_VALUE, CredentialHistory, CredentialPage, CredentialRemoved, CredentialView
from pilot.errors import Refusal
from pilot.protocol import Credential, Lease
from pilot.states import FINAL, JobState
from pilot.transfers import DownloadReply, DownloadRequest, UploadReply, UploadRequest
from pilot.views import JobDetail, Selection, VerbReply, VerbRequest
from pilotage import Client
from tests.integration.running_central import Person, RunningCentral, token_of, until
from tests.integration.wire_pilot import OFFER, SignedPilot, decoded
from tests.proxies import proxy

pytestmark = pytest.mark.integration

T = TypeVar("T")
TOKEN = {"token": "correct-horse-battery"}
URLS = ["https://store.example/ann/"]
S3 = {"endpoint": "https://s3.example:9000", "access_key": "AKIAEXAMPLE", "secret_key": "horse/battery+staple"}


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture(autouse=True)
def nothing_waits(central: RunningCentral) -> None:
    """Of what other tests submitted."""
    unfinished = tuple(state for state in JobState if state not in FINAL)
    central.person("oli").say("/v1/jobs/kill", VerbRequest(Selection(states=unfinished)), VerbReply)


@pytest.fixture
def pilot(central: RunningCentral) -> SignedPilot:
    return central.pilot()


def keep(person: Person, name: str, kind: str = "bearer", values: Mapping[str, str] = TOKEN, **more: Any) -> Any:
    body = json.dumps({"kind": kind, "values": values, **more})
    return decoded(person.put(f"/v1/credentials/{name}", data=body), CredentialView)


def remove(person: Person, name: str, query: str = "") -> int:
    return decoded(person.delete(f"/v1/credentials/{name}{query}"), CredentialRemoved).waiting


def listed(person: Person, query: str = "") -> list[str]:
    return [one.name for one in person.read(f"/v1/credentials{query}", CredentialPage).credentials]


def history(person: Person, name: str) -> list[tuple[str, str, int | None, str]]:
    events = person.read(f"/v1/credentials/{name}/history", CredentialHistory).events
    return [(event.what, event.who, event.job, event.detail) for event in events]


class Payload:
    """What an attempt's own token opens."""

    def __init__(self, central: RunningCentral, lease: Lease) -> None:
        self.base = f"{central.url}/v1/attempts/{lease.job}/{lease.attempt}"
        self.http = central.person(None)
        self.http.headers["Authorization"] = f"Job {lease.job_token}"

    def upload(self, destination: str, size: int = 10, **more: Any) -> UploadReply:
        request = UploadRequest(destination, size, "0" * 64, **more)
        return self._ask("uploads", request, UploadReply)

    def download(self, source: str) -> DownloadReply:
        return self._ask("downloads", DownloadRequest(source), DownloadReply)

    def _ask(self, what: str, request: object, kind: type[T]) -> T:
        body = msgspec.json.encode(request)
        return decoded(self.http.post(self.base.removeprefix(self.http.base) + "/" + what, data=body), kind)


def release(person: Person, job: int) -> None:
    person.say("/v1/jobs/release", VerbRequest(Selection(ids=(job,))), VerbReply)


def refused(answer: Any) -> str:
    with pytest.raises(Refusal) as refusal:
        answer()
    return refusal.value.type


def test_values_are_written_and_never_read(central: RunningCentral, ann: Person) -> None:
    """Its owner reads back all but the secret; nothing that the central answers, logs or stores holds it in clear."""
    kept = keep(ann, "lake", "s3", S3, urls=["s3://lake/ann/"], expires_in=3600)
    assert (kept.name, kept.kind, kept.owner, kept.urls) == ("lake", "s3", "ann", ("s3://lake/ann/",))
    assert kept.shown == {"endpoint": S3["endpoint"], "access_key": S3["access_key"]}
    assert kept.expires == pytest.approx(kept.changed + 3600, abs=60)
    text = ann.get("/v1/credentials").text + ann.get("/v1/credentials/lake/history").text
    assert S3["secret_key"] not in text
    keep(ann, "token")
    written = b"".join(path.read_bytes() for path in central.folder.rglob("*") if path.is_file())
    assert S3["secret_key"].encode() not in written
    assert TOKEN["token"].encode() not in written
    assert history(ann, "lake") == [("set", "ann", None, "s3")]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"kind": "bearer", "values": {}}, "values.token"),
        ({"kind": "bearer", "values": {"token": "two words"}}, "values.token"),
        ({"kind": "bearer", "values": {**TOKEN, "user": "ann"}}, "values.user"),
        ({"kind": "basic", "values": {"user": "a:b", "password": "secret"}}, "values.user"),
        ({"kind": "basic", "values": {"user": "ann", "password": "abcde"}}, "values.password"),
        ({"kind": "text", "values": {"text": "x" * (MAX_VALUE + 1)}}, "values.text"),
        ({"kind": "text", "values": {"text": "xyzzy-xyzzy"}, "urls": URLS}, "urls"),
        ({"kind": "bearer", "values": TOKEN, "urls": ["https://ann@store.example/"]}, "urls[0]"),
        ({"kind": "bearer", "values": TOKEN, "urls": ["s3://bucket/"]}, "urls[0]"),
        ({"kind": "bearer", "values": TOKEN, "urls": ["https://store.example/a?b"]}, "urls[0]"),
        ({"kind": "s3", "values": S3}, "urls"),
        ({"kind": "s3", "values": S3, "urls": ["s3://No_Bucket/"]}, "urls[0]"),
        ({"kind": "s3", "values": {**S3, "endpoint": "https://h/path"}, "urls": ["s3://lake/"]}, "values.endpoint"),
        ({"kind": "s3", "values": {**S3, "region": "EU WEST"}, "urls": ["s3://lake/"]}, "values.region"),
        ({"kind": "bearer", "values": TOKEN, "expires_in": 0}, "expires_in"),
        ({"kind": "bearer", "values": TOKEN, "expires_in": 10**12}, "expires_in"),
    ],
)
def test_what_is_no_credential_is_refused(ann: Person, body: Mapping[str, Any], where: str) -> None:
    """Every problem is told with its path, and none repeats a secret."""
    with pytest.raises(Refusal) as refusal:
        decoded(ann.put("/v1/credentials/wrong", data=json.dumps(body)), CredentialView)
    assert refusal.value.type == "invalid"
    assert where in [problem.where for problem in refusal.value.problems]
    told = str([str(problem) for problem in refusal.value.problems])
    assert not any(value in told for name, value in body["values"].items() if name in ("token", "password", "text"))
    assert "wrong" not in listed(ann)


def test_a_credential_is_its_owners(central: RunningCentral, ann: Person) -> None:
    """Others of the community neither see nor use it; a community-admin may list and remove it, and never reads it."""
    keep(ann, "mine", urls=URLS)
    ben, cam, dan = (central.person(name) for name in ("ben", "cam", "dan"))
    assert "mine" not in listed(ben)
    assert refused(lambda: remove(ben, "mine")) == "not-found"
    assert refused(lambda: remove(ben, "mine", "?owner=ann")) == "forbidden"
    assert refused(lambda: history(ben, "mine")) == "not-found"
    assert refused(lambda: ben.submit_one(credentials=["mine"])) == "invalid"
    assert refused(lambda: remove(dan, "mine", "?owner=ann")) == "forbidden"
    assert "mine" in listed(cam, "?owner=ann")
    assert TOKEN["token"] not in cam.get("/v1/credentials?owner=ann").text
    remove(cam, "mine", "?owner=ann")
    assert "mine" not in listed(ann)
    assert [event[:2] for event in history(ann, "mine")] == [("removed", "cam"), ("set", "ann")]
    assert refused(lambda: remove(ann, "mine")) == "not-found"


def test_a_job_may_name_what_is_there(ann: Person) -> None:
    """A name that its owner has not kept refuses the job, with the path of it."""
    keep(ann, "there")
    with pytest.raises(Refusal) as refusal:
        ann.submit({"command": ["true"]}, {"command": ["true"], "credentials": ["there", "absent"]})
    (problem,) = refusal.value.problems
    assert problem.where == "jobs[1].credentials[1]"
    assert "absent" in problem.problem
    assert "pilotage credential set" in problem.problem
    assert ann.submit_one(credentials=["there"])


def test_a_bucket_needs_a_credential_of_its_kind(ann: Person) -> None:
    """A job for S3 that names no credential of kind s3 is refused."""
    keep(ann, "there")
    keep(ann, "lake", "s3", S3, urls=["s3://lake/"])
    outputs = [{"path": "x", "to": ["s3://lake/x"]}]
    with pytest.raises(Refusal) as refusal:
        ann.submit({"command": ["true"], "credentials": ["there"], "outputs": outputs})
    (problem,) = refusal.value.problems
    assert problem.where == "jobs[0].credentials"
    assert "files.credential" in problem.problem
    assert ann.submit_one(credentials=["there", "lake"], outputs=outputs)


def test_delivered_with_the_lease_alone(ann: Person, pilot: SignedPilot) -> None:
    """The lease brings what its job names, of s3 nothing but the URLs; the job as people read it shows names alone."""
    keep(ann, "a", urls=URLS, expires_in=600)
    keep(ann, "b", "s3", S3, urls=["s3://lake/"])
    keep(ann, "unused")
    job = ann.submit_one(credentials=["b", "a"])
    (lease,) = pilot.match().leases
    assert lease.job == job
    b, a = lease.credentials
    assert replace(b, version="") == Credential("b", "s3", {}, ("s3://lake/",))
    assert (a.name, a.kind, a.values, a.urls) == ("a", "bearer", TOKEN, tuple(URLS))
    assert 540 <= (a.seconds_left or 0) <= 600
    detail = ann.get(f"/v1/jobs/{job}").text
    assert TOKEN["token"] not in detail
    assert ann.read(f"/v1/jobs/{job}", JobDetail).credentials == ("b", "a")
    assert history(ann, "a")[0] == ("delivered", f"pilot {pilot.stamp}", job, "to here")
    assert [event[0] for event in history(ann, "unused")] == ["set"]
    pilot.succeed(lease)


def test_the_same_answer_again_has_the_newest(ann: Person, pilot: SignedPilot) -> None:
    """A repeated match request gets the same lease, with the credential as it is then, and leaves its own line."""
    keep(ann, "changing")
    job = ann.submit_one(credentials=["changing"])
    (lease,) = pilot.match(number=1).leases
    keep(ann, "changing", values={"token": "another-token"})
    (again,) = pilot.match(number=1).leases
    assert (again.job, again.attempt) == (lease.job, lease.attempt) == (job, 1)
    assert again.credentials[0].values == {"token": "another-token"}
    assert [event[0] for event in history(ann, "changing")] == ["delivered", "set", "delivered", "set"]
    pilot.succeed(lease)


def test_a_job_whose_credential_is_gone_is_held(ann: Person, pilot: SignedPilot) -> None:
    """Removed after submission: the job is held uncharged with what to do; set anew and released, it runs."""
    keep(ann, "gone")
    job = ann.submit_one(credentials=["gone"])
    other = ann.submit_one(priority=1)
    remove(ann, "gone")
    reply = pilot.match()
    assert (reply.leases, reply.reason) == ((), "nothing-fits")
    view = ann.job(job)
    assert view.state is JobState.HELD
    assert "its credential gone has been removed" in view.reason
    assert "pilotage credential set gone" in view.reason
    assert "`pilotage release` the job" in view.reason
    assert history(ann, "gone")[0][:3] == ("refused", f"pilot {pilot.stamp}", job)
    (lease,) = pilot.match().leases
    assert lease.job == other, "the next request must get what waits behind it"
    pilot.succeed(lease)
    keep(ann, "gone")
    release(ann, job)
    (lease,) = pilot.match().leases
    assert (lease.job, lease.credentials[0].values) == (job, TOKEN)
    pilot.succeed(lease)
    assert ann.job(job).state is JobState.DONE


def test_many_jobs_of_a_credential_that_is_gone_are_held_at_once(ann: Person, pilot: SignedPilot) -> None:
    """One request holds the whole sweep, and only what names the credential; the next request gets what is behind."""
    keep(ann, "gone")
    many = ann.submit({"command": ["true"], "sweep": {"n": "1..300"}, "credentials": ["gone"]}).jobs[0]
    other = ann.submit_one()
    keep(ann, "there")
    sound = ann.submit_one(credentials=["there"])
    assert remove(ann, "gone") == 300, "those who remove it are told how many wait for it"
    assert pilot.match(most=2).leases == ()
    states = {ann.job(job).state for job in range(many.first, many.first + many.count)}
    assert states == {JobState.HELD}
    leases = pilot.match(most=4).leases
    assert [lease.job for lease in leases] == [other, sound]
    keep(ann, "gone")
    release(ann, many.first + 7)
    for lease in leases:
        pilot.succeed(lease)
    (lease,) = pilot.match(most=4).leases
    assert lease.job == many.first + 7
    assert pilot.match(most=4).leases == ()
    pilot.succeed(lease)


def test_an_answer_has_room_for_so_many_secrets(central: RunningCentral, ann: Person) -> None:
    """Jobs whose secrets would make an answer too large for a pilot wait again, uncharged, and come with the next."""
    names = [f"large-{number}" for number in range(20)]
    for name in names:
        keep(ann, name, "text", {"text": "x" * MAX_VALUE})
    many = ann.submit({"command": ["true"], "sweep": {"n": "1..20"}, "credentials": names}).jobs[0]
    pilot = central.pilot(offer=replace(OFFER, cores=32))
    first = pilot.match(most=32).leases
    assert len(first) == 4 * 1024 * 1024 // (20 * MAX_VALUE)
    assert all(len(lease.credentials) == 20 for lease in first)
    second = pilot.match(most=32).leases
    assert sorted(lease.job for lease in (*first, *second)) == list(range(many.first, many.first + 20))
    for lease in (*first, *second):
        pilot.succeed(lease)
    for name in names:
        remove(ann, name)


def test_an_expired_credential_is_given_to_nobody(ann: Person, pilot: SignedPilot) -> None:
    """After its time a credential is shown as expired, refuses new jobs, and holds those that wait for it."""
    keep(ann, "brief", expires_in=1)
    job = ann.submit_one(credentials=["brief"])
    until(lambda: ann.read("/v1/credentials", CredentialPage).credentials and _problem(ann, "brief"), "its end")
    assert _problem(ann, "brief") == "it has expired"
    assert refused(lambda: ann.submit_one(credentials=["brief"])) == "invalid"
    assert pilot.match().leases == ()
    assert ann.job(job).state is JobState.HELD
    assert "has expired" in ann.job(job).reason
    remove(ann, "brief")


def _problem(person: Person, name: str) -> str:
    found = {one.name: one.problem for one in person.read("/v1/credentials", CredentialPage).credentials}
    return found[name]


def test_a_pilot_with_an_alarm_gets_none(central: RunningCentral, ann: Person) -> None:
    """Whoever else knows the pilot's secret: from then on it gets no credential, not even by repeating a request."""
    keep(ann, "precious")
    job = ann.submit_one(credentials=["precious"])
    pilot = central.pilot()
    (lease,) = pilot.match(number=1).leases
    thief = SignedPilot(central.url, central.ca, pilot.stamp, pilot.secret)
    central.sessions.append(thief.http)
    assert refused(thief.enrol) == "secret-used"
    again = pilot.match(number=1)
    assert (again.leases, again.reason) == ((), "banned")
    assert pilot.match(number=2).leases == ()
    (elsewhere,) = central.pilot().match().leases
    assert (elsewhere.job, elsewhere.attempt) == (job, 2), "what it was leased must go to another, uncharged"
    assert elsewhere.credentials == lease.credentials
    events = [event[:2] for event in history(ann, "precious")]
    assert events.count(("delivered", f"pilot {pilot.stamp}")) == 1
    assert events.count(("refused", f"pilot {pilot.stamp}")) == 1


def test_credentials_survive_a_restart(central: RunningCentral, ann: Person) -> None:
    """What was kept is opened by the central that comes after a crash."""
    keep(ann, "lasting")
    central.kill()
    central.start()
    job = ann.submit_one(credentials=["lasting"])
    pilot = central.pilot()
    leases = [lease for lease in pilot.match(most=10).leases if lease.job == job]
    assert leases[0].credentials[0].values == TOKEN


def test_a_central_without_the_key_says_so(central: RunningCentral, ann: Person) -> None:
    """With its key ring lost, and another one accepted in its place, credentials are shown with the reason, jobs are
    held with it, and all else goes on."""
    keep(ann, "sealed")
    waiting = ann.submit_one(credentials=["sealed"])
    ring = central.folder / "private" / "keys.json"
    kept = ring.read_bytes()
    central.end()
    ring.unlink()
    assert central.run("init").returncode == 0
    assert central.run("accept-ring").returncode == 0
    central.start()
    try:
        assert _problem(ann, "sealed") == "it cannot be opened by the central"
        pilot = central.pilot()
        assert all(lease.job != waiting for lease in pilot.match(most=10).leases)
        assert "cannot be opened by the central" in ann.job(waiting).reason
        assert TOKEN["token"] not in central.words()
    finally:
        central.end()
        ring.write_bytes(kept)
        assert central.run("accept-ring").returncode == 0
        central.start()
    assert _problem(ann, "sealed") == ""


def test_uploads_are_signed_with_what_the_job_names(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """The closest credential that the job names signs, with no key in sight; what none covers is refused."""
    keep(ann, "lake", "s3", S3, urls=["s3://lake/"])
    keep(ann, "closer", "s3", {**S3, "access_key": "AKIACLOSER", "style": "host"}, urls=["s3://lake/ann/"])
    keep(ann, "unnamed", "s3", S3, urls=["s3://other/"])
    job = ann.submit_one(credentials=["lake", "closer"])
    (lease,) = pilot.match().leases
    payload = Payload(central, lease)
    reply = payload.upload("s3://lake/ann/out put.root")
    assert reply.whole is not None
    assert reply.whole.url.startswith("https://lake.s3.example:9000/ann/out%20put.root?")
    assert "AKIACLOSER" in reply.whole.url
    assert S3["secret_key"] not in str(reply)
    assert reply.seconds == 3600
    assert payload.upload("s3://lake/bob/x").check.url.startswith("https://s3.example:9000/lake/bob/x?")
    assert payload.upload("s3://lake/large", size=10**9).create is not None
    assert len(payload.upload("s3://lake/large", size=10**9, upload="u").parts) == 15
    assert payload.download("s3://lake/in").fetch.method == "GET"
    for wrong in ("s3://other/x", "s3://lakes/x", "s3://lake/ann/../../other/x", "s3://lake/ann/./x"):
        assert refused(lambda wrong=wrong: payload.upload(wrong)) == "forbidden", wrong
    for wrong in ("https://lake/x", "s3://lake/"):
        assert refused(lambda wrong=wrong: payload.upload(wrong)) == "invalid", wrong
    assert refused(lambda: payload.upload("s3://lake/x", size=-1)) == "invalid"
    assert [event[:3] for event in history(ann, "closer")][:2] == [
        ("signed", f"pilot {pilot.stamp}", job),
        ("delivered", f"pilot {pilot.stamp}", job),
    ]
    assert refused(lambda: decoded(ann.post(_uploads(lease), data=b"{}"), UploadReply)) == "forbidden"
    keep(ann, "closer", "s3", S3, urls=["s3://lake/ann/"], expires_in=60)
    assert payload.upload("s3://lake/ann/x").seconds <= 60
    remove(ann, "closer")
    remove(ann, "lake")
    assert refused(lambda: payload.upload("s3://lake/ann/x")) == "forbidden"
    pilot.succeed(lease)
    assert refused(lambda: payload.upload("s3://lake/ann/x")) == "stale-attempt"


def test_nothing_is_signed_for_a_pilot_with_an_alarm(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """Once somebody else has used its secret, not even its running attempt gets a request to the storage."""
    keep(ann, "lake", "s3", S3, urls=["s3://lake/"])
    job = ann.submit_one(credentials=["lake"])
    (lease,) = pilot.match().leases
    payload = Payload(central, lease)
    assert payload.upload("s3://lake/x").whole
    thief = SignedPilot(central.url, central.ca, pilot.stamp, pilot.secret)
    central.sessions.append(thief.http)
    assert refused(thief.enrol) == "secret-used"
    until(lambda: refused_or_not(lambda: payload.upload("s3://lake/x")) == "forbidden", "the alarm to be noticed")
    refused_or_not(lambda: payload.download("s3://lake/x"))
    events = [event[:3] for event in history(ann, "lake")]
    assert events[0] == ("refused", f"pilot {pilot.stamp}", job)
    assert events.count(events[0]) == 1, "an attempt that asks again and again must not fill the audit"


def refused_or_not(answer: Any) -> str:
    try:
        answer()
    except Refusal as refusal:
        return refusal.type
    return ""


def _uploads(lease: Lease) -> str:
    return f"/v1/attempts/{lease.job}/{lease.attempt}/uploads"


def test_a_token_signs_for_its_own_attempt_alone(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """One job's token gets nothing signed that another job's credentials are for."""
    keep(ann, "lake", "s3", S3, urls=["s3://lake/"])
    ann.submit_one(credentials=["lake"])
    ann.submit_one()
    rich, poor = sorted(pilot.match(most=2).leases, key=lambda lease: not lease.credentials)
    payload = Payload(central, poor)
    assert refused(lambda: payload.upload("s3://lake/x")) == "forbidden"
    payload.base = Payload(central, rich).base
    assert refused(lambda: payload.upload("s3://lake/x")) == "forbidden"
    assert Payload(central, rich).upload("s3://lake/x").whole
    pilot.succeed(rich)
    pilot.succeed(poor)


def test_a_new_key_takes_over(central: RunningCentral, ann: Person) -> None:
    """After `new-key` and a start every credential is under the new key, and opens. A served folder refuses it."""
    keep(ann, "rewrapped")
    assert "another central" in central.run("new-key").stderr
    central.end()
    done = central.run("new-key")
    assert done.returncode == 0, done.stderr
    new = done.stdout.split()[0]
    central.start()

    async def keys(store: Store) -> set[str]:
        return {row.key_id for row in await store.credentials("physics")}

    until(lambda: central.store(keys) == {new}, "all to be under the new key")
    job = ann.submit_one(credentials=["rewrapped"])
    leases = [lease for lease in central.pilot().match(most=10).leases if lease.job == job]
    assert leases[0].credentials[0].values == TOKEN


def test_a_proxy_tells_its_own_end(central: RunningCentral, ann: Person) -> None:
    """A proxy is shown with its end, which its owner can only make earlier; one that has ended is refused."""
    now = time.time()
    kept = keep(ann, "grid", "x509-proxy", {"proxy": proxy(now + 7200)})
    assert kept.expires == pytest.approx(now + 7200, abs=5)
    assert kept.shown == {"subject": "CN=1234,CN=Ada Example"}
    assert keep(ann, "grid", "x509-proxy", {"proxy": proxy(now + 7200)}, expires_in=60).expires < now + 120
    body = json.dumps({"kind": "x509-proxy", "values": {"proxy": proxy(now - 60)}})
    refused = ann.put("/v1/credentials/grid", data=body)
    assert refused.status_code == 422
    assert "it has expired already: it ended at" in refused.text
    assert "PRIVATE KEY" not in refused.text


def test_a_payload_finds_a_proxy(ann: Person, pilot: SignedPilot) -> None:
    """A job that names a proxy gets it as a text, which every pilot knows how to lay into a file."""
    text = proxy(time.time() + 7200)
    keep(ann, "grid", "x509-proxy", {"proxy": text})
    ann.submit({"command": ["true"], "credentials": ["grid"]})
    [lease] = pilot.match().leases
    [given] = lease.credentials
    assert (given.name, given.kind, given.values) == ("grid", "text", {"text": text})
    assert given.seconds_left is not None
    assert given.seconds_left <= 7200


def test_a_credential_says_which_queues_use_it(central: RunningCentral) -> None:
    """The list names the queues whose computing elements are spoken to with it, for as long as there are such."""
    oli = central.person("oli")
    keep(oli, "grid")
    with Client(central.url, token_of("oli"), central.ca, patience=5) as client:
        credential = '[credential]\ncommunity = "physics"\nowner = "oli"\nname = "grid"\nkind = "bearer"\n'
        where = '[arc]\nurl = "https://localhost:1/arex"\n'
        client.add_queue(f'name = "grid-ce"\nsite = "here"\nkind = "arc"\n{where}{credential}', force=True)
        assert [(one.name, one.queues) for one in client.credentials()] == [("grid", ("grid-ce",))]
        client.remove_queue("grid-ce")
        assert [one.queues for one in client.credentials()] == [()]
    remove(oli, "grid")
