"""Server-sent events: how they look, and answers that last until the reader goes or the central stops."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

MEDIA = "text/event-stream"
#: Seconds of silence after which a comment goes out, so that nobody in between closes the connection.
KEEPALIVE = 15.0


def event(name: str, data: bytes, id: int | None = None) -> bytes:
    """One event. `data` is one line; `id` is what a reader sends as Last-Event-ID when it comes back."""
    number = b"" if id is None else b"id: %d\n" % id
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), number, data)


def comment(text: str = "") -> bytes:
    return f": {text}\n\n".encode()


class EventStream(StreamingResponse):
    """The answer that carries events."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, media_type=MEDIA)


def wanted(accept: str) -> bool:
    """Whether a reader asks to be told what comes instead of being given what is there."""
    return MEDIA in accept
