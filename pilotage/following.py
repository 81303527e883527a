"""Logs as they grow: each byte once and in order, over as many connections as it takes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

import requests

from pilot.errors import InvalidInput
from pilot.looking import LogLine, LogMatches
from pilotage import sse
from pilotage.transport import Request, Transport

#: Bytes of one answer to a range.
RANGE = 8 * 1024 * 1024


def read(transport: Transport, path: str, query: dict[str, int], offset: int) -> Iterator[bytes]:
    """What there is now, from an offset on. Raises `InvalidInput` when there are not so many bytes."""
    first = offset
    while True:
        answer = transport.send(Request("GET", path, {**query, "offset": offset, "length": RANGE}))
        size = int(answer.headers.get("Pilotage-Size", 0))
        if first > size and not answer.content:
            raise InvalidInput("offset", f"this log has {size} bytes until now, and none at {first}")
        if answer.content:
            yield answer.content
        offset += len(answer.content)
        if not answer.content or offset >= size:
            return


def search(transport: Transport, path: str, query: Mapping[str, str | int]) -> Iterator[LogLine]:
    """Every line that matches now, however many requests that takes."""
    offset, complete = 0, False
    while not complete:
        found = transport.ask(LogMatches, Request("GET", path, {**query, "offset": offset}))
        yield from found.lines
        offset, complete = found.next, found.complete


def follow(transport: Transport, path: str, query: dict[str, int], offset: int) -> Iterator[bytes]:
    """What there is and what comes, until the stream ends; a connection that drops is taken up where it broke off."""
    failures = 0
    while True:
        try:
            for event in _events(transport, path, {**query, "offset": offset}):
                if event.name == "end":
                    return
                if event.name == "log":
                    content, offset = _new(event, offset)
                    failures = 0
                    if content:
                        yield content
        except requests.RequestException:
            pass  # the next connection resumes at the offset
        transport.pause(failures)
        failures += 1


def _events(transport: Transport, path: str, query: dict[str, int]) -> Iterator[sse.ServerEvent]:
    headers = {"Accept": "text/event-stream"}
    with transport.send(Request("GET", path, query, headers=headers, streamed=True)) as answer:
        yield from sse.events(answer.iter_content(64 * 1024))


def _new(event: sse.ServerEvent, offset: int) -> tuple[bytes, int]:
    """The bytes of an event that were not had before, and the offset after them."""
    content = base64.b64decode(event.data)
    end = int(event.id)
    return content[max(0, offset - (end - len(content))) :], max(end, offset)
