"""HTTPS requests with requests' adapter: kept connections, our time-outs, no redirects, cookies or other surprises."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol, Union

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from pilot.errors import TransportError

#: Seconds to reach the other side.
CONNECT_TIMEOUT = 10.0
#: Bytes of an answer: a match reply with many large jobs, and some.
MAX_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True)
class Response:
    """What came back, whatever its status."""

    status: int
    content_type: str
    body: bytes
    retry_after: Optional[float] = None  # seconds


class Transport(Protocol):
    """Sends one request. `timeout` is in seconds, for the whole of the answer. Raises `TransportError`."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response: ...


class Https:
    """The real transport, for any thread: a connection that is idle serves whoever comes next.

    `ca` is a file of the certificates to trust; None: those of the system. Of the environment only HTTPS_PROXY and
    NO_PROXY count, in small letters first, as for the programs around us.
    """

    def __init__(self, ca: Optional[Path]) -> None:
        self.trust: Union[str, bool] = str(ca) if ca else ssl.get_default_verify_paths().cafile or True
        self.adapter = HTTPAdapter(pool_connections=4, pool_maxsize=4, max_retries=0)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        deadline = time.monotonic() + timeout
        request = _prepared(method, url, headers, body)
        try:
            response = self.adapter.send(
                request,
                stream=True,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                verify=self.trust,
                proxies=proxies_for(url),
            )
            try:
                content = _read(response, url, deadline)
            finally:
                response.close()
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise TransportError(f"{method} {url}: {why_not(url, error)}") from error
        return Response(
            response.status_code,
            response.headers.get("Content-Type", "").split(";")[0].strip(),
            content,
            _seconds(response.headers.get("Retry-After", "")),
        )

    def close(self) -> None:
        """Close what is idle."""
        self.adapter.close()


def why_not(url: str, error: BaseException) -> str:
    """Why nobody answered at a URL, and by way of which proxy it was tried."""
    proxy = proxies_for(url).get("https", "")
    return f"{by_way_of(proxy)}{_innermost(error)}"


def by_way_of(proxy: str) -> str:
    """A proxy as sentences about what went wrong begin with it, without its password; empty where there is none."""
    address = proxy.partition("://")[2] or proxy
    return f"by way of the proxy {address.rpartition('@')[2].rstrip('/')}: " if proxy else ""


def _innermost(error: BaseException) -> str:
    """What went wrong in the first place: the libraries wrap it several times."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None:
            return str(error) or type(error).__name__
        error = inner


def _prepared(method: str, url: str, headers: Mapping[str, str], body: bytes) -> requests.PreparedRequest:
    """A request as it is to be sent. Our URLs are in their final form: what `Request.prepare` does would be in vain."""
    request = requests.PreparedRequest()
    request.method = method
    request.url = url
    request.headers = CaseInsensitiveDict({"Accept-Encoding": "identity", "User-Agent": "pilotage-pilot", **headers})
    request.headers["Content-Length"] = str(len(body))
    request.body = body
    return request


def _read(response: requests.Response, url: str, deadline: float) -> bytes:
    content = bytearray()
    while chunk := response.raw.read1(64 * 1024):  # what is there: who drips must not hold us beyond the deadline
        content += chunk
        if len(content) > MAX_ANSWER:
            raise TransportError(f"{url}: the answer is larger than {MAX_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise TransportError(f"{url}: the answer took too long")
    return bytes(content)


def proxies_for(url: str) -> dict[str, str]:
    """By which proxy a URL is reached, under the key `https`; nothing where it is reached without."""
    proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    if not proxy or requests.utils.should_bypass_proxies(url, no_proxy=None):
        return {}
    return {"https": proxy}


def _seconds(text: str) -> Optional[float]:
    """Retry-After in seconds; its other form, a date, would need the clocks to agree."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
