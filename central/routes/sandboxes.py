"""Sandboxes: files under their SHA-256, taken in and handed out in a stream."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.responses import Response, StreamingResponse

from central.people import Sender
from central.serving.http import Call, Route
from central.trust.rules import PayloadCaller, Who, community_of
from pilot.errors import InvalidInput, Refusal
from pilot.views import SandboxReply

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})?")


@dataclass(frozen=True)
class PartQuery:
    """For a file in parts: where this one begins, and how large the whole is."""

    offset: int | None = None
    size: int | None = None


async def put(call: Call[None]) -> SandboxReply:
    """Take in a file, or a part of it. What the community has already is not read."""
    sandboxes, sha256 = call.central.sandboxes, call.text("sha256")
    query = call.query(PartQuery)
    community = await _writer(call)
    sender = await _sender(call, query, sha256)
    content = call.chunks(call.central.settings.service.sandbox_bound)
    if query.offset is None and query.size is None:
        reply = await sandboxes.put(community, sha256, content, sender)
    elif query.offset is None or query.size is None or not 0 <= query.offset <= query.size:
        raise InvalidInput("offset", "expected together with `size`, and not beyond it")
    else:
        reply = await sandboxes.put_part(community, sha256, query.offset, query.size, content, sender)
    call.central.metrics.sandbox_bytes.inc(reply.next if reply.stored else 0)
    return reply


async def get(call: Call[None]) -> Response:
    """Hand out a file, or the range of it that the header Range asks for."""
    sandboxes, sha256 = call.central.sandboxes, call.text("sha256")
    size = await _readable(call, sha256)
    start, end = _span(call.headers.get("range"), size)
    headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes", "ETag": f'"{sha256}"'}
    if end - start != size:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        sandboxes.read(sha256, start, end),
        status_code=200 if end - start == size else 206,
        headers=headers,
        media_type="application/octet-stream",
    )


async def head(call: Call[None]) -> Response:
    """Tell whether a file is there; of one that has come in part, how much of it, in `Pilotage-Next`."""
    sha256 = call.text("sha256")
    if isinstance(call.caller, PayloadCaller):
        community = await _writer(call)
        size = await call.central.sandboxes.size(community, sha256)
    else:
        community = call.person.community
        size = await call.central.sandboxes.size(community_of(call.person), sha256)
    if size is not None:
        return Response(headers={"Content-Length": str(size)}, media_type="application/octet-stream")
    arrived = await call.central.sandboxes.arrived(community, sha256)
    return Response(status_code=404, headers={"Pilotage-Next": str(arrived)})


async def _writer(call: Call[None]) -> str:
    """The community for which the caller may store a file."""
    if isinstance(call.caller, PayloadCaller):
        token = call.caller.token
        return (await call.central.store.live_attempt(token.job, token.attempt)).community
    return call.person.community


async def _sender(call: Call[None], query: PartQuery, sha256: str) -> Sender:
    """For whom the file counts. Raises ``too-large`` when a person has sent so much; of jobs all is taken."""
    if isinstance(call.caller, PayloadCaller):
        return Sender(job=call.caller.token.job)
    central, person = call.central, call.person
    announced = call.headers.get("content-length", "")
    whole = int(announced) if announced.isdecimal() and len(announced) < 16 else 0
    more = whole if query.size is None else query.size if query.offset == 0 else 0
    if await central.sandboxes.size(person.community, sha256) is None:
        await central.stored.admit(person, more, lambda: central.store.sandbox_bytes(person.community, person.user))
    return Sender(person.user)


async def _readable(call: Call[None], sha256: str) -> int:
    """The size of a file that the caller may read. Raises ``not-found``."""
    community: str | None
    if isinstance(call.caller, PayloadCaller):
        token = call.caller.token
        community = token.community
        allowed = sha256 in await call.central.inputs.of(token.job, token.attempt)
    else:
        community = community_of(call.person)
        allowed = True
    size = await call.central.sandboxes.size(community, sha256) if allowed else None
    if size is None:
        raise Refusal("not-found", f"there is no file {sha256} that you may read")
    return size


def _span(header: str | None, size: int) -> tuple[int, int]:
    """The bytes asked for: from the first up to, not with, the second."""
    found = _RANGE.fullmatch(header) if header else None
    if not found or int(found[1]) >= max(1, size):
        return 0, size
    return int(found[1]), min(size, int(found[2]) + 1) if found[2] else size


_PATH = "/v1/sandboxes/{sha256:sha256}"
_RANGES = {"Range": "bytes=FIRST-LAST, or bytes=FIRST- for the rest"}
_CALLERS = (Who.MEMBER, Who.PAYLOAD)
ROUTES = (
    Route("HEAD", _PATH, head, _CALLERS, "Ask whether a file is there", media="application/octet-stream"),
    Route("GET", _PATH, get, _CALLERS, "Fetch a file", headers=_RANGES, media="application/octet-stream"),
    Route(
        "PUT",
        _PATH,
        put,
        _CALLERS,
        "Store a file, whole or in parts",
        reply=SandboxReply,
        query=PartQuery,
        streams=True,
    ),
)
