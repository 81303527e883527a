"""Server-sent events, taken apart as they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Bytes of one line; a log event has 64 KiB of base64.
MAX_LINE = 4 * 1024 * 1024


@dataclass(frozen=True)
class ServerEvent:
    """One event."""

    name: str
    data: str
    id: str = ""


def events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events in a stream of bytes, however it is cut; one that is cut short by the end is left out."""
    fields: dict[str, str] = {}
    for line in _lines(chunks):
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields['data']}\n{value}" if name == "data" and "data" in fields else value
        else:
            if "data" in fields:
                yield ServerEvent(fields.get("event", "message"), fields["data"], fields.get("id", ""))
            fields.clear()


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE:
            raise ValueError(f"expected events with lines of at most {MAX_LINE} bytes")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
