"""The section ``[login]`` of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from central.configuration.login import Login, LoginRule
from central.configuration.settings_file import InvalidSettings, read

HEAD = """
[[communities]]
name = "physics"
groups = [{name = "muons"}]

[login]
"""
PLAIN = """
issuer = "https://idp.example.org/realm"
client_id = "pilotage"
rules = [{value = "/muons", community = "physics", group = "muons"}]
"""
AT_SITE = PLAIN.replace('community = "physics", group = "muons"', 'site = "desy"')


def login(text: str) -> Login:
    found = read(HEAD + text).login
    assert found is not None
    return found


def test_no_section_is_no_login() -> None:
    """Without it nobody logs in."""
    assert read("").login is None


def test_a_short_section() -> None:
    """Issuer, client and one rule are enough: the token is good for 12 h."""
    found = login(PLAIN)
    assert found == Login(
        "https://idp.example.org/realm", "pilotage", (LoginRule("/muons", "physics", "muons", "member"),)
    )
    assert (found.life, found.user, found.scopes) == (12 * 3600, "sub", ("openid", "profile"))


def test_a_rule_may_name_a_site() -> None:
    """Whoever it fits is an admin there, of no community, whether the site is there yet or not."""
    assert login(AT_SITE).rules == (LoginRule("/muons", "", "", "site-admin", "desy"),)
    assert login(AT_SITE.replace('"desy"', '"desy", role = "site-admin"')).rules == login(AT_SITE).rules


def test_files_lie_in_the_folder() -> None:
    """Relative names are of files in the central's folder."""
    found = login(PLAIN + 'secret_file = "private/secret"\nca = "/etc/ca.pem"\n').inside(Path("/srv/central"))
    assert (found.secret_file, found.ca) == ("/srv/central/private/secret", "/etc/ca.pem")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PLAIN.replace("https", "http"), "login.issuer: expected the provider's address, https://HOST/…"),
        (PLAIN.replace("https", "http") + "loopback_http = true", "login.issuer"),
        (PLAIN.replace("/realm", "/realm?x=1"), "login.issuer"),
        (PLAIN.replace("idp.", "me:secret@idp."), "login.issuer"),
        (PLAIN.replace('client_id = "pilotage"', ""), "login.client_id: expected what the provider calls this client"),
        (PLAIN.replace('"/muons"', '"*"'), "login.rules[0].value: expected a value"),
        (PLAIN.replace('group = "muons"', 'group = "muons", role = "king"'), "login.rules[0].role: expected one of"),
        (PLAIN.replace('group = "muons"', 'group = "muons", role = "site-admin"'), "login.rules[0].role: expected one"),
        (PLAIN.replace('group = "muons"', 'group = "muons", site = "desy"'), "login.rules[0].community: unknown key"),
        (AT_SITE.replace('"desy"', '"desy", role = "operator"'), "login.rules[0].role: expected one of site-admin"),
        (AT_SITE.replace('"desy"', '""'), "login.rules[0].site: expected a name"),
        ('issuer = "https://a"\nclient_id = "c"\n', "login.rules: expected at least one"),
        (PLAIN + 'scopes = ["profile"]', 'login.scopes: expected "openid" among them'),
        (PLAIN + 'scopes = ["openid", "a b"]', "login.scopes[1]: expected one scope"),
        (PLAIN + 'token_scopes = ["submit"]', 'login.token_scopes: expected "read" among them'),
        (PLAIN + 'token_scopes = ["everything"]', "login.token_scopes[0]: expected one of"),
        (PLAIN + 'life = "380 d"', "login.life: expected at most 366 d"),
        (PLAIN + 'secret = "s"', "login.secret: unknown key"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, says: str) -> None:
    """Each mistake names its key, and what was expected."""
    with pytest.raises(InvalidSettings) as caught:
        read(HEAD + text)
    assert says in str(caught.value)


def test_a_provider_without_tls_is_for_tests_on_this_machine() -> None:
    """Plain HTTP is let pass on the loopback interface alone, and only where the settings say so."""
    here = PLAIN.replace("https://idp.example.org", "http://127.0.0.1:8000")
    assert login(here + "loopback_http = true").loopback_http
    with pytest.raises(InvalidSettings):
        login(here)
