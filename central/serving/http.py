"""Every request's way: the route, who calls, the message, the handler, the answer.

A route is a record in a table (`central/routes/`); the table makes the router, holds authorisation (whom a route does
not name is refused), and becomes the OpenAPI document. This is the one place where an error becomes an HTTP status.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from central.dispatching.interruptible import Interruptible
from central.records import Identity
from central.serving import audited, bodies, versions
from central.serving.audited import PLAIN, About
from central.serving.connection_table import address_of, know
from central.serving.router import Router
from central.trust import rules
from central.trust.rules import Caller, PilotCaller, Who
from central.trust.seal import PilotToken
from pilot.errors import REFUSALS, InvalidInput, InvalidJob, PilotageError, Refusal, TransportError
from pilot.protocol import MAX_MESSAGE, VERSION, Problem

if TYPE_CHECKING:
    from central.app import Central

log = logging.getLogger(__name__)
#: Refusals that an operator wants to know of: somebody else has a pilot's secret, or something of ours failed.
_NOTED = frozenset({"secret-used", "internal"})
#: Characters of each text, and problems, that a refusal tells at most.
MOST_WORDS, MOST_PROBLEMS = 4000, 1000
#: Seconds after which a request that is not answered yet is watched for its caller hanging up.
PROMPT = 0.25
_JSON = (b"content-type", b"application/json")
M = TypeVar("M")
Q = TypeVar("Q")


@dataclass(slots=True)
class Call(Generic[M]):
    """One request, admitted and understood."""

    central: Central
    request: Request
    caller: Caller
    message: M
    parts: Mapping[str, str]  # of the path
    headers: Mapping[str, str]  # of the request, by their names in lower case
    about: About = PLAIN  # what its line of the audit says, where the route has one

    @property
    def person(self) -> Identity:
        """The person who asks, on routes for people."""
        return cast(Identity, self.caller)

    @property
    def pilot(self) -> PilotToken:
        """What the calling pilot's token says, on routes for pilots."""
        return cast(PilotCaller, self.caller).token

    def still(self) -> bool:
        """Whether the caller may still be answered, where that takes long: a token may have been revoked since."""
        return self.central.callers.still(self.caller)

    def text(self, name: str) -> str:
        """A part of the path."""
        return self.parts[name]

    def number(self, name: str) -> int:
        """A part of the path that is a number."""
        return int(self.parts[name])

    def query(self, kind: type[Q]) -> Q:
        """The query as a record. Raises ``invalid``."""
        return bodies.query(self.request.query_params.multi_items(), kind)

    def chunks(self, bound: int) -> AsyncIterator[bytes]:
        """The body as it arrives, at most so many bytes, on routes that stream."""
        return bodies.chunks(self.request, self.headers, bound)

    async def while_connected(self, work: Coroutine[Any, Any, Q]) -> Q:
        """Do what may take long, and cancel it when the caller hangs up. For requests whose body has been read."""
        with Interruptible() as block:
            watch = HangUp(self.request.receive, block)
            try:
                return await work
            finally:
                watch.end()
        raise ClientDisconnect


class HangUp:
    """Interrupts a block when the caller hangs up. Most are done before anybody could: these get no watch."""

    def __init__(self, receive: Receive, block: Interruptible) -> None:
        self._receive = receive
        self._block = block
        self._hearing: asyncio.Future[Any] | None = None
        self._timer = asyncio.get_running_loop().call_later(PROMPT, self._listen)

    def _listen(self) -> None:
        self._hearing = asyncio.ensure_future(self._receive())
        self._hearing.add_done_callback(self._heard)

    def _heard(self, hearing: asyncio.Future[Any]) -> None:
        if not hearing.cancelled():
            self._block.interrupt()

    def end(self) -> None:
        self._timer.cancel()
        if self._hearing is not None:
            self._hearing.cancel()


@dataclass(frozen=True)
class Route(Generic[M]):
    """One thing to ask for. `message` is the record in the body, or ``bytes``; `reply` the record in the answer."""

    method: str
    path: str
    handler: Callable[[Call[M]], Awaitable[object]]
    who: tuple[Who, ...]
    summary: str
    message: type[M] | None = None
    reply: type | None = None  # None: bytes, or nothing
    query: type | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # of the request, beside Authorization: name → meaning
    bound: int = MAX_MESSAGE  # bytes of the body
    streams: bool = False  # the handler reads the body itself
    media: str = "application/json"  # of the answer
    status: int = 200
    audit: str = ""  # what the audit calls it; empty: no line is written here
    #: Of a pilot that enrols: whether what the message shows would let it in. Told without writing anything.
    good: Callable[[Call[M]], Awaitable[bool]] | None = None


class _Endpoint:
    """A route at work, as an ASGI application."""

    def __init__(self, route: Route[Any], central: Central, room: bodies.Room) -> None:
        self._route = route
        self._central = central
        self._tally = central.metrics.tally
        self._scope = rules.scope_of(route.method, route.path)
        self._rates = central.rates
        self._room = room
        kind = route.message
        self._decoder = None if kind is None or kind is bytes else bodies.MessageDecoder(kind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send, parts: Mapping[str, str]) -> None:
        request = Request(scope, receive)
        headers = _headers(scope)
        started = time.perf_counter()
        response: Response | _Json
        caller: Caller = None
        try:
            caller = self._central.callers.claimed(headers.get("authorization"))
            response = await self._answer(request, parts, headers, caller)
        except ClientDisconnect:
            return
        except PilotageError as error:
            refusal = self._rates.failed(_address(scope), refusal_of(error))
            response = problem(refusal)
            self._noted(request, caller, refusal)
        except OSError as error:  # a full disk, an object store that is away: it may pass
            log.exception("The central could not read or write", extra={"fields": {"route": self._route.path}})
            response = problem(
                Refusal("busy", f"the central could not read or write ({error.strerror or error})", retry_after=5.0)
            )
        except Exception:  # a fault of ours must not look like a refusal, nor end the server
            log.exception("A request failed inside the central", extra={"fields": {"route": self._route.path}})
            response = problem(Refusal("internal", "the central failed on this request; its log says why"))
        route = self._route
        self._tally.answered(route.method, route.path, response.status_code, time.perf_counter() - started)
        await response(scope, receive, send)

    def _noted(self, request: Request, caller: Caller, refusal: Refusal) -> None:
        """Some refusals are for the audit, and some for the operator's eyes too. Without a `caller` whose credentials
        open, it is somebody at that address."""
        kind = refusal.type
        if kind in audited.NOTED:
            asked = f"{request.method} {request.url.path}"
            self._central.audit.refused(caller, _address(request.scope), asked, kind, refusal.detail)
        if kind in _NOTED:
            log.warning("Refused: %s", refusal, extra={"fields": {"type": kind, "path": request.url.path}})

    async def _answer(
        self, request: Request, parts: Mapping[str, str], headers: Mapping[str, str], caller: Caller
    ) -> Response | _Json:
        route = self._route
        rules.admit(route.who, caller, self._scope)
        is_stranger = caller is None and route.message is not None
        if is_stranger and not route.good:
            self._rates.admit_stranger(_address(request.scope))
        body = b"" if route.streams else await bodies.whole(request, headers, route.bound, self._room)
        if isinstance(caller, PilotCaller):
            self._central.callers.verify(caller, parts.get("stamp"), request.method, _target(request), body, headers)
        if caller is not None:
            self._rates.admit(caller)
            know(request.scope)
        message: Any = body if route.message is bytes else None
        version = VERSION
        if self._decoder is not None:
            message, version = self._decoder.decode(body)
        call = Call(self._central, request, caller, message, parts, headers)
        if is_stranger and route.good:
            await self._rates.admit_enrolment(_address(request.scope), partial(route.good, call))
        reply = await route.handler(call)
        if route.audit:
            await audited.done(call, route.audit)
        return _response(route, reply, version)


def _headers(scope: Scope) -> dict[str, str]:
    """The headers of a request by their names, read once: each look into the request's own goes through all of them.

    Lines of one name are one list, as they mean: whatever takes the first or the last alone would be told two things.
    """
    lines: list[tuple[bytes, bytes]] = scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in lines}
    if len(headers) < len(lines):
        for name in headers:
            headers[name] = ", ".join(value.decode("latin-1") for key, value in lines if key.decode("latin-1") == name)
    return headers


def _address(scope: Scope) -> str:
    """Where a request comes from, as far as its failures are counted."""
    return address_of(scope.get("client"))


def _target(request: Request) -> str:
    """Path and query, as they were sent."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("latin-1")


@dataclass(frozen=True)
class _Json:
    """An answer of JSON, as an ASGI application: no more than it takes to send it."""

    status_code: int
    body: bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % len(self.body)), _JSON]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def _response(route: Route[Any], reply: object, version: int) -> Response | _Json:
    if isinstance(reply, Response):
        return reply
    if version != VERSION:
        reply = versions.downgrade(version, type(reply), cast(versions.Plain, msgspec.to_builtins(reply)))
    return _Json(route.status, msgspec.json.encode(reply))


def refusal_of(error: PilotageError) -> Refusal:
    """Any error that people or programs can act on, as a row of the table of refusals."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, InvalidJob):
        return Refusal("invalid", f"{len(error.problems)} problems in what was sent", problems=error.problems)
    if isinstance(error, InvalidInput):
        return Refusal("invalid", str(error), problems=(error,))
    if isinstance(error, TransportError):
        return Refusal("busy", str(error), retry_after=5.0)
    return Refusal("internal", str(error))


def problem(error: PilotageError, status: int | None = None) -> Response:
    """The answer that an error becomes; `status`, where HTTP has a closer one than the table."""
    refusal = refusal_of(error)
    kind = REFUSALS.get(refusal.type, REFUSALS["internal"])
    status = status or kind.status
    body = Problem(
        type=refusal.type,
        title=kind.title,
        status=status,
        detail=_short(refusal.detail),
        retry_after=refusal.retry_after,
        server_time=refusal.server_time,
        expected=refusal.expected,
        got=refusal.got,
        problems=tuple(
            {"where": _short(found.where), "problem": _short(found.problem)}
            for found in refusal.problems[:MOST_PROBLEMS]
        ),
    )
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer, Pilot, Job, Ticket"
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


def _short(text: str) -> str:
    """What a refusal repeats of what was sent, which may have been megabytes."""
    return text if len(text) <= MOST_WORDS else f"{text[: MOST_WORDS // 2]} … {text[-MOST_WORDS // 2 :]}"


def _unrouted(method: str, path: str, allowed: Sequence[str]) -> Response:
    """The answer where there is no route. `allowed` are the methods that the path would take."""
    if not allowed:
        return problem(Refusal("not-found", f"there is nothing at {path[:200]}"))
    methods = ", ".join(allowed)
    response = problem(Refusal("not-found", f"{path[:200]} does not take {method[:20]}", expected=methods), 405)
    response.headers["Allow"] = methods
    return response


def application(routes: Sequence[Route[Any]], central: Central) -> ASGIApp:
    """The ASGI application that answers these routes."""
    room = bodies.Room()
    router = Router([(route.method, route.path, _Endpoint(route, central, room)) for route in routes])

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        found = router.find(method, path)
        if found is None:
            await _unrouted(method, path, router.methods(path))(scope, receive, send)
        else:
            await found.target(scope, receive, send, found.parts)

    return answer
