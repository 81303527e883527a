"""Credentials of people: which kinds there are, what each holds, which URLs one is for; and what is said about them.

Values are written and never read back: no answer to a person carries one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Callable, Literal, NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from pilot.destination import is_metadata
from pilot.errors import InvalidInput
from pilot.protocol import SHORTEST_SECRET, VERSION, Credential

Kind = Literal["text", "bearer", "basic", "s3", "x509-proxy", "application-credential", "access-key", "refresh-token"]
#: Stays at the central, which has access tokens made with it: these are what a pilot gets, as a bearer.
REFRESHED = "refresh-token"
#: What each kind must have; the last is what makes it secret.
NEEDED: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "bearer": ("token",),
    "basic": ("user", "password"),
    "s3": ("endpoint", "access_key", "secret_key"),
    "x509-proxy": ("proxy",),
    "application-credential": ("id", "secret"),
    "access-key": ("access_key", "secret_key"),
    "refresh-token": ("token_url", "client_id", "refresh_token"),
}
#: What a kind may have beside that. `style` is ``path`` (endpoint/bucket/key) or ``host`` (bucket.endpoint/key).
OPTIONAL: dict[str, tuple[str, ...]] = {
    "s3": ("region", "style", "session_token"),
    "access-key": ("session_token",),
    "refresh-token": ("client_secret", "scope", "audience"),
}
#: What may be shown to the owner.
OPEN = frozenset(
    {"user", "endpoint", "region", "style", "access_key", "id", "token_url", "client_id", "scope", "audience"}
)
#: Schemes of the URLs that the pilot itself uses a credential for: none that shows the secret to the network.
SCHEMES: dict[str, tuple[str, ...]] = {
    "text": (),
    "bearer": ("https", "davs", "root", "roots"),
    "basic": ("https", "davs"),
    "s3": ("s3",),
    "x509-proxy": (),
    "application-credential": (),
    "access-key": (),
    "refresh-token": ("https", "davs", "root", "roots"),
}
#: Those of clouds: what of them goes anywhere is one file with all of it, as JSON.
OF_CLOUDS = frozenset({"application-credential", "access-key"})
#: Bytes of one value.
MAX_VALUE = 16 * 1024
MAX_URLS = 20
MAX_URL = 2048
#: Seconds: ten years.
MAX_LIFE = 10 * 366 * 86400
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_PORTS = {"https": 443, "http": 80, "root": 1094, "roots": 1094}
_SAME = {"davs": "https", "dav": "http"}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SECRET = frozenset({"text", "token", "password", "secret_key", "secret", "refresh_token"})
_VISIBLE = re.compile(r"[!-~]+")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True)
class CredentialRequest:
    """`PUT /v1/credentials/{name}`: make it, or put this in the place of what it held."""

    kind: Kind
    values: dict[str, str] = field(default_factory=dict, repr=False)
    urls: tuple[str, ...] = ()  # what lies below these the pilot itself uses it for
    expires_in: Optional[int] = None  # seconds from now; None: it stays until it is removed
    version: int = VERSION


@dataclass(frozen=True)
class CredentialView:
    """A credential as its owner sees it: everything but what is secret."""

    name: str
    kind: Kind
    community: str
    owner: str
    changed: float  # seconds since the epoch
    urls: tuple[str, ...] = ()
    expires: Optional[float] = None  # likewise
    shown: dict[str, str] = field(default_factory=dict)  # of OPEN; of a proxy its subject and attributes
    problem: str = ""  # why it cannot be delivered: it has expired, or cannot be opened
    queues: tuple[str, ...] = ()  # whose computing elements are spoken to with it
    running: int = 0  # jobs that had it when it was set, and get it; told then alone, counted up to a bound


@dataclass(frozen=True)
class CredentialPage:
    """`GET /v1/credentials`."""

    credentials: tuple[CredentialView, ...]


@dataclass(frozen=True)
class CredentialEvent:
    """Something that was done with a credential."""

    time: float
    who: str  # a person, or ``pilot STAMP``
    what: str  # set, removed, delivered, refused, signed, refreshed
    job: Optional[int] = None
    attempt: Optional[int] = None
    detail: str = ""


@dataclass(frozen=True)
class CredentialHistory:
    """`GET /v1/credentials/{name}/history`: the newest first."""

    events: tuple[CredentialEvent, ...]


@dataclass(frozen=True)
class CredentialRemoved:
    """The answer to `DELETE /v1/credentials/{name}`."""

    waiting: int = 0  # jobs that name it and wait: they are held when their turn comes; counted up to a bound
    version: int = VERSION


def delivered(
    name: str,
    kind: Kind,
    values: Mapping[str, str],
    urls: Sequence[str],
    seconds_left: Optional[int] = None,
    version: str = "",
) -> Credential:
    """What of a credential goes to an attempt, in words that every pilot knows.

    The keys of s3 stay where they are kept. A proxy is a text to a pilot, and so is what a cloud is spoken to with: a
    file that the payload finds. Of a refresh token nothing goes: what does is made at the central.
    """
    if kind == "refresh-token":
        raise ValueError(f"{name} is a refresh token, which is delivered to nobody")
    if kind == "application-credential" or kind == "access-key":
        return Credential(name, "text", {"text": json.dumps(values, sort_keys=True)}, (), seconds_left, version)
    if kind == "x509-proxy":
        return Credential(name, "text", {"text": values["proxy"]}, (), seconds_left, version)
    return Credential(name, kind, {} if kind == "s3" else dict(values), tuple(urls), seconds_left, version)


def check(request: CredentialRequest) -> tuple[InvalidInput, ...]:
    """Every problem of a credential that somebody wants to keep. No problem repeats a value."""
    return (*_value_problems(request), *_url_problems(request), *_life_problems(request))


def _life_problems(request: CredentialRequest) -> Iterator[InvalidInput]:
    if request.expires_in is not None and not 0 < request.expires_in <= MAX_LIFE:
        yield InvalidInput("expires_in", f"expected 1 to {MAX_LIFE} seconds, got {request.expires_in}")


def _value_problems(request: CredentialRequest) -> Iterator[InvalidInput]:
    needed, values = NEEDED[request.kind], request.values
    known = (*needed, *OPTIONAL.get(request.kind, ()))
    for name in needed:
        if not values.get(name):
            yield InvalidInput(f"values.{name}", f"a credential of the kind {request.kind} needs it")
    for name, value in values.items():
        if name not in known:
            expected = ", ".join(known)
            yield InvalidInput(f"values.{name[:100]}", f"expected one of {expected} for the kind {request.kind}")
        elif value and (problem := _value_problem(name, value)):
            yield InvalidInput(f"values.{name}", problem)


def _value_problem(name: str, value: str) -> str:
    if len(value.encode("utf-8", "surrogateescape")) > MAX_VALUE:
        return f"expected at most {MAX_VALUE:,} bytes"
    if name in _SECRET and len(value.strip()) < SHORTEST_SECRET:
        return f"expected at least {SHORTEST_SECRET} characters: a shorter secret could not be blotted out of logs"
    return _PROBLEMS.get(name, _word_problem)(value)


def _word_problem(value: str) -> str:
    return "" if _VISIBLE.fullmatch(value) else "expected one word of visible ASCII characters"


def _proxy_problem(value: str) -> str:
    begins = "-----BEGIN CERTIFICATE-----"
    return "" if value.isascii() and value.startswith(begins) else f"expected PEM that begins with {begins}"


def _text_problem(value: str) -> str:
    return "expected no NUL character" if "\0" in value else ""


def _user_problem(value: str) -> str:
    return "" if value.isprintable() and ":" not in value else "expected printable characters and no colon"


def _password_problem(value: str) -> str:
    return "" if value.isprintable() else "expected printable characters"


def _style_problem(value: str) -> str:
    return "" if value in ("path", "host") else "expected path or host"


def _region_problem(value: str) -> str:
    return "" if _REGION.fullmatch(value) else "expected a name like eu-west-1"


def _scope_problem(value: str) -> str:
    return "" if value.isascii() and value.isprintable() else "expected words of visible ASCII characters"


def endpoint_problem(url: str) -> str:
    """Why no token endpoint is there, or none lies below it; empty when one may."""
    place = _place(url)
    if place is None or not url.lower().startswith("https://") or "?" in url or ".." in unquote(url).split("/"):
        return "expected an address like https://login.example.org/oauth2/token, without a query"
    if is_metadata(place.host):
        return "expected a token endpoint, got an address at which clouds tell a machine its own secrets"
    return ""


def _endpoint_problem(text: str) -> str:
    place = _place(text)
    if place is None or place.scheme not in ("https", "http") or place.segments or "?" in text:
        return "expected an address like https://s3.example.org, with a port where it has one, and without a path"
    if is_metadata(place.host):
        return "expected the address of a storage, got one at which clouds tell a machine its own secrets"
    return ""


#: What a value must be, by its name; all others are one word.
_PROBLEMS: dict[str, Callable[[str], str]] = {
    "proxy": _proxy_problem,
    "text": _text_problem,
    "user": _user_problem,
    "password": _password_problem,
    "endpoint": _endpoint_problem,
    "style": _style_problem,
    "region": _region_problem,
    "token_url": endpoint_problem,
    "scope": _scope_problem,
}


def _url_problems(request: CredentialRequest) -> Iterator[InvalidInput]:
    schemes = SCHEMES[request.kind]
    if not schemes and request.urls:
        yield InvalidInput(
            "urls", f"expected none: the pilot itself reaches nothing with the kind {request.kind}; leave it out"
        )
        return
    if request.kind == "s3" and not request.urls:
        yield InvalidInput("urls", "expected at least one like s3://BUCKET/PREFIX/: what jobs may reach with it")
    if len(request.urls) > MAX_URLS:
        yield InvalidInput("urls", f"expected at most {MAX_URLS}, got {len(request.urls)}")
        return
    for number, url in enumerate(request.urls):
        if problem := _url_problem(url, schemes):
            yield InvalidInput(f"urls[{number}]", problem)


def _url_problem(url: str, schemes: tuple[str, ...]) -> str:
    expected = ", ".join(f"{scheme}://" for scheme in schemes)
    if url.lower().startswith(("http://", "dav://")) and "s3" not in schemes:
        return f"expected {expected}: without TLS the secret could be read on its way"
    if ".." in unquote(url).split("/"):
        return "expected no '..' in it: say where it leads"
    place = _place(url)
    if place is None or "?" in url or place.scheme not in {_SAME.get(scheme, scheme) for scheme in schemes}:
        return f"expected the beginning of a URL ({expected}) with a host, no query"
    if place.scheme == "s3" and not _BUCKET.fullmatch(place.host):
        return f"expected s3://BUCKET/…, got {place.host[:70]!r} as the bucket"
    return ""


class _Place(NamedTuple):
    scheme: str
    host: str
    port: Optional[int]
    segments: tuple[str, ...]


def _place(url: str) -> Optional[_Place]:
    """Where a URL leads; None for one that might lead elsewhere than it seems."""
    if len(url) > MAX_URL or not url.isprintable() or "\\" in url:
        return None
    if url.startswith("s3://"):  # a key is what it is: nothing in it is encoded, or a query
        bucket, _, key = url[len("s3://") :].partition("/")
        place: Optional[_Place] = _Place("s3", bucket, None, tuple(key.split("/")) if key else ())
    else:
        place = _web_place(url) if " " not in url and "#" not in url else None
    if place is None or not place.host or any(segment in (".", "..") for segment in place.segments):
        return None
    return place


def _web_place(url: str) -> Optional[_Place]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if "@" in parts.netloc:
        return None
    text = parts.path.lstrip("/")
    segments = tuple(unquote(segment) for segment in text.split("/")) if text else ()
    if any("/" in segment or "\0" in segment for segment in segments):
        return None
    scheme = _SAME.get(parts.scheme, parts.scheme)
    return _Place(scheme, parts.hostname or "", port or _PORTS.get(scheme), segments)


def covers(prefix: str, url: str) -> bool:
    """Whether a URL is a prefix, or lies below it. Whole segments count: ``/data`` does not cover ``/database``."""
    above, below = _place(prefix), _place(url)
    if above is None or below is None or above[:3] != below[:3]:
        return False
    wanted = above.segments[:-1] if above.segments and not above.segments[-1] else above.segments
    return below.segments[: len(wanted)] == wanted


def reaching(urls: Iterable[str], url: str) -> int:
    """How many characters of a URL the longest of these prefixes covers; -1 when none does."""
    return max((len(prefix) for prefix in urls if covers(prefix, url)), default=-1)


def fitting(credentials: Sequence[Credential], url: str) -> Optional[Credential]:
    """The credential to use for a URL: of those whose `urls` cover it the one that says it most closely."""
    found = [(reaching(each.urls, url), each) for each in credentials]
    best = max(found, key=lambda one: one[0], default=None)
    return best[1] if best is not None and best[0] >= 0 else None
