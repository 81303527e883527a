"""Requests to the central: sent again when that is right and harmless, answered with records or refusals."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import requests
from urllib3.exceptions import NewConnectionError

from pilot.errors import InvalidInput, PilotageError, Refusal, TransportError
from pilot.protocol import USER_SCHEME, Problem
from pilotage.connection import Connection

T = TypeVar("T")
Query = Mapping[str, str | int]
#: Told why a request is tried again, and for how many seconds it has been tried.
Trouble = Callable[[PilotageError, float], None]

#: Seconds to connect, and to wait for the next bytes. Streams send something every 15 s.
TIMEOUT = (10.0, 60.0)
#: Seconds between two attempts: doubled from the first to the second of these.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
_PROBLEM = "application/problem+json"


class NeverSent(TransportError):
    """No connection came about, so that the central has certainly not seen the request."""


@dataclass(frozen=True)
class Clock:
    """Time and chance, as arguments."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random  # 0 to 1


SYSTEM_CLOCK = Clock()


@dataclass(frozen=True)
class Request:
    """What is asked. `repeatable`: a second copy of it does no harm. `accepted`: statuses that are answers, too."""

    method: str
    path: str
    query: Query | None = None
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    repeatable: bool = True
    accepted: tuple[int, ...] = ()
    streamed: bool = False


class Transport:
    """Sends requests of one person to one central. `patience`: seconds for which a request is tried again."""

    def __init__(
        self,
        session: requests.Session,
        connection: Connection,
        patience: float,
        clock: Clock,
        trouble: Trouble | None = None,
    ) -> None:
        self._session = session
        self._trouble = trouble
        self._connection = connection
        self._patience = patience
        self._clock = clock

    def ask(self, kind: type[T], request: Request) -> T:
        """Send a request and read its answer. Raises `Refusal`, `TransportError`, or `PilotageError`."""
        answer = self.send(request)
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise PilotageError(
                f"{self._connection.url} answered {request.method} {request.path} with something that is not understood"
                f" ({error}): is the central newer than this client?"
            ) from error

    def send(self, request: Request) -> requests.Response:
        """Send a request, again and again while that may help, and return its answer. Raises as `ask`."""
        clock = self._clock
        start = clock.now()
        attempt = 0
        while True:
            try:
                return self._once(request)
            except (TransportError, Refusal) as error:
                pause = _pause(error, attempt, clock.chance())
                if not _worth_repeating(error, request) or clock.now() + pause > start + self._patience:
                    raise
                if self._trouble:
                    self._trouble(error, clock.now() - start)
            clock.sleep(pause)
            attempt += 1

    def broken_off(self, error: Exception) -> TransportError:
        """The error of an answer that ended before its time."""
        return TransportError(f"The connection to {self._connection.url} broke off ({_reason(error)}).")

    def pause(self, attempt: int) -> None:
        """Wait before something is tried again that broke off half-way."""
        self._clock.sleep(_pause(None, attempt, self._clock.chance()))

    def _once(self, request: Request) -> requests.Response:
        connection = self._connection
        url = connection.url + request.path
        try:
            answer = self._session.request(
                request.method,
                url,
                params=request.query,
                data=request.body,
                headers=request.headers,
                verify=str(connection.ca) if connection.ca else True,
                timeout=TIMEOUT,
                stream=request.streamed,
                allow_redirects=False,
            )
        except (OSError, ValueError) as error:  # those of requests are an OSError
            raise _transport_error(error, connection) from error
        if (answer.ok and not answer.is_redirect) or answer.status_code in request.accepted:
            return answer
        with answer:
            raise _refusal(answer)


def open_session(connection: Connection) -> requests.Session:
    """A session that carries the token to this central alone: nothing of .netrc or of the environment but proxies."""
    session = requests.Session()
    session.proxies.update(requests.utils.get_environ_proxies(connection.url))
    session.trust_env = False
    if connection.token:
        session.headers["Authorization"] = f"{USER_SCHEME} {connection.token}"
    session.headers["User-Agent"] = "pilotage"
    return session


def _pause(error: Exception | None, attempt: int, chance: float) -> float:
    """Seconds until the next attempt: as the central says, else longer each time, and never all at once."""
    if isinstance(error, Refusal) and error.retry_after is not None:
        return error.retry_after * (1 + 0.2 * chance)
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 10)) * (0.5 + chance))


def _worth_repeating(error: Exception, request: Request) -> bool:
    if isinstance(error, Refusal):
        return error.transient and (request.repeatable or error.type in ("busy", "too-many"))
    return request.repeatable or isinstance(error, NeverSent)


def _refusal(answer: requests.Response) -> PilotageError:
    """The error that an answer is."""
    if answer.headers.get("Content-Type", "").split(";")[0] == _PROBLEM:
        try:
            problem = msgspec.json.decode(answer.content, type=Problem)
        except (msgspec.MsgspecError, requests.RequestException):
            problem = None
        if problem:
            return Refusal(
                problem.type,
                problem.detail or problem.title,
                retry_after=problem.retry_after,
                server_time=problem.server_time,
                expected=problem.expected,
                got=problem.got,
                problems=tuple(InvalidInput(one.get("where", ""), one.get("problem", "")) for one in problem.problems),
            )
    text = f"{answer.url} answered {answer.status_code} {answer.reason or ''}".rstrip()
    if answer.status_code in (502, 503, 504):
        return TransportError(f"{text}: something before the central answers in its place.")
    return PilotageError(f"{text} and not as a central does: is the address right?")


def _transport_error(error: Exception, connection: Connection) -> PilotageError:
    url = connection.url
    if isinstance(error, requests.exceptions.SSLError):
        trusted = str(connection.ca) if connection.ca else "what the system trusts"
        return PilotageError(
            f"The certificate of {url} does not verify against {trusted} ({_reason(error)}):"
            " is this the folder of that central, and is the clock right?"
        )
    if isinstance(error, requests.RequestException):
        hint = f"{url} cannot be reached ({_reason(error)}): is the central running? `pilotage up` starts one here."
        refused = isinstance(getattr(error.args[0] if error.args else None, "reason", None), NewConnectionError)
        if refused or isinstance(error, requests.exceptions.ConnectTimeout):
            return NeverSent(hint)
        return TransportError(hint)
    return PilotageError(f"{url} cannot be asked: {error}.")


def _reason(error: Exception) -> str:
    """The innermost cause, in a few words."""
    cause: object = error
    while isinstance(cause, Exception):
        inner = getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)
        if not isinstance(inner, (Exception, str)):
            break
        cause = inner
    text = str(cause)
    text = text.rsplit("] ", 1)[-1] if "[Errno" in text else text
    return text.rsplit(": ", 1)[-1].strip("'() .") or type(error).__name__
