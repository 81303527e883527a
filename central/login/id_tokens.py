"""ID tokens: whether a provider really said this, to us, just now. Signatures and keys are joserfc's.

What is allowed is listed, never what is forbidden: an algorithm that is not in the list is none, and each goes with one
kind of key, so that nobody can have a public key taken for a secret.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwk, jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError

from pilot.errors import Refusal

#: Algorithm → kind of key, and its curve.
ALGORITHMS = {
    "RS256": ("RSA", ""),
    "PS256": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
#: Bits of an RSA key at least.
LEAST_RSA = 2048
#: Keys of one provider that are looked at.
MOST_KEYS = 100
#: Bytes of an ID token: what joserfc reads of header, claims and signature has bounds of its own below this.
MOST_BYTES = 16 * 1024
MOST_HEADER = 8 * 1024
#: Seconds that clocks may differ by.
LEEWAY = 60
#: Seconds after which an ID token is too old to be exchanged, whatever it says itself: a client does so at once.
FRESH = 600
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class UnknownKey(Exception):
    """None of the keys known made this signature: the provider may have a new one."""


@dataclass(frozen=True)
class VerifyingKey:
    """A public key of the provider."""

    kid: str | None
    kind: tuple[str, str]
    algorithm: str | None  # the one that it is for; None: whichever goes with it
    key: jwk.Key


@dataclass(frozen=True)
class Expected:
    """What an ID token must say. `nonce`: of the request that it answers; None where none was sent."""

    issuer: str
    client_id: str
    nonce: str | None


def keys_of(document: object) -> tuple[VerifyingKey, ...]:
    """The keys of a JWK set that could have signed an ID token; what else is in it is passed over."""
    entries = document.get("keys") if isinstance(document, dict) else None
    found = [_key(entry) for entry in entries[:MOST_KEYS]] if isinstance(entries, list) else []
    return tuple(key for key in found if key is not None)


def _key(entry: object) -> VerifyingKey | None:
    try:
        return _public(entry) if isinstance(entry, dict) else None
    except (JoseError, ValueError, TypeError):
        return None


def _public(entry: dict[str, Any]) -> VerifyingKey | None:
    """Raises `JoseError`, `ValueError` or `TypeError` for what is no key."""
    kid, algorithm = entry.get("kid"), entry.get("alg")
    kind = (str(entry.get("kty")), "" if entry.get("kty") == "RSA" else str(entry.get("crv")))
    usable = entry.get("use", "sig") == "sig" and "verify" in entry.get("key_ops", ("verify",))
    if not usable or kind not in ALGORITHMS.values() or ALGORITHMS.get(algorithm or "", kind) != kind:
        return None
    if algorithm and algorithm not in ALGORITHMS:
        return None
    # Nothing but what makes up the public key: a private part, which does not belong there, is left.
    public = {part: entry[part] for part in ("kty", "crv", "n", "e", "x", "y") if part in entry}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of short keys; they are refused right below
        key = jwk.JWKRegistry.import_key(public)
    if isinstance(key, jwk.RSAKey) and key.public_key.key_size < LEAST_RSA:
        return None
    return VerifyingKey(kid if isinstance(kid, str) else None, kind, algorithm, key)


def digest(token: str) -> str:
    """By which a token is known when it comes again: of what is signed alone, which may have many signatures."""
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


def verify(token: str, keys: Sequence[VerifyingKey], expected: Expected, now: float) -> Mapping[str, Any]:
    """The claims of a token that is good. Raises ``unauthorized`` with what is wrong, or `UnknownKey`."""
    if len(token) > MOST_BYTES or not _COMPACT.fullmatch(token):
        raise _refused(f"is not a signed JWT of at most {MOST_BYTES} bytes")
    try:
        claims = _signed(token, keys)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise _refused(f"cannot be read: {type(error).__name__}") from error
    try:
        _check(claims, expected, int(now))
    except ExpiredTokenError as error:
        raise _refused("has expired: log in again") from error
    except MissingClaimError as error:
        raise _refused(f"lacks what it must say: {error.description}") from error
    except InvalidClaimError as error:
        raise _refused(f"is not for this: {_told(error, claims, expected)}") from error
    return claims


def _signed(token: str, keys: Sequence[VerifyingKey]) -> dict[str, Any]:
    """What was signed. Raises `UnknownKey`, or ``unauthorized``."""
    header = jws.extract_compact(token.encode(), registry=_registry("")).headers()
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _refused(f"is signed with {str(algorithm)[:40]!r}; expected one of {', '.join(ALGORITHMS)}")
    if "crit" in header or "b64" in header:
        raise _refused("asks for extensions that are not known here")
    able = [
        one
        for one in keys
        if one.kind == ALGORITHMS[algorithm] and one.algorithm in (None, algorithm) and kid in (None, one.kid)
    ]
    for one in able[:4]:  # names are unique, and providers that give none have a key, or two while they change
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # EdDSA has a newer name
                return jwt.decode(token, one.key, registry=_registry(algorithm)).claims
        except JoseError as error:
            if error.error != "bad_signature":
                raise
    if able and kid is not None:
        raise _refused("has a signature that the provider's key did not make")
    raise UnknownKey


def _registry(algorithm: str) -> jws.JWSRegistry:
    """What joserfc is to let pass: one algorithm, and headers that name certificates, which are not looked at."""
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = MOST_HEADER
    return registry


def _check(claims: dict[str, Any], expected: Expected, now: int) -> None:
    """Raises one of joserfc's errors."""
    registry = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
    )
    registry.validate(claims)
    if claims["iat"] < now - FRESH - LEEWAY:
        raise ExpiredTokenError("iat")
    audience, party = claims["aud"], claims.get("azp")
    several = isinstance(audience, list) and len(audience) > 1
    if (several or party is not None) and party != expected.client_id:
        raise InvalidClaimError("azp")
    if claims.get("nonce") != expected.nonce:
        raise InvalidClaimError("nonce")


def _told(error: InvalidClaimError, claims: Mapping[str, Any], expected: Expected) -> str:
    wanted = {"iss": expected.issuer, "aud": expected.client_id, "azp": expected.client_id}.get(error.claim)
    if wanted is not None:
        return f"its {error.claim} is {str(claims.get(error.claim))[:120]!r}, expected {wanted!r}"
    if error.claim == "nonce":
        return "its nonce is not that of the login"
    return f"its {error.claim} is in the future, or no time; are the clocks right?"


def _refused(said: str) -> Refusal:
    return Refusal("unauthorized", f"the ID token {said}")
