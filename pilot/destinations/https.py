"""Plain HTTPS: a PUT under the very name, and a look at what is there afterwards."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Callable

from pilot.destination import Target
from pilot.destinations.port import Differs, Digests, Errand, Rejected, Source, compare
from pilot.destinations.web import Body, Headers, Reply, Web
from pilot.errors import PilotageError, TransportError

#: What a storage is asked for, in the old words and the new (RFC 3230 and RFC 9530).
WANTED = {"Want-Digest": "adler32, sha-256", "Want-Repr-Digest": "sha-256=5"}
#: Bytes a second that a storage takes the checksum of a file with, at the worst.
SLOW_DISK = 20_000_000
_DIGEST = re.compile(r"(?i)(adler32|sha-256)\s*=\s*:?([A-Za-z0-9+/=]+):?")
#: Answers to HEAD of those who take files and show none.
_MUTE = frozenset({401, 403, 405, 501})


class HttpsStorage:
    """`pilot.destinations.port.Storage` for ``https://``."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def put(self, source: Source, target: Target, errand: Errand) -> None:
        tag = upload(self.web, target.url, source, errand).headers.get("etag", "")
        try:
            verify(self.web, target.url, source.digests, errand)
        except Differs:
            # What is wrong is not to be found under that name; what another attempt has put there since may be right.
            if tag:
                discard(self.web, target.url, errand, {"If-Match": tag})
            raise

    def get(self, target: Target, sink: Callable[[bytes], object], errand: Errand) -> None:
        download(self.web, target.url, sink, errand)


def upload(web: Web, url: str, source: Source, errand: Errand) -> Reply:
    """PUT of a whole file."""
    told = {"Content-Type": "application/octet-stream", **_told(source.digests)}
    with source.open() as file:
        body = Body(file, source.digests.size)
        reply = web.ask("PUT", url, authorized(errand, told), errand.pause, body=body)
    return reply.expect_good("PUT")


def download(web: Web, url: str, sink: Callable[[bytes], object], errand: Errand) -> None:
    reply = web.ask("GET", url, authorized(errand), errand.pause, sink=sink)
    if reply.status != 200:
        reply.expect_good("GET")
        raise Rejected(f"GET {url.partition('?')[0]}: status {reply.status} is no file")


def verify(web: Web, url: str, expected: Digests, errand: Errand) -> None:
    """Ask what is there, and compare what the storage knows of it. Raises `TransportError` where it differs."""
    # It may have to read all of it for its checksum before it answers.
    reply = web.ask("HEAD", url, authorized(errand, WANTED), errand.pause, thinks=expected.size / SLOW_DISK)
    if reply.status in _MUTE:
        return
    if reply.status == 404:
        raise TransportError(f"{url} was taken, and is not there")
    compare(expected, told_by(reply.expect_good("HEAD").headers), url)


def discard(web: Web, url: str, errand: Errand, only: Mapping[str, str] = {}) -> None:
    """Remove what is of no use, where that is allowed. `only`: headers that say under which condition."""
    with suppress(PilotageError):
        web.ask("DELETE", url, authorized(errand, only), errand.pause)


def authorized(errand: Errand, more: Mapping[str, str] = {}) -> Headers:
    """Headers, with the credential that the job has for each URL, and for no other."""

    def headers(url: str) -> Mapping[str, str]:
        credential = errand.credential(url)
        if credential is None:
            return more
        values = credential.values
        if credential.kind == "bearer":
            return {**more, "Authorization": f"Bearer {values.get('token', '')}"}
        if credential.kind == "basic":
            pair = f"{values.get('user', '')}:{values.get('password', '')}".encode()
            return {**more, "Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return more

    return headers


def told_by(headers: Mapping[str, str]) -> Digests:
    """What the headers of an answer say of a file; a size of -1 is unknown."""
    found = {"adler32": "", "sha-256": ""}
    for name in ("digest", "repr-digest"):
        for algorithm, value in _DIGEST.findall(headers.get(name, "")):
            found[algorithm.lower()] = value
    length = headers.get("content-length", "")
    size = int(length) if length.isdigit() and len(length) < 20 else -1
    return Digests(size, _hex(found["sha-256"]), found["adler32"].zfill(8) if found["adler32"] else "")


def _hex(text: str) -> str:
    if len(text) == 64:
        return text
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return ""


def _told(digests: Digests) -> dict[str, str]:
    """What we say of a file, for storages that verify it themselves."""
    sha256 = base64.b64encode(bytes.fromhex(digests.sha256)).decode()
    return {"Repr-Digest": f"sha-256=:{sha256}:", "Digest": f"adler32={digests.adler32}"}
