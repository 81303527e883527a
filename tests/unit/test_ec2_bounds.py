"""What EC2, or whoever says that he is, cannot do to a central that asks it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3", reason="boto3 is not installed")

from botocore.awsrequest import AWSResponse  # type: ignore[import-untyped]
from botocore.httpsession import URLLib3Session  # type: ignore[import-untyped]
from urllib3.exceptions import ProtocolError

from central.clouds.ec2 import bounded
from central.clouds.ec2.bounded import Bounded
from central.clouds.ec2.provider import Ec2
from central.clouds.ec2.wire import Wire
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble

EMPTY = b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"
ON = b"<DescribeInstancesResponse><reservationSet/><nextToken>%d</nextToken></DescribeInstancesResponse>"


class Raw:
    """A body, in parts."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self.parts = parts
        self.closed = False

    def read1(self, most: int) -> bytes:
        part = next(self.parts, b"")
        if part == b"broken":
            raise ProtocolError("broken")
        return part

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Iterator[bytes]]], Any]:
    """The machines that a service lists which answers with these parts."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # botocore's pauses between its attempts
    held = tmp_path / "key"
    held.write_text(json.dumps({"access_key": "AK", "secret_key": "SK"}))
    cloud = Cloud("c5.large", "ami-1", url="https://cloud.example:8788/", patience=5.0)

    def asked(parts: Callable[[], Iterator[bytes]]) -> Any:
        def send(self: object, request: Any) -> Any:
            return AWSResponse(request.url, 200, {}, Raw(parts()))

        monkeypatch.setattr(URLLib3Session, "send", send)

        async def machines() -> Any:
            clock = itertools.count(0.0, 0.01)
            provider = Ec2(cloud, "c0ffee01", Wire(cloud, held), lambda: next(clock), lambda: 0.0)
            try:
                return await provider.machines()
            finally:
                await provider.close()

        return asyncio.run(machines())

    return asked


def test_a_key_with_its_session_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes along; a key that is set anew is used from the next request on, and connections of the old one are
    closed."""
    sent: list[str] = []
    closed: list[object] = []
    close = URLLib3Session.close

    def send(self: object, request: Any) -> Any:
        headers = {name.lower(): value for name, value in request.headers.items()}
        sent.append(headers["x-amz-security-token"].decode())
        return AWSResponse(request.url, 200, {}, Raw(iter([EMPTY])))

    def closes(self: Any) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(URLLib3Session, "send", send)
    monkeypatch.setattr(URLLib3Session, "close", closes)
    held = tmp_path / "key"

    async def ask() -> None:
        wire = Wire(Cloud("c5.large", "ami-1", url="https://cloud.example/", patience=5.0), held)
        for token in ("first", "second"):
            held.write_text(json.dumps({"access_key": "ASIA", "secret_key": "SK", "session_token": token}))
            await wire.ask(lambda client: client.describe_instances())
        before = len(closed)
        await wire.close()
        assert 0 < before == len(closed) / 2

    asyncio.run(ask())
    assert sent == ["first", "second"]


def test_an_answer_that_ends(ask: Any) -> None:
    """It is read to its end, in however many parts it comes."""
    assert ask(lambda: iter([EMPTY[:20], EMPTY[20:]])) == []


def test_an_answer_without_an_end(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read for ever, nor is all of it kept."""
    monkeypatch.setattr(bounded, "BOUND", 1000)
    with pytest.raises(ComputingError, match="an answer of more than 1000 bytes") as told:
        ask(lambda: itertools.repeat(b"x" * 100))
    assert told.value.trouble is Trouble.UNREACHABLE


def test_an_answer_that_says_something_else(ask: Any) -> None:
    """A machine without an id, as a cloud may tell that only speaks like EC2: nothing follows from the list."""
    body = EMPTY.replace(
        b"<reservationSet/>", b"<reservationSet><item><instancesSet><item/></instancesSet></item></reservationSet>"
    )
    with pytest.raises(ComputingError, match="EC2 gives an answer that cannot be understood: KeyError") as told:
        ask(lambda: iter([body]))
    assert told.value.trouble is Trouble.UNREACHABLE


def test_an_answer_that_breaks_off(ask: Any) -> None:
    """A connection that is lost within an answer is as one without."""
    with pytest.raises(ComputingError, match="ConnectionClosedError") as told:
        ask(lambda: iter([EMPTY[:20], b"broken"]))
    assert told.value.trouble is Trouble.UNREACHABLE


def test_an_answer_that_drips() -> None:
    """An answer that comes a byte at a time has as long as any other."""
    clock = itertools.count(0.0, 1.0)
    raw = Raw(itertools.repeat(b"x"))
    with pytest.raises(Exception, match="Read timeout"):
        Bounded(5.0, lambda: next(clock))._whole(raw, "https://cloud.example")
    assert raw.closed


def test_a_list_that_never_ends(ask: Any) -> None:
    """A service that names another page each time is left when nobody waits for the rest."""
    numbers = itertools.count()
    with pytest.raises(ComputingError, match="no end of Reservations"):
        ask(lambda: iter([ON % next(numbers)]))
