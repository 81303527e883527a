"""Access tokens that are made with refresh tokens: when one is due, what is asked, what is believed of an answer."""

from __future__ import annotations

import base64
import json

import pytest

from central.records import CredentialRow
from central.trust.access_tokens import (
    BETWEEN,
    ENDS,
    GIVEN_UP,
    ISSUED,
    LEAST,
    LONGEST,
    PROBLEM,
    TOKEN,
    TRIED,
    UNTOLD,
    NotRefreshed,
    Said,
    answered,
    asking,
    begun,
    delivery,
    due,
    failed,
    passes,
    question,
    usable,
    wait,
)
from pilot.protocol import Credential

GIVEN = {"token_url": "https://login.example/token", "client_id": "pilotage", "refresh_token": "refresh-one"}
ROW = CredentialRow("physics", "ann", "eos", "refresh-token", ("https://eos.example/",), None, "k1", b"sealed", 5.0)


def answer(**fields: object) -> bytes:
    return json.dumps({"access_token": "access-one", "token_type": "Bearer", "expires_in": 1000, **fields}).encode()


def test_when_another_one_is_due() -> None:
    """At first, and when two fifths of its life are over; not while one is asked for, nor soon after a failure."""
    assert due(GIVEN, 100.0)
    has = answered(GIVEN, Said(200, answer()), 100.0)
    assert not due(has, 499.0)
    assert due(has, 500.0)
    assert usable(has, 1090.0)
    assert not usable(has, 1099.0)
    asked = begun(has, 500.0)
    assert asking(asked, 501.0)
    assert not due(asked, 501.0)
    assert due(asked, 500.0 + GIVEN_UP), "who asked has died"
    lost = failed(asked, NotRefreshed("no answer"), 500.0)
    assert not due(lost, 500.0 + BETWEEN - 1)
    assert due(lost, 500.0 + BETWEEN)
    assert usable(lost, 600.0), "the one before is still good"
    assert PROBLEM not in answered(lost, Said(200, answer()), 600.0)


def test_an_endpoint_that_is_away_is_asked_less_and_less() -> None:
    """After a refusal in a minute; when it is away soon at first, and no later than it says, within bounds. What came
    in between ends that."""
    values: dict[str, str] = GIVEN
    for pause in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
        values = failed(begun(values, 100.0), NotRefreshed("no answer", passing=True), 100.0)
        assert wait(values, 100.0) == pause
        assert passes(values)
        assert not due(values, 99.0 + pause)
        assert due(values, 100.0 + pause)
    assert wait(failed(GIVEN, NotRefreshed("it", passing=True, retry_after=20.0), 100.0), 100.0) == 20.0
    assert wait(failed(values, NotRefreshed("it", passing=True, retry_after=20.0), 100.0), 100.0) == 300.0
    assert wait(failed(GIVEN, NotRefreshed("it", passing=True, retry_after=1e9), 100.0), 100.0) == LONGEST
    assert wait(values, 100.0 - 2 * LONGEST) == 0.0, "the clock was set back"
    refused = failed(values, NotRefreshed("invalid_grant"), 100.0)
    assert (wait(refused, 100.0), passes(refused)) == (BETWEEN, False)
    came = answered(values, Said(200, answer()), 600.0)
    assert set(came) == {*GIVEN, TOKEN, ISSUED, ENDS, TRIED}


@pytest.mark.parametrize(
    ("status", "body", "retry_after", "passing", "seconds"),
    [
        (500, b"", "", True, 0.0),
        (503, b"<html>", "120", True, 120.0),
        (502, b'{"error": "invalid_grant"}', "", True, 0.0),
        (429, b"{}", "Fri, 27 Nov 2026 12:00:00 GMT", True, 0.0),
        (408, b"{}", "-1", True, 0.0),
        (400, b'{"error": "temporarily_unavailable"}', "7", True, 7.0),
        (400, b'{"error": "invalid_grant"}', "7", False, 7.0),
        (401, b"{}", "", False, 0.0),
        (403, b"{}", "", False, 0.0),
        (404, b"", "", False, 0.0),
        (200, b"<html>", "", False, 0.0),
    ],
)
def test_what_passes_by_itself(status: int, body: bytes, retry_after: str, passing: bool, seconds: float) -> None:
    """An endpoint that has too much to do or is broken; not one that does not take what it is shown."""
    with pytest.raises(NotRefreshed) as refused:
        answered(GIVEN, Said(status, body, retry_after), 0.0)
    assert (refused.value.passing, refused.value.retry_after) == (passing, seconds)


def test_what_is_asked() -> None:
    """The form of RFC 6749; a client with a secret shows it in the header, one without names itself in the form."""
    what = question({**GIVEN, "scope": "storage.read offline_access", "audience": "https://eos.example"})
    assert (what.url, what.authorization) == ("https://login.example/token", "")
    assert what.form == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-one",
        "client_id": "pilotage",
        "scope": "storage.read offline_access",
        "audience": "https://eos.example",
    }
    what = question({**GIVEN, "client_id": "a:b", "client_secret": "p q"})
    assert base64.b64decode(what.authorization.removeprefix("Basic ")) == b"a%3Ab:p+q"
    assert set(what.form) == {"grant_type", "refresh_token"}


def test_a_new_refresh_token_takes_the_place_of_the_old_one() -> None:
    """Where the endpoint gives one; else the old one stays."""
    assert answered(GIVEN, Said(200, answer()), 0.0)["refresh_token"] == "refresh-one"
    assert answered(GIVEN, Said(200, answer(refresh_token="refresh-two")), 0.0)["refresh_token"] == "refresh-two"
    assert answered(GIVEN, Said(200, answer(refresh_token="two words")), 0.0)["refresh_token"] == "refresh-one"


@pytest.mark.parametrize(
    ("life", "believed"),
    [(1000, 1000.0), (None, UNTOLD), ("soon", UNTOLD), (True, UNTOLD), (0, LEAST), (-5, LEAST), (1e300, 366 * 86400.0)],
)
def test_how_long_it_lives(life: object, believed: float) -> None:
    """As it is told, within reason."""
    assert float(answered(GIVEN, Said(200, answer(expires_in=life)), 50.0)[ENDS]) == 50.0 + believed


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b'{"error": "invalid_grant", "error_description": "refresh-one is bad"}', "answered 400 (invalid_grant)"),
        (401, b'{"error": "refresh-one has\\nended"}', "answered 401"),
        (302, b"", "answered 302"),
        (200, b"<html>", "answered 200"),
        (200, b"[]", "answered 200"),
        (200, answer(token_type="mac"), "another type"),
        (200, answer(token_type=None), "another type"),
        (200, answer(access_token="with\nlines"), "no access token"),
        (200, answer(access_token="x" * 20_000), "no access token"),
        (200, answer(access_token=7), "no access token"),
    ],
)
def test_what_is_no_access_token(status: int, body: bytes, said: str) -> None:
    """Is told without what is secret."""
    with pytest.raises(NotRefreshed) as problem:
        answered(GIVEN, Said(status, body), 0.0)
    assert said in str(problem.value)
    assert "refresh-one" not in str(problem.value)


def test_what_goes_out_is_a_bearer_alone() -> None:
    """The access token with what it has left, another version with each; never what made it."""
    first = delivery(ROW, answered(GIVEN, Said(200, answer()), 100.0), 300.0)
    assert isinstance(first, Credential)
    assert (first.kind, first.values, first.seconds_left) == ("bearer", {"token": "access-one"}, 800)
    assert first.urls == ROW.urls
    second = delivery(ROW, answered(GIVEN, Said(200, answer(access_token="access-two")), 400.0), 400.0)
    assert isinstance(second, Credential)
    assert second.version != first.version
    lost = failed(GIVEN, NotRefreshed("the token endpoint answered 400 (invalid_grant)"), 300.0)
    assert delivery(ROW, lost, 400.0) == "could not be refreshed: the token endpoint answered 400 (invalid_grant)"
