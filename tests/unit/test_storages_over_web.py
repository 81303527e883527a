"""Storages over HTTPS: whom they let send us on, what they may delete, and which connections stay open."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from pilot.destination import target_of
from pilot.destinations import connection
from pilot.destinations.connection import Connection, Place
from pilot.destinations.https import HttpsStorage
from pilot.destinations.port import Differs, Digests, Errand, Rejected, Source
from pilot.destinations.web import KEPT, MAX_IDLE, STALE, Reply, Web
from pilot.errors import TransportError
from tests.pilot_fakes import shell

URL = "https://dav.example/x/out"
HELLO = Digests(5, hashlib.sha256(b"hello").hexdigest(), "062c0215")


def quiet(seconds: float) -> bool:
    return False


def no_headers(url: str) -> Mapping[str, str]:
    return {}


class Answering(Web):
    """A web whose answers are those of the test, by method; it remembers what it was asked."""

    def __init__(self, **answers: Reply) -> None:
        super().__init__(ssl.create_default_context(), lambda url: "")
        self.answers = answers
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def _once(self, method: str, url: str, place: Place, headers: Mapping[str, str], *rest: Any) -> Reply:
        self.asked.append((method, headers))
        return self.answers[method]


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
def test_a_name_that_cannot_be_looked_up_is_refused(host: str) -> None:
    """A host that the resolver raises for, as after a redirect, is the storage's fault and none of the node."""
    with pytest.raises(Rejected, match="nothing to connect to"):
        Web(ssl.create_default_context(), lambda url: "").ask("GET", f"https://{host}/x", no_headers, quiet)


@pytest.mark.parametrize("location", ["https://[", "//[/x"])
def test_a_redirect_to_no_url_is_refused(location: str) -> None:
    """Whoever sends us on to what is no URL does not have the file."""
    answering = Answering(GET=Reply(302, "Found", URL, {"location": location}))
    with pytest.raises(Rejected, match="no URL"):
        answering.ask("GET", URL, no_headers, quiet)


def put(answering: Web, folder: Path) -> None:
    path = folder / "out"
    path.write_bytes(b"hello")
    errand = Errand(shell(1, "true"), quiet)
    HttpsStorage(answering).put(Source(path, HELLO), target_of(URL, 1, 1, "out"), errand)


def test_only_what_was_put_wrongly_is_removed(tmp_path: Path) -> None:
    """A file that differs is removed as long as it is the one that was put, and no other."""
    put_, gone = Reply(201, "", URL, {"etag": '"v1"'}), Reply(412, "", URL)
    answering = Answering(PUT=put_, HEAD=Reply(200, "", URL, {"content-length": "2"}), DELETE=gone)
    with pytest.raises(Differs):
        put(answering, tmp_path)
    (told,) = [headers for method, headers in answering.asked if method == "DELETE"]
    assert told["If-Match"] == '"v1"'


@pytest.mark.parametrize(
    ("tag", "head"),
    [
        ({}, Reply(200, "", URL, {"content-length": "2"})),
        ({"etag": '"v1"'}, Reply(503, "", URL)),
        ({"etag": '"v1"'}, Reply(404, "", URL)),
    ],
)
def test_nothing_is_removed_on_suspicion(tag: Mapping[str, str], head: Reply, tmp_path: Path) -> None:
    """A storage that does not say which file it took, or what it has, keeps it: it may be that of another attempt."""
    answering = Answering(PUT=Reply(201, "", URL, tag), HEAD=head)
    with pytest.raises(TransportError):
        put(answering, tmp_path)
    assert [method for method, _ in answering.asked] == ["PUT", "HEAD"]


class Idle:
    """In the place of a connection that is idle."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_idle_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many places there are, few connections stay open, those used last; and none for long."""
    now = [100.0]
    monkeypatch.setattr("pilot.destinations.web.time.monotonic", lambda: now[0])
    many = Answering()
    idle = [Idle(Place(f"h{number}", 443)) for number in range(MAX_IDLE + 5)]
    for one in idle:
        now[0] += 0.01
        many._keep(cast(Connection, one))
    assert [one.closed for one in idle] == [True] * 5 + [False] * MAX_IDLE
    now[0] += STALE
    same = [Idle(Place("same", 443)) for _ in range(KEPT + 1)]
    for one in same:
        many._keep(cast(Connection, one))
    assert all(one.closed for one in idle)
    assert [one.closed for one in same] == [True] + [False] * KEPT


class Peer:
    """A socket that is connected to an address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def getpeername(self) -> tuple[str, int]:
        return self.address, 80


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("::ffff:169.254.169.254", "s3.example"),
        ("fd00:ec2::254", "s3.example"),
        ("100.100.100.200", "s3.example"),
        ("10.0.0.1", "169.254.169.254"),  # asked by way of a proxy
    ],
)
def test_no_storage_is_a_metadata_service(peer: str, host: str) -> None:
    """Without TLS no address at which a cloud tells a machine's secrets is asked, whatever its name."""
    with pytest.raises(OSError, match="no storage"):
        connection._refuse_metadata(cast(Any, Peer(peer)), host)
    connection._refuse_metadata(cast(Any, Peer("10.0.0.1")), "s3.example")
