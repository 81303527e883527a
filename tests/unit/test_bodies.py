"""Bodies of requests: bounds, unpacking, decoding, versions."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from central.serving import versions
from central.serving.bodies import MessageDecoder, Room, cut, inflate, query
from pilot.errors import Refusal
from pilot.protocol import VERSION, AttemptReport, ReleaseRequest
from pilot.states import JobState, Phase
from pilot.views import SubmitRequest


def refusal(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


def test_a_chunk_is_unpacked_as_its_encoding_says() -> None:
    """gzip, deflate and plain bytes come out as they went in, not-UTF-8 bytes included."""
    content = b"\xff\x00 some text" * 100
    assert inflate(gzip.compress(content), "gzip", 10_000) == content
    assert inflate(zlib.compress(content), "deflate", 10_000) == content
    assert inflate(content, "identity", 10_000) == content


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_before_it_is_unpacked(encoding: str) -> None:
    """A small body that unpacks to more than the bound is `too-large`, and names the bound."""
    bomb = gzip.compress(bytes(10**8)) if encoding == "gzip" else zlib.compress(bytes(10**8))
    found = refusal(lambda: inflate(bomb, encoding, 1000))
    assert (found.type, found.expected) == ("too-large", "1000")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"plain", "gzip"), (gzip.compress(b"x" * 1000)[:-9], "gzip"), (gzip.compress(b"x") * 2, "gzip"), (b"x", "br")],
)
def test_what_is_not_so_encoded_is_invalid(body: bytes, encoding: str) -> None:
    """Garbage, a cut stream, two streams and unknown encodings are refused."""
    assert refusal(lambda: inflate(body, encoding, 10_000)).type == "invalid"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"phase": "flying"}', "phase"),
        (b'{"phase": "ended", "usage": {"wall": "long"}}', "usage.wall"),
        (b'{"phase": "ended", "outputs": [{"name": "a", "size": 1, "sha256": "x"}, {"name": "b"}]}', "outputs[1]"),
        (b'{"phase": "ended", "exit_code": 99999999999999999999}', "exit_code"),
        (b'{"phase": "ended", "log_sizes": {"a": 9007199254740993}}', "log_sizes.a"),
        (b"{", ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b'{"phase": "ended", "message": "\xff"}', ""),
        (b'{"phase": "ended", "message": "\\ud800"}', ""),
        (b'{"phase": "ended", "usage": {"wall": NaN}}', ""),
        (b"[" * 100_000, ""),
        (b'{"phase": "ended", "more": ' + b'{"a": [' * 40 + b"]}" * 40 + b"}", ""),
        (b"[" * 100 + b'"' + b'\\"' * 500_000, ""),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(body: bytes, where: str) -> None:
    """A message of wrong shape, type or size of number is `invalid` and says where."""
    found = refusal(lambda: MessageDecoder(AttemptReport).decode(body))
    assert found.type == "invalid"
    assert found.problems[0].where == where


def test_fields_of_the_future_are_ignored() -> None:
    """A receiver ignores what it does not know."""
    message, version = MessageDecoder(AttemptReport).decode(b'{"phase": "running", "mood": {"deep": [1]}}')
    assert message == AttemptReport(Phase.RUNNING)
    assert version == VERSION


def test_digits_in_texts_are_no_numbers() -> None:
    """Long digits inside a text are left alone."""
    body = b'{"jobs": [{"command": ["x", ",12345678901234567890"]}]}'
    assert MessageDecoder(SubmitRequest).decode(body)[0].jobs[0]["command"][1] == ",12345678901234567890"


@pytest.mark.parametrize(
    ("text", "bound", "kept"),
    [("abc", 9, "abc"), ("abcdef", 3, "def"), ("ßßß", 4, "ßß"), ("ßßß", 3, "ß"), ("€", 2, "")],
)
def test_a_long_text_keeps_its_end(text: str, bound: int, kept: str) -> None:
    """What is beyond the bound goes from the front, in whole characters."""
    assert cut(text, bound) == kept


@pytest.fixture
def version_0(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A synthetic older version, in which a release named its jobs `jobs` and gave no reason."""

    def up(plain: dict[str, Any]) -> dict[str, Any]:
        return {"leases": [{"job": job, "attempt": attempt} for job, attempt in plain["jobs"]], "why": "unknown"}

    def down(plain: dict[str, Any]) -> dict[str, Any]:
        return {"ok": plain["accepted"]}

    monkeypatch.setitem(versions.OLDER, 0, versions.Older({ReleaseRequest: up}, {dict: down}))
    return iter(())


@pytest.mark.usefixtures("version_0")
def test_the_version_before_is_understood() -> None:
    """A message of the version before is turned into one of ours, and the answer into one of theirs."""
    message, version = MessageDecoder(ReleaseRequest).decode(b'{"version": 0, "jobs": [[7, 2]]}')
    assert version == 0
    assert (message.leases[0].job, message.leases[0].attempt, message.version) == (7, 2, VERSION)
    assert versions.downgrade(0, dict, {"accepted": True, "version": 1}) == {"ok": True, "version": 0}


@pytest.mark.usefixtures("version_0")
def test_other_versions_are_refused_with_those_that_are_spoken() -> None:
    """A version that nobody speaks here is refused, saying which are spoken."""
    found = refusal(lambda: MessageDecoder(ReleaseRequest).decode(b'{"version": 7, "strange": true}'))
    assert (found.type, found.expected, found.got) == ("version", "0, 1", "7")


@dataclass(frozen=True)
class Asked:
    ids: tuple[int, ...] = ()
    states: tuple[JobState, ...] = ()
    limit: int = 10
    counts: bool = False


def test_a_query_is_a_record() -> None:
    """Repeated keys and commas make lists; numbers and truth are read from text."""
    asked = query([("ids", "1,2"), ("ids", "3"), ("states", "done,failed"), ("limit", "5"), ("counts", "1")], Asked)
    assert asked == Asked((1, 2, 3), (JobState.DONE, JobState.FAILED), 5, True)


@pytest.mark.parametrize(
    ("key", "value"), [("limits", "1"), ("limit", "many"), ("states", "tired"), ("limit", "9" * 30)]
)
def test_a_wrong_query_names_its_key(key: str, value: str) -> None:
    """Unknown keys and values that do not fit are `invalid`."""
    found = refusal(lambda: query([(key, value)], Asked))
    assert found.type == "invalid"
    assert found.problems[0].where.startswith(key)


def test_brackets_in_a_text_and_beside_each_other_are_not_nested() -> None:
    """However many there are: what counts is how many are in each other."""
    outputs = ", ".join('{"name": "[[[\\"{", "size": 1, "sha256": "x"}' for _ in range(500))
    message, _ = MessageDecoder(AttemptReport).decode(f'{{"phase": "ended", "outputs": [{outputs}]}}'.encode())
    assert len(message.outputs) == 500
    assert message.outputs[0].name == '[[["{'


def test_large_bodies_share_the_memory_that_there_is() -> None:
    """What is taken counts until it is given back; who comes when nothing is left is asked to come again."""
    room = Room(100)
    room.take(60)
    assert refusal(lambda: room.take(41)).type == "busy"
    room.take(40)
    room.give_back(60)
    room.take(60)
