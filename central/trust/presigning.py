"""Requests to S3, signed so that whoever has one may make it, and nothing else, for a while. Pure.

Signature version 4 in the query, as Amazon publishes it. It is one chain of HMACs: written out here rather than taken
from an SDK, which is a hundred times as large, wants a client with a thread pool for each key, and is not needed for
anything else in the central. The tests hold it to Amazon's own worked example, and to an SDK where one is installed.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from pilot.transfers import SignedRequest

_ALGORITHM = "AWS4-HMAC-SHA256"
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Storage:
    """A bucket's door and the key to it."""

    endpoint: str  # https://host[:port]
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    style: str = "path"  # or host: the bucket stands before the endpoint's name
    session_token: str = field(default="", repr=False)


def storage(values: Mapping[str, str]) -> Storage:
    """The values of a credential of the kind s3."""
    return Storage(**values)


def presign(
    storage: Storage,
    method: str,
    bucket: str,
    key: str,
    *,
    now: float,
    seconds: int,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> SignedRequest:
    """One request for one object. `headers` are signed: who makes it sends them with these values."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{storage.region}/s3/aws4_request"
    scheme, host, path = _address(storage, bucket, key)
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    signed = {"host": host, **sent}
    names = ";".join(sorted(signed))
    asked = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{storage.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": names,
        **({"X-Amz-Security-Token": storage.session_token} if storage.session_token else {}),
        **(query or {}),
    }
    text = "&".join(sorted(f"{_quoted(name)}={_quoted(value)}" for name, value in asked.items()))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = "\n".join((method, path, text, lines, names, "UNSIGNED-PAYLOAD"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = _hmac(_signing_key(storage, stamp[:8]), "\n".join((_ALGORITHM, stamp, scope, digest))).hex()
    return SignedRequest(method, f"{scheme}://{host}{path}?{text}&X-Amz-Signature={signature}", sent)


def _address(storage: Storage, bucket: str, key: str) -> tuple[str, str, str]:
    """Scheme, host as the header says it, and path of an object."""
    parts = urlsplit(storage.endpoint)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    if parts.port is not None and parts.port != _PORTS.get(parts.scheme):
        host += f":{parts.port}"
    if storage.style == "host":
        return parts.scheme, f"{bucket}.{host}", f"/{_quoted(key, '/')}"
    return parts.scheme, host, f"/{_quoted(bucket)}/{_quoted(key, '/')}"


def _signing_key(storage: Storage, day: str) -> bytes:
    key = _hmac(b"AWS4" + storage.secret_key.encode(), day)
    for word in (storage.region, "s3", "aws4_request"):
        key = _hmac(key, word)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _quoted(text: str, safe: str = "") -> str:
    return quote(text, safe=f"{safe}~")
