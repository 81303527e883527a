"""Who may do what, and who is who."""

from __future__ import annotations

import hashlib

import pytest

from central.configuration.settings import ApiToken
from central.records import Identity
from central.trust.callers import Callers, Nonces
from central.trust.people import People
from central.trust.rules import (
    PayloadCaller,
    PilotCaller,
    TicketCaller,
    Who,
    admit,
    community_of,
    may_change_job,
    may_see_place,
)
from central.trust.seal import JobToken, Key, KeyRing, PilotToken, Ticket
from pilot import signatures
from pilot.errors import Refusal

STAMP = "0123456789abcdef" * 2
KEY = b"k" * 32
TOKEN = PilotToken(STAMP, 1, KEY, 900.0, 2000.0, None)
MEMBER = Identity("ann", "physics", "muons", "member")
RING = KeyRing((Key("k1", b"s" * 32, 0.0),))


def refused(call: object, *arguments: object, **named: object) -> str:
    assert callable(call)
    with pytest.raises(Refusal) as caught:
        call(*arguments, **named)
    return caught.value.type


def test_whom_a_route_does_not_name_is_refused() -> None:
    """Nobody passes a route that names nobody; nobody unknown passes one that names somebody."""
    everybody = (MEMBER, PilotCaller(TOKEN, False), PayloadCaller(JobToken(1, 1, STAMP, "c", 1.0)))
    for caller in (*everybody, TicketCaller(Ticket(STAMP))):
        assert refused(admit, (), caller) == "forbidden"
    assert refused(admit, (Who.MEMBER,), None) == "unauthorized"
    admit((Who.ANYBODY,), None)


@pytest.mark.parametrize(
    ("who", "caller"),
    [
        (Who.PILOT, PilotCaller(TOKEN, aged=False)),
        (Who.AGED_PILOT, PilotCaller(TOKEN, aged=True)),
        (Who.PAYLOAD, PayloadCaller(JobToken(1, 1, STAMP, "c", 1.0))),
        (Who.TICKET, TicketCaller(Ticket(STAMP))),
        (Who.MEMBER, MEMBER),
    ],
)
def test_each_kind_of_caller_passes_its_own_routes_alone(who: Who, caller: object) -> None:
    """A caller passes where its kind is named and nowhere else."""
    admit((who,), caller)  # type: ignore[arg-type]
    others = [other for other in Who if other not in (who, Who.ANYBODY, Who.AGED_PILOT)]
    for other in others:
        assert refused(admit, (other,), caller) in ("forbidden", "token-expired")


def test_an_aged_token_is_told_to_renew() -> None:
    """Where only a good token passes, an aged one is told so and not just refused."""
    assert refused(admit, (Who.PILOT,), PilotCaller(TOKEN, aged=True)) == "token-expired"


def test_a_higher_role_may_what_a_lower_may() -> None:
    """Each role passes the routes of the roles before it, and not those after."""
    roles = ["member", "group-admin", "community-admin", "operator"]
    for rank, role in enumerate(roles):
        person = Identity("x", "c", "g", role)
        for needed, name in enumerate(roles):
            if needed <= rank:
                admit((Who(name),), person)
            else:
                assert refused(admit, (Who(name),), person) == "forbidden"


@pytest.mark.parametrize(
    ("role", "own", "group", "community", "other"),
    [
        ("member", True, False, False, False),
        ("group-admin", True, True, False, False),
        ("community-admin", True, True, True, False),
        ("operator", True, True, True, True),
    ],
)
def test_roles_change_the_jobs_that_they_are_for(
    role: str, own: bool, group: bool, community: bool, other: bool
) -> None:
    """Own jobs, the group's, the community's, everybody's: one step further with each role."""
    person = Identity("ann", "physics", "muons", role)
    assert may_change_job(person, "physics", "muons", "ann") is own
    assert may_change_job(person, "physics", "muons", "ben") is group
    assert may_change_job(person, "physics", "tau", "eve") is community
    assert may_change_job(person, "biology", "muons", "ann") is other


def test_what_is_seen_is_of_the_own_community() -> None:
    """Everybody but an operator is kept to the own community, also with pilots."""
    assert community_of(MEMBER) == "physics"
    assert may_see_place(MEMBER, "cern", ("biology", "physics"))
    assert not may_see_place(MEMBER, "cern", ("biology",))
    operator = Identity("oli", "physics", "muons", "operator")
    assert community_of(operator) is None
    assert may_see_place(operator, "cern", ("biology",))


def callers(now: float) -> Callers:
    people = (ApiToken("t", hashlib.sha256(b"letmein").hexdigest(), MEMBER),)
    return Callers(RING, People(people), Nonces(), lambda: now)


def test_credentials_are_opened_by_their_scheme() -> None:
    """Each scheme gives its own kind of caller; unknown schemes, strangers and expired tokens are refused."""
    known = callers(1000.0)
    assert known.claimed(None) is None
    assert known.claimed("Bearer letmein") == MEMBER
    assert known.claimed(f"Pilot {RING.seal(TOKEN)}") == PilotCaller(TOKEN, aged=False)
    assert callers(3000.0).claimed(f"Pilot {RING.seal(TOKEN)}") == PilotCaller(TOKEN, aged=True)
    job = RING.seal(JobToken(1, 1, STAMP, "c", 999.0))
    for bad in ("Bearer wrong", "Basic YTpi", "Pilot x", f"Ticket {job}", f"Job {job}", "Bearer " + "x" * 5000):
        assert refused(known.claimed, bad) == "unauthorized"


def signed(
    *, created: int = 1000, key: bytes = KEY, keyid: str = STAMP, nonce: str = "n0nce-n0nce", body: bytes = b"{}"
) -> dict[str, str]:
    made = signatures.sign(key, "POST", "/v1/x?y=1", body, "Pilot t", keyid=keyid, created=created, nonce=nonce)
    return {name.lower(): value for name, value in made.items()}


def test_a_signed_request_is_heard_once() -> None:
    """The first of two identical requests passes, the second is `replayed`; the same with a new nonce passes."""
    known, caller = callers(1000.0), PilotCaller(TOKEN, False)
    known.verify(caller, STAMP, "POST", "/v1/x?y=1", b"{}", signed())
    again = (caller, STAMP, "POST", "/v1/x?y=1", b"{}")
    assert refused(known.verify, *again, signed()) == "replayed"
    known.verify(*again, signed(nonce="another-one"))


@pytest.mark.parametrize(
    ("headers", "target", "body", "expected"),
    [
        (signed(key=b"x" * 32), "/v1/x?y=1", b"{}", "bad-signature"),
        (signed(), "/v1/x?y=2", b"{}", "bad-signature"),
        (signed(), "/v1/x?y=1", b"{ }", "bad-signature"),
        (signed(keyid="ff" * 16), "/v1/x?y=1", b"{}", "bad-signature"),
        ({}, "/v1/x?y=1", b"{}", "bad-signature"),
        (signed(created=900), "/v1/x?y=1", b"{}", "clock-skew"),
        (signed(created=1100), "/v1/x?y=1", b"{}", "clock-skew"),
    ],
)
def test_a_wrong_signature_is_refused(headers: dict[str, str], target: str, body: bytes, expected: str) -> None:
    """Another key, target, body, keyid or time: each is refused, and uses no nonce up."""
    known, caller = callers(1000.0), PilotCaller(TOKEN, False)
    assert refused(known.verify, caller, STAMP, "POST", target, body, headers) == expected
    known.verify(caller, STAMP, "POST", "/v1/x?y=1", b"{}", signed())


def test_a_pilot_speaks_for_itself_alone() -> None:
    """A good signature under another pilot's path is forbidden."""
    verify = callers(1000.0).verify
    assert refused(verify, PilotCaller(TOKEN, False), "ee" * 16, "POST", "/v1/x?y=1", b"{}", signed()) == "forbidden"


def test_long_after_its_end_of_life_a_pilot_is_not_heard() -> None:
    """Beyond the time for late reports even a good signature is `revoked`."""
    token = PilotToken(STAMP, 1, KEY, 0.0, 10.0, 500.0)
    verify = callers(1000.0).verify
    assert refused(verify, PilotCaller(token, True), STAMP, "POST", "/v1/x?y=1", b"{}", signed()) == "revoked"


def test_nonces_are_remembered_for_the_window_and_no_longer() -> None:
    """A nonce is refused for as long as its signature could pass, and forgotten some time after."""
    nonces = Nonces()
    nonces.take("first", 1000.0)
    for later in (1000.0, 1000.0 + signatures.MAX_AGE, 1000.0 + 2 * signatures.MAX_AGE):
        assert refused(nonces.take, "first", later) == "replayed"
    nonces.take("second", 1130.0)
    assert refused(nonces.take, "second", 1131.0) == "replayed"
    nonces.take("third", 1300.0)
    nonces.take("first", 1300.0)


def test_what_may_have_been_heard_before_a_restart_is_signed_anew() -> None:
    """A signature that is older than what remembers the nonces is refused with the time, whatever the clocks say."""
    nonces = Nonces(lambda: 10.0)
    nonces.reach(990.0, 1000.0)
    nonces.reach(1059.0, 1000.0)
    assert refused(nonces.reach, 987.0, 1000.0) == "clock-skew"
    Nonces().reach(0.0, 1000.0)
