"""Tokens by which pilots enrol that nobody submitted, in the hands of somebody who wants more of them than they give.

What a store counts, and when, is in `contract/test_store_places.py`; whole pilots are in `integration/test_unsent.py`.
"""

from __future__ import annotations

import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from central.added import NewEnrolment
from pilot.errors import Refusal
from pilot.places import EnrolmentPage, EnrolmentView, OpenedEnrolment, OpenEnrolmentRequest
from pilot.states import PilotState
from pilot.views import PilotDetail
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import SignedPilot, decoded
from tests.security.cast import Cast


@pytest.fixture
def oli(central: RunningCentral) -> Person:
    return central.person("oli")


def opened(oli: Person, pilots: int) -> OpenedEnrolment:
    return oli.say("/v1/enrolments", OpenEnrolmentRequest("local", pilots, 600), OpenedEnrolment)


def comer(central: RunningCentral, token: str, stamp: str = "") -> SignedPilot:
    """A machine that somebody has started, with a stamp of its own."""
    pilot = SignedPilot(central.url, central.ca, stamp or secrets.token_hex(16), token)
    central.sessions.append(pilot.http)
    return pilot


def told(pilot: SignedPilot) -> str:
    """The refusal of an enrolment; empty: it is in."""
    try:
        pilot.enrol()
    except Refusal as refusal:
        return refusal.type
    return ""


def kept(oli: Person, number: int) -> EnrolmentView:
    page = oli.read("/v1/enrolments", EnrolmentPage)
    return next(one for one in page.enrolments if one.number == number)


def alarm_of(oli: Person, stamp: str) -> str:
    return oli.read(f"/v1/pilots/{stamp}", PilotDetail).pilot.alarm


def test_the_last_place_is_for_one(central: RunningCentral, oli: Person) -> None:
    """Of those who come at once for the last place one gets it, and no stamp of the others is known afterwards."""
    made = opened(oli, 2)
    assert told(comer(central, made.token)) == ""
    crowd = [comer(central, made.token) for _ in range(8)]
    with ThreadPoolExecutor(len(crowd)) as pool:
        answers = list(pool.map(told, crowd))
    assert sorted(answers) == ["", *["secret-used"] * 7]
    view = kept(oli, made.enrolment.number)
    assert (view.used, view.refused) == (2, 7)
    for pilot, answer in zip(crowd, answers, strict=True):
        assert oli.get(f"/v1/pilots/{pilot.stamp}").status_code == (404 if answer else 200)


def test_one_stamp_that_comes_twice_at_once_takes_one_place(central: RunningCentral, oli: Person) -> None:
    """Two machines that say the same stamp are one pilot: the one that was first, and the place is taken once."""
    made, stamp = opened(oli, 2), secrets.token_hex(16)
    crowd = [comer(central, made.token, stamp) for _ in range(6)]
    with ThreadPoolExecutor(len(crowd)) as pool:
        answers = list(pool.map(told, crowd))
    assert sorted(answers) == ["", *["secret-used"] * 5]
    assert kept(oli, made.enrolment.number).used == 1
    crowd[answers.index("")].heartbeat()


def test_a_place_is_not_given_back(central: RunningCentral, oli: Person) -> None:
    """When its pilot has ended the place is used up: neither the same stamp nor another gets in."""
    made = opened(oli, 1)
    pilot = comer(central, made.token)
    assert told(pilot) == ""
    pilot.bye()
    assert told(comer(central, made.token, pilot.stamp)) in ("revoked", "secret-used")
    assert told(comer(central, made.token)) == "secret-used"
    assert oli.read(f"/v1/pilots/{pilot.stamp}", PilotDetail).pilot.state is PilotState.DONE


def test_a_token_is_not_good_any_more_at_once(central: RunningCentral, oli: Person) -> None:
    """Revoked, or past its end: nobody gets in, whoever is in stays, and operators see that somebody came."""
    made = opened(oli, 9)
    inside = comer(central, made.token)
    assert told(inside) == ""
    decoded(oli.delete(f"/v1/enrolments/{made.enrolment.number}"), EnrolmentView)
    assert told(comer(central, made.token)) == "revoked"
    inside.heartbeat()
    assert "was revoked by" in kept(oli, made.enrolment.number).alarm

    old = secrets.token_urlsafe(32)
    digest = hashlib.sha256(old.encode()).hexdigest()
    aged = NewEnrolment(digest, "here", "local", ("physics",), 9, 0.0, "oli")

    row = central.store(lambda store: store.open_enrolment(aged))
    assert told(comer(central, old)) == "secret-expired"
    assert (kept(oli, row.id).used, kept(oli, row.id).refused) == (0, 1)


def test_a_token_opens_nothing_but_an_enrolment(central: RunningCentral, cast: Cast, oli: Person) -> None:
    """It is nobody's token, and not the secret of a pilot that a director has sent: that one sees no alarm for it."""
    made, sent = opened(oli, 9), central.pilot(enrolled=False)
    for scheme in ("Bearer", "Pilot", "Job", "Ticket"):
        answer = cast.http.get("/v1/whoami", headers={"Authorization": f"{scheme} {made.token}"})
        assert answer.status_code == 401
    assert told(comer(central, made.token, sent.stamp)) == "unauthorized"
    assert told(sent) == ""
    assert told(comer(central, made.token, sent.stamp)) == "unauthorized"
    assert alarm_of(oli, sent.stamp) == ""
    assert kept(oli, made.enrolment.number).used == 0


def test_who_knows_the_token_takes_nobodys_place(central: RunningCentral, oli: Person) -> None:
    """All who share a token know it: another key for a pilot that is in is refused, and neither stops nor alarms it."""
    made = opened(oli, 9)
    pilot = comer(central, made.token)
    assert told(pilot) == ""
    assert told(comer(central, made.token, pilot.stamp)) == "secret-used"
    assert alarm_of(oli, pilot.stamp) == ""
    pilot.heartbeat()


def test_a_token_that_is_nearly_right_is_nobodys(central: RunningCentral, oli: Person) -> None:
    """With a letter more, less or changed it is refused as any wrong secret is, and not counted."""
    made = opened(oli, 9)
    token = made.token
    other = "A" if token[-1] != "A" else "B"
    for wrong in (token[:-1], token + "A", token[:-1] + other, token.swapcase(), f" {token}", ""):
        assert told(comer(central, wrong)) == "unauthorized", wrong
    view = kept(oli, made.enrolment.number)
    assert (view.used, view.refused) == (0, 0)
    assert token not in oli.get("/v1/enrolments").text + central.words()
