"""The section ``[certificates]`` of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from central.configuration.certificates import CertificateLogin, CertificateRule, Named, certificates_url
from central.configuration.settings_file import InvalidSettings, read

HEAD = """
[central]
port = 9618

[[communities]]
name = "physics"
groups = [{name = "muons"}]

[certificates]
"""
PLAIN = """
port = 9619
rules = [{value = "/physics/muons", community = "physics", group = "muons"}]
"""
ISSUER = 'issuer = "/DC=org/CN=CA"'


def certificates(text: str) -> CertificateLogin:
    found = read(HEAD + text).certificates
    assert found is not None
    return found


def test_no_section_is_no_login() -> None:
    """Without it there is no further port."""
    assert read("").certificates is None


def test_a_short_section() -> None:
    """A port and one rule are enough: authorities and VOMS servers are where machines of the grid have them, and lists
    of what is revoked are looked at."""
    found = certificates(PLAIN)
    assert found == CertificateLogin(9619, (CertificateRule("/physics/muons", "physics", "muons", "member"),))
    assert (found.capath, found.vomsdir) == ("/etc/grid-security/certificates", "/etc/grid-security/vomsdir")
    assert (found.crls, found.strict, found.life) == (True, False, 12 * 3600)


def test_people_and_rules_about_subjects() -> None:
    """A person and a rule about subjects name the authority too."""
    found = certificates(
        f"""port = 9619
        people = [{{subject = "/DC=org/CN=Ada", {ISSUER}, user = "ada"}}]
        rules = [
            {{subject = "/DC=org/*", {ISSUER}, community = "physics", group = "muons", role = "group-admin"}},
            {{value = "/physics/cern/Role=*", site = "cern"}},
        ]"""
    )
    assert found.people == (Named("/DC=org/CN=Ada", "/DC=org/CN=CA", "ada"),)
    assert found.rules == (
        CertificateRule("/DC=org/*", "physics", "muons", "group-admin", issuer="/DC=org/CN=CA"),
        CertificateRule("/physics/cern/Role=*", "", "", "site-admin", "cern"),
    )


def test_files_lie_in_the_folder() -> None:
    """Relative names are of files in the central's folder; a file with authorities takes the place of the folder."""
    found = certificates(PLAIN + 'cafile = "cas.pem"\nvomsdir = "vomsdir"\n').inside(Path("/srv/central"))
    assert (found.cafile, found.capath, found.vomsdir) == ("/srv/central/cas.pem", "", "/srv/central/vomsdir")
    found = certificates(PLAIN).inside(Path("/srv/central"))
    assert (found.cafile, found.capath) == ("", "/etc/grid-security/certificates")


@pytest.mark.parametrize(
    ("url", "told"),
    [("https://central.example.org:9618", "https://central.example.org:9619"), ("https://[::1]", "https://[::1]:9619")],
)
def test_where_clients_find_the_port(url: str, told: str) -> None:
    """It is at the host of the central."""
    assert certificates_url(url, certificates(PLAIN)) == told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PLAIN.replace("9619", "9618"), "certificates.port: expected another port than central.port"),
        (PLAIN.replace("port = 9619", ""), "certificates.port: expected a whole number"),
        (PLAIN.replace("/physics/muons", "/physics*"), "certificates.rules[0].value: expected an attribute"),
        (PLAIN.replace("/physics/muons", "/*"), "certificates.rules[0].value: expected an attribute"),
        (PLAIN.replace("/physics/muons", "*"), "certificates.rules[0].value: expected an attribute"),
        (PLAIN.replace("/physics/muons", "physics"), "certificates.rules[0].value: expected an attribute"),
        (PLAIN.replace('muons"', 'muons/Role=NULL"', 1), "rules[0].value: expected it without /Role=NULL"),
        (PLAIN.replace('muons"', 'muons/Role=a/Capability=NULL"', 1), "rules[0].value: expected it without /Role"),
        ('port = 1\nrules = [{subject = "/CN=a", community = "c", group = "g"}]', "rules[0].issuer: expected a name"),
        (PLAIN + 'people = [{subject = "Ada", issuer = "/CN=b", user = "ada"}]', "people[0].subject: expected a name"),
        (PLAIN + 'people = [{subject = "/CN=a", issuer = "/CN=b", user = "(x)"}]', "people[0].user: expected a name"),
        (
            PLAIN + 'people = [{subject = "/CN=a", issuer = "/CN=b", user = "a"},'
            ' {subject = "/CN=a", issuer = "/CN=b", user = "b"}]',
            "certificates.people[1].subject: expected something new",
        ),
        ("port = 9619", "certificates.rules: expected at least one"),
        (PLAIN + 'token_scopes = ["submit"]', 'certificates.token_scopes: expected "read" among them'),
        (PLAIN + 'life = "380 d"', "certificates.life: expected at most 366 d"),
        (PLAIN + 'crls = "no"', "certificates.crls: expected true or false"),
        (PLAIN + 'key = "k"', "certificates.key: unknown key"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, says: str) -> None:
    """Each mistake names its key, and what was expected."""
    with pytest.raises(InvalidSettings) as caught:
        read(HEAD + text)
    assert says in str(caught.value)
