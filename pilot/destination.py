"""Where outputs go and inputs come from, as a job file writes it: ``sandbox``, or the URL of a storage.

Plain text and rules: a bad URL is refused when the job is submitted, and the pilot reads it the same way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, unquote

from pilot.errors import InvalidInput

#: The destination that every pilot can reach, and the word that says so in a report.
SANDBOX = "sandbox"
#: The kinds of storage, by the beginning of a URL.
KINDS = ("file", "https", "davs", "s3", "root")
#: The tag of nodes that have the client for ``root://``.
XROOTD_TAG = "xrdcp"
#: What the pilot puts in, besides the names of a sweep.
PLACEHOLDERS = ("job", "attempt", "name")
MAX_URL = 2048

_PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_LABELS = r"[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63})*\.?"
_HOST = re.compile(rf"(?=[^:]{{1,253}}(?::|\Z)|\[)(?:{_LABELS}|\[([0-9A-Fa-f:.]{{2,45}})\])(?::([0-9]{{1,5}}))?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
#: Where clouds tell a machine its own secrets, besides all addresses of the link alone (169.254.0.0/16, fe80::/10).
_METADATA = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})


@dataclass(frozen=True)
class Target:
    """One file in a storage: nothing left to fill in."""

    url: str  # as a report says it
    kind: str
    host: str  # with its port, a bucket, or empty
    path: str  # begins with a slash: decoded for file, as it stands in the URL for all others


def parse_destination(text: str, where: str) -> str:
    """Check one entry of ``to``, which may still have placeholders. Raises `InvalidInput`."""
    if text == SANDBOX:
        return text
    _checked(_PLACEHOLDER.sub("x", text), text, where, query=False)
    return text


def parse_source(text: str, where: str) -> str:
    """Check the URL of an input, which may still have names of a sweep in it. Raises `InvalidInput`."""
    checked = _checked(_PLACEHOLDER.sub("x", text), text, where, query=True)
    if checked.path.partition("?")[0].endswith("/"):
        raise InvalidInput(where, f"expected the URL of a file, got that of a folder: {shown(text)}")
    return text


def serves_one(text: str) -> bool:
    """Whether only one file can be put there: the name of the output takes no part in it."""
    return text != SANDBOX and not text.endswith("/") and "{name}" not in text


def target_of(text: str, job: int, attempt: int, name: str) -> Target:
    """Where an output of that name goes: filled in, and below the URL where that ends in a slash.

    Raises `InvalidInput` when what was filled in makes it no URL of a file.
    """
    kind = text.partition("://")[0]
    # Only where URLs are decoded by the other side is a name to be encoded in them.
    written = name if kind in ("s3", "root") else quote(name, safe="/!$'()*+,;=~-._@:&")
    if text.endswith("/"):
        text += written
    for key, value in zip(PLACEHOLDERS, (str(job), str(attempt), written)):
        text = text.replace("{" + key + "}", value)
    return _checked(text, text, "to", query=False)


def source_of(text: str) -> Target:
    """A URL to fetch from. Raises `InvalidInput`."""
    return _checked(text, text, "inputs", query=True)


def shown(url: str) -> str:
    """A URL as messages and logs may have it: without its query, in which some storages carry secrets."""
    return url.partition("?")[0][:300]


def is_metadata(host: str) -> bool:
    """Whether it is the address of a cloud's metadata service, and so never that of a storage. A name is none."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    address = inner or address
    return address.is_link_local or address in _METADATA


def _checked(text: str, original: str, where: str, *, query: bool) -> Target:
    """Take a URL apart. Raises `InvalidInput`, which shows `original`."""
    kind, separator, rest = text.partition("://")
    if not separator or kind not in KINDS:
        known = ", ".join(f"{name}://" for name in KINDS)
        raise InvalidInput(where, f"expected {SANDBOX} or a URL with one of {known}, got {shown(original)!r}")
    if len(text) > MAX_URL or not text.isprintable() or (" " in text and kind not in ("s3", "root")):
        raise InvalidInput(
            where, f"expected a URL of at most {MAX_URL} characters without blanks, got {shown(original)!r}"
        )
    host, slash, path = rest.partition("/")
    if "@" in host:
        raise InvalidInput(where, "expected a URL without user and password: they belong into `credentials`")
    _check_host(kind, host, where, original)
    if "#" in path or ("?" in path and not (query and kind == "https")):
        raise InvalidInput(where, f"expected a URL without query and fragment, got {shown(original)!r}")
    path = slash + path
    plain = unquote(path.partition("?")[0]) if kind not in ("s3", "root") else path
    if not slash or ".." in plain.split("/") or "\0" in plain:
        raise InvalidInput(where, f"expected a URL with a path, and no .. in it, got {shown(original)!r}")
    if kind == "root" and not path.startswith("//"):
        raise InvalidInput(where, f"expected root://HOST//PATH, with two slashes, got {shown(original)!r}")
    return Target(text, kind, host, plain if kind == "file" else path)


def _check_host(kind: str, host: str, where: str, original: str) -> None:
    if kind == "file":
        if host:
            raise InvalidInput(where, f"expected file:///PATH, got {shown(original)!r}")
    elif kind == "s3":
        if not _BUCKET.fullmatch(host):
            raise InvalidInput(where, f"expected s3://BUCKET/KEY, got {shown(original)!r}")
    elif not _is_host(host):
        raise InvalidInput(where, f"expected a host after {kind}://, got {shown(original)!r}")


def _is_host(text: str) -> bool:
    """Whether it can be looked up and connected to: the resolver takes no empty and no long label, it raises."""
    found = _HOST.fullmatch(text)
    if found is None or int(found[2] or 0) > 65535:
        return False
    try:
        return found[1] is None or bool(IPv6Address(found[1]))
    except ValueError:
        return False
