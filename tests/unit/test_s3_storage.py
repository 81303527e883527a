"""S3 by requests that somebody else signed: in parts, with requests that age out, and what is begun in vain aborted."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pilot.destination import source_of, target_of
from pilot.destinations.port import Errand, Rejected, Source, Unavailable, digests_of
from pilot.destinations.s3 import PART_TRIES, S3Storage
from pilot.destinations.web import Body, Reply
from pilot.errors import Refusal, TransportError
from pilot.transfers import DownloadReply, SignedRequest, UploadPart, UploadReply, UploadRequest
from tests.pilot_fakes import shell

PART = 4
CREATED = b"<InitiateMultipartUploadResult><UploadId>id&amp;1</UploadId></InitiateMultipartUploadResult>"


def signed(method: str, what: str) -> SignedRequest:
    return SignedRequest(method, f"https://s3.example/{what}", {"x-signed": what})


class FakeS3:
    """Signer, web and clock at once."""

    def __init__(self, seconds: int = 3600, page: int = 2) -> None:
        self.seconds = seconds
        self.page = page
        self.requests: list[UploadRequest] = []
        self.asked: list[str] = []
        self.parts: dict[int, bytes] = {}
        self.completed = b""
        self.now = 0.0
        self.problems: dict[str, list[Any]] = {}
        self.checksum = ""

    def upload(self, lease: object, request: UploadRequest) -> UploadReply:
        self.requests.append(request)
        assert len(self.requests) < 100, "it is asked without end"
        count = -(-request.size // PART)
        check = signed("HEAD", "check")
        if count <= 1:
            return UploadReply(self.seconds, check, whole=signed("PUT", "whole"), part_count=1)
        if not request.upload:
            return UploadReply(self.seconds, check, create=signed("POST", "create"), part_count=count)
        numbers = range(request.part, min(count, request.part + self.page - 1) + 1)
        parts = tuple(
            UploadPart(n, (n - 1) * PART, min(PART, request.size - (n - 1) * PART), signed("PUT", f"part-{n}"))
            for n in numbers
        )
        complete, abort = signed("POST", "complete"), signed("DELETE", "abort")
        return UploadReply(self.seconds, check, parts=parts, part_count=count, complete=complete, abort=abort)

    def download(self, lease: object, request: object) -> DownloadReply:
        return DownloadReply(60, signed("GET", "get"))

    def ask(
        self,
        method: str,
        url: str,
        headers: Callable[[str], Any],
        pause: object,
        *,
        body: Body | None = None,
        sink: Callable[[bytes], object] | None = None,
        plain: bool = False,
    ) -> Reply:
        what = url.rpartition("/")[2]
        self.asked.append(what)
        assert headers(url) == {"x-signed": what}
        assert plain
        content = b"".join(body.blocks()) if body else b""
        self.now += 1
        if self.problems.get(what):
            answer = self.problems[what].pop(0)
            if isinstance(answer, Reply):
                return answer
            raise answer
        if what == "create":
            return Reply(200, "OK", url, {}, CREATED)
        if what == "complete":
            self.completed = content
        if what.startswith("part-"):
            self.parts[int(what[5:])] = content
            return Reply(200, "OK", url, {"etag": f'"tag-{what[5:]}"'})
        if what == "check":
            return Reply(200, "OK", url, {"x-amz-checksum-sha256": self.checksum} if self.checksum else {})
        if sink:
            sink(b"content")
        return Reply(200, "OK", url)


def put(s3: FakeS3, folder: Path, content: bytes, steady: Callable[[], float] | None = None) -> None:
    (folder / "out").write_bytes(content)
    storage = S3Storage(s3, s3, steady or (lambda: s3.now))  # type: ignore[arg-type]
    source = Source(folder / "out", digests_of(folder / "out", None))
    storage.put(source, target_of("s3://bucket/", 1, 1, "out"), Errand(shell(1, "true"), lambda seconds: False))


def test_a_small_file_goes_at_once(tmp_path: Path) -> None:
    """One request stores it, one more looks at it."""
    s3 = FakeS3()
    put(s3, tmp_path, b"abc")
    assert s3.asked == ["whole", "check"]
    assert (s3.requests[0].destination, s3.requests[0].size) == ("s3://bucket/out", 3)


def test_a_large_file_goes_in_parts(tmp_path: Path) -> None:
    """Each part is sent once, requests for more are asked for as they are needed, and all are named at the end."""
    s3 = FakeS3()
    put(s3, tmp_path, b"0123456789abcdefg")
    assert b"".join(s3.parts[number] for number in sorted(s3.parts)) == b"0123456789abcdefg"
    assert [(request.upload, request.part) for request in s3.requests] == [
        ("", 1), ("id&1", 1), ("id&1", 3), ("id&1", 5),
    ]  # fmt: skip
    assert s3.asked[-2:] == ["complete", "check"]
    assert s3.completed.startswith(b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;tag-1&quot;")
    assert s3.completed.count(b"<Part>") == 5


def test_requests_that_age_out_are_asked_for_again(tmp_path: Path) -> None:
    """Before a signed request is too old a new one is asked for, from the part that is next."""
    s3 = FakeS3(seconds=2, page=20)
    put(s3, tmp_path, b"0123456789abcdef")
    assert [request.part for request in s3.requests[1:]] == [1, 3, 5]
    assert len(s3.parts) == 4


def test_requests_that_are_good_for_no_time_bring_it_on_all_the_same(tmp_path: Path) -> None:
    """However short a central signs for, each answer of its own gets a part sent: it is not asked without end."""
    s3 = FakeS3(seconds=0, page=20)
    put(s3, tmp_path, b"0123456789", count().__next__)
    assert [request.part for request in s3.requests[1:]] == [1, 2, 3, 4]
    assert s3.asked[1:4] == ["part-1", "part-2", "part-3"]


def test_other_parts_than_the_next(tmp_path: Path) -> None:
    """A central that signs for other parts than the one that was asked for is not asked again."""
    s3, right = FakeS3(), FakeS3.upload

    def wrong(lease: object, request: UploadRequest) -> UploadReply:
        reply = right(s3, lease, request)
        return replace(reply, parts=reply.parts[1:])

    s3.upload = wrong  # type: ignore[method-assign]
    with pytest.raises(Rejected, match="did not sign the part of it that is next"):
        put(s3, tmp_path, b"0123456789")
    assert s3.asked == ["create"]


def test_a_part_that_fails_is_sent_again(tmp_path: Path) -> None:
    """Trouble with one part costs that part."""
    s3 = FakeS3()
    s3.problems = {"part-2": [TransportError("reset"), Reply(503, "SlowDown", "https://s3.example/part-2")]}
    put(s3, tmp_path, b"0123456789")
    assert s3.asked.count("part-1") == 1
    assert s3.asked.count("part-2") == 3


def test_what_was_begun_in_vain_is_aborted(tmp_path: Path) -> None:
    """Parts of a file that cannot be completed do not stay to be paid for."""
    s3 = FakeS3()
    s3.problems = {"part-2": [TransportError("reset")] * PART_TRIES}
    with pytest.raises(TransportError, match="reset"):
        put(s3, tmp_path, b"0123456789")
    assert s3.asked[-1] == "abort"


def test_an_error_after_the_status(tmp_path: Path) -> None:
    """S3 may say that it completed nothing after it has said 200."""
    s3 = FakeS3()
    error = Reply(200, "OK", "https://s3.example/complete", {}, b"<Error><Code>InternalError</Code></Error>")
    s3.problems = {"complete": [error]}
    with pytest.raises(TransportError, match="InternalError"):
        put(s3, tmp_path, b"0123456789")


def test_another_checksum(tmp_path: Path) -> None:
    """Where the storage keeps a SHA-256 it must be the file's."""
    s3 = FakeS3()
    s3.checksum = base64.b64encode(bytes(32)).decode()
    with pytest.raises(TransportError, match="stored wrongly: expected sha256"):
        put(s3, tmp_path, b"abc")


def test_the_storages_own_word(tmp_path: Path) -> None:
    """A refusal is told with the code that S3 gives it."""
    s3 = FakeS3()
    body = b"<Error><Code>NoSuchBucket</Code></Error>"
    s3.problems = {"whole": [Reply(404, "Not Found", "https://s3.example/whole?X-Amz-Signature=secret", {}, body)]}
    with pytest.raises(Rejected, match=r"PUT https://s3.example/whole: 404 Not Found \(NoSuchBucket\)") as caught:
        put(s3, tmp_path, b"abc")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("kind", "error"), [("forbidden", Rejected), ("busy", Unavailable)])
def test_a_central_that_does_not_sign(tmp_path: Path, kind: str, error: type[Exception]) -> None:
    """What the central refuses for good is final for that destination, and what it refuses for now is not."""
    s3 = FakeS3()

    def refuse(lease: object, request: object) -> UploadReply:
        raise Refusal(kind, "no credential is for that", retry_after=5)

    s3.upload = refuse  # type: ignore[method-assign]
    with pytest.raises(error, match="no credential is for that"):
        put(s3, tmp_path, b"abc")


def test_a_download() -> None:
    """An input is read by a signed request too."""
    s3, blocks = FakeS3(), list[bytes]()
    storage = S3Storage(s3, s3)  # type: ignore[arg-type]
    storage.get(source_of("s3://bucket/in"), blocks.append, Errand(shell(1, "true"), lambda seconds: False))
    assert (s3.asked, blocks) == (["get"], [b"content"])
