"""Refresh tokens, with a real central and a real token endpoint: access tokens go out, and never what makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilot.credential import CredentialHistory, CredentialPage, CredentialView
from pilot.errors import Refusal
from pilot.protocol import CredentialVersions, Lease
from pilot.renewals import CredentialsReply, CredentialsRequest
from pilot.states import JobState
from pilot.views import ExplainReply, ExplainRequest, JobDetail, JobExplanation, Selection
from tests.integration.conftest import CentralMaker
from tests.integration.https import make_authority
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.token_endpoint import FIRST, TokenEndpoint, refreshing
from tests.integration.wire_pilot import SignedPilot, decoded

pytestmark = pytest.mark.integration

CLIENT_SECRET = "the-secret-of-the-client"


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TokenEndpoint, Path]]:
    folder = tmp_path_factory.mktemp("authority")
    authority = make_authority(folder)
    (folder / "ca.pem").write_text(authority.ca_pem)
    with refreshing(authority) as endpoint:
        yield endpoint, folder / "ca.pem"


@pytest.fixture(scope="module")
def central(make_central: CentralMaker, endpoints: tuple[TokenEndpoint, Path]) -> RunningCentral:
    """One that may speak to the endpoint."""
    endpoint, ca = endpoints
    return make_central(f'token_urls = ["{endpoint.url.removesuffix("token")}"]\ntoken_ca = "{ca}"')


@pytest.fixture
def endpoint(endpoints: tuple[TokenEndpoint, Path]) -> TokenEndpoint:
    """As it was at first."""
    endpoint, _ = endpoints
    endpoint.good, endpoint.refusal, endpoint.life = FIRST, "", 3600
    endpoint.away, endpoint.retry_after = None, ""
    for said in (endpoint.forms, endpoint.authorizations, endpoint.given):
        said.clear()
    return endpoint


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture
def pilot(central: RunningCentral) -> SignedPilot:
    return central.pilot()


def keep(person: Person, endpoint: TokenEndpoint, **more: Any) -> CredentialView:
    values = {"token_url": endpoint.url, "client_id": "ann", "refresh_token": FIRST, **more}
    body = json.dumps({"kind": "refresh-token", "values": values, "urls": ["https://eos.example/ann/"]})
    return decoded(person.put("/v1/credentials/iam", data=body), CredentialView)


def history(person: Person) -> list[tuple[str, str]]:
    events = person.read("/v1/credentials/iam/history", CredentialHistory).events
    return [(event.what, event.detail) for event in events]


def ask(pilot: SignedPilot, lease: Lease) -> CredentialsReply:
    had = CredentialVersions(lease.job, lease.attempt, {one.name: one.version for one in lease.credentials})
    path = f"{pilot.url}/v1/pilots/{pilot.stamp}/credentials"
    return pilot.post(path, CredentialsRequest((had,)), CredentialsReply)


def test_a_job_gets_access_tokens(
    central: RunningCentral, ann: Person, pilot: SignedPilot, endpoint: TokenEndpoint
) -> None:
    """With its lease as a bearer, and newer ones while it runs; of what makes them no byte leaves the central."""
    endpoint.life = 30  # the least that is believed
    kept = keep(ann, endpoint, client_secret=CLIENT_SECRET, scope="storage.read", audience="eos")
    assert (kept.problem, endpoint.given) == ("", ["access-token-number-1"])
    assert kept.shown == {"token_url": endpoint.url, "client_id": "ann", "scope": "storage.read", "audience": "eos"}
    job = ann.submit_one(credentials=["iam"])
    (lease,) = pilot.match().leases
    (one,) = lease.credentials
    assert (lease.job, one.kind, one.urls) == (job, "bearer", ("https://eos.example/ann/",))
    assert one.values == {"token": endpoint.given[-1]}
    assert 1 <= (one.seconds_left or 0) <= 30

    def newer() -> CredentialsReply | None:
        reply = ask(pilot, lease)
        return reply if reply.attempts else None

    reply = until(newer, "the next access token")
    assert reply is not None
    (renewed,) = reply.attempts
    assert renewed.credentials[0].values == {"token": endpoint.given[-1]} != one.values
    assert {form["scope"] for form in endpoint.forms} == {"storage.read"}
    assert [form["refresh_token"] for form in endpoint.forms][:2] == [FIRST, "refresh-token-number-1"]
    assert all(said.startswith("Basic ") for said in endpoint.authorizations)
    told = [what for what, _ in history(ann)]
    assert told[:2] == ["delivered", "refreshed"]
    pilot.succeed(lease)
    text = ann.get("/v1/credentials").text + str(lease) + str(renewed) + str(history(ann))
    written = b"".join(path.read_bytes() for path in central.folder.rglob("*") if path.is_file())
    for secret in (FIRST, endpoint.good, CLIENT_SECRET):
        assert secret not in text
        assert secret.encode() not in written
    assert not any(token.encode() in written for token in endpoint.given)


def test_what_was_kept_survives_a_restart(central: RunningCentral, ann: Person, endpoint: TokenEndpoint) -> None:
    """The access token and the refresh token that came with it."""
    keep(ann, endpoint)
    central.kill()
    central.start()
    ann.submit_one(credentials=["iam"])
    pilot = central.pilot()
    (lease,) = pilot.match().leases
    assert lease.credentials[0].values == {"token": "access-token-number-1"}
    assert endpoint.given == ["access-token-number-1"], "it has most of its life"
    pilot.succeed(lease)


def test_a_refresh_token_that_is_not_good(ann: Person, pilot: SignedPilot, endpoint: TokenEndpoint) -> None:
    """Its owner hears so when it is set; a job that needs it is held with the reason."""
    endpoint.refusal = "invalid_grant"
    kept = keep(ann, endpoint)
    assert kept.problem == "it could not be refreshed: the token endpoint answered 400 (invalid_grant)"
    job = ann.submit_one(credentials=["iam"])
    assert pilot.match().leases == ()
    view = ann.job(job)
    assert view.state is JobState.HELD
    assert "its credential iam could not be refreshed: the token endpoint answered 400 (invalid_grant)" in view.reason
    assert len(endpoint.forms) == 1, "it is not asked again for each job"
    (shown,) = ann.read("/v1/credentials", CredentialPage).credentials
    assert shown.problem == kept.problem
    ann.post("/v1/jobs/kill", json={"selection": {"ids": [job]}})


@pytest.mark.parametrize(
    ("away", "why"),
    [(503, "the token endpoint answered 503"), (429, "the token endpoint answered 429"), (0, "no answer (Connection")],
)
def test_an_endpoint_that_is_away_for_a_while(
    ann: Person, pilot: SignedPilot, endpoint: TokenEndpoint, away: int, why: str
) -> None:
    """A job that needs it waits, uncharged and never held, and says why; others with the same needs go on. Nobody does
    anything: it is given out when the endpoint has answered, and was not taken and given back in between."""
    endpoint.away, endpoint.retry_after = away, "2" if away else ""
    assert why in keep(ann, endpoint).problem
    waits = [ann.submit_one(credentials=["iam"], retries=0) for _ in range(3)]
    other = ann.submit_one(retries=0)
    assert pilot.match().leases == ()
    (lease,) = pilot.match().leases
    assert lease.job == other
    pilot.succeed(lease)
    assert all(pilot.match().leases == () for _ in range(10))
    view = ann.job(waits[0])
    assert view.state is JobState.WAITING
    assert why in view.reason
    explained = ann.read(f"/v1/jobs/{waits[0]}/explain", JobExplanation).summary
    assert explained.startswith("It waits for its credential iam, which could not be refreshed: ")
    many = ann.say("/v1/jobs/explain", ExplainRequest(Selection(ids=(*waits, other))), ExplainReply).explained
    assert [one.jobs for one in many if one.explanation.summary == explained] == [tuple(waits)]
    questions = len(endpoint.forms)
    assert questions <= 3, "it is asked by the clock, not by each job"
    endpoint.away = None
    leases: list[Lease] = []
    while len(leases) < len(waits):
        leases += until(lambda: pilot.match(wait=2.0).leases, "the jobs to be given out")
        assert all(ann.job(job).state is not JobState.HELD for job in waits)
    assert [lease.job for lease in leases] == waits
    assert {one.values["token"] for lease in leases for one in lease.credentials} == {"access-token-number-1"}
    assert len(endpoint.forms) <= questions + 2
    assert [len(ann.attempts(job)) for job in waits] == [2, 1, 1]
    for lease in leases:
        pilot.succeed(lease)
    detail = ann.read(f"/v1/jobs/{waits[0]}", JobDetail)
    assert (detail.job.state, detail.retries_used, detail.blameless_ends) == (JobState.DONE, 0, 0)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:1/oauth2/token",
        "https://localhost/oauth2/token",
        "http://127.0.0.1/oauth2/token",
        "https://ann@127.0.0.1/oauth2/token",
        "https://169.254.169.254/oauth2/token",
        "https://127.0.0.1/oauth2/../admin",
    ],
)
def test_the_central_speaks_to_nobody_else(ann: Person, endpoint: TokenEndpoint, url: str) -> None:
    """An address that its operator has not named is refused, and not asked."""
    with pytest.raises(Refusal) as refusal:
        keep(ann, endpoint, token_url=url)
    assert refusal.value.type == "invalid"
    assert [problem.where for problem in refusal.value.problems] == ["values.token_url"]
    assert endpoint.forms == []


def test_nobody_gives_it_an_access_token(ann: Person, endpoint: TokenEndpoint) -> None:
    """What the central keeps beside the owner's values is no value that an owner can give."""
    with pytest.raises(Refusal) as refusal:
        keep(ann, endpoint, access_token="made-up-by-somebody", access_ends="9999999999.0")
    assert {problem.where for problem in refusal.value.problems} == {"values.access_token", "values.access_ends"}
