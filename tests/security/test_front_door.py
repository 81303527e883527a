"""The front door: attacks on the server itself. Each fails, and an honest client goes on being served."""

from __future__ import annotations

import gzip
import itertools
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from pilot.errors import Refusal
from pilot.views import Health
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.wire_pilot import decoded
from tests.security.intruders import ask, enter, is_cut, knock, many_files, open_ones

HASTY = (str(Path(__file__).with_name("hasty_central.py")),)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
SUBMIT = b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
def open_house(make_central: CentralMaker) -> RunningCentral:
    """A central with settings as they come."""
    return make_central()


def status(said: bytes) -> int:
    """The status of the last answer; 0: there was none."""
    lines = [line for line in said.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return int(lines[-1].split()[1]) if lines else 0


def served(central: RunningCentral, name: str = "ann") -> bool:
    """Whether somebody honest, who connects now, is served."""
    person = Person(central.url, central.ca, (name * 40)[:40])
    with person:
        return person.submit_one() > 0


# -- connections ------------------------------------------------------------------------------------------------------


def test_ten_thousand_half_open_connections(open_house: RunningCentral) -> None:
    """10,000 connections that never say a word: an honest client connects and is served, again and again."""
    with many_files(11_000) as files:
        crowd = [knock(open_house) for _ in range(min(10_000, files - 1000))]
        try:
            for _ in range(10):
                assert served(open_house)
            assert open_ones(crowd) <= 5000  # those beyond what one address may have are gone at once
        finally:
            for connection in crowd:
                connection.close()
    until(lambda: _open(open_house) < 100, "the crowd to be forgotten")


def test_idle_strangers_make_way(make_central: CentralMaker) -> None:
    """Strangers who have asked something fill the house and stay: newcomers are served, and nobody known is put out."""
    central = make_central("max_connections = 100\nmax_connections_per_address = 100")
    honest = central.person("ann")
    assert honest.submit_one()
    known = [id(connection) for connection in _pooled(honest)]
    assert len(known) == 1
    crowd = [enter(central, HEALTH) for _ in range(150)]
    try:
        assert served(central)
        assert honest.submit_one()
        assert [id(connection) for connection in _pooled(honest)] == known  # the connection it had
        until(lambda: open_ones(crowd) < 100, "the first of the strangers to be put out")
    finally:
        for connection in crowd:
            connection.close()


def _pooled(person: Person) -> list[Any]:
    """The sockets that a person's session keeps."""
    pool: Any = person.get_adapter(person.base).get_connection_with_tls_context(  # type: ignore[attr-defined]
        requests.Request("GET", person.base).prepare(), verify=person.verify
    )
    return [connection.sock for connection in pool.pool.queue if connection is not None]


def test_who_is_too_slow_is_hung_up_on(make_central: CentralMaker) -> None:
    """A handshake that never ends, a head and bodies that drip, an answer that nobody reads: all are given up, while
    somebody honest is served."""
    central = make_central(program=HASTY)
    honest = central.person("ann")
    large = honest.upload("large", bytes(30_000_000))
    dripping = {
        "handshake": (knock(central), b"\x16"),
        "nothing asked": (enter(central), b""),
        "head": (enter(central, b"GET /healthz HTTP/1.1\r\nX: "), b"a"),
        "empty lines": (enter(central, HEALTH), b"\r"),
        "a body of a stranger": (_enrolling(central), b"a"),
        "a body of somebody known": (_submitting(central, honest), b" "),
        "a body after its refusal": (enter(central, SUBMIT + b"Content-Length: 100000\r\n\r\n"), b"a"),
    }
    token = str(honest.headers["Authorization"])
    reader = enter(
        central, f"GET /v1/sandboxes/{large.sha256} HTTP/1.1\r\nAuthorization: {token}\r\n\r\n".encode(), 4096
    )
    try:
        left = set(dripping)

        def all_cut() -> bool:
            assert honest.submit_one()
            left.difference_update([name for name in left if is_cut(*dripping[name])])
            return not left

        until(all_cut, "all that drip to be cut off")
        until(lambda: b'why="slow-answer"} 1' in _figures(central), "the one who does not read to be given up")
    finally:
        for connection, _ in dripping.values():
            connection.close()
        reader.close()


def _enrolling(central: RunningCentral) -> socket.socket:
    return enter(central, b"POST /v1/pilots/%b/enrol HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" % (b"0" * 32))


def _submitting(central: RunningCentral, person: Person) -> socket.socket:
    token = str(person.headers["Authorization"]).encode()
    return enter(central, SUBMIT + b"Authorization: %b\r\nContent-Length: 4000000\r\n\r\n" % token)


def _open(central: RunningCentral) -> float:
    """The connections that a central has."""
    lines = _figures(central).decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("pilotage_connections ")))


def _figures(central: RunningCentral) -> bytes:
    return central.person("oli").get("/metrics").content


# -- heads ------------------------------------------------------------------------------------------------------------

#: What is sent, and the status of the last answer; 0: cut off, or the answer was lost with what nobody read any more.
HEADS = {
    "a long header": (HEALTH[:-2] + b"X: " + b"a" * 40_000 + b"\r\n\r\n", {431}),
    "a header without end": (HEALTH[:-2] + b"X: " + b"a" * 400_000, {431, 0}),
    "a name without end": (HEALTH[:-2] + b"a" * 400_000, {431, 0}),
    "many headers": (HEALTH[:-2] + b"".join(b"X%d: a\r\n" % n for n in range(101)) + b"\r\n", {431}),
    "a long target": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", {414}),
    "a target without end": (b"GET /" + b"a" * 400_000, {414, 0}),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", {400}),
    "a target that is no path": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "bytes that are no letters": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "a NUL in a header": (HEALTH[:-2] + b"X: a\0b\r\n\r\n", {400}),
    "a line folded": (HEALTH[:-2] + b"X: a\r\n b: c\r\n\r\n", {400}),
    "a length and chunks": (SUBMIT + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "two lengths": (SUBMIT + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", {400}),
    "a length below zero": (SUBMIT + b"Content-Length: -1\r\n\r\n", {400}),
    "a chunk that overflows": (SUBMIT + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", {400, 401, 0}),
    "another protocol": (HEALTH[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", {200}),
    # Cut off, in the middle of an answer or after it:
    "trailers without end": (SUBMIT + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 400_000, {401, 0, 431}),
    "a chunk's extension without end": (
        SUBMIT + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 400_000,
        {401, 0, 431},
    ),
    "many requests ahead": (HEALTH * 1000, {0, 200}),
    "empty lines without end": (HEALTH + b"\r\n" * 200_000, {200, 431, 0}),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_are_refused(open_house: RunningCentral, name: str) -> None:
    """What is no sound head of bounded size is told so and hung up on; the next caller is served."""
    words, expected = HEADS[name]
    said = ask(open_house, words)
    assert status(said) in expected, said[:1000]
    if status(said) in (400, 414, 431):
        assert b"application/problem+json" in said
    assert served(open_house)


def test_a_trailer_is_no_header(open_house: RunningCentral) -> None:
    """What comes behind a body cannot say who sent it."""
    token = str(open_house.person("ann").headers["Authorization"]).encode()
    body = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: %b\r\n\r\n" % token
    assert status(ask(open_house, SUBMIT + b"Connection: close\r\n" + body)) == 401


# -- bodies -----------------------------------------------------------------------------------------------------------

NESTED = {
    "arrays": b'{"jobs": [{"command": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    "objects": b'{"jobs": [' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}",
    "as deep as Python goes": b'{"jobs": [' + b'{"a":' * 900 + b"12345678901234567890" + b"}" * 900 + b"]}",
    "never closed": b"[" * 1_000_000,
    "beside a name nobody asked for": b'{"jobs": [], "more": ' + b"[" * 90 + b"]" * 90 + b"}",
    "quotes without end": b"[" * 100 + b'"' + b'\\"' * 500_000,
}


@pytest.mark.parametrize("name", NESTED)
def test_what_is_nested_without_end(open_house: RunningCentral, name: str) -> None:
    """JSON that is deep in itself is invalid, at once, and no fault of the central."""
    person = open_house.person("ann")
    began = time.monotonic()
    answer = person.post("/v1/jobs", data=NESTED[name])
    assert (answer.status_code, answer.json()["type"]) == (422, "invalid")
    assert time.monotonic() - began < 30
    assert served(open_house)


def test_a_bomb_is_not_unpacked(open_house: RunningCentral) -> None:
    """A log chunk of 100 kB that unpacks to 100 MB is refused by its bound."""
    pilot = open_house.pilot()
    with pytest.raises(Refusal) as caught:
        pilot.log("boot", 0, gzip.compress(bytes(10**8), 9), encoding="gzip")
    assert caught.value.type == "too-large"
    assert served(open_house)


@pytest.mark.parametrize("length", ["99999999999999999999", "5000000000"])
def test_what_is_announced_too_large_is_not_read(open_house: RunningCentral, length: str) -> None:
    """The announced length alone is enough to refuse."""
    token = str(open_house.person("ann").headers["Authorization"])
    head = f"POST /v1/jobs HTTP/1.1\r\nAuthorization: {token}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    assert status(ask(open_house, head.encode())) in (400, 413)
    assert served(open_house)


# -- names ------------------------------------------------------------------------------------------------------------

NAMES = [
    "../../x",
    "..%2f..%2fx",
    "%2e%2e%2fx",
    "..%5cx",
    "%00",
    "x%00",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "x%0ay",
    "..",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["/v1/sandboxes/{}", "/v1/logs/{stamp}/{}", "/v1/jobs/1/logs/{}", "/v1/bundles/{}"])
def test_names_lead_nowhere_else(open_house: RunningCentral, path: str, name: str) -> None:
    """No name in a path is taken for a way: nothing is written, nothing else is read."""
    pilot = _pilot_of(open_house)
    before = _files(open_house)
    target = path.replace("{stamp}", pilot.stamp).replace("{}", name)
    token = str(open_house.person("oli").headers["Authorization"])
    for method, credentials in itertools.product(("GET", "PUT"), (token, "")):
        head = f"{method} {target} HTTP/1.1\r\nAuthorization: {credentials}\r\nConnection: close\r\n"
        assert status(ask(open_house, f"{head}Content-Length: 1\r\n\r\nx".encode())) in (400, 401, 403, 404, 405, 422)
    if path.startswith("/v1/logs"):
        answer = pilot.send("PUT", f"{open_house.url}{target}?offset=0", b"x")
        assert answer.status_code in (400, 401, 404, 422)
    assert _files(open_house) == before


_PILOTS: dict[str, Any] = {}


def _pilot_of(central: RunningCentral) -> Any:
    """One pilot for all names."""
    if central.url not in _PILOTS:
        _PILOTS[central.url] = central.pilot()
    return _PILOTS[central.url]


def _files(central: RunningCentral) -> set[Path]:
    """All that the central keeps, and what lies around it, but for its database and what it is writing of the audit."""
    found = {path for path in central.folder.rglob("*") if not re.search(r"\.db|audit", path.name)}
    return found | set(central.folder.parent.iterdir())


# -- rates ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict(make_central: CentralMaker) -> RunningCentral:
    """A central that lets nobody do more than one thing a second, over a minute."""
    return make_central("person_rate = 1\npilot_rate = 1")


def _too_often(send: Callable[[], requests.Response], first: int) -> requests.Response:
    """Send until it is too often; until then each answer has the status `first`."""
    for _ in range(200):
        answer = send()
        if answer.status_code == 429:
            return answer
        assert answer.status_code == first
    pytest.fail("200 requests, and it was not too often")


def test_guessing_tokens_is_slowed_down(make_central: CentralMaker) -> None:
    """Who tries one token after another is told to wait; who has a good one is served from the same address."""
    central = make_central("failure_rate = 1")
    nobody, guesses = central.person(None), itertools.count()
    pilot = central.pilot()

    def guess() -> requests.Response:
        return nobody.get("/v1/whoami", headers={"Authorization": f"Bearer {next(guesses):040}"})

    answer = _too_often(guess, 401)
    assert answer.json()["type"] == "too-many"
    assert int(answer.headers["Retry-After"]) >= 1
    assert served(central)
    assert pilot.heartbeat().sequence == 1
    secret = b'{"secret": "guess", "session_key": "%b=", "pilot_version": "0"}' % (b"A" * 43)
    assert nobody.post(f"/v1/pilots/{'0' * 32}/enrol", data=secret).status_code == 429
    assert decoded(nobody.get("/healthz"), Health).status == "ok"
    assert central.pilot().heartbeat().sequence == 1, "a good pilot enrols from the same address"


def test_one_person_cannot_take_everybodys_turn(strict: RunningCentral) -> None:
    """Requests of one person have a rate, whatever connection they come by; others are served."""
    answer = _too_often(lambda: strict.person("eve").get("/v1/jobs"), 200)
    assert answer.json()["type"] == "too-many"
    assert served(strict, "ben")


def test_one_pilot_cannot_take_everybodys_turn(strict: RunningCentral) -> None:
    """Requests of one pilot have a rate, and a token without its key does not use it up; others are served."""
    pilot, other = strict.pilot(), strict.pilot()
    answer = _too_often(lambda: pilot.send("POST", f"{strict.url}/v1/pilots/{pilot.stamp}/renew", b"{}"), 422)
    assert answer.json()["type"] == "too-many"
    assert other.heartbeat().sequence == 1
