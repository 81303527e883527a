"""WebDAV over TLS, as grid storages speak it: a PUT under a name of its own, the digest compared there, then a MOVE."""

from __future__ import annotations

from typing import Callable

from pilot.destination import Target
from pilot.destinations.https import authorized, discard, download, upload, verify
from pilot.destinations.port import Errand, Rejected, Source
from pilot.destinations.web import Web
from pilot.errors import PilotageError, TransportError

#: Folders that are made above one file.
MAX_DEPTH = 64


class WebDavStorage:
    """`pilot.destinations.port.Storage` for ``davs://``."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def put(self, source: Source, target: Target, errand: Errand) -> None:
        url = over_https(target.url)
        aside = beside(url, errand)
        try:
            self._upload(aside, source, errand)
            verify(self.web, aside, source.digests, errand)
            moved = self._move(aside, url, errand)
            if moved and "%" in url:
                moved = self._arrived(url, source, errand)
        except PilotageError:
            discard(self.web, aside, errand)
            raise
        if not moved:
            upload(self.web, url, source, errand)
            verify(self.web, url, source.digests, errand)
            discard(self.web, aside, errand)

    def get(self, target: Target, sink: Callable[[bytes], object], errand: Errand) -> None:
        download(self.web, over_https(target.url), sink, errand)

    def _upload(self, url: str, source: Source, errand: Errand) -> None:
        try:
            upload(self.web, url, source, errand)
        except Rejected:
            # Those who miss a folder say so in different ways; where none can be made the PUT tells why.
            if not self._make_folders(url, errand):
                raise
            upload(self.web, url, source, errand)

    def _make_folders(self, url: str, errand: Errand) -> bool:
        """Make the folders above a URL, as few as are missing. Whether one was made."""
        scheme, _, rest = url.partition("://")
        parts = rest.split("/")[:-1]
        missing: list[str] = []
        while len(parts) > 1 and len(missing) < MAX_DEPTH:
            folder = f"{scheme}://{'/'.join(parts)}/"
            status = self.web.ask("MKCOL", folder, authorized(errand), errand.pause).status
            if status == 201:
                break
            if status != 409:
                return False  # it is there, or it is forbidden
            missing.append(folder)
            parts.pop()
        for folder in reversed(missing):
            self.web.ask("MKCOL", folder, authorized(errand), errand.pause)
        return True

    def _move(self, aside: str, url: str, errand: Errand) -> bool:
        """Give it its name, at once. Whether that can be done there."""
        headers = authorized(errand, {"Destination": url, "Overwrite": "T"})
        reply = self.web.ask("MOVE", aside, headers, errand.pause)
        if reply.status in (405, 501):
            return False
        reply.expect_good("MOVE")
        return True

    def _arrived(self, url: str, source: Source, errand: Errand) -> bool:
        """Whether it is where it was moved to: XRootD up to 5.5 takes what is encoded there for the name itself."""
        try:
            verify(self.web, url, source.digests, errand)
        except TransportError:
            discard(self.web, url.replace("%", "%25"), errand)
            return False
        return True


def over_https(url: str) -> str:
    return "https" + url[len("davs") :] if url.startswith("davs://") else url


def beside(url: str, errand: Errand) -> str:
    """A name in the same folder that only this attempt uses."""
    folder, _, name = url.rpartition("/")
    return f"{folder}/.{name}.{errand.lease.job}.{errand.lease.attempt}.part"
