"""Logging in, as a client does it: codes, what a provider may answer, and the file that the token is put into."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilot.errors import PilotageError, TransportError
from pilot.login import DEVICE_GRANT, LoginOffer, LoginRequest
from pilotage import client_file, login_by_code
from pilotage.__main__ import main
from pilotage.connection import Connection, NotConfigured, from_folder, known_central
from pilotage.login_by_browser import Secrets
from pilotage.login_by_code import Code, Tokens, log_in
from pilotage.provider import Provider, ProviderRefusal, checked
from pilotage.transport import Clock

OFFER = LoginOffer("https://idp", "pilotage", ("openid", "profile"), "https://idp/token", "https://idp/device")
BEGUN = {
    "device_code": "secret",
    "user_code": "ABCD-EFGH",
    "verification_uri": "https://idp/enter",
    "expires_in": 600,
    "interval": 5,
}


class Scripted(Provider):
    """A provider that answers in this order."""

    def __init__(self, *answers: Mapping[str, Any] | Exception, offer: LoginOffer = OFFER) -> None:
        self.offer = offer
        self.answers = list(answers)
        self.forms: list[Mapping[str, str]] = []

    def post(self, endpoint: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        self.forms.append(form)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep, lambda: 0.5)


def says(error: str) -> ProviderRefusal:
    return ProviderRefusal(error, f"it says {error}")


def test_a_code_is_told_and_asked_about_until_it_was_entered() -> None:
    """As often as the provider says, and less often when it asks for that or cannot be reached."""
    time, told = Time(), list[Code]()
    answers = (BEGUN, says("authorization_pending"), says("slow_down"), TransportError("away"), {"id_token": "a.b.c"})
    provider = Scripted(*answers)
    assert log_in(provider, time.clock, told.append) == Tokens("a.b.c")
    assert told == [Code("ABCD-EFGH", "https://idp/enter", "", 600.0)]
    assert time.slept == [5.0, 5.0, 10.0, 20.0]
    assert provider.forms[0] == {"client_id": "pilotage", "scope": "openid profile"}
    assert provider.forms[-1] == {"grant_type": DEVICE_GRANT, "device_code": "secret", "client_id": "pilotage"}


def test_the_access_token_is_for_a_central_that_asks_for_it() -> None:
    """Otherwise it goes no further than this machine; who shows a login shows neither."""
    answer = {"id_token": "a.b.c", "access_token": "s3cret"}
    given = log_in(Scripted(BEGUN, answer), Time().clock, lambda code: None)
    assert (given.id_token, given.access_token) == ("a.b.c", "")
    asks = replace(OFFER, userinfo=True)
    given = log_in(Scripted(BEGUN, answer, offer=asks), Time().clock, lambda code: None)
    assert given.access_token == "s3cret"
    assert "s3cret" not in repr(given) + repr(LoginRequest("t", access_token="s3cret"))
    with pytest.raises(PilotageError, match="gave no access token"):
        log_in(Scripted(BEGUN, {"id_token": "a.b.c"}, offer=asks), Time().clock, lambda code: None)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (says("access_denied"), "denied at the provider"),
        (says("expired_token"), "The code has expired"),
        (says("invalid_client"), "it says invalid_client"),
        ({"access_token": "x"}, "gave no ID token"),
    ],
)
def test_an_answer_that_is_final(answer: Mapping[str, Any] | Exception, sentence: str) -> None:
    """What waiting does not mend ends the login with a sentence."""
    with pytest.raises(PilotageError, match=sentence):
        log_in(Scripted(BEGUN, answer), Time().clock, lambda code: None)


def test_a_code_that_nobody_enters() -> None:
    """It ends when the code does, however long a provider says that this is."""
    for seconds, most in ((600, 600), (10**9, 3600)):
        time = Time()
        provider = Scripted({**BEGUN, "expires_in": seconds}, *(says("authorization_pending") for _ in range(1000)))
        with pytest.raises(PilotageError, match="Nobody has entered the code in time"):
            log_in(provider, time.clock, lambda code: None)
        assert time.now <= most


@pytest.mark.parametrize(
    "changes",
    [
        {"verification_uri": "http://idp.example.org/enter"},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri_complete": "file:///etc/passwd"},
        {"verification_uri": "https://idp/\x1b[2J"},
        {"user_code": None},
        {"device_code": 7},
    ],
)
def test_what_a_provider_may_not_have_people_open(changes: Mapping[str, Any]) -> None:
    """Nobody is sent to an address without TLS, nor shown what steers a terminal."""
    told = list[Code]()
    with pytest.raises(PilotageError):
        log_in(Scripted({**BEGUN, **changes}), Time().clock, told.append)
    assert told == []


def test_a_provider_without_codes() -> None:
    """The sentence says how else."""
    without = LoginOffer("https://idp", "pilotage", ("openid",), "https://idp/token")
    with pytest.raises(PilotageError, match="login --browser"):
        log_in(Scripted(offer=without), Time().clock, lambda code: None)


def test_intervals_have_bounds() -> None:
    """A provider cannot have itself asked without pause, nor a terminal wait for ever."""
    for interval, slept in ((0, 5.0), (-1, 5.0), ("x", 5.0), (0.001, 1.0), (10**9, login_by_code.LONGEST_INTERVAL)):
        time = Time()
        log_in(Scripted({**BEGUN, "interval": interval}, {"id_token": "t"}), time.clock, lambda code: None)
        assert time.slept == [slept]


def test_the_challenge_of_pkce() -> None:
    """As the example of RFC 7636 has it."""
    secrets = Secrets("s", "n", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert secrets.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_addresses_without_tls_are_for_this_machine_alone() -> None:
    """Nothing secret goes over the network in the clear."""
    assert checked("https://idp/x") == "https://idp/x"
    assert checked("http://127.0.0.1:8000/x")
    for url in ("http://idp/x", "ftp://idp", "", "http://127.0.0.1.evil.org/"):
        with pytest.raises(PilotageError):
            checked(url)


# -- the file ---------------------------------------------------------------------------------------------------------
def test_the_token_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The file is made 0600 whatever the mask, takes the place of one that was there, and is read as it was meant."""
    mask = os.umask(0)
    try:
        wanted = Connection("https://central:9618", "t", tmp_path / "a b.pem", "https://idp")
        for token in ("one", "two"):
            path = client_file.write(tmp_path / "new", Connection(wanted.url, token, wanted.ca, wanted.login))
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(mask)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert from_folder(tmp_path / "new") == Connection(wanted.url, "two", wanted.ca, wanted.login)
    assert os.listdir(tmp_path / "new") == ["client.toml"]


def test_who_has_logged_out_knows_the_central_still(tmp_path: Path) -> None:
    """Without a token the file says where to log in, and nothing else is asked with it."""
    client_file.write(tmp_path, Connection("https://central:9618", ""))
    assert known_central(tmp_path) == Connection("https://central:9618", "")
    with pytest.raises(NotConfigured, match="pilotage login"):
        from_folder(tmp_path)


def test_a_token_that_no_login_gave_is_not_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where client.toml holds a token of another kind, as that of a central's owner, `login` asks nobody anything."""
    client_file.write(tmp_path, Connection("https://127.0.0.1:9", "made by init"))
    assert main(["login", "--folder", str(tmp_path)]) == 1
    assert "--replace" in capsys.readouterr().err
    assert from_folder(tmp_path).token == "made by init"
    assert main(["logout", "--folder", str(tmp_path)]) == 1
    assert from_folder(tmp_path).token == "made by init"


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who has no client.toml yet is told to say where to log in."""
    assert main(["login", "--folder", str(tmp_path / "new")]) == 3
    assert "--url" in capsys.readouterr().err
