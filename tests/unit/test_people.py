"""Who may work here now, and what each may: memberships, tokens, scopes, and who may give which role to whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.configuration.settings import ROLES, ApiToken, Community, Group
from central.people import MemberRow, TokenRow, Whose
from central.records import Identity
from central.routes import TABLE
from central.trust.people import ROUGHLY, People
from central.trust.rules import (
    PEOPLE,
    SCOPES,
    Scope,
    TokenCaller,
    Who,
    admit,
    may_give,
    may_speak_for,
    scope_of,
    sees,
)
from pilot import people as words
from pilot.errors import Refusal
from tests.unit.token_rows import digest, token_row

ANN = Identity("ann", "physics", "muons", "member")
CAM = Identity("cam", "physics", "tau", "community-admin")
PHYSICS = (Community("physics", groups=(Group("muons"), Group("tau"))),)
BEN = MemberRow(1, "ben", "physics", "muons", "group-admin", "cam", created=100.0)


def people(members: tuple[MemberRow, ...] = (BEN,), *tokens: TokenRow) -> People:
    known = People((ApiToken("ann", digest("ann"), ANN),))
    known.take(PHYSICS, (), members, tokens)
    return known


def refused(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.type


# -- scopes


def test_every_route_for_people_needs_one_scope() -> None:
    """Reading needs `read`, whatever is not named needs `manage`, and no exception is for a route that is not there."""
    routes = {(route.method, route.path): route for route in TABLE}
    assert set(SCOPES) <= set(routes)
    for (method, path), route in routes.items():
        if set(route.who) & set(PEOPLE):
            scope = scope_of(method, path)
            assert (scope is Scope.READ) == (method in ("GET", "HEAD") or SCOPES.get((method, path)) is Scope.READ)
            if (method, path) not in SCOPES and method not in ("GET", "HEAD"):
                assert scope is Scope.MANAGE


def test_the_words_for_scopes_are_those_of_the_wire() -> None:
    """What people say and what the rules know is the same, and what a token is usually for is some of it."""
    assert tuple(scope.value for scope in Scope) == words.SCOPES
    assert set(words.USUAL_SCOPES) < set(words.SCOPES)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_token_passes_what_it_is_for_alone(scope: Scope) -> None:
    """No scope contains another, and a role that passes the route is needed beside it."""
    caller = TokenCaller("ben", "physics", "muons", "group-admin", token=1, scopes=frozenset({scope}), expires=1000.0)
    for asked in Scope:
        if asked is scope:
            admit((Who.MEMBER,), caller, asked)
        else:
            assert refused(admit, (Who.MEMBER,), caller, asked) == "forbidden"
    assert refused(admit, (Who.OPERATOR,), caller, scope) == "forbidden"


def test_whom_the_file_declares_has_every_scope() -> None:
    """Tokens of central.toml are as they were."""
    for scope in Scope:
        admit((Who.MEMBER,), ANN, scope)


# -- roles


@pytest.mark.parametrize(
    ("role", "own", "beside", "elsewhere"),
    [
        ("member", (), (), ()),
        ("group-admin", ("member",), (), ()),
        ("community-admin", ROLES[:3], ROLES[:3], ()),
        ("operator", ROLES, ROLES, ROLES),
    ],
)
def test_roles_that_one_may_give(
    role: str, own: tuple[str, ...], beside: tuple[str, ...], elsewhere: tuple[str, ...]
) -> None:
    """Members in the own group, roles up to the own in the community, all of them everywhere."""
    person = Identity("x", "physics", "muons", role)
    for given in ROLES:
        assert may_give(person, "physics", "muons", given) == (given in own)
        assert may_give(person, "physics", "tau", given) == (given in beside)
        assert may_give(person, "biology", "muons", given) == (given in elsewhere)


def test_what_one_sees_of_people() -> None:
    """Oneself, the group, the community, everybody."""
    seen = [sees(Identity("x", "physics", "muons", role)) for role in ROLES]
    assert seen == [Whose("physics", user="x"), Whose("physics", "muons"), Whose("physics"), Whose()]
    assert seen[1].covers("physics", "muons", "ann")
    assert not seen[1].covers("physics", "tau", "ann")
    assert not seen[0].covers("physics", "muons", "ann")


def test_one_speaks_for_whom_one_is_above_in_all() -> None:
    """A single role elsewhere that is not one's to give is enough to be refused."""
    gus = Identity("gus", "physics", "muons", "group-admin")
    member = Identity("ben", "physics", "muons", "member")
    assert may_speak_for(gus, [member])
    assert not may_speak_for(gus, [member, replace(member, group="tau")])
    assert may_speak_for(CAM, [member, replace(member, group="tau", role="community-admin")])
    assert not may_speak_for(CAM, [member, replace(member, role="operator")])


# -- who is known


def test_a_good_token_is_its_owner() -> None:
    """By its digest, with its scopes, until it ends; nobody else is known."""
    known = people((BEN,), token_row(7))
    caller = known.known(digest("7"), 500.0)
    assert caller == TokenCaller(
        "ben", "physics", "muons", "group-admin", token=7, scopes=frozenset({Scope.READ}), expires=1000.0
    )
    assert known.known(digest("ann"), 500.0) == ANN
    assert refused(known.known, digest("8"), 500.0) == "unauthorized"
    assert refused(known.known, digest("7"), 1000.1) == "unauthorized"


@pytest.mark.parametrize(
    ("member", "token", "role"),
    [
        (BEN, token_row(), "group-admin"),
        (replace(BEN, role="member"), token_row(), "member"),
        (BEN, token_row(role="member"), "member"),
        (replace(BEN, group="tau"), token_row(), None),
        (replace(BEN, group="gone"), token_row(group="gone"), None),
        (replace(BEN, community="gone"), token_row(community="gone"), None),
        (replace(BEN, created=300.0), token_row(), None),  # somebody who was let go of and has come back
        (replace(BEN, role="emperor"), token_row(), None),
        (BEN, token_row(role="emperor"), None),
    ],
)
def test_a_token_rests_on_a_membership(member: MemberRow, token: TokenRow, role: str | None) -> None:
    """It does no more than that, and without it, or from before it, nothing."""
    known = people((member,), token)
    if role is None:
        assert refused(known.known, token.sha256, 500.0) == "unauthorized"
    else:
        assert known.known(token.sha256, 500.0).role == role


def test_a_token_may_rest_on_what_the_file_declares() -> None:
    """Whoever has a token in central.toml is a member by that, and takes the higher role of both."""
    known = people((), token_row(user="ann"))
    assert known.known(digest("1"), 500.0).role == "member"
    known = people((replace(BEN, user="ann"),), token_row(user="ann"))
    assert known.role("ann", "physics", "muons") == "group-admin"
    assert known.declared(Whose(user="ann")) == (ANN,)


def test_a_scope_that_nobody_knows_opens_nothing() -> None:
    """As of a token that a later version has made."""
    caller = people((BEN,), token_row(scopes=("read", "fly"))).known(digest("1"), 500.0)
    assert isinstance(caller, TokenCaller)
    assert caller.scopes == {Scope.READ}


def test_who_was_admitted_is_so_still_or_not() -> None:
    """A long answer ends when the token is revoked, has ended, or is for another role now."""
    known = people((BEN,), token_row())
    caller = known.known(digest("1"), 500.0)
    assert known.still(caller, 500.0)
    assert known.still(ANN, 500.0)
    assert not known.still(caller, 1001.0)
    known.take(PHYSICS, (), (replace(BEN, role="member"),), (token_row(),))
    assert not known.still(caller, 500.0)
    known.take(PHYSICS, (), (BEN,), ())
    assert not known.still(caller, 500.0)


def test_the_last_use_is_noted_now_and_then() -> None:
    """Once an hour for each token at most, however often it is used, and not before somebody takes the note."""
    known = people((BEN,), token_row(1, expires=1e9), token_row(2, expires=1e9, used=5000.0))
    for now in (5000.0, 5001.0, 5000.0 + ROUGHLY):
        known.known(digest("1"), now)
        known.known(digest("2"), now)
    assert known.take_used() == {1: 5000.0}
    known.known(digest("1"), 5001.0)
    assert known.take_used() == {}
    known.known(digest("2"), 5001.0 + ROUGHLY)
    assert known.take_used() == {2: 5001.0 + ROUGHLY}
