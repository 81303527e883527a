"""Logging in with a code that somebody types at the provider, in any browser on any machine (RFC 8628)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilot.errors import PilotageError, TransportError
from pilot.login import DEVICE_GRANT, LoginOffer
from pilotage.provider import Provider, ProviderRefusal, checked
from pilotage.transport import Clock

#: Seconds between two questions unless the provider says otherwise, and what "slow down" adds to them.
INTERVAL, SLOWER = 5.0, 5.0
#: Bounds of what a provider may say: seconds between questions, and for which a code is good.
LONGEST_INTERVAL, LONGEST_LIFE = 120.0, 3600.0
#: What a code is shown as: words of the provider's, which a terminal shows.
MOST_CODE = 100


@dataclass(frozen=True)
class Code:
    """What somebody has to do now."""

    code: str
    url: str
    whole_url: str  # with the code in it; empty: there is none
    seconds: float  # for which it is good


@dataclass(frozen=True)
class Tokens:
    """What the provider gave for a login."""

    id_token: str = field(repr=False)
    access_token: str = field(default="", repr=False)  # where the central has asked for it


def log_in(provider: Provider, clock: Clock, tell: Callable[[Code], None]) -> Tokens:
    """Raises `PilotageError`."""
    offer = provider.offer
    if not offer.device_endpoint:
        raise PilotageError(f"{offer.issuer} does not let people log in with a code: use `pilotage login --browser`.")
    answer = provider.post(offer.device_endpoint, {"client_id": offer.client_id, "scope": " ".join(offer.scopes)})
    code, secret, interval = _code(answer), _text(answer, "device_code"), _number(answer, "interval", INTERVAL)
    tell(code)
    end = clock.now() + code.seconds
    pause = min(max(interval, 1.0), LONGEST_INTERVAL)
    while clock.now() + pause < end:
        clock.sleep(pause)
        form = {"grant_type": DEVICE_GRANT, "device_code": secret, "client_id": offer.client_id}
        try:
            return tokens(offer, provider.post(offer.token_endpoint, form))
        except ProviderRefusal as refusal:
            pause = _longer(refusal, pause)
        except TransportError:  # as the RFC has it: less often
            pause = min(2 * pause, LONGEST_INTERVAL)
    raise PilotageError("Nobody has entered the code in time: `pilotage login` gives another.")


def tokens(offer: LoginOffer, answer: Mapping[str, Any]) -> Tokens:
    """What of an answer the central gets: the access token stays here unless it asks for it. Raises `PilotageError`
    where something is missing."""
    token, access = answer.get("id_token"), answer.get("access_token")
    if not isinstance(token, str):
        raise PilotageError("The provider gave no ID token: has [login] in central.toml the scope openid?")
    if not offer.userinfo:
        return Tokens(token)
    if not isinstance(access, str):
        raise PilotageError("The provider gave no access token, with which the central would ask its userinfo.")
    return Tokens(token, access)


def _longer(refusal: ProviderRefusal, pause: float) -> float:
    """Seconds until it is asked again. Raises what is final."""
    if refusal.error == "authorization_pending":
        return pause
    if refusal.error == "slow_down":
        return min(pause + SLOWER, LONGEST_INTERVAL)
    if refusal.error == "access_denied":
        raise PilotageError("The login was denied at the provider.") from refusal
    if refusal.error == "expired_token":
        raise PilotageError("The code has expired: `pilotage login` gives another.") from refusal
    raise refusal


def _code(answer: Mapping[str, Any]) -> Code:
    whole = answer.get("verification_uri_complete")
    return Code(
        code=_text(answer, "user_code")[:MOST_CODE],
        url=checked(_text(answer, "verification_uri")),
        whole_url=checked(whole) if isinstance(whole, str) and whole else "",
        seconds=min(_number(answer, "expires_in", 600.0), LONGEST_LIFE),
    )


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise PilotageError(f"The provider's answer has no {name}.")
    return value


def _number(answer: Mapping[str, Any], name: str, default: float) -> float:
    value = answer.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else default
