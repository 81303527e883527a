"""What a client learns of how to log in, and what it says when a provider has said who somebody is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from pilot.protocol import VERSION

#: How a client asks for what somebody has allowed it by a code (RFC 8628).
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True)
class LoginOffer:
    """`GET /v1/login`: the provider that this central believes, as a client of it needs to know it.

    An endpoint that begins with ``/`` is the central's own, which adds what is secret of the client and passes it on.
    Where all of it is empty but `certificates`, people log in with certificates alone, or that alone was asked for.
    """

    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    token_endpoint: str
    device_endpoint: str = ""  # empty: the provider does not let people log in with a code
    authorization_endpoint: str = ""
    ca_pem: str = ""  # certificates that the provider's is trusted by; empty: the system's
    certificates: str = ""  # where one logs in with a certificate, https://HOST:PORT; empty: nowhere
    userinfo: bool = False  # the access token is wanted beside the ID token, to ask the provider for more


@dataclass(frozen=True)
class LoginRequest:
    """`POST /v1/login`: an ID token, for a token of this central. Once each."""

    id_token: str = field(repr=False)
    nonce: Optional[str] = None  # that was sent with the request that the ID token answers
    community: str = ""  # to work in; empty, as the next: the first that the rules let in
    group: str = ""
    site: str = ""  # to work at, as one of its admins
    access_token: str = field(default="", repr=False)  # that came with the ID token, where the offer asks for it
    version: int = VERSION


@dataclass(frozen=True)
class CertificateLoginRequest:
    """`POST /v1/login/certificate` at the port for certificates: that which the connection shows, for a token of this
    central."""

    community: str = ""  # to work in; empty, as the next: the first that the rules let in
    group: str = ""
    site: str = ""  # to work at, as one of its admins
    version: int = VERSION


@dataclass(frozen=True)
class LoggedIn:
    """The one time that the token is told."""

    token: str = field(repr=False)
    number: int  # of the token
    user: str
    community: str
    group: str
    role: str
    expires: float  # seconds since the epoch
    others: tuple[str, ...] = ()  # what one could have chosen as well: ``group of community``, ``the site name``
    site: str = ""


@dataclass(frozen=True)
class LoggedOut:
    """`POST /v1/logout`: the token of this very request has ended."""

    number: int
