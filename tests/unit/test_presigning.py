"""Requests to S3 that are signed beforehand."""

from __future__ import annotations

import base64
import calendar
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from central.trust.presigning import Storage, presign, storage
from central.trust.uploading import MAX_PARTS, MAX_SIZE, PAGE, PART, Place, address, check, download, parts_of, upload
from pilot.errors import InvalidInput
from pilot.transfers import UploadRequest

#: Amazon's own worked example of a query that is signed.
AMAZON = Storage(
    "https://s3.amazonaws.com", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", style="host"
)
OURS = Storage("https://s3.example:9000", "AKIAEXAMPLE", "horse/battery+staple", "eu-west-1")
NOW = float(calendar.timegm((2026, 11, 26, 12, 30, 15)))
DIGEST = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
MIB = 1024 * 1024


def signature(url: str) -> str:
    return parse_qs(urlsplit(url).query)["X-Amz-Signature"][0]


def test_amazons_example() -> None:
    """The signature is the one that Amazon publishes for its example."""
    now = float(calendar.timegm((2013, 5, 24, 0, 0, 0)))
    made = presign(AMAZON, "GET", "examplebucket", "test.txt", now=now, seconds=86400)
    assert made.url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_what_an_sdk_signs() -> None:
    """Signed headers, names that need quoting, a port, a session's token, and parts: as botocore 1.44.8 signs them."""
    checksum = base64.b64encode(bytes.fromhex(DIGEST)).decode()
    put = presign(
        OURS,
        "PUT",
        "lake",
        "ann/a b/café~1+(2).root",
        now=NOW,
        seconds=3600,
        headers={"Content-Length": "12", "x-amz-checksum-sha256": checksum},
    )
    assert put.url.startswith("https://s3.example:9000/lake/ann/a%20b/caf%C3%A9~1%2B%282%29.root?")
    assert signature(put.url) == "a165561fa236b2920ab92507c053cfa4dfea720b41356795d1ba0a83cf96158b"
    assert put.headers == {"content-length": "12", "x-amz-checksum-sha256": checksum}
    part = presign(
        replace(OURS, endpoint="https://s3.example:443", style="host", session_token="tok/en+1=="),
        "PUT",
        "lake",
        "k",
        now=NOW,
        seconds=3600,
        query={"partNumber": "7", "uploadId": "a/b+c="},
        headers={"content-length": "5"},
    )
    assert part.url.startswith("https://lake.s3.example/k?")
    assert signature(part.url) == "5ca875c348f6c0f90506ac018b24d1b52f7e0edc1a32e3898c052e704ed9fdea"
    plain = replace(OURS, endpoint="http://s3.example")
    begin = presign(plain, "POST", "lake", "k", now=NOW, seconds=3600, query={"uploads": ""})
    assert signature(begin.url) == "bf6a285f71415b637f6a35f8ce985fb6bbc6225847c4168c940a29412647e2f7"


def test_no_secret_is_shown() -> None:
    """Neither the key nor a session's token stands in what a fault would print; the key is in no request."""
    values = {"endpoint": "https://h", "access_key": "AK", "secret_key": "horse-key", "session_token": "horse-token"}
    door = storage(values)
    assert "horse" not in repr(door)
    assert "horse-key" not in str(presign(door, "GET", "b", "k", now=NOW, seconds=60))


def place(seconds: int = 600) -> Place:
    return Place(OURS, "lake", "ann/out.root", NOW, seconds)


def test_a_small_file_goes_in_one_request() -> None:
    """It is good for exactly those bytes, and comes with the way to look at what arrived."""
    reply = upload(place(), UploadRequest("s3://lake/ann/out.root", PART, DIGEST))
    assert reply.whole is not None
    assert reply.create is None
    assert not reply.parts
    assert reply.whole.method == "PUT"
    assert reply.whole.headers["content-length"] == str(PART)
    assert base64.b64decode(reply.whole.headers["x-amz-checksum-sha256"]).hex() == DIGEST
    assert reply.check.method == "HEAD"
    assert (reply.seconds, reply.part_count) == (600, 1)


def test_a_large_file_goes_in_parts() -> None:
    """First how to begin; then parts from the one asked for on, each of its own length, and both ways to end."""
    size = 30 * PART + 5
    request = UploadRequest("s3://lake/ann/out.root", size, DIGEST)
    begin = upload(place(), request)
    assert begin.create is not None
    assert begin.whole is None
    assert not begin.parts
    assert begin.part_count == 31
    assert begin.create.method == "POST"
    assert "uploads=" in begin.create.url
    first = upload(place(), replace(request, upload="u1"))
    assert [part.number for part in first.parts] == list(range(1, PAGE + 1))
    rest = upload(place(), replace(request, upload="u1", part=PAGE + 1))
    assert [part.number for part in rest.parts] == list(range(PAGE + 1, 32))
    parts = [*first.parts, *rest.parts]
    assert [part.offset for part in parts] == [PART * number for number in range(31)]
    assert sum(part.size for part in parts) == size
    assert {part.request.headers["content-length"] for part in parts[:-1]} == {str(PART)}
    assert parts[-1].request.headers["content-length"] == "5"
    assert "partNumber=31" in parts[-1].request.url
    assert "uploadId=u1" in parts[-1].request.url
    assert rest.complete is not None
    assert rest.complete.method == "POST"
    assert "uploadId=u1" in rest.complete.url
    assert rest.abort is not None
    assert rest.abort.method == "DELETE"
    assert "uploadId=u1" in rest.abort.url
    over = upload(place(), replace(request, upload="u1", part=32))
    assert over.parts == ()
    assert over.complete is not None


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 20 * 10**9, MAX_PARTS * PART, MAX_PARTS * PART + 1, MAX_SIZE])
def test_parts_cover_a_file_within_what_s3_takes(size: int) -> None:
    """No more than ten thousand parts, none but the last below 5 MiB, none above 5 GiB, and together the file."""
    each, count = parts_of(size)
    assert count <= MAX_PARTS
    assert (count - 1) * each < max(size, 1) <= count * each
    assert 5 * MIB <= each <= 5 * 1024 * MIB


def test_a_download_is_one_request() -> None:
    """Nothing but the object's address is in it, so that a range may be asked for."""
    reply = download(place(60))
    assert (reply.fetch.method, reply.fetch.headers, reply.seconds) == ("GET", {}, 60)
    assert "X-Amz-Expires=60" in reply.fetch.url


def test_addresses() -> None:
    """A bucket and a key, whatever signs the key has; an address without one of them is refused with its place."""
    assert address("s3://lake/a b/c?d#e", "x") == ("lake", "a b/c?d#e")
    long = f"s3://lake/{'k' * 1025}"
    for wrong in ("s3://lake", "s3://lake/", "s3://lake/folder/", "s3:///key", "https://lake/key", long):
        with pytest.raises(InvalidInput) as problem:
            address(wrong, "destination")
        assert problem.value.where == "destination"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"size": -1}, "size"),
        ({"size": MAX_SIZE + 1}, "size"),
        ({"sha256": DIGEST.upper()}, "sha256"),
        ({"sha256": ""}, "sha256"),
        ({"upload": "u" * 2049}, "upload"),
        ({"part": 0}, "part"),
        ({"part": 3}, "part"),
    ],
)
def test_requests_are_bounded(change: dict[str, object], where: str) -> None:
    """What no storage would take is refused with the field."""
    request = UploadRequest("s3://lake/k", 10, DIGEST)
    check(request)
    with pytest.raises(InvalidInput) as problem:
        check(replace(request, **change))  # type: ignore[arg-type]
    assert problem.value.where == where
