"""Sandboxes over the wire: streamed, verified, resumed, and opened to those they are for."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from pilot.errors import Refusal
from pilot.protocol import Lease
from pilot.views import SandboxReply
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.wire_pilot import SignedPilot, decoded

MEGABYTE = 1024 * 1024


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


def path_of(content: bytes) -> str:
    return f"/v1/sandboxes/{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture
def content() -> bytes:
    return secrets.token_bytes(300_000)


def test_a_file_comes_back(ann: Person, content: bytes) -> None:
    """What was stored is fetched whole or in ranges, and its size is told; stored again it is not read."""
    path = path_of(content)
    assert ann.head(path).status_code == 404
    assert decoded(ann.put(path, data=content), SandboxReply).stored
    again = decoded(ann.put(path, data=content), SandboxReply)
    assert (again.stored, again.size) == (False, len(content))
    head = ann.head(path)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(content)))
    whole = ann.get(path)
    assert whole.content == content
    assert whole.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    part = ann.get(path, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(content)}"
    assert ann.get(path, headers={"Range": f"bytes={len(content) - 5}-"}).content == content[-5:]


def test_an_empty_file_is_a_file(ann: Person) -> None:
    """No bytes at all have a digest too."""
    path = path_of(b"")
    assert decoded(ann.put(path, data=b""), SandboxReply).size == 0
    answer = ann.get(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_wrong_bytes_are_refused(ann: Person, content: bytes) -> None:
    """Bytes that do not have the digest in the path are refused, and nothing becomes visible."""
    path = path_of(content)
    assert refused(lambda: decoded(ann.put(path, data=content + b"x"), SandboxReply)).type == "digest-mismatch"
    assert ann.get(path).status_code == 404


def test_a_file_in_parts_is_resumed(ann: Person, content: bytes) -> None:
    """A repeated part is harmless, a hole says where to go on, and HEAD tells how much is there."""
    path, total = path_of(content), len(content)

    def part(start: int, end: int) -> SandboxReply:
        return decoded(ann.put(f"{path}?offset={start}&size={total}", data=content[start:end]), SandboxReply)

    assert part(0, 100_000).next == 100_000
    assert part(0, 100_000).next == 100_000
    hole = refused(lambda: part(200_000, total))
    assert (hole.type, hole.expected) == ("gap", "100000")
    assert ann.head(path).headers["Pilotage-Next"] == "100000"
    assert part(50_000, total).next == total
    assert ann.get(path).content == content
    assert refused(lambda: decoded(ann.put(f"{path}?offset=1", data=b"x"), SandboxReply)).problems[0].where == "offset"


def test_communities_do_not_share_by_digest(central: RunningCentral, ann: Person, content: bytes) -> None:
    """Knowing the digest of another community's file opens nothing, and does not put it into a job."""
    ann.upload("x", content)
    dan = central.person("dan")
    assert dan.get(path_of(content)).status_code == 404
    assert dan.head(path_of(content)).status_code == 404
    assert central.person("ben").get(path_of(content)).content == content
    assert central.person("oli").get(path_of(content)).content == content


@pytest.fixture
def pilot(central: RunningCentral) -> Iterator[SignedPilot]:
    pilot = central.pilot()
    yield pilot
    pilot.bye()


@pytest.fixture
def lease(ann: Person, pilot: SignedPilot, content: bytes) -> Lease:
    file = ann.upload("data.bin", content)
    files = {"data.bin": {"sha256": file.sha256, "size": file.size}}
    ann.submit_one(inputs=["data.bin"], files=files)
    return pilot.match().leases[0]


def payload(central: RunningCentral, lease: Lease) -> Person:
    person = central.person(None)
    person.headers["Authorization"] = f"Job {lease.job_token}"
    return person


def test_a_payloads_token_opens_its_own_inputs(
    central: RunningCentral, ann: Person, pilot: SignedPilot, lease: Lease, content: bytes
) -> None:
    """With its token a payload fetches the inputs of its job and stores outputs, and nothing else is open to it."""
    inside = payload(central, lease)
    assert inside.get(path_of(content)).content == content
    other = b"another job's secret input"
    ann.upload("other", other)
    assert inside.get(path_of(other)).status_code == 404
    output = b"what the payload made" + secrets.token_bytes(4)
    assert decoded(inside.put(path_of(output), data=output), SandboxReply).stored
    assert ann.get(path_of(output)).content == output
    assert inside.get(path_of(output)).status_code == 404
    for path in ("/v1/jobs", "/v1/whoami", f"/v1/pilots/{pilot.stamp}", f"/v1/jobs/{lease.job}"):
        assert inside.get(path).status_code == 403
    pilot.succeed(lease)


def test_a_payloads_token_ends_with_its_attempt(
    central: RunningCentral, pilot: SignedPilot, lease: Lease, content: bytes
) -> None:
    """After the end of its attempt the token opens nothing, in either direction."""
    inside = payload(central, lease)
    pilot.succeed(lease)
    late = b"too late"
    assert refused(lambda: decoded(inside.get(path_of(content)), dict)).type == "stale-attempt"
    assert refused(lambda: decoded(inside.put(path_of(late), data=late), dict)).type == "stale-attempt"


def test_a_payloads_token_outlives_the_central(
    central: RunningCentral, pilot: SignedPilot, lease: Lease, content: bytes
) -> None:
    """After a crash of the central a running payload's token still opens its inputs."""
    central.kill()
    central.start()
    assert payload(central, lease).get(path_of(content)).content == content
    pilot.succeed(lease)


def test_a_large_file_costs_no_memory(central: RunningCentral, ann: Person) -> None:
    """A file is taken in and handed out in a stream: the central does not grow by it."""
    assert central.process is not None
    process = psutil.Process(central.process.pid)
    block = secrets.token_bytes(MEGABYTE)
    count = 150
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(block)
    path = f"/v1/sandboxes/{digest.hexdigest()}"
    ann.put(path_of(block), data=block)
    before = process.memory_info().rss
    reply = decoded(ann.put(path, data=(block for _ in range(count))), SandboxReply)
    assert reply.size == count * MEGABYTE
    with ann.get(path, stream=True) as answer:
        assert sum(len(piece) for piece in answer.iter_content(MEGABYTE)) == count * MEGABYTE
    assert process.memory_info().rss - before < 40 * MEGABYTE


def test_what_a_broken_upload_left_is_cleared(central: RunningCentral, ann: Person, content: bytes) -> None:
    """A sender that breaks off leaves no file behind."""

    def broken() -> Iterator[bytes]:
        yield content
        raise ConnectionError("the line is cut")

    with pytest.raises(requests.ConnectionError):
        ann.put(path_of(content + b"more"), data=broken())
    folder = Path(central.folder) / "objects"
    until(lambda: not list(folder.rglob(".part-*")), "the leftovers to go")
    assert ann.get(path_of(content + b"more")).status_code == 404
