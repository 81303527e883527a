"""Requests of a client to an identity provider: forms to the endpoints that the central has named, over TLS alone."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from pilot.errors import PilotageError, TransportError
from pilot.login import LoginOffer
from pilotage.connection import Connection

#: Bytes of one answer, and seconds for it.
MOST_ANSWERED, PATIENCE = 256 * 1024, 15.0
#: Where a provider may be without TLS: nothing leaves this machine.
LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: Variables that name a file with the certificates to trust, as other programs read them.
_TRUST = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


class ProviderRefusal(PilotageError):
    """The provider said no. `error` is its word for it."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class Provider:
    """One provider, and the central where that speaks to it for its clients."""

    def __init__(self, offer: LoginOffer, central: Connection, session: requests.Session, trust: str | bool) -> None:
        self.offer = offer
        self._central = central
        self._session = session
        self._trust = trust

    def post(self, endpoint: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Send a form. Raises `ProviderRefusal`, `TransportError`, or `PilotageError`."""
        url, trust = endpoint, self._trust
        if endpoint.startswith("/"):
            url, trust = self._central.url + endpoint, str(self._central.ca) if self._central.ca else True
        status, body = self._exchange(checked(url), form, trust)
        try:
            answer = msgspec.json.decode(body)
        except msgspec.MsgspecError:
            answer = None
        if status >= 500:
            raise TransportError(f"{url} answered {status}.")
        if not isinstance(answer, dict):
            raise PilotageError(f"{url} answered {status} and no JSON object.")
        if status != 200:
            error = str(answer.get("error") or answer.get("type") or status)[:100]
            said = str(answer.get("error_description") or answer.get("detail") or "")[:300]
            raise ProviderRefusal(error, f"{url} refuses: {error}{f' ({said})' if said else ''}.")
        return answer

    def _exchange(self, url: str, form: Mapping[str, str], trust: str | bool) -> tuple[int, bytes]:
        end = time.monotonic() + PATIENCE
        headers = {"Accept": "application/json"}
        try:
            with self._session.post(
                url, data=form, headers=headers, verify=trust, timeout=PATIENCE, stream=True, allow_redirects=False
            ) as response:
                content = bytearray()
                for block in response.iter_content(16384):
                    content += block
                    if len(content) > MOST_ANSWERED or time.monotonic() > end:
                        raise TransportError(f"{url} answers too much, or too slowly.")
                return response.status_code, bytes(content)
        except requests.exceptions.SSLError as error:
            raise PilotageError(f"The certificate of {url} does not verify: {error}.") from error
        except (OSError, ValueError) as error:  # those of requests are an OSError
            raise TransportError(f"{url} cannot be asked: {error}.") from error


def checked(url: str) -> str:
    """An address to send somebody or something secret to. Raises `PilotageError` for one without TLS."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    except ValueError:
        good = False
    if not good or not url.isprintable() or len(url) > 4000:
        raise PilotageError(f"Expected an https address of the identity provider, got {url[:200]!r}.")
    return url


@contextmanager
def provider_of(offer: LoginOffer, central: Connection) -> Iterator[Provider]:
    """The provider of an offer, for as long as the block lasts."""
    with requests.Session() as session, tempfile.TemporaryDirectory(prefix="pilotage-login-") as folder:
        session.proxies.update(requests.utils.get_environ_proxies(offer.issuer))
        session.trust_env = False
        session.headers["User-Agent"] = "pilotage"
        trust: str | bool = next((os.environ[name] for name in _TRUST if os.environ.get(name)), True)
        if offer.ca_pem:
            file = Path(folder) / "ca.pem"
            file.write_text(offer.ca_pem)
            trust = str(file)
        yield Provider(offer, central, session, trust)
