"""What a site's admin may, and how somebody becomes one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.added import PlaceRow
from central.configuration.settings import EVERY_ROLE, ROLES, SITE_ADMIN, ApiToken, Community, Group, Site
from central.people import MemberRow, TokenRow, Whose, place_of
from central.records import Identity
from central.routes import TABLE
from central.routes.places import at_site
from central.trust.people import People
from central.trust.rules import (
    Who,
    admit,
    at_most,
    community_of,
    least,
    may_change_job,
    may_give,
    may_order,
    may_read_stream,
    may_see_place,
    may_speak_for,
    sees,
    site_of,
)
from pilot.errors import Refusal
from pilot.states import OrderVerb
from tests.unit.token_rows import digest, token_row

KIM = Identity("kim", "", "", SITE_ADMIN, "cern")
OLI = Identity("oli", "physics", "muons", "operator")
MEMBER = Identity("ann", "physics", "muons", "member")
PHYSICS = (Community("physics", groups=(Group("muons"),)),)
SITES = (Site("cern"), Site("fnal"))
OF_CERN = MemberRow(1, "kim", "", "", SITE_ADMIN, "oli", created=100.0, site="cern")


def row(number: int = 1, **changes: object) -> TokenRow:
    of_kim = {"user": "kim", "community": "", "group": "", "role": SITE_ADMIN, "scopes": ("read", "manage")}
    return token_row(number, **{**of_kim, "who": "oli", "site": "cern", **changes})


def known(members: tuple[MemberRow, ...], *tokens: TokenRow, declared: tuple[Identity, ...] = ()) -> People:
    people = People(ApiToken(one.user, digest(one.user), one) for one in declared)
    people.take(PHYSICS, SITES, members, tokens)
    return people


def refused(people: People, token: str) -> str:
    with pytest.raises(Refusal) as caught:
        people.known(digest(token), 500.0)
    return caught.value.type


# -- what they may


def test_they_pass_where_a_route_names_them() -> None:
    """No role of the ladder is theirs, and theirs is nobody's but an operator's."""
    admit((Who.MEMBER, Who.SITE_ADMIN), KIM)
    admit((Who.SITE_ADMIN,), OLI)
    for who in Who:
        if who not in (Who.ANYBODY, Who.SITE_ADMIN):
            with pytest.raises(Refusal, match="this is for"):
                admit((who,), KIM)
    for role in ROLES[:-1]:
        with pytest.raises(Refusal, match="this is for: site-admin"):
            admit((Who.SITE_ADMIN,), replace(MEMBER, role=role))


def test_every_route_for_them_is_an_operators_too() -> None:
    """And none of it is about jobs, files, credentials or what communities have."""
    theirs = [route for route in TABLE if Who.SITE_ADMIN in route.who]
    assert theirs
    for route in theirs:
        admit(route.who, OLI)
        assert not any(word in route.path for word in ("jobs", "sandboxes", "credentials", "bundles", "communities"))


def test_they_see_what_is_at_their_site() -> None:
    """Whatever community it serves; nothing that is filtered by community is there for them."""
    assert site_of(KIM) == "cern"
    assert site_of(MEMBER) is None
    assert site_of(replace(OLI, site="cern")) is None
    assert community_of(KIM) == ""
    assert may_see_place(KIM, "cern", ("biology",))
    assert not may_see_place(KIM, "fnal", ("", "cern"))
    assert not may_see_place(replace(MEMBER, site="cern"), "cern", ("biology",))
    assert sees(KIM) == Whose("", "", "kim", "cern")
    assert not sees(KIM).covers("", "", "kim", "fnal")
    assert not sees(KIM).covers("physics", "muons", "kim")
    assert not sees(replace(MEMBER, role="community-admin")).covers("", "", "kim", "cern")


@pytest.mark.parametrize(
    ("stream", "open"),
    [
        ("boot", True),
        ("pilot", True),
        ("ce", True),
        ("step-1-discover", True),
        ("job-1-1-stdout", False),
        ("job-1-1-peek3", False),
        ("whatever-comes", False),
    ],
)
def test_the_logs_they_read_are_the_pilots_own(stream: str, open: bool) -> None:
    """A stream that nobody thought of is not among them."""
    assert may_read_stream(KIM, stream) == open
    assert may_read_stream(OLI, stream)
    assert may_read_stream(MEMBER, stream) != stream.startswith("job-")


def test_they_end_pilots_and_touch_no_job() -> None:
    """Drain and halt; nothing is set, and no job is changed, whatever it says of its owner."""
    assert {verb for verb in OrderVerb if may_order(KIM, verb)} == {OrderVerb.DRAIN, OrderVerb.HALT}
    assert all(may_order(OLI, verb) for verb in OrderVerb)
    assert not may_change_job(KIM, "physics", "muons", "kim")
    assert not may_change_job(KIM, "", "", "kim")


# -- who makes them


def test_operators_alone_say_who_is_one() -> None:
    """No admin of people does, nor one of the site itself."""
    assert may_give(OLI, "", "", SITE_ADMIN)
    for person in (KIM, *(replace(MEMBER, role=role) for role in ROLES[:-1])):
        assert not may_give(person, "", "", SITE_ADMIN)
        assert not may_give(person, person.community, person.group, SITE_ADMIN)
        assert not may_speak_for(person, [KIM])
    for role in ROLES:
        assert not may_give(KIM, "", "", role)
    assert may_speak_for(OLI, [KIM])


def test_the_role_stands_beside_the_ladder() -> None:
    """It is below an operator's, and neither above nor below any other."""
    for role in EVERY_ROLE:
        assert at_most(role, SITE_ADMIN) == (role == SITE_ADMIN)
        assert at_most(SITE_ADMIN, role) == (role in (SITE_ADMIN, "operator"))
    assert least(SITE_ADMIN, "operator") == SITE_ADMIN
    assert least("member", SITE_ADMIN) == SITE_ADMIN


def test_a_token_of_one_is_for_the_site() -> None:
    """It says site and role, and no community."""
    caller = known((OF_CERN,), row()).known(digest("1"), 500.0)
    assert (caller.user, caller.community, caller.group) == ("kim", "", "")
    assert (caller.role, caller.site) == (SITE_ADMIN, "cern")
    people = known((), declared=(KIM,))
    assert people.known(digest("kim"), 500.0) == KIM
    assert people.declared(Whose(site="cern")) == (KIM,)


@pytest.mark.parametrize(
    ("member", "token"),
    [
        (replace(OF_CERN, site="fnal"), row()),  # of one site for another
        (replace(OF_CERN, site="gone"), row(site="gone")),
        (replace(OF_CERN, created=300.0), row()),
        (replace(OF_CERN, role="operator"), row(role="operator")),
        (OF_CERN, row(role="operator")),
        (MemberRow(2, "kim", "physics", "muons", SITE_ADMIN, "oli", created=100.0), row()),
        (MemberRow(2, "kim", "physics", "muons", "member", "oli", created=100.0), row()),
        (OF_CERN, row(site="", community="physics", group="muons")),
        (MemberRow(2, "kim", "physics", "muons", "operator", "oli", created=100.0), row(site="")),
    ],
)
def test_nothing_else_makes_one(member: MemberRow, token: TokenRow) -> None:
    """A membership of a group is none at a site, and the other way round; a role that does not belong there is none."""
    assert refused(known((member,), token), "1") == "unauthorized"


def test_one_may_be_a_member_too() -> None:
    """Each by a token of its own, and a group has no more members for it."""
    member = MemberRow(2, "kim", "physics", "muons", "member", "cam", created=100.0)
    people = known((OF_CERN, member), row(1), row(2, site="", community="physics", group="muons", role="member"))
    assert people.known(digest("2"), 500.0).role == "member"
    assert people.known(digest("1"), 500.0).site == "cern"
    assert people.role("kim", "", "", "cern") == SITE_ADMIN
    assert people.role("kim", "", "", "fnal") is None
    assert (people.size("physics", "muons"), people.size("", "")) == (1, 0)


def test_the_audit_says_the_site() -> None:
    """Where a group would be said."""
    assert place_of(KIM) == "site cern"
    assert place_of(MEMBER) == "group muons"


# -- versions of a queue


def version(number: int, text: str) -> PlaceRow:
    return PlaceRow("queue", "q", number, text, "oli", float(number))


def test_versions_from_before_a_queue_came_to_the_site_are_not_theirs() -> None:
    """Those since then are, however they are written."""
    rows = (
        version(5, 'name = "q"\nsite = "cern"\n'),
        version(4, '[[queues]]\nname = "q"\nsite = "cern"\n'),
        version(3, ""),
        version(2, 'site = "fnal"\nname = "q"\n'),
        version(1, 'site = "cern"\nname = "q"\n'),
    )
    assert [row.version for row in at_site(rows, "cern")] == [5, 4]
    assert at_site(rows, "fnal") == ()
    assert at_site(rows, "") == ()
