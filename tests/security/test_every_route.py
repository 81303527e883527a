"""Every route of the central, asked for by every kind of caller: whom the route names passes, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from central.routes import TABLE
from central.serving.http import Route
from central.trust.rules import Scope, Who, scope_of
from tests.integration.running_central import RunningCentral
from tests.security.cast import Cast, Part, as_pilot, filled, name_of

#: What any token is good for though it is no GET: to ask, and to end itself.
FOR_ALL = {"POST /v1/jobs/explain", "POST /v1/jobs/{job}/peeks", "POST /v1/logout"}
#: Each caller's last request comes last.
ROUTES = sorted(TABLE, key=lambda route: route.path == "/v1/logout")
#: How the refusals of a rule begin, beside those for which there are no credentials.
RULE_SAYS = ("this is for: ", "this needs a token with the scope ")


def expected(route: Route[Any], part: Part) -> str:
    """What the route's rule says of a caller, worked out from the names on the route alone."""
    if Who.ANYBODY in route.who:
        return "passes"
    if part.name == "nobody":
        return "unauthorized"
    if set(route.who) & set(part.passes):
        return "passes" if part.scope in (None, scope_of(route.method, route.path)) else "forbidden"
    return "token-expired" if part.name == "aged pilot" and Who.PILOT in route.who else "forbidden"


def found(route: Route[Any], answer: requests.Response) -> str:
    """What the rule has said; a handler's own refusal of one who got as far as that is a passage."""
    if answer.status_code not in (401, 403):
        return "passes"
    if route.method == "HEAD":  # has no words
        return "unauthorized" if answer.status_code == 401 else "forbidden"
    said = answer.json()
    by_rule = answer.status_code == 401 or said["detail"].startswith(RULE_SAYS)
    return str(said["type"]) if by_rule else "passes"


@pytest.fixture(scope="module")
def everybody(cast: Cast) -> list[Part]:
    return cast.parts()


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_a_route_lets_in_whom_it_names(
    central: RunningCentral, cast: Cast, everybody: list[Part], route: Route[Any]
) -> None:
    """Nobody gets past a route's rule whom it does not name, with whatever credentials; whom it names gets past it."""
    for part in everybody:
        stamp = {} if part.pilot is None else {"stamp": part.pilot.stamp}
        answer = cast.ask(part, route.method, filled(route, **stamp))
        assert found(route, answer) == expected(route, part), (part.name, answer.status_code, answer.text)
        assert answer.status_code < 500, (part.name, answer.text)


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_a_pilots_token_without_its_key_is_worth_nothing(cast: Cast, everybody: list[Part], route: Route[Any]) -> None:
    """Whoever has read a pilot's token, and not its key, passes no route: not unsigned, nor signed with another key."""
    pilot = next(part.pilot for part in everybody if part.name == "pilot")
    assert pilot is not None
    path = filled(route, stamp=pilot.stamp)
    thief = Part("thief", (), as_pilot(pilot.token))
    own, pilot.key = pilot.key, b"another key, which is 32 bytes.."
    try:
        forged = pilot.proof(route.method, cast.central.url + path, b"{}")
    finally:
        pilot.key = own
    for part in (thief, Part("forger", (), forged)):
        answer = cast.ask(part, route.method, path)
        if {Who.PILOT, Who.AGED_PILOT, Who.ANYBODY} & set(route.who):
            assert answer.json()["type"] == "bad-signature", part.name
        else:
            assert answer.status_code == 403, part.name


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_no_route_is_open_by_oversight(route: Route[Any]) -> None:
    """Every route names its callers; what changes something needs a scope that reading alone does not give."""
    assert route.who
    if route.method not in ("GET", "HEAD") and name_of(route) not in FOR_ALL:
        assert scope_of(route.method, route.path) is not Scope.READ
