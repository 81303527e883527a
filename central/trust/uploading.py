"""How one file goes to S3: what is to be signed for it. Pure.

Up to `PART` bytes a file goes in one request, which is good for exactly its bytes: their number and digest are signed.
A larger one goes in parts; then the sizes are signed, and the digests of the parts are nobody's to know here.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

from central.trust.presigning import Storage, presign
from pilot.errors import InvalidInput
from pilot.transfers import DownloadReply, SignedRequest, UploadPart, UploadReply, UploadRequest

#: Bytes of a part; more where there would be too many.
PART = 64 * 1024 * 1024
#: What S3 takes: parts of one object, and bytes of one.
MAX_PARTS = 10_000
MAX_SIZE = 5 * 1024**4
MAX_KEY = 1024
#: Parts that one answer is about, so that none is large.
PAGE = 20
_MIB = 1024 * 1024
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Place:
    """An object in a bucket, and for how long requests to it are signed."""

    storage: Storage
    bucket: str
    key: str
    now: float  # seconds since the epoch
    seconds: int

    def sign(
        self, method: str, query: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> SignedRequest:
        return presign(
            self.storage,
            method,
            self.bucket,
            self.key,
            now=self.now,
            seconds=self.seconds,
            query=query,
            headers=headers,
        )


def address(url: str, where: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` address. Raises `InvalidInput`."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key or key.endswith("/"):
        raise InvalidInput(where, f"expected s3://BUCKET/KEY, got {url[:200]!r}")
    if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY:
        raise InvalidInput(where, f"expected a key of at most {MAX_KEY} bytes")
    return bucket, key


def check(request: UploadRequest) -> None:
    """Raises `InvalidInput` for what no storage would take."""
    if not 0 <= request.size <= MAX_SIZE:
        raise InvalidInput("size", f"expected 0 to {MAX_SIZE} bytes, got {request.size}")
    if len(request.sha256) != 64 or not _HEX.issuperset(request.sha256):
        raise InvalidInput("sha256", "expected 64 hex digits")
    if len(request.upload) > 2048:
        raise InvalidInput("upload", "expected the UploadId that the storage gave, at most 2048 characters")
    if not 1 <= request.part <= parts_of(request.size)[1] + 1:
        raise InvalidInput("part", f"expected 1 to {parts_of(request.size)[1] + 1}, got {request.part}")


def parts_of(size: int) -> tuple[int, int]:
    """Bytes of each part but the last, and how many there are."""
    each = max(PART, math.ceil(size / MAX_PARTS / _MIB) * _MIB)
    return each, max(1, math.ceil(size / each))


def upload(place: Place, request: UploadRequest) -> UploadReply:
    """What is needed next for a file."""
    look = place.sign("HEAD", headers={"x-amz-checksum-mode": "ENABLED"})
    each, count = parts_of(request.size)
    if count == 1:
        digest = base64.b64encode(bytes.fromhex(request.sha256)).decode()
        exact = {"content-length": str(request.size), "x-amz-checksum-sha256": digest}
        return UploadReply(place.seconds, look, whole=place.sign("PUT", headers=exact), part_count=1)
    if not request.upload:
        return UploadReply(place.seconds, look, create=place.sign("POST", {"uploads": ""}), part_count=count)
    named = {"uploadId": request.upload}
    last = min(count, request.part + PAGE - 1)
    return UploadReply(
        place.seconds,
        look,
        parts=tuple(_part(place, named, number, each, request.size) for number in range(request.part, last + 1)),
        part_count=count,
        complete=place.sign("POST", named),
        abort=place.sign("DELETE", named),
    )


def _part(place: Place, named: dict[str, str], number: int, each: int, size: int) -> UploadPart:
    offset = (number - 1) * each
    length = min(each, size - offset)
    request = place.sign("PUT", {"partNumber": str(number), **named}, {"content-length": str(length)})
    return UploadPart(number, offset, length, request)


def download(place: Place) -> DownloadReply:
    """How an object is fetched."""
    return DownloadReply(place.seconds, place.sign("GET"))
