"""Logging in with a certificate: which files, and what a handshake that failed says of them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pilot.errors import PilotageError, TransportError
from pilot.login import CertificateLoginRequest, LoggedIn, LoginOffer
from pilotage.connection import Connection
from pilotage.login import certificate_entrance

#: What `voms-proxy-init` says of where a proxy is.
PROXY = "X509_USER_PROXY"
#: Alerts of TLS (RFC 8446, 6.2) that are about our certificate, and what they mean.
_ALERTS = {
    "certificate expired": "it has ended, or one that it stands on has; is the clock right?",
    "unknown ca": "it is not by an authority that this central trusts",
    "certificate required": "none was shown",
    "bad certificate": "it is not as it should be; the log of the central says why",
    "unsupported certificate": "it is for something else than for logging in",
    "certificate unknown": "it does not verify; the log of the central says why",
    "decrypt error": "the key is not that of the certificate",
    "handshake failure": "the two sides do not agree on how to speak",
}
_ALERT = re.compile(r"alert ([a-z ]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Shown:
    """The files of what is shown: certificates, and the key of the first."""

    certificate: Path
    key: Path


def certificate_of(certificate: Path, key: Path | None) -> Shown:
    """A certificate, and its key, which may be in the same file. Raises `PilotageError`."""
    shown = Shown(certificate.expanduser(), (key or certificate).expanduser())
    _check_readable(shown.certificate)
    _check_private(shown.key)
    return shown


def proxy_of(given: str, environment: Mapping[str, str], user: int) -> Shown:
    """A proxy: the file that is given, else where the tools of the grid have it. Raises `PilotageError`."""
    path = Path(given or environment.get(PROXY) or f"/tmp/x509up_u{user}").expanduser()  # noqa: S108 - so it is called
    _check_private(path)
    return Shown(path, path)


def _check_readable(path: Path) -> os.stat_result:
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno())
    except OSError as error:
        raise PilotageError(
            f"{path} cannot be read ({error.strerror}): make a proxy first, or name the file."
        ) from error


def _check_private(path: Path) -> None:
    found = _check_readable(path)
    if found.st_uid not in (os.getuid(), 0):
        raise PilotageError(f"{path} is somebody else's: expected a file of yours.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PilotageError(f"{path} holds a key and others can read it: chmod 600 {path}.")


def log_in(offer: LoginOffer, central: Connection, shown: Shown, request: CertificateLoginRequest) -> LoggedIn:
    """Get a token for what is shown. Raises `PilotageError` or `Refusal`."""
    if not offer.certificates.startswith("https://"):
        raise PilotageError(f"Nobody logs in with certificates at {central.url}: see `pilotage login --help`.")
    try:
        with certificate_entrance(replace(central, url=offer.certificates), shown.certificate, shown.key) as door:
            return door.enter_with_certificate(request)
    except PilotageError as error:
        if not isinstance(error, TransportError) and error.__cause__ is None:
            raise
        said = told(error)
        if said is None:
            raise
        raise PilotageError(f"{central.url} does not take {shown.certificate}: {said}.") from error


def told(error: BaseException) -> str | None:
    """What the central's alert says; None where there was none."""
    cause: BaseException | None = error
    while cause is not None:
        if found := _ALERT.search(str(cause)):
            words = found[1].strip().lower()
            return next((meaning for alert, meaning in _ALERTS.items() if alert in words), f"{words} (an alert of TLS)")
        if "KEY_VALUES_MISMATCH" in str(cause):
            return _ALERTS["decrypt error"]
        cause = cause.__cause__
    return None
