"""Reading the section ``[login]`` of the settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from central.configuration.login import Login, LoginRule
from central.configuration.settings import ROLES, SITE_ADMIN
from central.configuration.settings_fields import each, flag, name
from pilot.errors import InvalidInput
from pilot.fields import Fields, strings
from pilot.people import LEAST_LIFE, MOST_LIFE, SCOPES

#: Where a provider without TLS may be, where that is allowed at all.
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
_CLAIM = re.compile(r"[\x21-\x7e]{1,200}")


def login(top: Fields) -> Login | None:
    """The section, where there is one."""
    if not top.given("login"):
        return None
    fields = top.section("login")
    plain = Login("", "", ())
    loopback = flag(fields, "loopback_http", plain.loopback_http)
    result = Login(
        issuer=_issuer(fields, loopback),
        client_id=_told(fields, "client_id"),
        rules=each(fields, "rules", _rule),
        secret_file=fields.text("secret_file", "", most=4096) or "",
        scopes=strings(fields, "scopes", most=50, each=_scope) or plain.scopes,
        user=_claim(fields, "user", plain.user),
        claim=_claim(fields, "claim", plain.claim),
        userinfo=flag(fields, "userinfo", plain.userinfo),
        life=fields.duration("life", plain.life, least=LEAST_LIFE),
        token_scopes=token_scopes(fields) or plain.token_scopes,
        ca=fields.text("ca", "", most=4096) or "",
        loopback_http=loopback,
    )
    if "openid" not in result.scopes:
        fields.problem("scopes", 'expected "openid" among them: without it the provider gives no ID token')
    check_given(fields, result.life, result.token_scopes, result.rules)
    fields.finish()
    return result


def check_given(fields: Fields, life: int, scopes: Sequence[str], rules: Sequence[LoginRule]) -> None:
    """What every way to log in must say of what it gives."""
    if "read" not in scopes:
        fields.problem("token_scopes", 'expected "read" among them: without it nobody could so much as log out')
    if life > MOST_LIFE:
        fields.problem("life", f"expected at most {MOST_LIFE // 86400} d, got {life} s")
    if not rules:
        fields.problem("rules", "expected at least one: without any, nobody who logs in is let in anywhere")


def token_scopes(fields: Fields) -> tuple[str, ...]:
    """What the token that is given opens; empty where nothing is said."""
    return strings(fields, "token_scopes", most=len(SCOPES), each=_token_scope)


def _told(fields: Fields, key: str) -> str:
    value = fields.text(key, "", most=500) or ""
    if not value or not value.isprintable():
        fields.problem(key, "expected what the provider calls this client")
    return value


def _issuer(fields: Fields, loopback_http: bool) -> str:
    """The provider's address exactly as it names itself."""
    url = fields.text("issuer", "", most=1000) or ""
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https" or (
            parts.scheme == "http" and loopback_http and (parts.hostname or "") in LOOPBACK
        )
        usable = secure and parts.hostname and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        usable = False
    if not usable or not url.isprintable():
        fields.problem("issuer", f"expected the provider's address, https://HOST/…, got {url!r}")
    return url


def _scope(value: str, where: str) -> str:
    if not _SCOPE.fullmatch(value):
        raise InvalidInput(where, f"expected one scope without spaces, got {value!r}")
    return value


def _token_scope(value: str, where: str) -> str:
    if value not in SCOPES:
        raise InvalidInput(where, f"expected one of {', '.join(SCOPES)}, got {value!r}")
    return value


def _claim(fields: Fields, key: str, default: str) -> str:
    value = fields.text(key, default, most=200) or default
    if not _CLAIM.fullmatch(value):
        fields.problem(key, f"expected the name of a claim, got {value!r}")
    return value


def _rule(fields: Fields) -> LoginRule:
    value = fields.text("value", "") or ""
    if not value.strip("*"):
        fields.problem("value", "expected a value of the claim, with `*` for any characters and something beside it")
    return let_in(fields, value)


def let_in(fields: Fields, value: str) -> LoginRule:
    """Where a rule lets people in. A group or a site may be one that is added while the central runs: until then nobody
    is let into it."""
    if fields.given("site"):
        role = fields.text("role", SITE_ADMIN, choices=(SITE_ADMIN,)) or SITE_ADMIN
        rule = LoginRule(value, "", "", role, name(fields, "site"))
        fields.finish()
        return rule
    rule = LoginRule(
        value,
        name(fields, "community"),
        name(fields, "group"),
        fields.text("role", "member", choices=ROLES) or "member",
    )
    fields.finish()
    return rule
