"""Server-sent events: how they look, and answers that last until the reader goes or the central stops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

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
    """The answer that carries events, for as long as the reader may `still` have them."""

    def __init__(self, events: AsyncIterator[bytes], still: Callable[[], bool]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_while(events, still), headers=headers, media_type=MEDIA)


async def _while(events: AsyncIterator[bytes], still: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Events until somebody may not have them any more: whose token is revoked is not told what happened since."""
    async for happened in events:
        if not still():
            return
        yield happened


def wanted(accept: str) -> bool:
    """Whether a reader asks to be told what comes instead of being given what is there."""
    return MEDIA in accept
