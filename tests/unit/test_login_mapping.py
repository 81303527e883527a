"""What an identity provider's claims mean here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.configuration.login import Login, LoginRule
from central.configuration.settings import Community, Group, Site
from central.login.mapping import (
    MOST_VALUES,
    Said,
    choose,
    fits,
    needs_membership,
    outdated,
    read,
    user_of,
    values_of,
)
from central.people import GIVER, MemberRow
from central.records import Identity
from pilot.errors import Refusal

COMMUNITIES = (
    Community("physics", groups=(Group("muons"), Group("tau"))),
    Community("biology", groups=(Group("cells"),)),
)
RULES = (
    LoginRule("/physics/muons", "physics", "muons"),
    LoginRule("/physics/*/admins", "physics", "muons", "group-admin"),
    LoginRule("urn:*:cells#idp", "biology", "cells"),
    LoginRule("/later", "physics", "later"),
)
LOGIN = Login("https://idp", "pilotage", RULES, user="preferred_username")
MUONS = Identity("ada", "physics", "muons", "member")
CELLS = Identity("ada", "biology", "cells", "member")


def said(*groups: str, **claims: Any) -> Said:
    return read(LOGIN, {"preferred_username": "ada", "groups": list(groups), **claims}, COMMUNITIES)


def refused(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    assert caught.value.type == "forbidden"
    return caught.value.detail


def test_groups_are_mapped_in_the_order_of_the_rules() -> None:
    """Each value that a rule is about lets its owner into the rule's group; what no rule is about means nothing."""
    assert said("urn:x:cells#idp", "/wheel", "/physics/muons").places == (MUONS, CELLS)
    assert said("/wheel").places == ()


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_roles_in_one_group_the_highest_counts(order: int) -> None:
    """Whatever the order of rules and values, a group is there once."""
    login = replace(LOGIN, rules=RULES[::order])
    claims = {"preferred_username": "ada", "groups": ["/physics/tau/admins", "/physics/muons"][::order]}
    assert read(login, claims, COMMUNITIES).places == (replace(MUONS, role="group-admin"),)


def test_a_group_that_is_not_there_lets_nobody_in() -> None:
    """A rule may name a group that is added later: until then it means nothing."""
    assert said("/later").places == ()
    more = (replace(COMMUNITIES[0], groups=(*COMMUNITIES[0].groups, Group("later"))),)
    assert read(LOGIN, {"preferred_username": "ada", "groups": "/later"}, more).places


@pytest.mark.parametrize(
    ("pattern", "value", "fit"),
    [
        ("/a", "/a", True),
        ("/a", "/A", False),
        ("/a", "/a/b", False),
        ("/a*", "/a/b", True),
        ("*b", "/a/b", True),
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "a1c2b", False),
        ("ab*bc", "abc", False),
        ("a.b", "axb", False),
        ("[a-z]*", "abc", False),
        ("a**c", "abc", True),
        ("a*", "a\nb", True),
    ],
)
def test_a_star_stands_for_any_characters_and_nothing_else_does(pattern: str, value: str, fit: bool) -> None:
    """Patterns know one sign; everything else stands for itself, in the same case."""
    assert fits(LoginRule(pattern, "c", "g"), value) is fit


@given(st.lists(st.text("ab*", max_size=4), min_size=1, max_size=4), st.text("ab", max_size=8))
def test_a_pattern_fits_what_it_is_filled_with(parts: list[str], filling: str) -> None:
    """Whatever is put in the place of its stars, a pattern fits the result."""
    pattern = "*".join(parts)
    assert fits(LoginRule(pattern, "c", "g"), pattern.replace("*", filling))


@pytest.mark.parametrize("user", [None, 7, ["ada"], {"name": "ada"}])
def test_a_token_that_names_no_user(user: object) -> None:
    """A user is a text, or nobody."""
    assert "does not name the user" in refused(user_of, LOGIN, {"preferred_username": user})
    assert "does not name the user" in refused(user_of, LOGIN, {"sub": "ada"})


@pytest.mark.parametrize(
    "user", ["", "ada@example.org", "../ada", "(login)", "ada lovelace", "a" * 101, "adа", "ada\n"]
)
def test_a_user_has_a_name_as_users_have_here(user: str) -> None:
    """Names that could be mistaken for others', or mean something elsewhere, are refused and not mended."""
    assert "cannot be a user here" in refused(user_of, LOGIN, {"preferred_username": user})


@pytest.mark.parametrize(
    ("claims", "values"),
    [
        ({"groups": ["a", "b"]}, ("a", "b")),
        ({"groups": "a b"}, ("a b",)),
        ({"groups": None}, ()),
        ({}, ()),
    ],
)
def test_a_claim_is_a_text_or_a_list_of_texts(claims: Mapping[str, Any], values: tuple[str, ...]) -> None:
    """A single text is one value, with its spaces; none is none."""
    assert values_of(LOGIN, claims) == values


@pytest.mark.parametrize("value", [7, {"a": "b"}, ["a", 7], [["a"]], True])
def test_a_claim_of_another_shape(value: object) -> None:
    """What is no text is not taken for one."""
    assert "neither a text nor a list of texts" in refused(values_of, LOGIN, {"groups": value})


def test_a_claim_with_too_many_values() -> None:
    """What is read of a claim has a bound."""
    assert "are read" in refused(values_of, LOGIN, {"groups": ["a"] * (MOST_VALUES + 1)})


def test_a_claim_inside_objects() -> None:
    """A name with dots is that of a claim, or leads into objects."""
    login = replace(LOGIN, claim="realm.roles")
    assert values_of(login, {"realm": {"roles": ["a"]}}) == ("a",)
    assert values_of(login, {"realm": {"roles": ["a"]}, "realm.roles": ["b"]}) == ("b",)
    assert values_of(login, {"realm": ["roles"]}) == ()


def test_who_may_work_in_several_groups_chooses() -> None:
    """The first, unless something is said; what is said and does not fit is refused, with what would."""
    both = said("/physics/muons", "urn:x:cells#idp")
    assert choose(both, "", "") == MUONS
    assert choose(both, "biology", "") == CELLS
    assert choose(both, "", "cells") == CELLS
    assert choose(both, "physics", "muons") == MUONS
    assert "you may log in to: muons of physics, cells of biology" in refused(choose, both, "physics", "cells")


def test_a_site_is_a_place_beside_the_groups() -> None:
    """Whoever a rule makes its admin chooses it by its name; a site that is not there is none."""
    rules = (*RULES, LoginRule("/sites/desy", "", "", "site-admin", "desy"))
    claims = {"preferred_username": "ada", "groups": ["/sites/desy", "/physics/muons"]}
    found = read(replace(LOGIN, rules=rules), claims, COMMUNITIES, (Site("desy"),))
    admin = Identity("ada", "", "", "site-admin", "desy")
    assert found.places == (MUONS, admin)
    assert choose(found, "", "") == MUONS
    assert choose(found, "", "", "desy") == admin
    assert "into the site here; you may log in to: muons of physics, the site desy" in refused(
        choose, found, "", "", "here"
    )
    assert read(replace(LOGIN, rules=rules), claims, COMMUNITIES, (Site("here"),)).places == (MUONS,)


def test_sites_come_and_go_each_by_itself() -> None:
    """What an operator took back at one is given at another; what the provider says no more ends."""
    admin = Identity("ada", "", "", "site-admin", "desy")
    row = member(community="", group="", role="site-admin", site="desy")
    assert outdated([row, member()], [MUONS]) == (row,)
    assert outdated([row, member()], [MUONS, admin]) == ()
    gone = replace(row, revoked=2.0, revoked_by="oli", reason="has left")
    assert "oli took back the membership of ada in desy (has left)" in refused(needs_membership, [gone], admin)
    assert needs_membership([gone], replace(admin, site="fnal"))
    assert needs_membership([gone], MUONS)
    assert not needs_membership([row], admin)


def test_who_is_let_in_nowhere_reads_why() -> None:
    """The sentence has what the provider said."""
    assert "says groups = '/wheel' of ada, which lets nobody in here" in refused(choose, said("/wheel"), "", "")
    assert "says no groups of ada" in refused(choose, said(), "", "")


def member(who: str = GIVER, **changes: Any) -> MemberRow:
    return replace(MemberRow(1, "ada", "physics", "muons", "member", who, 1.0), **changes)


def test_what_a_login_gave_and_the_provider_does_not_bear_any_more_ends() -> None:
    """Of the memberships of a user, those that a login gave in groups that the claims do not name any more."""
    old = member(group="tau")
    rows = (member(), old, member("cam", group="tau"), replace(old, revoked=2.0, revoked_by="cam"))
    assert outdated(rows, (MUONS,)) == (old,)
    assert outdated(rows, ()) == (member(), old)


def test_a_membership_is_given_once_and_its_role_follows_the_provider() -> None:
    """What a login gave becomes what the provider says; what an admin gave stays as the admin said."""
    admin = replace(MUONS, role="group-admin")
    assert needs_membership((), MUONS)
    assert not needs_membership((member(),), MUONS)
    assert needs_membership((member(),), admin)
    assert not needs_membership((member("cam"),), admin)
    assert needs_membership((member(group="tau"),), MUONS)


def test_what_an_admin_took_back_no_login_gives_again() -> None:
    """Whoever an admin let go of stays out; what the provider has ended comes back with its word."""
    gone = member(revoked=2.0, revoked_by="cam", reason="left")
    assert "cam took back the membership of ada in muons (left)" in refused(needs_membership, (gone,), MUONS)
    assert needs_membership((replace(gone, revoked_by=GIVER),), MUONS)


def test_whom_an_admin_let_go_of_does_not_come_in_by_another_group() -> None:
    """Who has nothing left in a community is out of all its groups, whatever the provider says; others' are others'."""
    gone = member(revoked=2.0, revoked_by="cam")
    tau = replace(MUONS, group="tau")
    assert "cam took back the membership of ada in muons" in refused(needs_membership, (gone,), tau)
    ended = member(group="tau", revoked=2.0, revoked_by=GIVER)
    assert "cam took back" in refused(needs_membership, (gone, ended), tau)
    assert needs_membership((gone, member("cam", group="electrons")), tau)
    assert needs_membership((gone,), CELLS)
