"""All storages of a pilot, each made when the first file goes to or comes from one of its kind."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Callable, Optional, Protocol

from pilot.destination import SANDBOX
from pilot.destinations.port import Rejected, Storage
from pilot.protocol import Lease
from pilot.transfers import DownloadReply, DownloadRequest, UploadReply, UploadRequest

if TYPE_CHECKING:  # heavy, and many a pilot moves no file by them
    import ssl

    from pilot.destinations.web import Web

#: Where grid sites keep the certificates of their authorities.
GRID_CERTIFICATES = "/etc/grid-security/certificates"


class Signer(Protocol):
    """Has requests to S3 storages signed. Raises `TransportError`, `Refusal`."""

    def upload(self, lease: Lease, request: UploadRequest) -> UploadReply: ...

    def download(self, lease: Lease, request: DownloadRequest) -> DownloadReply: ...


class Storages:
    """For any thread. `environment` is the pilot's own; `signer` makes the one for ``s3://``, or raises `Rejected`."""

    def __init__(self, environment: Mapping[str, str], signer: Optional[Callable[[], Signer]] = None) -> None:
        self.environment = environment
        self.signer = signer
        self._lock = threading.Lock()
        self._made: dict[str, Storage] = {}
        self._shared: Optional[Web] = None

    def of(self, kind: str) -> Storage:
        """The storage for URLs of a kind. Raises `Rejected` for what this pilot does not know."""
        with self._lock:
            if kind not in self._made:
                self._made[kind] = self._make(kind)
            return self._made[kind]

    def close(self) -> None:
        """Close what is idle."""
        if self._shared is not None:
            self._shared.close()

    def _make(self, kind: str) -> Storage:
        if kind in ("https", "davs"):
            return self._over_web(kind)
        if kind == "file":
            from pilot.destinations.local import LocalStorage

            return LocalStorage()
        if kind == "root":
            from pilot.destinations.xrootd import XrootdStorage

            return XrootdStorage(self.environment)
        if kind == "s3":
            from pilot.destinations.s3 import S3Storage

            if self.signer is None:
                raise Rejected("requests to s3:// are signed by a central, and there is none here")
            return S3Storage(self._web(), self.signer())
        raise Rejected(f"this pilot knows no {kind}://, only {SANDBOX} and https, davs, s3, root and file")

    def _over_web(self, kind: str) -> Storage:
        from pilot.destinations.https import HttpsStorage
        from pilot.destinations.webdav import WebDavStorage

        return HttpsStorage(self._web()) if kind == "https" else WebDavStorage(self._web())

    def _web(self) -> Web:
        from pilot.destinations.web import Web
        from pilot.transport import proxies_for

        if self._shared is None:
            self._shared = Web(trust(self.environment), lambda url: proxies_for(url).get("https", ""))
        return self._shared


def trust(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Whom to believe who they are: the system's authorities, and those that a grid site trusts."""
    import ssl

    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    folder = environment.get("X509_CERT_DIR") or GRID_CERTIFICATES
    if os.path.isdir(folder):
        context.load_verify_locations(capath=folder)
    return context
