"""Has the central sign requests to S3 storages: their keys never come to a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, TypeVar

from pilot import codec
from pilot.errors import TransportError
from pilot.monitor.central_client import understood
from pilot.protocol import JOB_SCHEME, Lease
from pilot.transfers import DownloadReply, DownloadRequest, UploadReply, UploadRequest
from pilot.transport import Transport

M = TypeVar("M")
#: Seconds for one answer.
PATIENCE = 30.0


class SignedByCentral:
    """`Signer` of the storages, with the attempt's own token. The central that answered last is asked first."""

    def __init__(self, urls: Sequence[str], transport: Transport) -> None:
        self.urls = tuple(urls)
        self.transport = transport
        self._preferred = 0

    def upload(self, lease: Lease, request: UploadRequest) -> UploadReply:
        return self._ask(lease, "uploads", request, UploadReply)

    def download(self, lease: Lease, request: DownloadRequest) -> DownloadReply:
        return self._ask(lease, "downloads", request, DownloadReply)

    def _ask(self, lease: Lease, what: str, request: object, reply: type[M]) -> M:
        problem: Optional[TransportError] = None
        first = self._preferred
        headers = {"Authorization": f"{JOB_SCHEME} {lease.job_token}", "Content-Type": "application/json"}
        for turn in range(len(self.urls)):
            index = (first + turn) % len(self.urls)
            url = f"{self.urls[index]}/v1/attempts/{lease.job}/{lease.attempt}/{what}"
            try:
                answer = self.transport.send("POST", url, headers, codec.dumps(request), PATIENCE)
            except TransportError as error:
                problem = error
                continue
            self._preferred = index
            return understood(answer, reply, url)
        raise problem or TransportError("no central is configured, and without one nobody can sign for s3://")
