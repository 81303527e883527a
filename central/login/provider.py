"""The identity provider of the settings: what it says of itself, its keys, and requests to it.

Nothing is asked but what the configured issuer names, over TLS, in bounded time and with bounded answers. What was read
is good for an hour, so that a key that was withdrawn is not believed for longer; a key that nobody knows has the keys
read anew, once a minute at most, whoever shows how many such tokens.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests

from central.configuration.login import Login
from central.configuration.settings_login import LOOPBACK
from central.login import userinfo
from central.login.id_tokens import Expected, UnknownKey, VerifyingKey, keys_of, verify
from pilot.errors import Refusal

#: Bytes of one answer.
MOST_ANSWERED = 256 * 1024
#: Seconds for one request.
PATIENCE = 10.0
#: Seconds for which what was read is believed, and between two reads for the sake of keys that are not known.
LASTS, BETWEEN = 3600.0, 60.0
#: Seconds for which nobody asks a provider again that could not be read.
AFTER_FAILURE = 5.0

#: Requests that are made for callers at the same time: anybody may ask for that, and a provider may be slow.
AT_ONCE = 4

#: Gets a URL, or sends a form to it, with an access token unless that is empty; returns status and body.
Ask = Callable[[str, Mapping[str, str] | None, str], tuple[int, bytes]]


@dataclass(frozen=True)
class Endpoints:
    """Where the provider is spoken to. Empty: it does not say that it can do that."""

    token: str
    keys: str
    device: str
    authorization: str
    userinfo: str


@dataclass(frozen=True)
class _Read:
    """What the provider said, and when."""

    at: float
    endpoints: Endpoints
    keys: tuple[VerifyingKey, ...]


class Provider:
    """One provider, asked through `ask` in threads. `clock` never goes back."""

    def __init__(self, login: Login, ask: Ask, clock: Callable[[], float]) -> None:
        self._login = login
        self._ask = ask
        self._clock = clock
        self._read: _Read | None = None
        self._reading = asyncio.Lock()
        self._anew = -BETWEEN  # when keys were last read because one was not known
        self._failed: tuple[float, Refusal] | None = None
        self._asking = 0

    async def endpoints(self) -> Endpoints:
        """Raises ``busy`` when the provider cannot be read."""
        return (await self._current()).endpoints

    async def claims(self, token: str, nonce: str | None, now: float) -> Mapping[str, Any]:
        """The claims of an ID token that is good. Raises ``unauthorized`` or ``busy``."""
        expected = Expected(self._login.issuer, self._login.client_id, nonce)
        known = await self._current()
        try:
            return verify(token, known.keys, expected, now)
        except UnknownKey:
            known = await self._renewed(known)
        try:
            return verify(token, known.keys, expected, now)
        except UnknownKey as error:
            raise Refusal(
                "unauthorized", "the ID token is signed with a key that the provider does not show"
            ) from error

    async def post(self, url: str, form: Mapping[str, str]) -> tuple[int, bytes]:
        """Send a form to one of its endpoints. Raises ``busy``, also when others do so in too great a number."""
        return await self._asked_for_callers(url, form)

    async def more(self, token: str, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """The claims of an ID token, and what the userinfo endpoint says beside them. Raises ``unauthorized``, or
        ``busy`` as `post`."""
        url = (await self.endpoints()).userinfo
        if not url:
            raise _away(self._login.issuer, "it names no userinfo_endpoint, which [login] has asked")
        userinfo.check(token, claims)
        status, body = await self._asked_for_callers(url, None, token)
        userinfo.check_taken(status)
        return userinfo.joined(claims, _document(url, status, body))

    async def _asked_for_callers(self, url: str, form: Mapping[str, str] | None, token: str = "") -> tuple[int, bytes]:
        if self._asking >= AT_ONCE:
            raise Refusal("busy", "too many are logging in at this moment", retry_after=AFTER_FAILURE)
        self._asking += 1
        try:
            return await asyncio.to_thread(self._asked, url, form, token)
        finally:
            self._asking -= 1

    async def _current(self) -> _Read:
        async with self._reading:
            if self._read is None or self._clock() - self._read.at > LASTS:
                self._read = await self._again()
            return self._read

    async def _renewed(self, before: _Read) -> _Read:
        """What the provider says now, or said a moment ago."""
        async with self._reading:
            if self._read is not before and self._read is not None:
                return self._read
            if self._clock() - self._anew < BETWEEN:
                return before
            self._anew = self._clock()
            self._read = await self._again()
            return self._read

    async def _again(self) -> _Read:
        """Read it. A provider that is away is not asked by everybody who would like to log in."""
        if self._failed and self._clock() - self._failed[0] < AFTER_FAILURE:
            raise self._failed[1]
        try:
            found = await asyncio.to_thread(self._fetch)
        except Refusal as refusal:
            self._failed = (self._clock(), refusal)
            raise
        self._failed = None
        return found

    def _fetch(self) -> _Read:
        issuer = self._login.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        document = _document(url, *self._asked(url, None, ""))
        if document.get("issuer") != issuer:
            said = f"it calls itself {str(document.get('issuer'))[:200]!r}, and the settings {issuer!r}"
            raise _away(url, f"{said}: they must be the same, to the last slash")
        endpoints = Endpoints(
            token=self._secure(document, "token_endpoint"),
            keys=self._secure(document, "jwks_uri"),
            device=self._secure(document, "device_authorization_endpoint", needed=False),
            authorization=self._secure(document, "authorization_endpoint", needed=False),
            userinfo=self._secure(document, "userinfo_endpoint", needed=self._login.userinfo),
        )
        keys = keys_of(_document(endpoints.keys, *self._asked(endpoints.keys, None, "")))
        if not keys:
            raise _away(endpoints.keys, "there is no key by which ID tokens could be verified")
        return _Read(self._clock(), endpoints, keys)

    def _secure(self, document: Mapping[str, Any], name: str, *, needed: bool = True) -> str:
        """An address that the provider names. Raises ``busy`` for one without TLS."""
        url = document.get(name)
        if url is None and not needed:
            return ""
        try:
            parts = urlsplit(url if isinstance(url, str) else "")
            here = self._login.loopback_http and parts.scheme == "http" and parts.hostname in LOOPBACK
            good = bool(parts.hostname) and (parts.scheme == "https" or here) and "@" not in parts.netloc
        except ValueError:
            good = False
        if not good or not isinstance(url, str) or not url.isprintable() or len(url) > 2000:
            raise _away(self._login.issuer, f"expected an https address as its {name}, got {str(url)[:200]!r}")
        return url

    def _asked(self, url: str, form: Mapping[str, str] | None, token: str) -> tuple[int, bytes]:
        try:
            return self._ask(url, form, token)
        except (OSError, ValueError) as error:  # those of requests are an OSError
            raise _away(url, f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}") from error


def ask_with(session: requests.Session) -> Ask:
    """Requests in bounded time, with bounded answers, that go nowhere else."""

    def ask(url: str, form: Mapping[str, str] | None, token: str) -> tuple[int, bytes]:
        end = time.monotonic() + PATIENCE
        method = "GET" if form is None else "POST"
        headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        with session.request(
            method, url, data=form, headers=headers, timeout=PATIENCE, stream=True, allow_redirects=False
        ) as response:
            content = bytearray()
            for block in response.iter_content(16384):
                content += block
                if len(content) > MOST_ANSWERED:
                    raise ValueError(f"it answered more than {MOST_ANSWERED} bytes")
                if time.monotonic() > end:
                    raise TimeoutError(f"it had not answered after {PATIENCE:g} s")
            return response.status_code, bytes(content)

    return ask


def open_session(login: Login) -> requests.Session:
    """Trusts what the settings say, takes the proxy of the environment, and nothing else of it."""
    session = requests.Session()
    session.proxies.update(requests.utils.get_environ_proxies(login.issuer))
    session.trust_env = False
    session.verify = login.ca or True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # it speaks for many people
    session.headers["User-Agent"] = "pilotage"
    return session


def object_in(body: bytes) -> dict[str, Any] | None:
    """The JSON object that an answer is; None: it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _document(url: str, status: int, body: bytes) -> Mapping[str, Any]:
    """What the provider says at a URL. Raises ``busy`` where it is no answer."""
    document = object_in(body) if status == 200 else None
    if document is None:
        raise _away(url, f"expected a JSON object, got status {status} and {len(body)} bytes")
    return document


def _away(url: str, said: str) -> Refusal:
    return Refusal("busy", f"the identity provider cannot be used: {url}: {said}", retry_after=AFTER_FAILURE)
