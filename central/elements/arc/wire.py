"""HTTPS to one computing element, with the credential of the moment, in bounded time and with bounded answers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from central.elements.arc.credentials import Credential
from central.elements.host import crowded
from central.elements.port import ComputingError, Trouble

#: Bytes of one answer; more cannot be used. What is told of five thousand jobs at once is some ten million, as are the
#: states of a hundred thousand.
MOST_ANSWERED = 64 * 1024 * 1024
#: Seconds for a connection to be made.
TO_CONNECT = 15.0
#: What OpenSSL calls it when the other side does not take our certificate.
_NOT_TAKEN = re.compile(r"alert (?:bad|expired|revoked|unknown|unsupported)|alert certificate|certificate required")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    reason: str
    headers: CaseInsensitiveDict[str]
    body: bytes

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def said(self) -> str:
        text = " ".join(f"{self.reason} {self.body[:1000].decode('utf-8', 'replace')}".split())
        return f"{self.status} {''.join(filter(str.isprintable, text))[:300]}".strip()

    @property
    def trouble(self) -> Trouble:
        """What an answer that is not good means."""
        if self.status in (401, 403):
            return Trouble.CREDENTIAL
        if self.status in (429, 507) or "No more jobs" in self.said:
            return Trouble.FULL
        return Trouble.UNREACHABLE if self.status >= 500 or self.status == 408 else Trouble.REFUSED

    def json(self) -> Any:
        """Raises `ComputingError`. Of nothing ARC says nothing at all."""
        if crowded(self.body):
            raise ComputingError("it gave an answer that is too much to read", Trouble.UNREACHABLE)
        try:
            return json.loads(self.body.decode("utf-8", "replace"), strict=False) if self.body.strip() else {}
        except (ValueError, RecursionError) as error:
            raise ComputingError(f"it gave an answer that is no JSON: {self.said}", Trouble.UNREACHABLE) from error


class Wire:
    """Asks one computing element. Several threads may.

    `ca`: a file of certificates or a folder of such as OpenSSL looks for; empty: the system's. `credential` is called
    for each request; a connection lives as long as it gives the same.
    """

    def __init__(self, ca: str, credential: Callable[[], Credential], patience: float) -> None:
        self.ca = ca
        self.credential = credential
        self.patience = patience
        self._lock = threading.Lock()
        self._known_by = ""
        self._session: requests.Session | None = None

    def ask(self, method: str, url: str, body: bytes = b"", *, again: bool = True, **headers: str) -> Answer:
        """One request. `again`: it may be sent once more when the connection broke. Raises `ComputingError`."""
        credential = self.credential()
        sent = {name.replace("_", "-"): value for name, value in {"Accept": "application/json", **headers}.items()}
        if credential.token:
            sent["Authorization"] = f"Bearer {credential.token}"
        session = self._session_of(credential)
        try:
            try:
                return self._exchange(session, method, url, body, sent)
            except requests.ConnectionError as error:
                if not again or isinstance(error, requests.Timeout | requests.exceptions.SSLError):
                    raise
                return self._exchange(session, method, url, body, sent)
        except requests.Timeout as error:
            raise ComputingError(f"{url} did not answer within {self.patience:g} s", Trouble.UNREACHABLE) from error
        except requests.RequestException as error:
            raise _broken(url, error, bool(credential.pem)) from error

    def _exchange(self, session: requests.Session, method: str, url: str, body: bytes, sent: dict[str, str]) -> Answer:
        end = time.monotonic() + self.patience
        patience = (min(TO_CONNECT, self.patience), self.patience)
        with session.request(
            method, url, data=body or None, headers=sent, timeout=patience, stream=True, allow_redirects=False
        ) as response:
            content = bytearray()
            for block in response.iter_content(65536):
                content += block
                if len(content) > MOST_ANSWERED:
                    raise ComputingError(f"{url} answered more than {MOST_ANSWERED} bytes", Trouble.UNREACHABLE)
                if time.monotonic() > end:
                    raise requests.Timeout
            return Answer(response.status_code, response.reason or "", response.headers, bytes(content))

    def close(self) -> None:
        with self._lock:
            if self._session:
                self._session.close()
            self._session, self._known_by = None, ""

    def _session_of(self, credential: Credential) -> requests.Session:
        """Connections are known by the certificate that they were made with: another one needs others."""
        known_by = hashlib.sha256(credential.pem).hexdigest()
        with self._lock:
            if self._session is None or known_by != self._known_by:
                session = requests.Session()
                session.trust_env = False  # a ~/.netrc is not meant for this
                session.mount("https://", _Adapter(_context(self.ca, credential.pem)))
                if self._session:  # what another thread is asking by it still comes to its end
                    self._session.close()
                self._session, self._known_by = session, known_by
            return self._session


class _Adapter(HTTPAdapter):
    """Speaks TLS as its context says, and by nothing that is set elsewhere."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(pool_maxsize=8)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, ssl_context=self.context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Would add other authorities to the context's own."""


def _context(ca: str, pem: bytes) -> ssl.SSLContext:
    try:
        folder = os.path.isdir(ca)
        if ca and not folder and not os.path.isfile(ca):  # OpenSSL would read a device without end
            raise OSError("there is no such file or folder")
        context = ssl.create_default_context(cafile=ca if ca and not folder else None, capath=ca if folder else None)
    except OSError as error:  # SSLError is one
        raise ComputingError(f"the authorities in {ca} cannot be read: {error}", Trouble.CREDENTIAL) from error
    # From Python 3.13 on it is on, and refuses authorities of the grid that were made before there were such rules.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if pem:
        # OpenSSL takes files alone. This one nobody else sees, and it is what was checked.
        descriptor = os.memfd_create("credential", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        except OSError as error:
            raise ComputingError(
                f"the X.509 credential cannot be used, is its key with it? {error}", Trouble.CREDENTIAL
            ) from error
        finally:
            os.close(descriptor)
    return context


def _broken(url: str, error: requests.RequestException, certified: bool) -> ComputingError:
    inner = getattr(error.args[0] if error.args else None, "reason", None)  # without how often it was tried
    told = " ".join(str(inner or error).split())[-300:]
    if _NOT_TAKEN.search(told.lower()):
        return ComputingError(f"{url} does not take our certificate: {told}", Trouble.CREDENTIAL)
    if certified and "EOF occurred in violation" in told:
        told += ", which may mean that it does not take our certificate"
    return ComputingError(f"{url} could not be asked: {told}", Trouble.UNREACHABLE)
