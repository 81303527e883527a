"""Reading the section ``[certificates]`` of the settings."""

from __future__ import annotations

import re
from dataclasses import fields as names_of

from central.configuration.certificates import CertificateLogin, CertificateRule, Named
from central.configuration.login import LoginRule
from central.configuration.settings_fields import each, flag, name
from central.configuration.settings_login import check_given, let_in, token_scopes
from pilot.fields import Fields
from pilot.people import LEAST_LIFE

#: The VO is said in full: `*` there would take in other communities' attributes.
_ATTRIBUTE = re.compile(r"/[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._=*-]+)*")
#: What is left out of attributes before rules are looked at.
_SAYS_NOTHING = re.compile(r"/Role=NULL(/|$)|/Capability=")
_SUBJECT = re.compile(r"/[A-Za-z0-9.]+=[^\x00-\x1f]+")


def certificates(top: Fields, port: int) -> CertificateLogin | None:
    """The section, where there is one. `port` is the central's other one."""
    if not top.given("certificates"):
        return None
    fields = top.section("certificates")
    plain = CertificateLogin(0, ())
    result = CertificateLogin(
        port=fields.whole("port", 0, least=1, most=65535),
        rules=each(fields, "rules", _rule),
        people=each(fields, "people", _named),
        capath=fields.text("capath", plain.capath, most=4096) or "",
        cafile=fields.text("cafile", "", most=4096) or "",
        vomsdir=fields.text("vomsdir", plain.vomsdir, most=4096) or "",
        crls=flag(fields, "crls", plain.crls),
        strict=flag(fields, "strict", plain.strict),
        life=fields.duration("life", plain.life, least=LEAST_LIFE),
        token_scopes=token_scopes(fields) or plain.token_scopes,
    )
    if result.port == port:
        fields.problem("port", f"expected another port than central.port, got {port} again")
    check_given(fields, result.life, result.token_scopes, result.rules)
    _once(fields, result.people)
    fields.finish()
    return result


def _rule(fields: Fields) -> CertificateRule:
    """One rule: about an attribute, or about the subjects of one authority."""
    if not fields.given("subject"):
        value = fields.text("value", "") or ""
        if not _ATTRIBUTE.fullmatch(value):
            fields.problem("value", "expected an attribute like /vo/group/Role=role, with `*` only behind the VO")
        elif _SAYS_NOTHING.search(value):  # no attribute is compared with that in it
            fields.problem("value", f"expected it without /Role=NULL and /Capability=…, got {value!r}")
        return _of(let_in(fields, value))
    value = _written(fields, "subject")
    issuer = _written(fields, "issuer")
    return _of(let_in(fields, value), issuer)


def _of(rule: LoginRule, issuer: str = "") -> CertificateRule:
    return CertificateRule(**{field.name: getattr(rule, field.name) for field in names_of(LoginRule)}, issuer=issuer)


def _named(fields: Fields) -> Named:
    named = Named(_written(fields, "subject"), _written(fields, "issuer"), name(fields, "user"))
    fields.finish()
    return named


def _written(fields: Fields, key: str) -> str:
    value = fields.text(key, "", most=2000) or ""
    if not _SUBJECT.fullmatch(value):
        fields.problem(key, f"expected a name like /DC=org/DC=example/CN=Ada Lovelace, got {value!r}")
    return value


def _once(fields: Fields, people: tuple[Named, ...]) -> None:
    """Nobody is two users."""
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(people):
        if (one.subject, one.issuer) in seen:
            fields.problem(f"people[{index}].subject", f"expected something new, got {one.subject!r} again")
        seen.add((one.subject, one.issuer))
