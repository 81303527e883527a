"""Who we are to a computing element: an X.509 credential or a bearer token, read anew from its file for each use.

Others renew what is in the file, and what they put there counts from the next request on.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from central.elements.port import ComputingError, Trouble
from central.trust.expiry import ends_soon, read_proxy
from pilot.errors import InvalidInput
from pilot.units import show_duration

PROXY, BEARER = "x509-proxy", "bearer"
#: Bytes that a credential has at most.
MOST = 1024 * 1024
#: Seconds since the epoch that no credential is good for: a moment beyond is none.
_FAR = 1e11


@dataclass(frozen=True)
class Credential:
    """One of the two. `began`, `ends`: seconds since the epoch; None where a token does not tell."""

    # The certificate or proxy, its key, and the certificates that it was signed with. Neither is for a traceback.
    pem: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    ends: float | None = None
    began: float | None = None


@dataclass(frozen=True)
class CredentialFile:
    """A file that holds a credential of a kind, and that nobody else may read."""

    path: str
    kind: str  # x509-proxy or bearer

    @property
    def said(self) -> str:
        return f"the {'proxy' if self.kind == PROXY else 'token'} in {self.path}"

    def read(self, now: float) -> Credential:
        """What it holds at the moment. Raises `ComputingError` where that is not good, with the reason."""
        content = self._content()
        found = self._proxy(content) if self.kind == PROXY else self._token(content)
        if found.ends is not None and found.ends <= now:
            when = datetime.fromtimestamp(found.ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            ago = show_duration(int(now - found.ends))
            raise self._bad(f"ended at {when}, {ago} ago; put a new one there")
        return found

    def concern(self, now: float) -> str:
        """What is wrong with it, or will be soon; empty where nothing is."""
        try:
            found = self.read(now)
        except ComputingError as error:
            return str(error)
        if found.ends is None or not ends_soon(found.began, found.ends, now):
            return ""
        return f"{self.said} ends in {show_duration(int(found.ends - now))}; put a new one there before that"

    def _content(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    raise self._bad("is not a file")
                if about.st_mode & 0o077 or about.st_uid not in (os.geteuid(), 0):
                    mode = stat.S_IMODE(about.st_mode)
                    raise self._bad(
                        f"could be read or changed by others: expected mode 0600 and our own, got {mode:04o}"
                    )
                content = file.read(MOST + 1)
        except OSError as error:
            raise self._bad(f"cannot be read: {error.strerror}") from error
        if len(content) > MOST:
            raise self._bad(f"has more than {MOST} bytes")
        return content

    def _proxy(self, content: bytes) -> Credential:
        try:
            found = _parsed(content.decode("ascii", "replace"))
        except (InvalidInput, ValueError) as error:
            raise self._bad(f"is none: {error.problem if isinstance(error, InvalidInput) else error}") from None
        return Credential(pem=content, ends=found.ends, began=found.begins)

    def _token(self, content: bytes) -> Credential:
        token = content.decode("ascii", "replace").strip()
        if not token or not all("!" <= letter <= "~" for letter in token):
            raise self._bad("is no token: expected one word of printable letters")
        return Credential(token=token, ends=_claim(token, "exp"), began=_claim(token, "iat"))

    def _bad(self, why: str) -> ComputingError:
        return ComputingError(f"{self.said} {why}", Trouble.CREDENTIAL)


#: The same for as long as a file says the same: to read a key takes a hundred times as long as to read the file.
_parsed = lru_cache(16)(read_proxy)


def _claim(token: str, name: str) -> float | None:
    """A moment that a JSON Web Token tells. Nobody checks here that it is right: whoever takes it does."""
    parts = token.split(".")
    try:
        told = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))[name]
        return moment if 0 < (moment := float(told)) < _FAR else None
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
