"""Bodies of requests: read within bounds, unpacked within bounds, decoded into the records of the protocol."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, get_origin, get_type_hints

import msgspec
from starlette.requests import ClientDisconnect, Request

from central.serving import versions
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import VERSION

T = TypeVar("T")
#: Numbers that could be beyond 64 bits: rare enough to look closely only then.
_LONG_NUMBER = re.compile(rb"[:\[,]\s*-?\d{16}")
_MAX_INTEGER = 2**53
#: Texts, in which brackets mean nothing; one that does not end is taken as well, or each of its quotes would be tried.
_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_ALIKE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
#: Bytes that small bodies have: these are never in each other's way.
SMALL = 64 * 1024
#: Bytes in memory that all others under way share.
SHARED = 512 * 1024 * 1024
#: Arrays and objects that may be in each other. Jobs have 6.
MAX_DEPTH = 64
_AT = " - at `$"


def too_large(bound: int, what: str) -> Refusal:
    """The refusal of more bytes than are taken."""
    return Refusal("too-large", f"{what} may have at most {bound} bytes", expected=str(bound))


class Room:
    """The memory that large bodies share while they arrive. `most`: bytes in all."""

    def __init__(self, most: int = SHARED) -> None:
        self._most = most
        self._taken = 0

    def take(self, size: int) -> None:
        """Take so many bytes. Raises ``busy`` when there are not so many left."""
        if self._taken + size > self._most:
            raise Refusal(
                "busy", f"large requests fill the {self._most} bytes that there are for them", retry_after=5.0
            )
        self._taken += size

    def give_back(self, size: int) -> None:
        self._taken -= size


async def chunks(request: Request, headers: Mapping[str, str], bound: int) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises ``too-large`` as soon as that is known, and ``invalid`` for a wrong length."""
    _check_length(headers, bound)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bound:
            raise too_large(bound, "the body of this request")
        if chunk:
            yield chunk


async def whole(request: Request, headers: Mapping[str, str], bound: int, room: Room) -> bytes:
    """The body, in memory. Raises as `chunks` does, and ``busy``."""
    _check_length(headers, bound)
    body: list[bytes] = []
    size = taken = 0
    try:
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body.append(message.get("body", b""))
            size += len(body[-1])
            if size > bound:
                raise too_large(bound, "the body of this request")
            if not message.get("more_body", False):
                return b"".join(body)
            if size > SMALL:
                room.take(size - taken)
                taken = size
    finally:
        room.give_back(taken)


def _check_length(headers: Mapping[str, str], bound: int) -> None:
    declared = headers.get("content-length")
    if declared is not None and (not declared.isdigit() or int(declared) > bound):
        raise too_large(bound, "the body of this request")


def inflate(body: bytes, encoding: str, bound: int) -> bytes:
    """Undo a Content-Encoding (``gzip``, ``deflate``, ``identity``), never making more than `bound` bytes."""
    if encoding in ("", "identity"):
        if len(body) > bound:
            raise too_large(bound, "a chunk")
        return body
    if encoding not in ("gzip", "deflate"):
        raise Refusal("invalid", f"expected Content-Encoding gzip, deflate or identity, got {encoding[:40]!r}")
    unpacker = zlib.decompressobj(wbits=47 if encoding == "gzip" else 15)  # 47: gzip or zlib, as the bytes say
    try:
        plain = unpacker.decompress(body, bound + 1)
    except zlib.error as error:
        raise Refusal("invalid", f"the body is not {encoding}: {error}") from error
    if len(plain) > bound:
        raise too_large(bound, "a chunk, unpacked,")
    if not unpacker.eof or unpacker.unused_data:
        raise Refusal("invalid", f"the body is not one whole {encoding} stream")
    return plain


def cut(text: str, bound: int) -> str:
    """The last so many bytes of a text, in whole characters."""
    if len(text) <= bound // 4:
        return text
    return text.encode()[-bound:].decode("utf-8", "ignore")


class _Version(msgspec.Struct):
    version: int = VERSION


_version = msgspec.json.Decoder(_Version)


class MessageDecoder:
    """Reads messages of one type, of our version and of older ones."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def decode(self, body: bytes) -> tuple[Any, int]:
        """Return the message and the version that it was written in. Raises ``invalid`` or ``version``."""
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
            _check_depth(body)
        try:
            version = _version.decode(body).version
            if versions.older(version) is None:
                message = self._decoder.decode(body)
            else:
                plain = msgspec.json.decode(body, type=dict[str, Any])
                message = msgspec.convert(versions.upgrade(version, self._kind, plain), self._kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise invalid(error) from error
        if _LONG_NUMBER.search(body):
            _check_numbers(msgspec.to_builtins(message), "")
        return message, version


def _check_depth(body: bytes) -> None:
    """What is nested without end is refused before anything follows it down: layer after layer is taken away."""
    brackets = _TEXTS.sub(b"", body).translate(_ALIKE, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    problem = InvalidInput("", f"expected arrays and objects that are closed, and at most {MAX_DEPTH} in each other")
    raise Refusal("invalid", str(problem), problems=(problem,))


def invalid(error: Exception, where: str = "") -> Refusal:
    """What a decoder found wrong, as the refusal that says where."""
    problem, _, place = str(error).partition(_AT)
    spot = ".".join(part for part in (where, place.rstrip("`").lstrip(".")) if part)
    problem = problem[:1].lower() + problem[1:]
    return Refusal("invalid", f"{spot}: {problem}" if spot else problem, problems=(InvalidInput(spot, problem),))


def _check_numbers(value: Any, where: str) -> None:
    """Numbers beyond what every language and database holds exactly are mistakes."""
    if isinstance(value, Mapping):
        for key, inside in value.items():
            _check_numbers(inside, f"{where}.{key}" if where else str(key))
    elif isinstance(value, (list, tuple)):
        for index, inside in enumerate(value):
            _check_numbers(inside, f"{where}[{index}]")
    elif isinstance(value, int) and not -_MAX_INTEGER <= value <= _MAX_INTEGER:
        problem = InvalidInput(where, f"expected a whole number between ±2^53, got {value}")
        raise Refusal("invalid", str(problem), problems=(problem,))


_hints = cache(get_type_hints)


def query(pairs: Sequence[tuple[str, str]], kind: type[T]) -> T:
    """The query of a request as a record. A field that is a tuple takes repeated keys and lists with commas."""
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable; its type says otherwise for type[T]
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key not in hints:
            problem = InvalidInput(key, f"unknown; expected one of {', '.join(sorted(hints)) or 'nothing'}")
            raise Refusal("invalid", str(problem), problems=(problem,))
        if get_origin(hints[key]) is tuple:
            values.setdefault(key, []).extend(part for part in value.split(",") if part)
        else:
            values[key] = value
    try:
        result = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    _check_numbers(msgspec.to_builtins(result), "")
    return result
