"""Logs: pilots push chunks, people read ranges or follow.

A range is ``?offset=N&length=M``: the raw bytes, with ``Pilotage-Next`` (the offset to ask for next),
``Pilotage-Size`` (what there is now) and ``Pilotage-Complete`` (true: no more will come). With
``Accept: text/event-stream`` a reader follows. Each event ``log`` has the bytes in base64 as its data and, as its id,
the offset after them, so that Last-Event-ID resumes; the event ``end`` says that nothing more will come, with the
attempt's outcome once it is known.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from central.keeping.logs import check_name
from central.serving import bodies, sse
from central.serving.http import Call, Route
from central.store.decide import unknown_pilot
from central.trust.rules import TicketCaller, Who, community_of, may_read_stream, may_see_place
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import MAX_LOG_CHUNK, LogReply, attempt_stream
from pilot.states import FINAL
from pilot.views import AttemptView, StreamEnd

if TYPE_CHECKING:
    from central.app import Central

#: Bytes of one answer to a range, and of one event.
MAX_RANGE = 8 * 1024 * 1024
EVENT_BYTES = 48 * 1024
#: Seconds after which a follower looks whether the attempt has ended.
LOOK = 1.0
#: The query as pilots write it: understood at once, since chunks come by the thousand a second.
_USUAL_QUERY = re.compile(rb"offset=(\d{1,15})(&last=1)?")
#: Compression may not make a chunk larger than this.
_OVERHEAD = 1024


@dataclass(frozen=True)
class ChunkQuery:
    """Where the chunk belongs, and whether it is the last."""

    offset: int
    last: bool = False


@dataclass(frozen=True)
class RangeQuery:
    """Which bytes; `attempt` counts for jobs, the newest when it is absent."""

    offset: int = 0
    length: int = MAX_RANGE
    attempt: int | None = None


async def push(call: Call[bytes]) -> LogReply:
    """Store a chunk of a stream, each byte once."""
    central, stamp, stream = call.central, call.text("stamp"), check_name(call.text("stream"))
    if isinstance(call.caller, TicketCaller):
        if call.caller.token.stamp != stamp or stream != "boot":
            raise Refusal("forbidden", "this ticket opens the stream `boot` of its own pilot, and nothing else")
    else:
        central.presence.touch(stamp)
    query = _chunk_query(call)
    not_negative(offset=query.offset)
    content = bodies.inflate(call.message, call.headers.get("content-encoding", ""), MAX_LOG_CHUNK)
    stored = await central.logs.append(stamp, stream, query.offset, content, query.last)
    central.metrics.log_bytes.inc(stored.added)
    return LogReply(stored.next, central.logs.is_followed(stamp, stream))


def _chunk_query(call: Call[bytes]) -> ChunkQuery:
    usual = _USUAL_QUERY.fullmatch(call.request.scope["query_string"])
    return ChunkQuery(int(usual[1]), usual[2] is not None) if usual else call.query(ChunkQuery)


@dataclass(frozen=True)
class Source:
    """A stream that somebody reads. `attempt` is the one that writes it, when it is a job's."""

    stamp: str
    stream: str
    attempt: AttemptView | None = None

    @property
    def size(self) -> int | None:
        """How many bytes there will be, once that is known."""
        if self.attempt is None or self.attempt.ended is None:
            return None
        return self.attempt.log_sizes.get(self.stream, 0)


async def read_job(call: Call[None]) -> Response:
    """Read or follow what a job printed."""
    query = call.query(RangeQuery)
    job, name = call.number("job"), job_stream(call)
    if sse.wanted(call.headers.get("accept", "")):
        await call.central.store.job(community_of(call.person), job)  # refused now, not inside the stream
        if found := await _found_source(call, job, query.attempt, name):
            await not_let_go(call.central, found)
        return sse.EventStream(_follow_job(call, job, query.attempt, name, _resume_at(call, query)), call.still)
    source = await job_source(call, job, query.attempt, name)
    await not_let_go(call.central, source)
    return await _range(call.central, source, query)


async def read_pilot(call: Call[None]) -> Response:
    """Read or follow a stream of a pilot itself."""
    query = call.query(RangeQuery)
    source = await pilot_source(call)
    if sse.wanted(call.headers.get("accept", "")):
        return sse.EventStream(_follow(call.central, source, _resume_at(call, query)), call.still)
    return await _range(call.central, source, query)


async def pilot_source(call: Call[None]) -> Source:
    """The stream of a pilot in the path of a request, if this person may read it."""
    stamp, stream = call.text("stamp"), check_name(call.text("stream"))
    row = await call.central.roster.row(stamp)
    if not may_see_place(call.person, row.site, row.communities):
        raise unknown_pilot(stamp)
    if not may_read_stream(call.person, stream):
        raise Refusal("not-found", f"there is no stream {stream} of a pilot {stamp} that you may see")
    return Source(stamp, stream)


def job_stream(call: Call[None]) -> str:
    """Which of a job's streams the path of a request names."""
    name = call.text("stream")
    if name not in ("stdout", "stderr"):
        raise Refusal("not-found", f"a job has the streams stdout and stderr, not {name}")
    return name


async def job_source(call: Call[None], job: int, attempt: int | None, name: str) -> Source:
    """The stream of the attempt asked for, or of the newest."""
    source = await _found_source(call, job, attempt, name)
    if source is None:
        which = f"attempt {attempt}" if attempt else "attempt"
        raise Refusal("not-found", f"job {job} has had no {which} yet: there is nothing to read")
    return source


async def not_let_go(central: Central, source: Source) -> None:
    """Raises ``not-found`` when the log is kept no longer."""
    if await _is_let_go(central, source):
        keep = central.settings.service.keep_logs
        raise Refusal("not-found", f"the {source.size} bytes of {source.stream} were kept for {keep} s and are gone")


async def _is_let_go(central: Central, source: Source) -> bool:
    keep, attempt = central.settings.service.keep_logs, source.attempt
    if not isinstance(keep, int) or attempt is None or attempt.ended is None or not source.size:
        return False
    return central.wall() - attempt.ended > keep and not (await central.logs.size(source.stamp, source.stream))[0]


async def _found_source(call: Call[None], job: int, attempt: int | None, name: str) -> Source | None:
    for view in reversed(await call.central.store.attempts(community_of(call.person), job)):
        if attempt is None or view.attempt == attempt:
            return Source(view.pilot, attempt_stream(job, view.attempt, name), view)
    return None


async def _range(central: Central, source: Source, query: RangeQuery) -> Response:
    not_negative(offset=query.offset, length=query.length)
    length = min(query.length, MAX_RANGE)
    content = await central.logs.read(source.stamp, source.stream, query.offset, length)
    size, closed = await central.logs.size(source.stamp, source.stream)
    complete = closed or (source.size is not None and size >= source.size)
    headers = {
        "Pilotage-Next": str(query.offset + len(content)),
        "Pilotage-Size": str(size),
        "Pilotage-Complete": str(complete).lower(),
    }
    if source.attempt:
        headers["Pilotage-Attempt"] = str(source.attempt.attempt)
    return Response(content, headers=headers, media_type="application/octet-stream")


async def _follow_job(call: Call[None], job: int, attempt: int | None, name: str, offset: int) -> AsyncIterator[bytes]:
    """Wait for the attempt to begin, then follow it to its end."""
    central = call.central
    yield sse.comment("following")
    while (source := await _found_source(call, job, attempt, name)) is None:
        if central.closing.is_set():
            return
        if (await central.store.job(community_of(call.person), job)).job.state in FINAL:
            yield _end(StreamEnd(0))
            return
        await central.pause(LOOK)
        yield sse.comment("waiting")
    number = source.attempt.attempt if source.attempt else attempt
    async for event in _follow(central, source, offset, lambda: _found_source(call, job, number, name)):
        yield event


async def _follow(
    central: Central, source: Source, offset: int, look: Callable[[], Awaitable[Source | None]] | None = None
) -> AsyncIterator[bytes]:
    """Everything from an offset on, until the stream ends. `look` tells whether its attempt has ended meanwhile."""
    logs, stamp, stream = central.logs, source.stamp, source.stream
    quiet = 0.0
    with logs.following(stamp, stream):
        while not central.closing.is_set():
            if content := await logs.read(stamp, stream, offset, EVENT_BYTES):
                offset += len(content)
                quiet = 0.0
                yield sse.event("log", base64.b64encode(content), offset)
                continue
            source = (await look() if look else None) or source
            size, closed = await logs.size(stamp, stream)
            ended = offset >= size and (closed or (source.size is not None and size >= source.size))
            if ended or await _is_let_go(central, source):
                attempt = source.attempt
                yield _end(StreamEnd(size, attempt.attempt, attempt.outcome) if attempt else StreamEnd(size))
                return
            await logs.wait(stamp, stream, offset, LOOK)
            quiet += LOOK
            if quiet >= sse.KEEPALIVE:
                quiet = 0.0
                yield sse.comment()


def _end(end: StreamEnd) -> bytes:
    return sse.event("end", msgspec.json.encode(end))


def _resume_at(call: Call[None], query: RangeQuery) -> int:
    """Where a follower begins: after what it has, when it comes back."""
    last = call.headers.get("last-event-id", "")
    not_negative(offset=query.offset)
    return int(last) if last.isdecimal() and len(last) < 16 else query.offset


def not_negative(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 0:
            raise InvalidInput(name, f"expected a whole number from 0 on, got {number}")


_FOLLOWING = {
    "Accept": "text/event-stream to follow",
    "Last-Event-ID": "the id of the last event that was had, to go on from there",
}
ROUTES = (
    Route(
        "PUT",
        "/v1/logs/{stamp:stamp}/{stream}",
        push,
        (Who.AGED_PILOT, Who.TICKET),
        "Push a chunk of a log stream",
        message=bytes,
        reply=LogReply,
        query=ChunkQuery,
        headers={"Content-Encoding": "gzip, deflate or identity; offsets count the unpacked bytes"},
        bound=MAX_LOG_CHUNK + _OVERHEAD,
    ),
    Route(
        "GET",
        "/v1/jobs/{job:number}/logs/{stream}",
        read_job,
        (Who.MEMBER,),
        "Read or follow what a job printed",
        query=RangeQuery,
        headers=_FOLLOWING,
        media="application/octet-stream",
    ),
    Route(
        "GET",
        "/v1/pilots/{stamp:stamp}/logs/{stream}",
        read_pilot,
        (Who.MEMBER, Who.SITE_ADMIN),
        "Read or follow a log of a pilot",
        query=RangeQuery,
        headers=_FOLLOWING,
        media="application/octet-stream",
    ),
)
