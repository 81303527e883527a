"""Lines of a log that match a pattern: looked for here, so that a log of gigabytes need not travel.

One answer looks at `SCAN` bytes and has `MOST` lines at most; ``next`` is where the next request goes on. A line that
is not finished yet is looked at, and looked at again by whoever goes on from there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.keeping.searching import Pattern
from central.routes.logs import Source, job_source, job_stream, not_let_go, not_negative, pilot_source
from central.serving.http import Call, Route
from central.trust.rules import Who
from pilot.errors import InvalidInput
from pilot.looking import LogLine, LogMatches

if TYPE_CHECKING:
    from central.app import Central

#: Lines of one answer, bytes that one request looks at, and bytes that are read at a time.
MOST = 1000
SCAN = 64 * 1024 * 1024
BLOCK = 1024 * 1024


@dataclass(frozen=True)
class SearchQuery:
    """What to look for and from where; `plain`: the text as it is, not an expression. `attempt` counts for jobs."""

    grep: str
    offset: int = 0
    most: int = MOST
    plain: bool = False
    ignore_case: bool = False
    attempt: int | None = None


async def search_job(call: Call[None]) -> LogMatches:
    """Lines that a job printed."""
    query = call.query(SearchQuery)
    source = await job_source(call, call.number("job"), query.attempt, job_stream(call))
    await not_let_go(call.central, source)
    return await search(call.central, source, query)


async def search_pilot(call: Call[None]) -> LogMatches:
    """Lines of a pilot's own log."""
    return await search(call.central, await pilot_source(call), call.query(SearchQuery))


async def search(central: Central, source: Source, query: SearchQuery) -> LogMatches:
    """Lines of a stream. Raises `InvalidInput`."""
    not_negative(offset=query.offset)
    if not 1 <= query.most <= MOST:
        raise InvalidInput("most", f"expected 1 to {MOST}, got {query.most}")
    pattern = Pattern(query.grep, plain=query.plain, ignore_case=query.ignore_case)
    lines: list[LogLine] = []
    at, until = query.offset, query.offset + SCAN
    size, closed = await central.logs.size(source.stamp, source.stream)
    while at < min(size, until) and len(lines) < query.most:
        block = await central.logs.read(source.stamp, source.stream, at, min(BLOCK, size - at))
        if not block:  # the log was let go of meanwhile
            break
        ended = at + len(block) >= size
        whole = block if ended or b"\n" not in block else block[: block.rfind(b"\n") + 1]
        found, reached = await asyncio.to_thread(pattern.lines, whole, at, query.most - len(lines))
        lines += found
        if ended and reached >= size:
            again = 0 if closed or block.endswith(b"\n") else len(block) - (block.rfind(b"\n") + 1)
            at = size - again
            return _matches(lines, at, size, source, complete=True)
        at = reached
    return _matches(lines, at, size, source, complete=at >= size)


def _matches(lines: list[LogLine], at: int, size: int, source: Source, *, complete: bool) -> LogMatches:
    return LogMatches(tuple(lines), at, size, complete, source.attempt.attempt if source.attempt else None)


ROUTES = (
    Route(
        "GET",
        "/v1/jobs/{job:number}/logs/{stream}/search",
        search_job,
        (Who.MEMBER,),
        "Look for lines in what a job printed",
        reply=LogMatches,
        query=SearchQuery,
    ),
    Route(
        "GET",
        "/v1/pilots/{stamp:stamp}/logs/{stream}/search",
        search_pilot,
        (Who.MEMBER, Who.SITE_ADMIN),
        "Look for lines in a log of a pilot",
        reply=LogMatches,
        query=SearchQuery,
    ),
)
