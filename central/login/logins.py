"""Logging in at this central: what clients are told, ID tokens that are looked at, and what is passed on for clients.

Where the provider knows this client by a secret, that stays here: clients speak to the provider's two endpoints through
the central, which adds it, and of the answer hands out the ID token alone, or with the access token that comes back
with it where userinfo is to be asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from central.configuration.login import Login
from central.login.id_tokens import FRESH, LEEWAY, digest
from central.login.provider import Provider, ask_with, object_in, open_session
from pilot.errors import InvalidInput, PilotageError, Refusal
from pilot.login import DEVICE_GRANT, LoginOffer

#: Where clients find what is passed on.
TOKEN_PATH, DEVICE_PATH = "/v1/login/token", "/v1/login/device"
#: Bytes of a file with a secret or with certificates.
MOST_READ = 1024 * 1024
#: What is passed on of a request for tokens, by its kind.
_PASSED_ON = {
    DEVICE_GRANT: ("device_code",),
    "authorization_code": ("code", "code_verifier", "redirect_uri"),
}
#: What is handed out of answers.
_OF_DEVICE = ("device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval")
_OF_ERROR = ("error", "error_description", "interval")


class Logins:
    """Logins by one provider."""

    def __init__(self, login: Login, provider: Provider, ca_pem: str, secret: str) -> None:
        self.login = login
        self._provider = provider
        self._ca_pem = ca_pem
        self._secret = secret

    async def offer(self) -> LoginOffer:
        """What a client needs to know. Raises ``busy``."""
        login, found = self.login, await self._provider.endpoints()
        passed_on = bool(self._secret)
        return LoginOffer(
            issuer=login.issuer,
            client_id=login.client_id,
            scopes=login.scopes,
            token_endpoint=TOKEN_PATH if passed_on else found.token,
            device_endpoint=DEVICE_PATH if passed_on and found.device else found.device,
            authorization_endpoint=found.authorization,
            ca_pem=self._ca_pem,
            userinfo=login.userinfo,
        )

    async def claims(self, token: str, nonce: str | None, now: float, access_token: str = "") -> Mapping[str, Any]:
        """What a good ID token says; where the settings want that, with what the provider says for the access token.
        Raises ``unauthorized`` or ``busy``."""
        claims = await self._provider.claims(token, nonce, now)
        return await self._provider.more(access_token, claims) if self.login.userinfo else claims

    @staticmethod
    def digest(token: str) -> str:
        """By which an ID token is known when it comes again."""
        return digest(token)

    @property
    def remembered(self) -> float:
        """Seconds for which an exchanged ID token could be shown again."""
        return float(FRESH + 2 * LEEWAY)

    async def device(self) -> tuple[int, bytes]:
        """Begin a login with a code on behalf of a client. Raises ``not-found`` or ``busy``."""
        url = (await self._provider.endpoints()).device
        if not url or not self._secret:
            raise Refusal("not-found", "nothing is passed on here: see GET /v1/login for where to ask")
        return await self._passed_on(url, {"scope": " ".join(self.login.scopes)}, _OF_DEVICE)

    async def token(self, form: bytes) -> tuple[int, bytes]:
        """Ask for the ID token on behalf of a client. Raises ``not-found``, ``busy`` or `InvalidInput`."""
        if not self._secret:
            raise Refusal("not-found", "nothing is passed on here: see GET /v1/login for where to ask")
        url = (await self._provider.endpoints()).token
        told = ("id_token", "access_token") if self.login.userinfo else ("id_token",)
        return await self._passed_on(url, _asked_for(form), told)

    async def _passed_on(self, url: str, form: Mapping[str, str], told: Sequence[str]) -> tuple[int, bytes]:
        whole = {**form, "client_id": self.login.client_id, "client_secret": self._secret}
        status, body = await self._provider.post(url, whole)
        answer = object_in(body)
        if answer is None:
            raise Refusal("busy", f"the identity provider answered {status} and no JSON object", retry_after=5.0)
        kept = told if status == 200 else _OF_ERROR
        return status if status == 200 else 400, json.dumps(
            {key: answer[key] for key in kept if key in answer}
        ).encode()


def _asked_for(form: bytes) -> dict[str, str]:
    """What of a client's request is passed on. Raises `InvalidInput`."""
    try:
        said = dict(parse_qsl(form.decode("ascii"), strict_parsing=True, max_num_fields=20))
    except ValueError as error:
        raise InvalidInput("", "expected a form, application/x-www-form-urlencoded") from error
    kind = said.get("grant_type", "")
    if kind not in _PASSED_ON:
        raise InvalidInput("grant_type", f"expected one of {', '.join(_PASSED_ON)}, got {kind[:80]!r}")
    if missing := [name for name in _PASSED_ON[kind] if not said.get(name)]:
        raise InvalidInput(missing[0], "expected a value")
    if "redirect_uri" in said and urlsplit(said["redirect_uri"]).hostname not in ("127.0.0.1", "::1"):
        raise InvalidInput("redirect_uri", "expected an address on the loopback interface")
    return {"grant_type": kind, **{name: said[name] for name in _PASSED_ON[kind]}}


def open_logins(login: Login, folder: Path, clock: Callable[[], float]) -> Logins:
    """As the settings say; files lie in the folder. Raises `PilotageError`."""
    login = login.inside(folder)
    provider = Provider(login, ask_with(open_session(login)), clock)
    secret = _file(login.secret_file, private=True).strip()
    return Logins(login, provider, _file(login.ca, private=False), secret)


def _file(path: str, *, private: bool) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            if private and Path(path).stat().st_mode & 0o077:
                raise PilotageError(f"{path} holds the secret of [login] and others can read it: chmod 600 {path}")
            text = file.read(MOST_READ)
    except (OSError, UnicodeDecodeError) as error:
        raise PilotageError(f"{path}, which [login] names, cannot be read ({error})") from error
    if not text.strip():
        raise PilotageError(f"{path}, which [login] names, is empty")
    return text
