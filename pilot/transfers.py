"""What an attempt asks of its central on the way to a storage: requests signed beforehand, and no key on the node.

Sent with the job's token, not signed by the pilot; bytes are whole numbers and durations are seconds, as everywhere on
the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from pilot.protocol import VERSION


@dataclass(frozen=True)
class SignedRequest:
    """A request to a storage, signed beforehand: it may be made as it stands, by whoever has it, until it ages out."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)  # signed too: to be sent with these very values


@dataclass(frozen=True)
class UploadPart:
    """A piece of a file, and the request that stores it. Its answer's `ETag` is needed to complete the upload."""

    number: int  # from 1
    offset: int
    size: int  # bytes
    request: SignedRequest


@dataclass(frozen=True)
class UploadRequest:
    """`POST /v1/attempts/{job}/{attempt}/uploads` with the job's token: how to store one file at an `s3://` address.

    The address lies below `urls` of an s3 credential that the job names. A file that goes in parts is asked for twice
    or more: without `upload` the answer is how to begin; what that gives as `UploadId` is asked with, from `part` on.
    Asking again is harmless, and how one goes on after requests aged out.
    """

    destination: str  # s3://BUCKET/KEY
    size: int  # bytes
    sha256: str
    upload: str = ""  # the storage's UploadId
    part: int = 1  # the first that is wanted
    version: int = VERSION


@dataclass(frozen=True)
class UploadReply:
    """Either `whole`, or `create`, or `parts` with `complete` and `abort`; and always `check`."""

    seconds: int  # how long the requests are good for
    check: SignedRequest  # HEAD: Content-Length, and x-amz-checksum-sha256 (base64) where the storage keeps it
    whole: Optional[SignedRequest] = None  # PUT of all bytes
    create: Optional[SignedRequest] = None  # POST with an empty body; the answer is XML with an UploadId
    parts: tuple[UploadPart, ...] = ()  # PUT, from the one asked for on, as many as one answer carries
    part_count: int = 0  # of the whole file
    complete: Optional[SignedRequest] = None  # POST of CompleteMultipartUpload in XML: every part's number and ETag
    abort: Optional[SignedRequest] = None  # DELETE
    version: int = VERSION


@dataclass(frozen=True)
class DownloadRequest:
    """`POST /v1/attempts/{job}/{attempt}/downloads` with the job's token: how to fetch from an `s3://` address."""

    source: str  # s3://BUCKET/KEY, below `urls` of an s3 credential that the job names
    version: int = VERSION


@dataclass(frozen=True)
class DownloadReply:
    """`fetch` takes a header Range beside those that are signed."""

    seconds: int  # how long the request is good for
    fetch: SignedRequest  # GET
    version: int = VERSION
