"""Reading the section ``[login]`` of the settings."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from central.configuration.login import Login, LoginRule
from central.configuration.settings import ROLES
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
        life=fields.duration("life", plain.life, least=LEAST_LIFE),
        token_scopes=strings(fields, "token_scopes", most=len(SCOPES), each=_token_scope) or plain.token_scopes,
        ca=fields.text("ca", "", most=4096) or "",
        loopback_http=loopback,
    )
    if "openid" not in result.scopes:
        fields.problem("scopes", 'expected "openid" among them: without it the provider gives no ID token')
    if "read" not in result.token_scopes:
        fields.problem("token_scopes", 'expected "read" among them: without it nobody could so much as log out')
    if result.life > MOST_LIFE:
        fields.problem("life", f"expected at most {MOST_LIFE // 86400} d, got {result.life} s")
    if not result.rules:
        fields.problem("rules", "expected at least one: without any, nobody who logs in is let in anywhere")
    fields.finish()
    return result


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
    """One rule. A group may be one that is added while the central runs: until then nobody is let into it."""
    value = fields.text("value", "") or ""
    if not value.strip("*"):
        fields.problem("value", "expected a value of the claim, with `*` for any characters and something beside it")
    rule = LoginRule(
        value,
        name(fields, "community"),
        name(fields, "group"),
        fields.text("role", "member", choices=ROLES) or "member",
    )
    fields.finish()
    return rule
