"""What a pilot asks for while its attempts run: those of their credentials that were set anew.

Plain frozen records, as those of `pilot/protocol.py`; `docs/wire.md` says who sends them when.
"""

from __future__ import annotations

from dataclasses import dataclass

from pilot.protocol import VERSION, Credential, CredentialVersions

#: Attempts that one request may name.
MAX_ATTEMPTS = 10_000


@dataclass(frozen=True)
class CredentialsRequest:
    """`POST /v1/pilots/{stamp}/credentials`: what of that which these attempts have was set anew? Asked again, with
    the same versions, the answer has the same again."""

    attempts: tuple[CredentialVersions, ...] = ()
    version: int = VERSION


@dataclass(frozen=True)
class NewerCredentials:
    """What an attempt gets in the place of those of the same names."""

    job: int
    attempt: int
    credentials: tuple[Credential, ...]


@dataclass(frozen=True)
class CredentialsReply:
    """What is of another version than was said. Of everything else the attempts keep what they have."""

    attempts: tuple[NewerCredentials, ...] = ()
    more: bool = False  # there was no room for all of it: ask again
    version: int = VERSION
