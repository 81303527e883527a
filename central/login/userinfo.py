"""What a provider says of somebody at its userinfo endpoint, for the access token that came with an ID token.

It is not signed; it is believed for the address that the provider's own document names, over TLS, and only where it is
of the user whom the ID token names. What the ID token says itself stands.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from pilot.errors import Refusal

#: An access token as RFC 6750 lets it be sent, and its characters at most.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_MOST = 8192


def check(token: str, claims: Mapping[str, Any]) -> None:
    """Whether an access token may be shown to the provider: it is one, and that of the login, where the ID token says
    which that is. Raises ``unauthorized``."""
    if not token:
        raise _refused(
            "this central asks the provider's userinfo, and needs the access token beside the ID token: log in with a"
            " newer pilotage"
        )
    if len(token) > _MOST or not _BEARER.fullmatch(token):
        raise _refused("the access token is none that could be sent")
    said = claims.get("at_hash")
    if said is not None and not any(_same(said, half) for half in _halves(token)):
        raise _refused("the access token is not the one that came with the ID token")


def _halves(token: str) -> list[str]:
    """What `at_hash` may say of a token: by the algorithms that count, the hash is one of these two."""
    digests = (hashlib.sha256(token.encode()).digest(), hashlib.sha512(token.encode()).digest())
    return [base64.urlsafe_b64encode(one[: len(one) // 2]).rstrip(b"=").decode() for one in digests]


def _same(said: object, half: str) -> bool:
    return isinstance(said, str) and hmac.compare_digest(said.encode(), half.encode())


def check_taken(status: int) -> None:
    """Raises ``unauthorized`` where the endpoint does not answer this access token."""
    if status in (400, 401, 403):
        raise _refused("the provider does not take the access token at its userinfo endpoint: log in again")


def joined(claims: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The claims of an ID token with what the endpoint said. Raises ``unauthorized``."""
    if said.get("sub") != claims["sub"]:
        raise _refused("the provider's userinfo is not of the user whom the ID token names")
    return {**said, **claims}


def _refused(said: str) -> Refusal:
    return Refusal("unauthorized", said)
