"""``s3://``: requests that the central has signed with the owner's keys, in parts for large files.

A file appears under its name when its last request has succeeded, never before, and never in part.
"""

from __future__ import annotations

import html
import io
import re
import time
from contextlib import suppress
from typing import BinaryIO, Callable, Optional

from pilot.destination import Target
from pilot.destinations.https import told_by
from pilot.destinations.port import Digests, Errand, Rejected, Source, Unavailable, compare
from pilot.destinations.storages import Signer
from pilot.destinations.web import Body, Reply, Web
from pilot.errors import PilotageError, Refusal, TransportError
from pilot.transfers import DownloadRequest, SignedRequest, UploadPart, UploadReply, UploadRequest

#: Tries of one part, and seconds before the next: to send all others again would cost more.
PART_TRIES, PART_WAIT = 4, 2.0
#: Parts that S3 knows at most.
MAX_PARTS = 10_000
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]{1,2048})</UploadId>")
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")


class S3Storage:
    """`pilot.destinations.port.Storage` for ``s3://``."""

    def __init__(self, web: Web, signer: Signer, steady: Callable[[], float] = time.monotonic) -> None:
        self.web = web
        self.signer = signer
        self.steady = steady

    def put(self, source: Source, target: Target, errand: Errand) -> None:
        digests = source.digests
        request = UploadRequest(target.url, digests.size, digests.sha256)
        reply = self._signed(errand, request)
        with source.open() as file:
            if reply.whole is not None:
                self._ask(reply.whole, errand, Body(file, digests.size))
            elif reply.create is not None:
                reply = _InParts(self, file, request, errand).send(reply.create)
            else:
                raise Rejected(f"{target.url}: the central signed neither a whole upload nor the beginning of one")
        self._check(reply.check, target.url, digests, errand)

    def get(self, target: Target, sink: Callable[[bytes], object], errand: Errand) -> None:
        try:
            reply = self.signer.download(errand.lease, DownloadRequest(target.url))
        except Refusal as refusal:
            raise as_ours(refusal, target.url) from refusal
        self._ask(reply.fetch, errand, sink=sink)

    def _signed(self, errand: Errand, request: UploadRequest) -> UploadReply:
        try:
            return self.signer.upload(errand.lease, request)
        except Refusal as refusal:
            raise as_ours(refusal, request.destination) from refusal

    def _check(self, signed: SignedRequest, url: str, expected: Digests, errand: Errand) -> None:
        """What the storage says of it now: its size, and its digest where it keeps one."""
        reply = self._ask(signed, errand)
        found = told_by({**reply.headers, "digest": f"sha-256={reply.headers.get('x-amz-checksum-sha256', '')}"})
        compare(expected, found, url)

    def _ask(
        self,
        signed: SignedRequest,
        errand: Errand,
        body: Optional[Body] = None,
        sink: Optional[Callable[[bytes], object]] = None,
    ) -> Reply:
        reply = self.web.ask(
            signed.method, signed.url, lambda _: signed.headers, errand.pause, body=body, sink=sink, plain=True
        )
        code = _CODE.search(reply.body)
        if not reply.good and code:
            reply = Reply(reply.status, f"{reply.reason} ({code[1].decode()})", reply.url, reply.headers)
        return reply.expect_good(signed.method)


class _InParts:
    """One file on its way in parts."""

    def __init__(self, storage: S3Storage, file: BinaryIO, request: UploadRequest, errand: Errand) -> None:
        self.storage = storage
        self.file = file
        self.request = request
        self.errand = errand
        self.tags: list[str] = []

    def send(self, create: SignedRequest) -> UploadReply:
        """All parts, and the word that they are one file. What was begun in vain is aborted."""
        found = _UPLOAD_ID.search(self.storage._ask(create, self.errand).body)
        if found is None:
            raise TransportError(f"{self.request.destination}: the storage began no upload that it gives a name to")
        upload = html.unescape(found[1].decode("ascii", "replace"))
        reply = self._next(upload)
        try:
            while len(self.tags) < reply.part_count:
                reply = self._some(upload, reply)
            return self._complete(reply)
        except PilotageError:
            if reply.abort is not None:
                with suppress(PilotageError):
                    self.storage._ask(reply.abort, self.errand)
            raise

    def _next(self, upload: str) -> UploadReply:
        """Requests for the parts that are still to be sent."""
        request = UploadRequest(
            self.request.destination, self.request.size, self.request.sha256, upload, len(self.tags) + 1
        )
        reply = self.storage._signed(self.errand, request)
        first = reply.parts[0].number if reply.parts else None
        lacking = len(self.tags) < reply.part_count and first != len(self.tags) + 1
        if lacking or not 0 < reply.part_count <= MAX_PARTS:
            raise Rejected(f"{self.request.destination}: the central did not sign the part of it that is next")
        return reply

    def _some(self, upload: str, reply: UploadReply) -> UploadReply:
        """Send what this answer has requests for, while they are good, and one in any case: each answer brings us on.

        Returns the answer to go on with.
        """
        fresh = self.storage.steady() + 0.8 * reply.seconds
        for part in reply.parts:
            if part.number == len(self.tags) + 1:
                self.tags.append(self._part(part))
            if self.storage.steady() > fresh:
                break
        return self._next(upload) if len(self.tags) < reply.part_count or self.storage.steady() > fresh else reply

    def _part(self, part: UploadPart) -> str:
        """Send one. Returns what the storage calls it."""
        body = Body(self.file, part.size, part.offset)
        tries = 1
        while True:
            try:
                return self.storage._ask(part.request, self.errand, body).headers.get("etag", "")
            except TransportError:  # noqa: PERF203 - one part takes seconds
                if tries == PART_TRIES or self.errand.pause(PART_WAIT * tries):
                    raise
                tries += 1

    def _complete(self, reply: UploadReply) -> UploadReply:
        if reply.complete is None:
            raise Rejected(f"{self.request.destination}: the central did not sign the end of the upload")
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{html.escape(tag)}</ETag></Part>"
            for number, tag in enumerate(self.tags, 1)
        )
        text = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        answer = self.storage._ask(reply.complete, self.errand, Body(io.BytesIO(text), len(text)))
        code = _CODE.search(answer.body)
        if b"<Error>" in answer.body:  # it says so after it has said 200
            raise TransportError(f"{self.request.destination}: {code[1].decode() if code else 'it was not completed'}")
        return reply


def as_ours(refusal: Refusal, url: str) -> PilotageError:
    """What the central's refusal to sign means for a file."""
    said = f"{url}: {refusal}"
    return Unavailable(said, refusal.retry_after) if refusal.transient else Rejected(said)
