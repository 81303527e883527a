"""Moves files between a job's directory and the central's sandboxes, over HTTPS with the attempt's own token.

Bytes stream through a fixed amount of memory, and are verified by size and digest. Each call tries once; see
`pilot/persist.py` for more.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Optional

import requests
import urllib3

from pilot.errors import Refusal, TransportError
from pilot.monitor.central_client import understood
from pilot.protocol import JOB_SCHEME, Lease
from pilot.transport import Https, Response, proxies_for, why_not
from pilot.views import SandboxReply

#: Bytes read, hashed and written at a time.
BLOCK = 1024 * 1024
#: A larger file is stored in parts of this size, so that a broken connection costs one part.
PART = 64 * 1024 * 1024
#: Seconds to connect, and between two pieces of an answer.
CONNECT, SILENCE = 10.0, 60.0
#: Bytes of an answer that is no file.
MAX_ANSWER = 64 * 1024


class HttpSandboxes:
    """The sandboxes of one or several centrals; the one that answered last is asked first. For any thread."""

    def __init__(self, urls: Sequence[str], transport: Https) -> None:
        self.urls = tuple(urls)
        self.transport = transport
        self._preferred = 0

    def fetch(self, lease: Lease, sha256: str, size: int, target: Path) -> None:
        part = target.with_name(target.name + ".part")
        try:
            with self._ask("GET", lease, sha256) as answer:
                _save(answer, part, sha256, size)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)

    def store(self, lease: Lease, source: Path, sha256: str, size: int) -> None:
        # Asked first where it pays: a central that has it answers before the bytes are out, and breaks them off.
        at = self._arrived(lease, sha256, size) if size > BLOCK else 0
        with source.open("rb") as file:
            if at == 0 and size <= PART:
                self._put(lease, sha256, Piece(file, size))
                return
            while at is not None:  # also when all its bytes are there: the answer to the last part makes it a file
                file.seek(at)
                reply = self._put(lease, sha256, Piece(file, min(PART, size - at)), f"?offset={at}&size={size}")
                at = _onwards(reply, at, size)

    def _put(self, lease: Lease, sha256: str, piece: Piece, query: str = "") -> SandboxReply:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(piece.size)}
        with self._ask("PUT", lease, sha256, query, headers, piece) as answer:
            return answer.read(SandboxReply)

    def _arrived(self, lease: Lease, sha256: str, size: int) -> Optional[int]:
        """How many bytes of a file in parts are there already, None when all are."""
        with self._ask("HEAD", lease, sha256) as answer:
            if answer.status == 200:
                return None
            arrived = answer.header("Pilotage-Next")
            return min(int(arrived), size) if arrived.isdigit() and len(arrived) < 20 else 0

    def _ask(
        self,
        method: str,
        lease: Lease,
        sha256: str,
        query: str = "",
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[Piece] = None,
    ) -> Answer:
        """Ask each central in turn until one answers."""
        problem = TransportError("no central is configured")
        first = self._preferred
        for turn in range(len(self.urls)):
            index = (first + turn) % len(self.urls)
            url = f"{self.urls[index]}/v1/sandboxes/{sha256}{query}"
            request = requests.Request(method, url, headers={**_common(lease), **(headers or {})}).prepare()
            if body is not None:
                body.rewind()
                request.body = body  # type: ignore[assignment]
            try:
                answer = self.transport.adapter.send(
                    request,
                    stream=True,
                    timeout=(CONNECT, SILENCE),
                    verify=self.transport.trust,
                    proxies=proxies_for(url),
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                problem = TransportError(f"{method} {url}: {why_not(url, error)}")
                continue
            self._preferred = index
            return Answer(answer, url)
        raise problem


def _onwards(reply: SandboxReply, at: int, size: int) -> Optional[int]:
    """Where the next part begins, None when all of the file is there."""
    if not reply.stored or reply.next >= size:
        return None
    if reply.next <= at:
        raise TransportError(f"a part from byte {at} was taken, and the central still wants byte {reply.next} next")
    return reply.next


def _common(lease: Lease) -> dict[str, str]:
    return {
        "Authorization": f"{JOB_SCHEME} {lease.job_token}",
        "Accept-Encoding": "identity",
        "User-Agent": "pilotage-pilot",
    }


class Piece:
    """The next `size` bytes of a file, as the body of a request that knows its length."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size
        self.start = file.tell()
        self.left = size

    def rewind(self) -> None:
        """Another central gets it from its beginning."""
        self.file.seek(self.start)
        self.left = self.size

    def read(self, most: int = -1) -> bytes:
        block = self.file.read(min(self.left, most if most > 0 else BLOCK, BLOCK))
        self.left -= len(block)
        return block


class Answer:
    """A response whose body has not been read yet. Breaking off is a `TransportError`."""

    def __init__(self, response: requests.Response, url: str) -> None:
        self.response = response
        self.url = url

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *problem: object) -> None:
        self.response.close()

    @property
    def status(self) -> int:
        return self.response.status_code

    def header(self, name: str) -> str:
        return self.response.headers.get(name, "")

    def blocks(self) -> Iterator[bytes]:
        try:
            yield from self.response.iter_content(BLOCK)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise TransportError(f"{self.url}: {error}") from error

    def read(self, kind: type[SandboxReply]) -> SandboxReply:
        """The message in it. Raises `Refusal`."""
        body = bytearray()
        for block in self.blocks():
            body += block
            if len(body) > MAX_ANSWER:
                raise TransportError(f"{self.url}: the answer is larger than {MAX_ANSWER} bytes")
        content_type = self.header("Content-Type").split(";")[0].strip()
        retry_after = self.header("Retry-After")
        seconds = float(retry_after) if retry_after.isdigit() and len(retry_after) < 8 else None
        return understood(Response(self.status, content_type, bytes(body), seconds), kind, self.url)


def _save(answer: Answer, part: Path, sha256: str, size: int) -> None:
    """Write the body to a file, no more than it may be, and verify it."""
    if answer.status != 200:
        answer.read(SandboxReply)  # says what is wrong
        raise TransportError(f"{answer.url}: status {answer.status} is no answer to this")
    digest, length = hashlib.sha256(), 0
    with part.open("wb") as file:
        for block in answer.blocks():
            length += len(block)
            if length > size:
                break
            digest.update(block)
            file.write(block)
    if length != size or digest.hexdigest() != sha256:
        detail = f"{answer.url}: expected {size} bytes with that digest, got {length} with {digest.hexdigest()}"
        raise Refusal("digest-mismatch", detail, expected=sha256, got=digest.hexdigest())
