"""Credentials that are set anew while attempts run, over the wire with a real central: who gets them, and who not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from pilot.audit import AuditPage
from pilot.credential import MAX_VALUE, CredentialHistory, CredentialView
from pilot.errors import Refusal
from pilot.protocol import CredentialVersions, Lease
from pilot.renewals import CredentialsReply, CredentialsRequest
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.wire_pilot import OFFER, SignedPilot, decoded, held

pytestmark = pytest.mark.integration

FIRST, SECOND = {"token": "correct-horse-battery"}, {"token": "another-horse-battery"}


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture
def pilot(central: RunningCentral) -> SignedPilot:
    return central.pilot()


def keep(
    person: Person, name: str, values: Mapping[str, str] = FIRST, kind: str = "bearer", **more: object
) -> CredentialView:
    body = json.dumps({"kind": kind, "values": values, **more})
    return decoded(person.put(f"/v1/credentials/{name}", data=body), CredentialView)


def leased(ann: Person, pilot: SignedPilot, *names: str) -> Lease:
    """A job that names these, on a pilot."""
    job = ann.submit_one(credentials=list(names))
    (lease,) = pilot.match().leases
    assert lease.job == job
    return lease


def versions(lease: Lease) -> CredentialVersions:
    return CredentialVersions(lease.job, lease.attempt, {one.name: one.version for one in lease.credentials})


def ask(pilot: SignedPilot, *had: CredentialVersions) -> CredentialsReply:
    path = f"{pilot.url}/v1/pilots/{pilot.stamp}/credentials"
    return pilot.post(path, CredentialsRequest(had), CredentialsReply)


def history(person: Person, name: str) -> list[tuple[str, str, str]]:
    events = person.read(f"/v1/credentials/{name}/history", CredentialHistory).events
    return [(event.what, event.who, event.detail) for event in events]


def told(pilot: SignedPilot, lease: Lease) -> Mapping[str, str]:
    """What the next heartbeat's answer names of an attempt."""
    reply = pilot.heartbeat((held(lease),))
    return next((one.versions for one in reply.credentials if one.job == lease.job), {})


def test_what_was_set_anew_is_given_once_asked_for(ann: Person, pilot: SignedPilot) -> None:
    """The newer one alone, as it would come with a lease, and again when it is asked for again; one line in history."""
    keep(ann, "renewed", urls=["https://store.example/ann/"], expires_in=600)
    keep(ann, "left")
    lease = leased(ann, pilot, "renewed", "left")
    assert ask(pilot, versions(lease)).attempts == ()
    kept = keep(ann, "renewed", SECOND, urls=["https://store.example/ann/"], expires_in=7200)
    assert kept.running == 1
    (newer,) = ask(pilot, versions(lease)).attempts
    (one,) = newer.credentials
    assert (newer.job, newer.attempt, one.name, one.values) == (lease.job, 1, "renewed", SECOND)
    assert 7100 <= (one.seconds_left or 0) <= 7200
    assert one.urls == lease.credentials[0].urls
    assert one.version != lease.credentials[0].version
    (again,) = ask(pilot, versions(lease)).attempts
    assert again.credentials[0].values == SECOND
    has = CredentialVersions(lease.job, 1, {"renewed": one.version, "left": lease.credentials[1].version})
    assert ask(pilot, has).attempts == ()
    assert history(ann, "renewed") == [
        ("delivered", f"pilot {pilot.stamp}", "renewed, to here"),
        ("set", "ann", "bearer"),
        ("delivered", f"pilot {pilot.stamp}", "to here"),
        ("set", "ann", "bearer"),
    ]
    pilot.succeed(lease)


def test_a_version_tells_nothing_of_the_secret(ann: Person, pilot: SignedPilot) -> None:
    """The same secret set again is another version, and the same version is told to everybody."""
    keep(ann, "same")
    first, second = leased(ann, pilot, "same"), leased(ann, pilot, "same")
    assert first.credentials[0].version == second.credentials[0].version
    keep(ann, "same")
    third = leased(ann, pilot, "same")
    assert third.credentials[0].values == first.credentials[0].values
    assert third.credentials[0].version != first.credentials[0].version
    for lease in (first, second, third):
        pilot.succeed(lease)


def test_a_heartbeat_says_that_there_is_something_new(ann: Person, pilot: SignedPilot) -> None:
    """To the pilot that holds such an attempt, with the version; and nothing to others."""
    keep(ann, "quick")
    keep(ann, "unused")
    lease = leased(ann, pilot, "quick")
    keep(ann, "unused", SECOND)
    assert set(told(pilot, lease)) <= {"quick"}
    keep(ann, "quick", SECOND)
    version = told(pilot, lease)["quick"]
    assert version != lease.credentials[0].version
    assert ask(pilot, versions(lease)).attempts[0].credentials[0].version == version
    bare = leased(ann, pilot)
    assert told(pilot, bare) == {}
    for one in (lease, bare):
        pilot.succeed(one)


@pytest.mark.parametrize("why", ["removed", "expired"])
def test_what_is_there_no_more_is_no_answer(ann: Person, pilot: SignedPilot, why: str) -> None:
    """The attempt keeps what it has."""
    keep(ann, f"is-{why}")
    lease = leased(ann, pilot, f"is-{why}")
    if why == "removed":
        ann.delete(f"/v1/credentials/is-{why}")
    else:
        keep(ann, f"is-{why}", SECOND, expires_in=1)

        def over() -> bool:
            return ask(pilot, versions(lease)).attempts == ()

        until(over, "its end")
    assert ask(pilot, versions(lease)) == CredentialsReply()
    pilot.succeed(lease)


def test_only_what_the_job_names_and_of_attempts_that_run(ann: Person, pilot: SignedPilot) -> None:
    """No other credential of the owner's, and nothing for an attempt that is over or never was."""
    keep(ann, "named")
    keep(ann, "other")
    lease = leased(ann, pilot, "named")
    more = replace(versions(lease), versions={"named": "old", "other": "old", "absent": ""})
    (newer,) = ask(pilot, more, CredentialVersions(10**9, 1, {"named": "old"})).attempts
    assert [one.name for one in newer.credentials] == ["named"]
    pilot.succeed(lease)
    assert ask(pilot, more) == CredentialsReply()


def test_another_pilots_attempt_is_refused_and_noted(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """Nothing of such a request is answered, and the audit says who asked for what."""
    keep(ann, "mine")
    lease = leased(ann, pilot, "mine")
    keep(ann, "own")
    thief = central.pilot()
    own = leased(ann, thief, "own")
    old = replace(versions(own), versions={"own": "old"})
    with pytest.raises(Refusal) as refusal:
        ask(thief, old, replace(versions(lease), versions={"mine": "old"}))
    assert refusal.value.type == "not-yours"
    assert [event[:2] for event in history(ann, "mine")] == [("delivered", f"pilot {pilot.stamp}"), ("set", "ann")]

    def noted() -> bool:
        lines = central.person("oli").read(f"/v1/audit?who=pilot {thief.stamp}", AuditPage).lines
        return any("not-yours" in line.detail and "/credentials" in line.subject for line in lines)

    until(noted, "the line in the audit")
    assert ask(thief, old).attempts, "what is its own it gets"
    pilot.succeed(lease)
    thief.succeed(own)


def test_a_pilot_with_an_alarm_gets_nothing(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """Its attempt runs on with what it has; that it asked is in the history."""
    keep(ann, "precious")
    lease = leased(ann, pilot, "precious")
    pilot.report(lease, held(lease).phase)
    thief = SignedPilot(central.url, central.ca, pilot.stamp, pilot.secret)
    central.sessions.append(thief.http)
    with pytest.raises(Refusal):
        thief.enrol()
    keep(ann, "precious", SECOND)
    assert ask(pilot, versions(lease)) == CredentialsReply()
    until(lambda: history(ann, "precious")[0][0] == "refused", "the line in the history")
    assert history(ann, "precious")[0][1:] == (f"pilot {pilot.stamp}", "it is not given to a pilot with an alarm")
    pilot.succeed(lease)


def test_an_answer_has_room_for_so_many_secrets(central: RunningCentral, ann: Person) -> None:
    """What is beyond is given when it is asked for again."""
    names = [f"large-{number}" for number in range(20)]
    for name in names:
        keep(ann, name, {"text": "x" * MAX_VALUE}, "text")
    pilot = central.pilot(offer=replace(OFFER, cores=32))
    leases = [leased(ann, pilot, *names) for _ in range(15)]
    had = [replace(versions(lease), versions=dict.fromkeys(names, "old")) for lease in leases]
    reply = ask(pilot, *had)
    given = {(one.job, each.name): each.version for one in reply.attempts for each in one.credentials}
    assert reply.more
    assert len(given) == 4 * 1024 * 1024 // MAX_VALUE
    had = [
        replace(one, versions={name: given.get((one.job, name), "old") for name in names})
        for one in had
    ]  # fmt: skip
    rest = ask(pilot, *had)
    assert not rest.more
    assert len(given) + sum(len(one.credentials) for one in rest.attempts) == 15 * len(names)
    for lease in leases:
        pilot.succeed(lease)
    for name in names:
        ann.delete(f"/v1/credentials/{name}")


def test_too_many_attempts_are_refused(pilot: SignedPilot) -> None:
    """With the bound."""
    with pytest.raises(Refusal) as refusal:
        ask(pilot, *(CredentialVersions(number, 1) for number in range(1, 10_002)))
    assert refusal.value.type == "invalid"
