"""Answers of EC2 that end, in bytes and in time: botocore by itself reads whatever comes, for as long as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
)
from botocore.httpsession import URLLib3Session  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError
from urllib3.exceptions import ReadTimeoutError as TimedOut

#: Bytes of one answer: a page of a thousand machines is about five million.
BOUND = 64_000_000


class Bounded(URLLib3Session):  # type: ignore[misc]
    """Sends requests. `patience`: seconds for an answer, once it begins."""

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic, **given: Any) -> None:
        super().__init__(**given)
        self._patience = patience
        self._clock = clock

    def answer(self, request: Any, **_: Any) -> Any:
        """What botocore's event `before-send` is answered with, which then sends nothing itself."""
        request.stream_output = True  # its body is read here
        found = self.send(request)
        try:
            found._content = self._whole(found.raw, request.url)
        except TimedOut:
            raise ReadTimeoutError(endpoint_url=request.url) from None
        except HTTPError as error:
            raise ConnectionClosedError(error=error, request=request, endpoint_url=request.url) from None
        return found

    def _whole(self, raw: Any, url: str) -> bytes:
        read, end = bytearray(), self._clock() + self._patience
        # What has come, be it a byte: a part of a certain length would be waited for, however slowly it comes.
        while part := raw.read1(65_536):
            read += part
            if len(read) > BOUND:
                raw.close()
                raise HTTPClientError(error=f"an answer of more than {BOUND} bytes")
            if self._clock() > end:
                raw.close()
                raise ReadTimeoutError(endpoint_url=url)
        return bytes(read)
