"""Access tokens made with refresh tokens (RFC 6749, section 6): when one is due, how it is asked for, what came. Pure.

What the central knows beside what the owner gave is sealed with it, in the same values under names of its own: the
access token and its life, and whether it is being asked for or could not be had.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote_plus

from central.records import CredentialRow
from central.trust.vault import version_of
from pilot.credential import MAX_VALUE, REFRESHED
from pilot.protocol import SHORTEST_SECRET, Credential

#: The names of what the central adds; no owner can give them.
TOKEN, ISSUED, ENDS = "access_token", "access_issued", "access_ends"
TRIED, ASKING, PROBLEM = "access_tried", "access_asking", "access_problem"
#: Of a problem: whether it may pass by itself, how often in a row it came, and when the endpoint is asked again.
PASSING, FAILURES, AGAIN = "access_passing", "access_failures", "access_again"
#: The part of its life after which another one is asked for: a pilot asks for newer ones at half of it.
PART = 0.4
#: Seconds that an access token has whose life nobody tells, and the least and most that one is believed to have.
UNTOLD, LEAST, MOST = 600.0, 30.0, 366 * 86400.0
#: Seconds until the next question after a refusal, and after which one that is being asked was given up.
BETWEEN, GIVEN_UP = 60.0, 45.0
#: Seconds until the next question to an endpoint that is away: at first and, doubled each time, at last; and the most
#: that it may ask for itself.
FIRST, LAST, LONGEST = 5.0, 300.0, 3600.0
#: Seconds that must be left of one that goes out.
MARGIN = 5.0
_VISIBLE = re.compile(r"[!-~]+")
#: An error's name, as the RFC has them and its extensions: nobody's token looks like that.
_CODE = re.compile(r"[a-z]{2,20}(_[a-z]{2,20}){1,3}")
_SECONDS = re.compile(r"[0-9]{1,7}")
#: What an endpoint answers that is there again later (besides 5xx): by status, and by error.
_AWAY = frozenset({408, 425, 429})
_AWAY_CODES = frozenset({"temporarily_unavailable", "server_error", "slow_down"})


class NotRefreshed(Exception):
    """The endpoint gave no access token; the message says why, without anything secret.

    `passing`: it may give one later, without anybody mending anything; not before `retry_after` seconds.
    """

    def __init__(self, why: str, *, passing: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.passing = passing
        self.retry_after = retry_after


class Said(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    retry_after: str = ""  # the header


@dataclass(frozen=True)
class Question:
    """What is sent: a form, with the client's name and secret in a header where it has a secret."""

    url: str
    form: Mapping[str, str]
    authorization: str = ""


def usable(values: Mapping[str, str], now: float) -> bool:
    """Whether there is an access token that can go out."""
    return bool(values.get(TOKEN)) and _number(values, ENDS) > now + MARGIN


def asking(values: Mapping[str, str], now: float) -> bool:
    """Whether some central is asking for another one. Clocks of centrals differ a little, either way."""
    return bool(values.get(ASKING)) and abs(now - _number(values, TRIED)) < GIVEN_UP


def due(values: Mapping[str, str], now: float) -> bool:
    """Whether it is time for another one."""
    if asking(values, now) or wait(values, now) > 0:
        return False
    issued, ends = _number(values, ISSUED), _number(values, ENDS)
    return not usable(values, now) or now >= issued + PART * (ends - issued)


def wait(values: Mapping[str, str], now: float) -> float:
    """Seconds until the endpoint may be asked again after what failed; none where the clock was set back far."""
    left = _number(values, AGAIN) - now if values.get(PROBLEM) else 0.0
    return left if 0 < left <= LONGEST else 0.0


def passes(values: Mapping[str, str]) -> bool:
    """Whether what keeps an access token from coming may pass by itself: nobody has to set anything anew."""
    return not values.get(PROBLEM) or bool(values.get(PASSING))


def begun(values: Mapping[str, str], now: float) -> dict[str, str]:
    """The values while another one is asked for."""
    return {**values, TRIED: repr(now), ASKING: "yes"}


def failed(values: Mapping[str, str], why: NotRefreshed, now: float) -> dict[str, str]:
    """The values when none could be had."""
    new = {**_settled(values), PROBLEM: str(why)}
    if not why.passing:
        return {**new, AGAIN: repr(now + BETWEEN)}
    failures = int(_number(values, FAILURES)) + 1
    pause = min(LAST, FIRST * 2.0 ** min(failures - 1, 10))
    pause = max(pause, min(LONGEST, why.retry_after))
    return {**new, PASSING: "yes", FAILURES: str(failures), AGAIN: repr(now + pause)}


def question(values: Mapping[str, str]) -> Question:
    """What to ask with these values."""
    form = {"grant_type": "refresh_token", "refresh_token": values["refresh_token"]}
    form.update({name: values[name] for name in ("scope", "audience") if values.get(name)})
    if not values.get("client_secret"):
        return Question(values["token_url"], {**form, "client_id": values["client_id"]})
    pair = f"{quote_plus(values['client_id'])}:{quote_plus(values['client_secret'])}"
    return Question(values["token_url"], form, f"Basic {base64.b64encode(pair.encode()).decode()}")


def answered(values: Mapping[str, str], came: Said, asked: float) -> dict[str, str]:
    """The values with what came. `asked`: when the question was sent. Raises `NotRefreshed`."""
    try:
        said = json.loads(came.body)
    except (ValueError, RecursionError):
        said = None
    if came.status != 200 or not isinstance(said, dict):
        raise _refusal(came, said.get("error") if isinstance(said, dict) else None)
    token, kind = said.get("access_token"), said.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise NotRefreshed("the token endpoint gave a token of another type than bearer")
    if not _is_token(token):
        raise NotRefreshed("the token endpoint gave no access token that could be sent in a header")
    life = said.get("expires_in")
    known = isinstance(life, int | float) and not isinstance(life, bool) and life == life  # no NaN
    seconds = min(MOST, max(LEAST, float(str(life)))) if known else UNTOLD
    new = {**_settled(values), TOKEN: str(token), ISSUED: repr(asked), ENDS: repr(asked + seconds)}
    if _is_token(said.get("refresh_token")):  # the one before may be good for nothing from now on
        new["refresh_token"] = str(said["refresh_token"])
    return new


def _refusal(came: Said, code: object) -> NotRefreshed:
    """Why there was none. Of the error its code alone is told."""
    told = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
    passing = came.status >= 500 or came.status in _AWAY or told in _AWAY_CODES
    seconds = float(came.retry_after) if _SECONDS.fullmatch(came.retry_after) else 0.0  # a date needs equal clocks
    why = f"the token endpoint answered {came.status}" + (f" ({told})" if told else "")
    return NotRefreshed(why, passing=passing, retry_after=seconds)


def delivery(row: CredentialRow, values: Mapping[str, str], now: float) -> Credential | str:
    """What goes out of it: the access token as a bearer, and never what made it; or why nothing does."""
    if not usable(values, now):
        return f"could not be refreshed: {values.get(PROBLEM) or 'no token endpoint has answered yet'}"
    ends = _number(values, ENDS)
    left = int(min(ends, row.expires or ends) - now)
    version = version_of(row, values[ENDS])
    return Credential(row.name, "bearer", {"token": values[TOKEN]}, row.urls, max(1, left), version)


def is_refreshed(row: CredentialRow) -> bool:
    """Whether it is of that kind."""
    return row.kind == REFRESHED


def _settled(values: Mapping[str, str]) -> dict[str, str]:
    gone = (ASKING, PROBLEM, PASSING, FAILURES, AGAIN)
    return {name: value for name, value in values.items() if name not in gone}


def _number(values: Mapping[str, str], name: str) -> float:
    return float(values.get(name) or 0.0)


def _is_token(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return SHORTEST_SECRET <= len(value) <= MAX_VALUE and bool(_VISIBLE.fullmatch(value))
