"""Who somebody with a certificate is, where rules let them in, and what a login ends."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from central.configuration.certificates import CertificateLogin, CertificateRule, Named
from central.configuration.settings import Community, Group, Site
from central.login import certificates, names
from central.login.certificate_logins import AT_ONCE, CertificateLogins, Known
from central.login.certificates import Attested, attested, life, outdated, read, shown
from central.login.voms import Trust
from central.people import CERTIFICATE_GIVER, GIVER, MemberRow
from central.records import Identity
from pilot.errors import Refusal
from tests import grid
from tests.grid import HOUR, Attributes, Authority, Owned, attribute_certificate, in_proxy, name, person, proxy

CA = grid.authority()
SERVER = CA.issue(grid.name(("CN", "voms.example.org")))
ADA = CA.issue(person("Ada Lovelace"))
TRUST = Trust(
    lambda vo, host: [["/CN=voms.example.org", "/DC=org/DC=example/CN=Grid CA"]],
    lambda certificates: [certificates[0], CA.certificate],
    ("central.example.org",),
)
COMMUNITIES = (Community("physics", groups=(Group("muons"), Group("tau"))),)
SITES = (Site("cern"),)
MUONS = CertificateRule("/physics/muons", "physics", "muons")
LOGIN = CertificateLogin(
    9619,
    (
        CertificateRule("/physics/muons/Role=admin", "physics", "muons", "group-admin"),
        MUONS,
        CertificateRule("/physics/tau/Role=production", "physics", "tau"),
    ),
)
BY_SUBJECT = CertificateRule("/DC=org/DC=example/OU=people/*", "physics", "tau", issuer="/DC=org/DC=example/CN=Grid CA")


def voms(*fqans: str, **changes: Any) -> bytes:
    """The extension of a proxy of ada's."""
    return in_proxy(attribute_certificate(ADA.certificate, SERVER, Attributes(fqans=fqans, **changes)))


def place(group: str, role: str = "member", user: str = "ada") -> Identity:
    return Identity(user, "physics", group, role)


def said(who: Owned, login: CertificateLogin = LOGIN, authority: Authority = CA) -> certificates.Said:
    found = shown(who.chain(authority))
    return read(login, found, attested(found, TRUST, time.time()), COMMUNITIES, SITES)


def refused(who: Owned) -> str:
    with pytest.raises(Refusal) as caught:
        shown(who.chain(CA))
    assert caught.value.type == "forbidden"
    return caught.value.detail


# -- whose a chain is --------------------------------------------------------------------------------------------------
def test_the_owner_of_a_proxy_of_a_proxy() -> None:
    """The first certificate that is no proxy is its owner's; the chain ends with what of it ends first."""
    top = proxy(proxy(ADA, ends=HOUR), ends=2 * HOUR)
    found = shown(top.chain(CA))
    assert found.subject == "/DC=org/DC=example/OU=people/CN=Ada Lovelace"
    assert found.issuer == "/DC=org/DC=example/CN=Grid CA"
    assert found.ends == pytest.approx(time.time() + HOUR, abs=60)


@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize("policy", [grid.LIMITED, grid.INDEPENDENT, "1.2.3.4"])
def test_proxies_that_are_for_less(policy: str, above: int) -> None:
    """Whatever is not its owner in all things may not log in, nor may what stands on it."""
    found = proxy(ADA, policy=policy)
    for _ in range(above):
        found = proxy(found)
    assert "may not log in" in refused(found)


def test_nothing_is_shown() -> None:
    """A connection without a certificate is nobody's."""
    with pytest.raises(Refusal) as caught:
        shown(())
    assert caught.value.type == "unauthorized"


@pytest.mark.parametrize("information", [b"", b"\x30\x00", b"\x30\x80\0\0", b"\x05\x00"])
def test_a_proxy_that_does_not_say_what_it_is_for(information: bytes) -> None:
    """What cannot be read is no proxy that may log in."""
    key = ADA.key
    builder = grid._builder(person("x"), ADA.certificate.subject, key, HOUR)
    builder = builder.add_extension(x509.UnrecognizedExtension(grid.PROXY, information), critical=True)
    made = Owned(builder.sign(key, grid.hashes.SHA256()), key, (ADA.certificate,))
    assert "cannot be read" in refused(made)


@pytest.mark.parametrize(
    "subject",
    [
        name(("OU", "people/CN=Ada Lovelace")),
        name(("CN", "Ada\nLovelace")),
        name(("CN", "Ada\u202eLovelace")),
        name(("CN", "Ada/")),
        x509.Name([]),
        x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [
                        x509.NameAttribute(NameOID.COMMON_NAME, "Ada"),
                        x509.NameAttribute(NameOID.USER_ID, "ada"),
                    ]
                )
            ]
        ),
    ],
)
def test_names_that_could_be_misread(subject: x509.Name) -> None:
    """A name that would look like another one in a line is nobody's."""
    assert "nobody can log in with this certificate" in refused(CA.issue(subject))


def test_names_in_a_line() -> None:
    """A slash in a value is written as it is where it begins no other part."""
    assert names.written(name(("O", "Grid"), ("CN", "host/a.example.org"))) == "/O=Grid/CN=host/a.example.org"


def line_of(parts: Sequence[tuple[str, str]]) -> str | None:
    try:
        return names.written(name(*parts))
    except ValueError:
        return None


PARTS = st.lists(
    st.tuples(st.sampled_from(["DC", "O", "OU", "CN"]), st.text("ab/=\\, CNOUDé", min_size=1, max_size=8)),
    min_size=1,
    max_size=3,
)


@given(PARTS, PARTS)
def test_no_two_names_look_the_same(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    """Whatever stands in them, names that are written the same are the same; else they are not written at all."""
    assert line_of(one) is None or one == other or line_of(one) != line_of(other)


@given(st.sampled_from(["/CN=a/O=b/CN=c", "/CN=a//CN=b", "/CN=/O=b", "/O=a/b/CN=c"]), PARTS)
def test_a_line_that_somebody_else_has(line: str, parts: list[tuple[str, str]]) -> None:
    """There is at most one way to read a line as a name."""
    if line_of(parts) == line:
        assert parts == [tuple(each.split("=", 1)) for each in re.split(r"/(?=[A-Z]+=)", line)[1:]]


# -- who that is -------------------------------------------------------------------------------------------------------
def test_users_by_their_name_and_a_digest() -> None:
    """Who is not named in the settings is called by the common name and a digest, always the same."""
    first, again = said(ADA), said(proxy(CA.issue(person("Ada Lovelace"))))
    assert first.user == again.user
    assert first.user.startswith("ada-lovelace-")
    assert len(first.user) == len("ada-lovelace-") + 20


@pytest.mark.parametrize(
    ("common", "called"), [("José Ñandú", "jose-nandu"), ("李", "user"), ("x" * 64, "x" * 40), ("-- .. --", "user")]
)
def test_users_that_are_called_otherwise(common: str, called: str) -> None:
    """Whatever somebody is called, the user's name is one that can be typed."""
    assert names.user_of(person(common), CA.certificate.subject).rpartition("-")[0] == called


def test_the_same_subject_of_another_authority() -> None:
    """Two authorities that give one subject to two people do not make one user of them."""
    other = grid.authority("Other CA")
    same = other.issue(person("Ada Lovelace"))
    assert said(ADA).user != said(same, authority=other).user
    login = replace(LOGIN, people=(Named(shown(ADA.chain(CA)).subject, "/DC=org/DC=example/CN=Grid CA", "ada"),))
    assert said(ADA, login).user == "ada"
    assert said(same, login, other).user != "ada"


# -- where that lets in ------------------------------------------------------------------------------------------------
def test_attributes_let_people_in_as_rules_say() -> None:
    """Rules are about attributes as OpenID Connect's are about groups: in order, the highest role in each group."""
    found = said(proxy(ADA, extension=voms("/physics", "/physics/muons", "/physics/muons/Role=admin")))
    assert found.places == (place("muons", "group-admin", found.user),)
    found = said(proxy(proxy(ADA, extension=voms("/physics", "/physics/muons"))))
    assert found.places == (place("muons", user=found.user),)


def test_what_was_put_on_top_counts() -> None:
    """Attributes of a proxy take the place of those of what it stands on."""
    below = proxy(ADA, extension=voms("/physics/muons/Role=admin"))
    found = said(proxy(below, extension=voms("/physics/muons")))
    assert found.places == (place("muons", user=found.user),)


def test_attributes_in_the_certificate_itself() -> None:
    """Only proxies carry attributes: in the owner's certificate they count for nothing."""
    odd = CA.issue(person("Odd"), extension=voms("/physics/muons"))
    assert said(odd).places == ()
    assert "no VOMS attributes that count" in said(proxy(odd)).why


def test_two_attribute_certificates() -> None:
    """Each counts by itself: of a good and a bad one the good one lets in; a refusal says what is wrong."""
    good = attribute_certificate(ADA.certificate, SERVER, Attributes(fqans=("/physics/muons",)))
    bad = attribute_certificate(ADA.certificate, SERVER, Attributes(fqans=("/physics/tau/Role=production",), ends=-1))
    for both in ((good, bad), (bad, good)):
        found = said(proxy(ADA, extension=in_proxy(*both)))
        assert [one.group for one in found.places] == ["muons"]
    found = said(proxy(ADA, extension=in_proxy(bad)))
    assert found.places == ()
    assert "(an attribute certificate in the proxy has ended)" in found.why


def test_rubbish_instead_of_attributes() -> None:
    """Who has rubbish there has no attributes, and rules about subjects count as before."""
    login = replace(LOGIN, rules=(*LOGIN.rules, BY_SUBJECT))
    for rubbish in (b"", b"\xff" * 100, in_proxy(b"\x30\x00"), in_proxy()):
        found = said(proxy(ADA, extension=rubbish), login)
        assert [one.group for one in found.places] == ["tau"]


def test_subjects_of_one_authority() -> None:
    """A rule about subjects is about those of its authority."""
    login = replace(LOGIN, rules=(BY_SUBJECT,))
    assert [one.group for one in said(proxy(ADA), login).places] == ["tau"]
    other = grid.authority("Other CA")
    assert said(other.issue(person("Ada Lovelace")), login, other).places == ()


def test_a_site() -> None:
    """A rule may make somebody the admin of a site."""
    login = replace(LOGIN, rules=(CertificateRule("/physics/cern", "", "", "site-admin", "cern"),))
    (found,) = said(proxy(ADA, extension=voms("/physics/cern")), login).places
    assert (found.site, found.role) == ("cern", "site-admin")


# -- how many at once --------------------------------------------------------------------------------------------------
def test_few_are_looked_at_at_the_same_time() -> None:
    """Each look reads files that may be long: the others wait, and who hangs up before their turn gets none."""
    begun: list[float] = []
    go_on, full = threading.Event(), threading.Event()

    def names_of(vo: str, host: str) -> Sequence[Sequence[str]]:
        begun.append(time.time())
        if len(begun) >= AT_ONCE:
            full.set()
        go_on.wait()
        return TRUST.names(vo, host)

    async def crowd() -> list[Any]:
        trust = replace(TRUST, names=names_of)
        logins = CertificateLogins(replace(LOGIN, crls=False), "", lambda: trust)
        chain = proxy(ADA, extension=voms("/physics/muons")).chain(CA)
        looks = [asyncio.create_task(logins.known(chain, COMMUNITIES, SITES, time.time())) for _ in range(10)]
        try:
            assert await asyncio.to_thread(full.wait, 60)
            assert len(begun) == AT_ONCE
            for look in looks[AT_ONCE + 1 :]:
                look.cancel()
            await asyncio.wait(looks[AT_ONCE + 1 :])
        finally:
            go_on.set()
        return await asyncio.gather(*looks, return_exceptions=True)

    found = asyncio.run(crowd())
    assert [isinstance(one, Known) for one in found] == [True] * (AT_ONCE + 1) + [False] * (9 - AT_ONCE)
    assert len(begun) == AT_ONCE + 1


# -- until when --------------------------------------------------------------------------------------------------------
def test_no_longer_than_what_it_was_given_for() -> None:
    """A token ends with the proxy, with its attributes, or after the life that the settings say."""
    now = time.time()

    def seconds(who: Owned) -> float:
        found = shown(who.chain(CA))
        return life(LOGIN, found, attested(found, TRUST, now), now)

    assert seconds(CA.issue(person("Long"), ends=100 * HOUR)) == 12 * HOUR
    assert seconds(proxy(ADA, ends=HOUR)) == pytest.approx(HOUR, abs=60)
    assert seconds(proxy(ADA, ends=HOUR, extension=voms("/physics", ends=600))) == pytest.approx(600, abs=60)
    assert seconds(proxy(ADA, ends=HOUR, extension=voms("/physics", ends=-1))) == pytest.approx(HOUR, abs=60)
    with pytest.raises(Refusal, match="has ended"):
        seconds(proxy(ADA, ends=-HOUR))


# -- what a login ends -------------------------------------------------------------------------------------------------
def member(group: str, who: str = CERTIFICATE_GIVER, revoked: float | None = None) -> MemberRow:
    return MemberRow(1, "ada", "physics", group, "member", who, 1.0, revoked)


def ended(rows: Sequence[MemberRow], voms: Attested, *found: Identity, login: CertificateLogin = LOGIN) -> list[str]:
    return [row.group for row in outdated(login, rows, voms, certificates.Said("ada", found, ""))]


def test_a_group_that_the_vo_does_not_name_any_more() -> None:
    """What a login gave ends with the next one whose attributes, all of that VO, do not have the group."""
    assert ended([member("muons")], Attested(("/physics",), ("physics",))) == ["muons"]
    assert ended([member("muons")], Attested(("/physics/muons",), ("physics",)), place("muons")) == []


def test_what_a_login_does_not_speak_of() -> None:
    """A login without attributes, or with those of another VO, ends nothing; nor does one without a role, which has to
    be asked for each time."""
    assert ended([member("muons")], Attested()) == []
    assert ended([member("muons")], Attested(("/chemistry",), ("chemistry",))) == []
    assert ended([member("tau")], Attested(("/physics", "/physics/tau"), ("physics",))) == []
    assert ended([member("tau")], Attested(("/physics/tau/Role=x",), ("physics",))) == []
    assert ended([member("tau")], Attested(("/physics", "/physics/tau2"), ("physics",))) == ["tau"]


def test_what_others_gave() -> None:
    """Memberships that an admin gave, or a login with an account, are not this login's to end; nor what has ended."""
    rows = [member("muons", "oli"), member("muons", GIVER), member("muons", revoked=2.0)]
    assert ended(rows, Attested(("/physics",), ("physics",))) == []


def test_what_no_rule_speaks_of_any_more() -> None:
    """A membership that no rule gives ends with whatever login."""
    assert ended([member("gluons")], Attested()) == ["gluons"]
    login = replace(LOGIN, rules=(MUONS, BY_SUBJECT))
    assert ended([member("tau")], Attested(), login=login) == ["tau"]


def test_what_another_certificate_of_the_user_gave() -> None:
    """Who has two certificates, of two authorities, logs in with either, and keeps what the other one gave."""
    people = (
        Named("/DC=org/DC=example/OU=people/CN=Ada", "/DC=org/DC=example/CN=Grid CA", "ada"),
        Named("/C=XX/CN=Ada", "/C=XX/CN=Other CA", "ada"),
    )
    login = replace(LOGIN, rules=(MUONS, BY_SUBJECT), people=people)
    assert ended([member("tau")], Attested(), login=login) == []
    assert ended([member("tau")], Attested(), login=replace(login, people=people[1:])) == ["tau"]
    of_ben = replace(people[0], user="ben")
    assert ended([member("tau")], Attested(), login=replace(login, people=(of_ben,))) == ["tau"]
    elsewhere = replace(people[0], issuer="/C=XX/CN=Other CA")
    assert ended([member("tau")], Attested(), login=replace(login, people=(elsewhere,))) == ["tau"]
